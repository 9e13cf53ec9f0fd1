"""Commands of napari's menus and of its command palette."""

from typing import Any

from napari import Viewer, current_viewer
from napari.layers import Image, Labels
from napari.layers.base import Layer
from napari.utils.notifications import show_warning

from napari_mganprior.settings import recall
from napari_mganprior.widgets.inpaint import InpaintWidget

__all__ = ["DOCK_NAME", "inpaint_active_layer", "open_inpaint"]

DOCK_NAME = "Inpaint (mGANprior restoration)"
"""What napari's own menu calls the dock, so that the menu's tick follows it."""

_NO_LAYER = (
    "No image layer is active. Click the picture to restore in the layer list, or the labels "
    "layer over its damage; then try again."
)


def inpaint_active_layer() -> None:
    """Inpaint the active image, or the image under the active labels, as it was done last.

    The form is opened if it is not yet, takes the settings of the last run, and runs. Where it
    cannot run, napari shows the reason.
    """
    # A viewer asked for as an argument comes wrapped, and layers from it are not those in a form.
    viewer = current_viewer()
    active = None if viewer is None else viewer.layers.selection.active
    if viewer is None or not isinstance(active, Image | Labels):
        show_warning(_NO_LAYER)
        return
    widget = open_inpaint(viewer)
    fields: Any = widget.fields
    if hasattr(fields, "restore"):
        fields.restore(recall("inpaint"))
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
    dock = widget.parent()
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


def _choose(widget: InpaintWidget, viewer: Viewer, active: Image | Labels) -> str:
    """Choose a layer and one that fits it; say why the form cannot run with them, if so."""
    fields = widget.fields
    fields.choose(active)
    fault = widget.check()
    partner = fields.labels if isinstance(active, Image) else fields.image
    chosen: Layer | None = partner.value
    # From the bottom up: what runs have added lies on top.
    for layer in viewer.layers if fault else ():
        if isinstance(layer, Labels if isinstance(active, Image) else Image):
            fields.choose(layer)
            if not widget.check():
                return ""
    if fault:
        fields.choose(chosen)
        widget.check()
    return fault
