"""What the form Edit shows: pictures that follow the sliders, results, and what is said."""

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.live import Drawn
from napari_mganprior.widgets.edit_fields import EditFields
from napari_mganprior.widgets.edit_layers import Taken, add_picture, add_way, in_axes

__all__ = ["EditShown"]


class EditShown(EditFields):
    """The fields, and what comes of them.

    Parameters
    ----------
    viewer : ViewerModel
        Where results go.

    Attributes
    ----------
    drawn : Signal
        With a `Drawn` that is shown now.
    result_added : Signal
        With a layer that is to stay.
    """

    drawn = Signal(object)
    result_added = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._taken: Taken | None = None  # the open picture
        self._preview: Image | None = None

    def _show(self, drawn: Drawn) -> None:
        taken = self._taken
        if taken is None:
            return
        if self._preview is None or self._preview not in self._viewer.layers:
            self._preview = add_picture(self._viewer, taken, drawn.image, "edit preview")
        else:
            self._preview.data = in_axes(taken, drawn.image)
        self.drawn.emit(drawn)

    def _on_kept(self, restoration: Any, taken: Taken | None) -> None:
        if taken is None:
            return
        layer = add_picture(self._viewer, taken, restoration.image, "edited", restoration.recipe)
        shown = taken is self._taken and self._preview is not None
        if shown and self._preview in self._viewer.layers:
            self._viewer.layers.remove(self._preview)
        self._say(
            f"'{layer.name}' is there; {int(restoration.invented.sum())} of its pixels changed, "
            "and all of these are invented."
        )
        self.result_added.emit(layer)

    def _on_way(self, stack: Any, to: str, taken: Taken | None) -> None:
        if taken is not None:
            layer = add_way(self._viewer, taken, stack, to)
            self._say(f"'{layer.name}' is there; all but its ends are invented.")
            self.result_added.emit(layer)

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setToolTip(text)

    def _tell(self, error: MGANPriorError) -> None:
        self._say(str(error))
        show_error(str(error))
