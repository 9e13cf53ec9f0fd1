"""The layer that shows the best picture so far while a run goes on."""

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.results import add_preview, update_preview

__all__ = ["LivePreview"]


class LivePreview:
    """The preview layer of one run at a time.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer goes.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._refused = False

    def begin(self) -> None:
        """Be ready for a new run."""
        self._layer, self._refused = None, False

    def show(self, inputs: Inputs, image: NDArray[Any]) -> None:
        """Show a newer picture, unless the user has deleted the layer in this run."""
        if self._refused:
            return
        if self._layer is None:
            active = self._viewer.layers.selection.active
            self._layer = add_preview(self._viewer, inputs, image)
            self._viewer.layers.selection.active = active  # the user may be painting
        elif self._layer in self._viewer.layers:
            update_preview(self._layer, inputs, image)
        else:
            self._layer, self._refused = None, True

    def end(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
