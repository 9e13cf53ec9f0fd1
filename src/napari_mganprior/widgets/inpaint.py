"""The dock widget "Inpaint": mark damage, press Run, get the picture restored."""

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakMethod

from napari.components import ViewerModel
from napari.layers import Image
from napari.layers.base import Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QSize, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.priors import user_folder
from napari_mganprior.runs import OpenTask, RunController, RunRequest, RunResult
from napari_mganprior.runs.job import open_inpainting
from napari_mganprior.widgets.fields import InpaintFields
from napari_mganprior.widgets.inputs import (
    Inputs,
    check_layers,
    current_plane,
    describe_plane,
    take_inputs,
)
from napari_mganprior.widgets.results import (
    add_invented,
    add_mask,
    add_preview,
    add_result,
    update_preview,
)
from napari_mganprior.widgets.run_panel import RunPanel

__all__ = ["InpaintWidget"]

_CHECK_MS = 150
_PREVIEW_SECONDS = 0.25
_LEAVE_SECONDS = 1.0
_LAYER_EVENTS = ("data", "set_data", "scale", "translate", "rotate", "shear", "affine")


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
    controller : RunController
        The run.
    """

    _docked = False

    def __init__(self, napari_viewer: ViewerModel, open_task: OpenTask = open_inpainting) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._inputs: Inputs | None = None  # of the run under way
        self._mark = True
        self._preview: Image | None = None
        self._preview_refused = False
        self.controller = RunController(open_task)
        self.fields = InpaintFields(
            lambda: list(self._viewer.layers), self.add_mask, self._on_field_changed
        )
        self.panel = RunPanel(self.controller)
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
        self._watch = _Watch(self._on_event)
        self._watched: tuple[Layer | None, ...] = ()
        self._watch_viewer()
        self.reset_choices()
        self.fields.choose(napari_viewer.layers.selection.active)
        # Nothing here may hold this widget: it is gone when the signal arrives.
        self.destroyed.connect(partial(_leave, self.controller, self._watch))
        self.check()

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if self._watch.closed:
            return
        self.fields.refresh_layers()
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
            self._inputs = inputs
            self._mark = bool(fields.mark.value)
            self._preview_refused = False
            self.controller.start(request)
        except MGANPriorError as error:
            self._inputs = None
            self._tell(error)

    def event(self, event: QEvent | None) -> bool:
        """Cancel the run when the dock is closed; look again when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.controller.cancel()
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            # Labels written by a script send no event; a new prior's file neither.
            self.fields.refresh_priors()
            self._check_soon()
        return bool(super().event(event))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(_FieldScroll(self.fields))
        layout.addWidget(self.panel)  # outside: Cancel must never be scrolled away
        layout.addStretch(1)

    def _watch_viewer(self) -> None:
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._watch.layers)
        dims = self._viewer.dims.events
        for emitter in (dims.current_step, dims.order, dims.ndisplay, dims.ndim):
            emitter.connect(self._watch.values)

    def _watch_layers(self) -> None:
        for layer in self._viewer.layers:
            # Connecting twice counts once. The list's own event is younger than napari 0.6.1.
            layer.events.name.connect(self._watch.layers)
        chosen = (self.fields.image.value, self.fields.labels.value)
        for layer in self._watched:
            _each_event(layer, lambda emitter: emitter.disconnect(self._watch.values))
        for layer in chosen:
            _each_event(layer, lambda emitter: emitter.connect(self._watch.values))
        self._watched = chosen

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
        if not fault and fields.prior.value is None:
            fault = f"No prior found. Put a .safetensors file into {user_folder()}."
        return fault

    def _on_previewed(self, image: NDArray[Any]) -> None:
        if self._inputs is None or self._preview_refused:
            return
        if self._preview is None:
            active = self._viewer.layers.selection.active
            self._preview = add_preview(self._viewer, self._inputs, image)
            self._viewer.layers.selection.active = active  # the user may be painting
        elif self._preview in self._viewer.layers:
            update_preview(self._preview, self._inputs, image)
        else:  # deleted: none is wanted in this run
            self._preview, self._preview_refused = None, True

    def _on_finished(self, result: RunResult) -> None:
        inputs = self._end_run()
        if inputs is None:
            return
        restoration = result.restoration
        layer = add_result(self._viewer, inputs, restoration.image, restoration.recipe)
        if self._mark:
            add_invented(self._viewer, inputs, restoration.invented, layer.name)
            self._viewer.layers.selection.active = layer
        invented = int(restoration.invented.sum())
        self.panel.say(
            f"{'Stopped early' if result.stopped else 'Done'}: '{layer.name}' is there; "
            f"{invented} of its pixels are invented."
        )

    def _on_failed(self, error: MGANPriorError) -> None:
        self._end_run()
        self._tell(error)

    def _on_cancelled(self) -> None:
        self._end_run()
        self.panel.say("Cancelled; nothing was changed.")

    def _end_run(self) -> Inputs | None:
        inputs, self._inputs = self._inputs, None
        preview, self._preview = self._preview, None
        if preview is not None and preview in self._viewer.layers:
            self._viewer.layers.remove(preview)
        return inputs

    def _tell(self, error: MGANPriorError) -> None:
        self.panel.say(str(error))
        show_error(str(error))


class _FieldScroll(QScrollArea):
    """Fields as high as they like where there is room, scrolled where there is none."""

    def __init__(self, fields: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setWidget(fields)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        fields = self.widget()
        return super().sizeHint() if fields is None else fields.sizeHint()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()  # another theme, another font, another height
        return bool(super().eventFilter(watched, event))


class _Watch:
    """Forward napari's events to a widget for as long as it lives.

    napari may send events after the window is gone; a method of a deleted Qt object would fail.
    """

    def __init__(self, react: Callable[[bool], None]) -> None:
        self._react = WeakMethod(react)
        self.closed = False

    def layers(self, event: Any = None) -> None:
        """Hear that layers came, went, moved or were renamed."""
        self._forward(True)

    def values(self, event: Any = None) -> None:
        """Hear that a layer or a slider changed."""
        self._forward(False)

    def _forward(self, layers_changed: bool) -> None:
        react = self._react()
        if react is not None and not self.closed:
            react(layers_changed)


def _leave(controller: RunController, watch: _Watch, *_: object) -> None:
    watch.closed = True
    controller.close(_LEAVE_SECONDS)


def _each_event(layer: Layer | None, do: Callable[[Any], None]) -> None:
    if layer is None:
        return
    for name in _LAYER_EVENTS:
        if (emitter := getattr(layer.events, name, None)) is not None:
            do(emitter)
