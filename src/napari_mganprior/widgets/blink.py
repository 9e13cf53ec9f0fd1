"""Before and after: show a result and what lies under it by turns."""

from collections.abc import Sequence

from napari.components import ViewerModel
from napari.layers.base import Layer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QPushButton

from napari_mganprior.widgets.results import METADATA_KEY

__all__ = ["BlinkButton", "Showing"]

_BLINK_MS = 500


class Showing:
    """Layers that come and go, and how they were before. No Qt, so it outlives its button.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: dict[Layer, bool] = {}  # the result first
        self._shown = True

    def begin(self, layers: Sequence[Layer]) -> None:
        """Remember which of the layers are visible.

        Parameters
        ----------
        layers : sequence of Layer
            A result first, then what belongs to it.
        """
        self.end()
        self._before = {layer: bool(layer.visible) for layer in layers}
        self._shown = True

    def flip(self) -> bool:
        """Show or hide the layers.

        Returns
        -------
        bool
            False once the result was deleted.
        """
        result = next(iter(self._before), None)
        if result not in self._viewer.layers:
            return False
        self._shown = not self._shown
        for layer, visible in self._before.items():
            if layer in self._viewer.layers:
                layer.visible = self._shown and (visible or layer is result)
        return True

    def end(self) -> None:
        """Show what was shown before."""
        before, self._before = self._before, {}
        for layer, visible in before.items():
            layer.visible = visible


class BlinkButton(QPushButton):
    """Shows and hides a result twice a second while it is pressed.

    It takes the active layer if that is a result, else the latest result there is.

    Parameters
    ----------
    viewer : ViewerModel
        Where the results are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__("Blink")
        self.setCheckable(True)
        self.setToolTip(
            "Show the result and what lies under it by turns, twice a second: the active layer if "
            "it is a result, else the latest one. Press again to end."
        )
        self._viewer = viewer
        self._results: list[tuple[Layer, ...]] = []
        self.showing = Showing(viewer)
        self._timer = QTimer(self)
        self._timer.setInterval(_BLINK_MS)
        self._timer.timeout.connect(self._flip)
        self.toggled.connect(self._toggle)
        self.refresh()

    def add(self, layers: Sequence[Layer]) -> None:
        """Take note of a result, and of the layers that come and go with it."""
        self._results.append(tuple(layers))
        self.refresh()

    def refresh(self) -> None:
        """Look which results there are; call it when layers came or went."""
        there = set(self._viewer.layers)
        self._results = [layers for layers in self._results if layers[0] in there]
        self.setEnabled(bool(self._find()))
        if not self.isEnabled():
            self.setChecked(False)

    def stop(self) -> None:
        """End, and show what was shown before."""
        self.setChecked(False)

    def event(self, event: QEvent | None) -> bool:
        """End where nobody sees the button any more, so nobody could press it."""
        if event is not None and event.type() in (QEvent.Type.Hide, QEvent.Type.Close):
            self.stop()
        return bool(super().event(event))

    def _toggle(self, on: bool) -> None:
        layers = self._find() if on else ()
        if layers:
            self.showing.begin(layers)
            self._flip()
            self._timer.start()
        else:
            self._timer.stop()
            self.showing.end()

    def _flip(self) -> None:
        if not self.showing.flip():
            self.stop()

    def _find(self) -> tuple[Layer, ...]:
        active = self._viewer.layers.selection.active
        for layers in self._results:
            if active in layers:
                return layers
        loaded = [layer for layer in self._viewer.layers if METADATA_KEY in layer.metadata]
        if active in loaded:
            return (active,)
        return self._results[-1] if self._results else tuple(loaded[-1:])
