"""Commands of napari's menus and of its command palette."""

from napari import Viewer, current_viewer
from napari.layers import Image, Labels, Shapes
from napari.layers.base import Layer
from napari.utils.notifications import show_warning

from napari_mganprior.settings import recall
from napari_mganprior.widgets.inpaint import InpaintWidget

__all__ = ["DOCK_NAME", "inpaint_active_layer", "open_inpaint"]

DOCK_NAME = "Inpaint (mGANprior restoration)"
"""What napari's own menu calls the dock, so that the menu's tick follows it."""

_NO_LAYER = (
    "No image layer is active. Click the picture to restore in the layer list, or the layer that "
    "marks its damage; then try again."
)
_DAMAGE = (Labels, Shapes)


def inpaint_active_layer() -> None:
    """Inpaint the active image, or the image that fits the active labels, as it was done last.

    The form is opened if it is not yet, takes the settings of the last run, and runs. Where it
    cannot run, napari shows the reason.
    """
    # A viewer asked for as an argument comes wrapped, and layers from it are not those in a form.
    viewer = current_viewer()
    active = None if viewer is None else viewer.layers.selection.active
    if viewer is None or not isinstance(active, (Image, *_DAMAGE)):
        show_warning(_NO_LAYER)
        return
    widget = open_inpaint(viewer)
    widget.fields.restore(recall("inpaint"))
    if fault := _choose(widget, viewer, active):
        show_warning(fault)
        return
    widget.run()


def open_inpaint(viewer: Viewer) -> InpaintWidget:
    """Return the form that is docked in a viewer's window, brought to the front.

    Parameters
    ----------
    viewer : Viewer
        Where there is none, it is opened.
    """
    widget = _find_docked(viewer)
    if widget is None:
        widget = InpaintWidget(viewer)
        viewer.window.add_dock_widget(widget, name=DOCK_NAME)
    if (dock := widget.parentWidget()) is not None:
        dock.show()
        dock.raise_()
    return widget


def _find_docked(viewer: Viewer) -> InpaintWidget | None:
    window = viewer.window
    if hasattr(window, "dock_widgets"):
        docked = list(window.dock_widgets.values())
    else:  # napari 0.6.1 has no public way
        docked = [dock.widget() for dock in window._dock_widgets.values()]
    return next((widget for widget in docked if isinstance(widget, InpaintWidget)), None)


def _choose(widget: InpaintWidget, viewer: Viewer, active: Layer) -> str:
    """Choose a layer and one that fits it; say why the form cannot run with them, if so."""
    fields = widget.fields
    fields.choose(active)
    if active not in (fields.image.value, fields.labels.value):
        return _NO_LAYER
    fault = widget.check()
    if not fault:
        return ""
    is_image = isinstance(active, Image)
    before: Layer | None = (fields.labels if is_image else fields.image).value
    # From the bottom up: what runs have added lies on top. Shapes last: they may mean a region.
    for kind in _DAMAGE if is_image else (Image,):
        for layer in viewer.layers:
            if isinstance(layer, kind):
                fields.choose(layer)
                if not widget.check():
                    return ""
    fields.choose(before)
    return widget.check()
