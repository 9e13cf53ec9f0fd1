"""Hear what happens in a viewer for as long as a widget lives."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakMethod

from napari.components import ViewerModel
from napari.layers.base import Layer

from napari_mganprior.widgets.region import camera_of

__all__ = ["ViewerWatch"]

_LAYER_EVENTS = (
    *("data", "set_data", "scale", "translate", "rotate", "shear", "affine"),
    *("edge_width", "highlight"),  # of shapes: how wide their lines are, which are selected
)


class ViewerWatch:
    """Forward napari's events to a widget for as long as it lives.

    napari may send events after the window is gone; a method of a deleted Qt object would fail.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to listen to.
    react : bound method
        Called with True after layers came, went, moved or were renamed, with False after a slider
        moved, one of the followed layers changed, or others were selected. It is not kept alive.

    Attributes
    ----------
    closed : bool
        Set it when the widget goes; nothing is forwarded from then on.
    """

    def __init__(self, viewer: ViewerModel, react: Callable[[bool], None]) -> None:
        self._react = WeakMethod(react)
        self._viewer = viewer
        self._followed: tuple[Layer, ...] = ()
        self._view_emitters: tuple[Any, ...] = ()
        self.closed = False
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._on_layers)
        dims = viewer.dims.events
        for emitter in (dims.current_step, dims.order, dims.ndisplay, dims.ndim):
            emitter.connect(self._on_values)
        viewer.layers.selection.events.changed.connect(self._on_values)

    def follow(self, layers: Iterable[Layer | None], *, view: bool = False) -> None:
        """Listen to the data and the place of these layers only, and to the names of all.

        Parameters
        ----------
        layers : iterable of Layer or None
            The layers chosen in a form.
        view : bool
            Listen to what is in view as well.
        """
        for layer in self._viewer.layers:
            # Connecting twice counts once. The list's own event is younger than napari 0.6.1.
            layer.events.name.connect(self._on_layers)
        for emitter in _emitters(self._followed):
            emitter.disconnect(self._on_values)
        self._followed = tuple(layer for layer in layers if layer is not None)
        for emitter in _emitters(self._followed):
            emitter.connect(self._on_values)
        for emitter in self._view_emitters:
            emitter.disconnect(self._on_values)
        camera = camera_of(self._viewer).events
        self._view_emitters = (camera.center, camera.zoom) if view else ()
        for emitter in self._view_emitters:
            emitter.connect(self._on_values)

    def _on_layers(self, event: Any = None) -> None:
        self._forward(True)

    def _on_values(self, event: Any = None) -> None:
        self._forward(False)

    def _forward(self, layers_changed: bool) -> None:
        react = self._react()
        if react is not None and not self.closed:
            react(layers_changed)


def _emitters(layers: Iterable[Layer]) -> list[Any]:
    found = (getattr(layer.events, name, None) for layer in layers for name in _LAYER_EVENTS)
    return [emitter for emitter in found if emitter is not None]
