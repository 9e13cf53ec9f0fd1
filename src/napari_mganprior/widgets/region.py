"""The part of a plane that a run may change: a rectangle, or what is in view.

No Qt here; everything works on napari's models.
"""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_mganprior.errors import MaskError
from napari_mganprior.widgets.outlines import check_axes, locate
from napari_mganprior.widgets.planes import Plane, to_world

__all__ = ["IN_VIEW", "WHOLE", "Region", "camera_of", "find_region"]

WHOLE, IN_VIEW = "all", "view"
Region = tuple[int, int, int, int]


def find_region(
    image: Image, plane: Plane, where: str | Shapes, viewer: ViewerModel
) -> Region | None:
    """Find the part of a plane that may be changed.

    Parameters
    ----------
    image : Image
        The layer to restore.
    plane : Plane
        The plane on screen.
    where : {"all", "view"} or Shapes
        The whole picture, what is in view, or a layer whose selected or only shape surrounds it.
    viewer : ViewerModel
        Whose view is meant.

    Returns
    -------
    tuple of int, or None
        (top, left, bottom, right) in pixels of the plane, the last two exclusive; None for all.

    Raises
    ------
    MaskError
        If there is no such part, or it lies beside the picture.
    """
    if isinstance(where, Shapes):
        pixels = _rectangle(image, plane, where)
        name = f"The rectangle in '{where.name}'"
    elif where == IN_VIEW:
        pixels = _view(image, plane, viewer)
        name = "The current view"
    else:
        return None
    height, width = plane.shape(image)
    # A pixel belongs to it where its centre does.
    top, left = (max(0, int(low)) for low in np.ceil(pixels.min(axis=0)))
    bottom, right = (np.floor(pixels.max(axis=0)).astype(int) + 1).tolist()
    region = (top, left, min(height, bottom), min(width, right))
    if region[2] <= region[0] or region[3] <= region[1]:
        raise MaskError(
            f"{name} has no pixel of '{image.name}' in it; wanted some. Move it onto the picture, "
            "or choose the whole picture as region."
        )
    return region


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera, which moved in napari 0.9."""
    scene: Any = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def _rectangle(image: Image, plane: Plane, shapes: Shapes) -> NDArray[np.float64]:
    check_axes(image, shapes)
    chosen = sorted(shapes.selected_data) or list(range(shapes.nshapes))
    if len(chosen) != 1:
        raise MaskError(
            f"'{shapes.name}' has {len(chosen)} {'selected ' if shapes.selected_data else ''}"
            "shapes; wanted one around the region. Draw a rectangle, or select one."
        )
    return locate(image, shapes, plane, shapes.data[chosen[0]])[:, plane.axes]


def _view(image: Image, plane: Plane, viewer: ViewerModel) -> NDArray[np.float64]:
    if viewer.dims.ndisplay != 2:
        raise MaskError(
            "Got a view in 3-D; wanted a flat one, which has a region. Switch to 2-D, or choose "
            "the whole picture as region."
        )
    size = _canvas_size(viewer)
    if size is None:
        return _corners_drawn(image)[:, plane.axes]
    half = np.asarray(size) / (2 * camera_of(viewer).zoom)
    centre = np.asarray(camera_of(viewer).center[-2:])
    sides = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * half + centre
    ours = to_world(image)
    world = np.tile(np.asarray(ours(np.asarray(plane.point, dtype=float))), (4, 1))
    missing = viewer.dims.ndim - image.ndim
    world[:, [axis - missing for axis in viewer.dims.displayed]] = sides
    return np.asarray(ours.inverse(world), dtype=float)[:, plane.axes]


def _canvas_size(viewer: ViewerModel) -> tuple[float, float] | None:
    """Return height and width in screen pixels; None before napari 0.9, and in grid mode."""
    canvas: Any = getattr(viewer, "canvas", None)
    grid: Any = getattr(canvas, "grid", None) or getattr(viewer, "grid", None)
    if canvas is None or (grid is not None and grid.enabled):
        return None
    return float(canvas.size[0]), float(canvas.size[1])


def _corners_drawn(image: Image) -> NDArray[np.float64]:
    """Return what was drawn last; of a multiscale layer that may be a little more."""
    factors = np.ones(image.ndim)
    if image.multiscale:
        factors = np.asarray(image.downsample_factors)[image.data_level][: image.ndim]
    return np.asarray(image.corner_pixels, dtype=float)[:, : image.ndim] * factors
