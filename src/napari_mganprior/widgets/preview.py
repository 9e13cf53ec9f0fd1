"""The layer that shows the best picture so far while a run goes on."""

import time
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.results import add_preview, update_preview

__all__ = ["LivePreview"]

_SHARE = 0.02  # of the time; the window does more for a preview than can be timed here
_DRAWN_MS = 10


class LivePreview:
    """The preview layer of one run at a time.

    Where drawing takes long, as without a graphics card, fewer pictures are shown, so that
    drawing them stays under 5 % of the time.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer goes.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._refused = False
        self._free_at = 0.0  # s, of the monotonic clock; nothing is drawn before

    def begin(self) -> None:
        """Be ready for a new run."""
        self._layer, self._refused, self._free_at = None, False, 0.0

    def show(self, inputs: Inputs, image: NDArray[Any]) -> None:
        """Show a newer picture, unless the user has deleted the layer in this run."""
        if self._refused:
            return
        if self._layer is None:
            active = self._viewer.layers.selection.active
            self._layer = add_preview(self._viewer, inputs, image)
            self._viewer.layers.selection.active = active  # the user may be painting
        elif self._layer not in self._viewer.layers:
            self._layer, self._refused = None, True
        elif time.monotonic() >= self._free_at:
            begun = time.monotonic()
            update_preview(self._layer, inputs, image)
            # Qt draws some 5 ms later; a timer that goes off after that says how long it took
            QTimer.singleShot(_DRAWN_MS, lambda: self._rest(time.monotonic() - begun))

    def _rest(self, seconds: float) -> None:
        drawing = max(0.0, seconds - _DRAWN_MS / 1000)
        self._free_at = time.monotonic() + drawing * (1 / _SHARE - 1)

    def end(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
