"""The seconds that each quality will take, beside its name in the form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_mganprior.runs import RunResult, timing
from napari_mganprior.runs.timing import Question
from napari_mganprior.widgets.fields import TaskFields
from napari_mganprior.widgets.inputs import Choice, check_inputs, take_mask
from napari_mganprior.widgets.planes import cut_layer
from napari_mganprior.widgets.preferences import current_preferences, engine_options
from napari_mganprior.widgets.timing import QualityTimes

__all__ = ["QualityHints"]


class QualityHints(QObject):
    """Keeps the entries of the field "Quality" up to date.

    Parameters
    ----------
    fields : TaskFields
        The form.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.
    parent : QObject
        With whom this ends.

    Attributes
    ----------
    times : QualityTimes
        What is known.
    """

    def __init__(self, fields: TaskFields, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._fields = fields
        self.times = QualityTimes(_asker(fields, viewer), self, start=_start_measuring)
        self.times.changed.connect(self._write)

    def refresh(self) -> None:
        """Look again soon: the form, or what lies under it, has changed."""
        self.times.refresh()

    def begin(self, *_: object) -> None:
        """Make room for a run that starts."""
        self.times.hold()

    def end(self, result: RunResult | None = None) -> None:
        """Learn from a run that has ended; None if it gave nothing."""
        if result is None:
            self.times.release()
        else:  # the recipe's own seconds contain pauses
            self.times.release(dict(result.restoration.recipe), seconds=result.seconds)

    def close(self) -> None:
        """Stop for good."""
        self.times.close()

    def _write(self) -> None:
        box = self._fields.quality.native
        for number, text in enumerate(self.times.texts().values()):
            box.setItemText(number, text)


def _start_measuring(question: Question, folder: Path) -> Any:
    # looked up when it is called, so that a test can put something else in its place
    return timing.start_measuring(question, folder)


def _about_damage(fields: TaskFields, choice: Choice, viewer: ViewerModel) -> dict[str, Any] | None:
    taken = take_mask(choice, viewer)
    if taken is None:
        return None
    return {"mask": taken[0], "region": taken[1], "grow": int(fields.grow.value)}


def _about_whole(choice: Choice, viewer: ViewerModel) -> dict[str, Any] | None:
    if choice.image is None or check_inputs(choice, viewer):
        return None
    cut = cut_layer(choice.image, viewer.dims, choice.scope)
    return {"mask": None, "shape": (cut.n_planes * cut.colours, *cut.size)}


def _asker(fields: TaskFields, viewer: ViewerModel) -> Callable[[], Question | None]:
    """Return what asks the form, without keeping it alive."""
    form = ref(fields)

    def ask() -> Question | None:
        fields = form()
        if fields is None or fields.prior.value is None:
            return None
        choice = fields.choice()
        marked = fields.spec.mask == "needed"
        about = _about_damage(fields, choice, viewer) if marked else _about_whole(choice, viewer)
        if about is None:
            return None
        preferences = current_preferences()
        return Question(
            **about,
            prior=fields.prior.value,
            task=fields.spec.name,
            options=choice.options,
            overrides=fields.overrides(),
            threads=preferences.threads,
            zoom=fields.zoom_factor() if fields.spec.zooms else 1.0,
            **engine_options(preferences, fields.device.value),
        )

    return ask
