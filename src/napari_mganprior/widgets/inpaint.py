"""The dock widget "Inpaint": mark damage, press Run, get the picture restored."""

from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.priors import user_folder
from napari_mganprior.runs import OpenTask, RunController, RunRequest, RunResult
from napari_mganprior.runs.job import open_inpainting
from napari_mganprior.widgets.activity import Activity
from napari_mganprior.widgets.blink import BlinkButton, Showing
from napari_mganprior.widgets.fields import InpaintFields
from napari_mganprior.widgets.inputs import (
    Inputs,
    check_layers,
    current_plane,
    describe_plane,
    take_inputs,
)
from napari_mganprior.widgets.outcome import Wanted, show_result
from napari_mganprior.widgets.preview import LivePreview
from napari_mganprior.widgets.reference import check_reference, take_reference
from napari_mganprior.widgets.results import add_mask
from napari_mganprior.widgets.run_panel import RunPanel
from napari_mganprior.widgets.scroll import FieldScroll
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["InpaintWidget"]

_CHECK_MS = 150
_PREVIEW_SECONDS = 0.25
_LEAVE_SECONDS = 1.0


class InpaintWidget(QWidget):
    """Restore the pixels of an image layer that a labels layer marks as damaged.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered, and where the result goes.
    open_task : callable, optional
        Makes the task from a `RunRequest`, in the run's thread.

    Attributes
    ----------
    fields : InpaintFields
        What the user chooses.
    panel : RunPanel
        Buttons, progress and status.
    blink : BlinkButton
        Before and after.
    controller : RunController
        The run.
    """

    _docked = False

    def __init__(self, napari_viewer: ViewerModel, open_task: OpenTask = open_inpainting) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._inputs: Inputs | None = None  # of the run under way
        self._wanted = Wanted()
        self._preview = LivePreview(napari_viewer)
        self.controller = RunController(open_task)
        self.fields = InpaintFields(
            lambda: list(self._viewer.layers), self.add_mask, self._on_field_changed
        )
        self.panel = RunPanel(self.controller)
        self._activity = Activity(self.controller, "Inpaint")
        self.blink = BlinkButton(napari_viewer)
        self._lay_out()
        self._check_timer = QTimer(self)
        self._check_timer.setSingleShot(True)
        self._check_timer.setInterval(_CHECK_MS)
        self._check_timer.timeout.connect(self.check)

        self.panel.run_requested.connect(self.run)
        self.controller.finished.connect(self._on_finished)
        self.controller.previewed.connect(self._on_previewed)
        self.controller.failed.connect(self._on_failed)
        self.controller.cancelled.connect(self._on_cancelled)
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self.reset_choices()
        self.fields.choose(napari_viewer.layers.selection.active)
        # Nothing here may hold this widget: it is gone when the signal arrives.
        self.destroyed.connect(
            partial(_leave, self.controller, self._watch, self.blink.showing, self._activity)
        )
        self.check()

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if self._watch.closed:
            return
        self.fields.refresh_layers()
        self.blink.refresh()
        self._watch_layers()
        self._check_soon()

    def check(self) -> str:
        """Grey the Run button, or not, and say why.

        Returns
        -------
        str
            The reason; empty if a run can start.
        """
        if self._watch.closed:
            return ""
        fault = self._find_fault()
        note = "Ready."
        image = self.fields.image.value
        if not fault and image is not None:
            note = describe_plane(image, current_plane(image, self._viewer.dims)) or note
        self.panel.set_fault(fault, note)
        return fault

    def add_mask(self) -> None:
        """Add an empty labels layer that fits the image, choose it, and take up its brush."""
        if self.fields.image.value is not None:
            layer = add_mask(self._viewer, self.fields.image.value)
            self.reset_choices()
            self.fields.choose(layer)

    def run(self) -> None:
        """Start a run from what the form says."""
        if self.controller.busy:
            self.panel.say(
                "A run is on; one at a time. Wait for its end, or press 'Stop and keep' or "
                "'Cancel' first."
            )
            return
        self.reset_choices()
        if self.check():
            return
        fields = self.fields
        try:
            inputs = take_inputs(
                fields.image.value, fields.labels.value, fields.damage_label(), self._viewer.dims
            )
            request = RunRequest(
                image=inputs.image,
                mask=inputs.mask,
                prior=fields.prior.value,
                quality=fields.quality.value,
                seed=int(fields.seed.value),
                device=fields.device.value,
                zoom=fields.zoom_factor(),
                preview_interval=_PREVIEW_SECONDS if fields.preview.value else None,
            )
            self._inputs, self._wanted = inputs, self._take_wanted()
            self._preview.begin()
            self.controller.start(request)
        except MGANPriorError as error:
            self._inputs = None
            self._tell(error)

    def event(self, event: QEvent | None) -> bool:
        """Cancel the run when the dock is closed; look again when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.controller.cancel()
                self.blink.stop()
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            # Labels written by a script send no event; a new prior's file neither.
            self.fields.refresh_priors()
            self._check_soon()
        return bool(super().event(event))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(FieldScroll(self.fields))
        layout.addWidget(self.panel)  # outside: Cancel must never be scrolled away
        after = QHBoxLayout()
        after.addWidget(self.blink)
        after.addStretch(1)
        layout.addLayout(after)
        layout.addStretch(1)

    def _watch_layers(self) -> None:
        fields = self.fields
        self._watch.follow((fields.image.value, fields.labels.value, fields.reference.value))

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()
        else:
            self._check_soon()

    def _on_field_changed(self) -> None:
        self._watch_layers()
        if not self.controller.busy:
            self.panel.say("")  # the word about the last run is old now
        self.check()

    def _check_soon(self) -> None:
        if not self._check_timer.isActive():
            self._check_timer.start()

    def _find_fault(self) -> str:
        fields = self.fields
        fault = check_layers(
            fields.image.value, fields.labels.value, fields.damage_label(), self._viewer.dims
        )
        fault = fault or check_reference(
            fields.image.value, fields.reference.value, self._viewer.dims
        )
        if not fault and fields.prior.value is None:
            fault = f"No prior found. Put a .safetensors file into {user_folder()}."
        return fault

    def _take_wanted(self) -> Wanted:
        fields = self.fields
        reference = fields.reference.value
        return Wanted(
            invented=bool(fields.mark.value),
            uncertainty=bool(fields.uncertainty.value),
            truth=None if reference is None else take_reference(reference, self._viewer.dims),
            truth_name="" if reference is None else reference.name,
        )

    def _on_previewed(self, image: NDArray[Any]) -> None:
        if self._inputs is not None:
            self._preview.show(self._inputs, image)

    def _on_finished(self, result: RunResult) -> None:
        inputs = self._end_run()
        if inputs is None:
            return
        layers, said = show_result(self._viewer, inputs, result, self._wanted)
        self._wanted = Wanted()  # let go of the truth
        self.blink.add(layers)
        self.panel.say(said)

    def _on_failed(self, error: MGANPriorError) -> None:
        self._end_run()
        self._tell(error)

    def _on_cancelled(self) -> None:
        self._end_run()
        self.panel.say("Cancelled; nothing was changed.")

    def _end_run(self) -> Inputs | None:
        inputs, self._inputs = self._inputs, None
        self._preview.end()
        return inputs

    def _tell(self, error: MGANPriorError) -> None:
        self.panel.say(str(error))
        show_error(str(error))


def _leave(
    controller: RunController, watch: ViewerWatch, showing: Showing, activity: Activity, *_: object
) -> None:
    watch.closed = True
    showing.end()
    activity.close()
    controller.close(_LEAVE_SECONDS)
