"""Where a result lies and what it looks like, beside the image it was made from.

No Qt here; everything works on plain values.
"""

from typing import Any

import numpy as np
from napari.utils.transforms import Affine

__all__ = ["coloured_look", "finer_place", "with_axis"]


def finer_place(place: dict[str, Any], factor: int, axes: tuple[int, int]) -> dict[str, Any]:
    """Return the place of a layer with more pixels that covers the same area.

    Parameters
    ----------
    place : dict
        Of a layer: scale, translate, rotate, shear, affine, and maybe more.
    factor : int
        Pixels of the finer layer along the side of one, 1 or more.
    axes : tuple of int
        The two axes that have more.

    Returns
    -------
    dict
        The centre of the finer pixel j is that of the coarser pixel at (j + 0.5) / factor - 0.5:
        the scale is divided, and the origin shifted by (1 / factor - 1) / 2 of a pixel, along the
        layer's own axes, turned and sheared as they are.
    """
    if factor == 1:
        return dict(place)
    inner = Affine(scale=place["scale"], rotate=place["rotate"], shear=place["shear"])
    scale, shift = np.array(place["scale"], float), np.zeros(len(place["scale"]))
    for axis in axes:
        scale[axis] /= factor
        shift[axis] = (1 / factor - 1) / 2
    return {
        **place,
        "scale": scale,
        "translate": np.asarray(place["translate"]) + inner.linear_matrix @ shift,
    }


def coloured_look(look: dict[str, Any]) -> dict[str, Any]:
    """Return a look for the same picture in colours, which has neither colour map nor limits."""
    grey_only = ("colormap", "contrast_limits")
    return {**{key: value for key, value in look.items() if key not in grey_only}, "rgb": True}


def with_axis(place: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a place with one axis more in front, which nothing turns or stretches.

    Parameters
    ----------
    place : dict
        Of a layer.
    name : str
        Of the new axis.
    """
    n = len(place["scale"])
    whole = Affine(
        scale=place["scale"],
        translate=place["translate"],
        rotate=place["rotate"],
        shear=place["shear"],
    )
    inner = Affine(scale=place["scale"], translate=place["translate"])
    # Rotation and shear have no simple form in one dimension more; as a matrix they have.
    rest = Affine(affine_matrix=place["affine"]).compose(whole).compose(inner.inverse)
    matrix = np.eye(n + 2)
    matrix[1:, 1:] = rest.affine_matrix
    wider: dict[str, Any] = {
        "scale": np.array([1.0, *place["scale"]]),
        "translate": np.array([0.0, *place["translate"]]),
        "affine": matrix,
    }
    if "units" in place:
        wider["units"] = ("pixel", *place["units"])
    if "axis_labels" in place:
        wider["axis_labels"] = (name, *place["axis_labels"])
    for key in ("rotate", "shear"):
        wider[key] = None
    return wider
