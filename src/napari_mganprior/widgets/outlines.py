"""Shapes layers on the pixels of an image: which pixels they cover, where a rectangle lies.

Everything goes through world coordinates, so that a shapes layer may have any scale and position.
No Qt here.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from skimage.draw import line, polygon

from napari_mganprior.errors import MaskError
from napari_mganprior.widgets.planes import Cut, Plane, to_world

__all__ = ["check_axes", "cover", "cover_planes", "locate"]

_ROUND = 64
"""Corners of the polygon that stands for an ellipse or for the round ends of a line."""


def check_axes(image: Image, shapes: Shapes) -> None:
    """Check that a shapes layer has the axes of an image, or only two.

    Raises
    ------
    MaskError
        If it has others.
    """
    if shapes.ndim not in (2, image.ndim):
        raise MaskError(
            f"'{shapes.name}' has {shapes.ndim} axes, '{image.name}' {image.ndim}; wanted as "
            "many, or 2. Draw the shapes in a layer added while this image is shown alone."
        )


def locate(image: Image, shapes: Shapes, plane: Plane, corners: Any) -> NDArray[np.float64]:
    """Bring points of a shapes layer to the pixels of an image.

    Parameters
    ----------
    image : Image
        Whose pixels are meant.
    shapes : Shapes
        Whose points they are; of as many axes as the image, or of 2, which are then the axes of
        the plane.
    plane : Plane
        Of the image.
    corners : array
        (N, D), in the data coordinates of the shapes layer.

    Returns
    -------
    ndarray
        (N, the image's D), in its data coordinates; whole numbers are centres of pixels.
    """
    there = np.asarray(to_world(shapes)(np.asarray(corners, dtype=float)))
    ours = to_world(image)
    if shapes.ndim != image.ndim:
        world = np.tile(np.asarray(ours(np.asarray(plane.point, dtype=float))), (len(there), 1))
        world[:, plane.axes] = there
        there = world
    return np.asarray(ours.inverse(there), dtype=float)


def cover(image: Image, shapes: Shapes, plane: Plane) -> NDArray[np.bool_]:
    """Find the pixels of one plane that the shapes on it cover.

    Parameters
    ----------
    image : Image
        Whose pixels are meant.
    shapes : Shapes
        Rectangles, ellipses and polygons count with what is in them, lines and paths with the
        width of their edge.
    plane : Plane
        Of the image.

    Returns
    -------
    ndarray
        (H, W), bool; True where the centre of a pixel is covered.
    """
    covered = np.zeros(plane.shape(image), dtype=bool)
    for number in range(shapes.nshapes):
        low, high = _span(image, shapes, plane, number)
        if all(first <= plane.point[axis] <= last for axis, (first, last) in
               zip(plane.others, zip(low, high, strict=True), strict=True)):  # fmt: skip
            _draw(covered, image, shapes, plane, number)
    return covered


def cover_planes(image: Image, shapes: Shapes, cut: Cut) -> NDArray[np.bool_]:
    """Find the pixels that shapes cover in every plane of a stack; (n, H, W), bool."""
    covered = np.zeros((cut.n_planes, *cut.size), dtype=bool)
    where = np.array([[point[axis] for axis in cut.plane.others] for point in cut.points()])
    for number in range(shapes.nshapes):
        low, high = _span(image, shapes, cut.plane, number)
        hit = np.all((where >= low) & (where <= high), axis=1)
        if hit.any():
            drawn = np.zeros(cut.size, dtype=bool)
            _draw(drawn, image, shapes, cut.plane, number)
            covered[hit] |= drawn
    return covered


def _span(
    image: Image, shapes: Shapes, plane: Plane, number: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first and last slice a shape is on, for every axis that spans no plane."""
    if shapes.ndim != image.ndim:
        anywhere = np.full(len(plane.others), np.inf)
        return -anywhere, anywhere
    at = locate(image, shapes, plane, shapes.data[number])[:, plane.others]
    return np.rint(at.min(axis=0)), np.rint(at.max(axis=0))


def _draw(
    covered: NDArray[np.bool_], image: Image, shapes: Shapes, plane: Plane, number: int
) -> None:
    corners = np.asarray(shapes.data[number], dtype=float)
    axes = list(plane.axes) if shapes.ndim == image.ndim else [0, 1]
    for outline in _outlines(corners[:, axes], shapes.shape_type[number], shapes, number):
        whole = np.tile(corners.mean(axis=0), (len(outline), 1))
        whole[:, axes] = outline
        pixels = locate(image, shapes, plane, whole)[:, plane.axes]
        if len(pixels) == 2:
            _draw_line(covered, pixels)
        else:
            covered[polygon(pixels[:, 0], pixels[:, 1], covered.shape)] = True


def _outlines(
    corners: NDArray[np.float64], kind: str, shapes: Shapes, number: int
) -> list[NDArray[np.float64]]:
    """Return polygons (N, 2) that make up a shape, and lines (2, 2) that must not break."""
    if kind in ("rectangle", "polygon"):
        return [corners]
    angles = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    if kind == "ellipse":
        centre = corners.mean(axis=0)
        half, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
        return [centre + np.cos(angles) * half + np.sin(angles) * other]
    radius = float(shapes.edge_width[number]) / 2
    ring = radius * np.hstack([np.cos(angles), np.sin(angles)])
    found = [corner + ring for corner in corners]
    for start, end in pairwise(corners):
        along = end - start
        length = float(np.hypot(*along))
        if length > 0:
            aside = np.array([-along[1], along[0]]) * (radius / length)
            found += [np.array([start + aside, end + aside, end - aside, start - aside])]
            found += [np.array([start, end])]  # a thin line slips between the centres
    return found


def _draw_line(covered: NDArray[np.bool_], ends: NDArray[np.float64]) -> None:
    rows, columns = line(*np.rint(ends).astype(int).ravel().tolist())
    height, width = covered.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    covered[rows[inside], columns[inside]] = True
