"""Layers of the form Edit: which plane is taken, and where results go. No Qt."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims, ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError
from napari_mganprior.widgets.planes import Cut, cut_layer, full_resolution
from napari_mganprior.widgets.results import METADATA_KEY, names_in, unused_name

__all__ = ["Taken", "add_picture", "add_way", "in_axes", "take_picture"]

_PLACE = ("scale", "rotate", "shear", "units", "axis_labels")


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A plane of a layer, as it was.

    Attributes
    ----------
    pixels : ndarray
        (H, W) or (H, W, 3), a copy.
    alpha : ndarray or None
        The opacity of an RGBA picture, (H, W).
    cut : Cut
        Which plane it is.
    name : str
        Of the layer.
    look : dict
        Keywords for `viewer.add_image` that put a picture where it was and make it look like it.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    cut: Cut
    name: str
    look: dict[str, Any]


def take_picture(layer: Image, dims: Dims, cut: Cut | None = None) -> Taken:
    """Copy a plane of an image layer.

    Parameters
    ----------
    layer : Image
        The layer.
    dims : Dims
        The viewer's.
    cut : Cut, optional
        Which plane; the one on screen if left out.

    Raises
    ------
    ImageError
        If it has no plane, or cannot be read.
    """
    if layer.ndim < 2:
        raise ImageError(
            f"Got '{layer.name}' of {layer.ndim} axis; wanted 2 or more. Choose another image."
        )
    cut = cut_layer(layer, dims) if cut is None else cut
    try:
        pixels = np.array(cut.take(full_resolution(layer)))
    except (OSError, ValueError, IndexError) as error:
        raise ImageError(
            f"Could not read the pixels of '{layer.name}' ({error}); wanted readable data. Check "
            "that its file is still there, then open it again."
        ) from error
    alpha = None
    if layer.rgb and pixels.shape[-1] == 4:
        pixels, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3]
    return Taken(pixels, alpha, cut, layer.name, _look(layer, cut))


def in_axes(taken: Taken, picture: NDArray[Any]) -> NDArray[Any]:
    """Bring a picture, (H, W) or (H, W, 3), into the axes and colours of its layer."""
    if taken.alpha is not None:
        picture = np.concatenate([picture, taken.alpha[..., None]], axis=-1)
    return taken.cut.place(picture[None])


def add_picture(
    viewer: ViewerModel, taken: Taken, picture: NDArray[Any], what: str, recipe: Any = None
) -> Image:
    """Add a picture as a layer exactly over the one it was made from.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    taken : Taken
        What it was made from.
    picture : ndarray
        (H, W) or (H, W, 3).
    what : str
        Behind the image's name.
    recipe : dict, optional
        Kept in the layer's metadata.
    """
    metadata = {}
    if recipe is not None:
        full = {**copy.deepcopy(dict(recipe)), "layers": {"image": taken.name}}
        metadata = {METADATA_KEY: full}
    return viewer.add_image(
        in_axes(taken, picture),
        name=unused_name(f"{taken.name} {what}", names_in(viewer)),
        metadata=metadata,
        multiscale=False,
        **taken.look,
    )


def add_way(viewer: ViewerModel, taken: Taken, stack: NDArray[Any], to: str) -> Image:
    """Add the pictures on the way to another image as a stack, one axis more than the image."""
    if taken.alpha is not None:
        alpha = np.broadcast_to(taken.alpha[None, ..., None], (*stack.shape[:3], 1))
        stack = np.concatenate([stack, alpha], axis=-1)
    planes = np.stack([taken.cut.place(picture[None]) for picture in stack])
    look = dict(taken.look)
    ndim = len(taken.cut.shape)
    look["scale"] = np.concatenate([[1.0], look["scale"]])
    look["translate"] = np.concatenate([[0.0], look["translate"]])
    for name in ("rotate", "shear"):
        look.pop(name)
    affine = np.eye(ndim + 2)
    linear = Affine(scale=taken.look["scale"], rotate=taken.look["rotate"],
                    shear=taken.look["shear"]).linear_matrix  # fmt: skip
    outer = np.asarray(taken.look["affine"])
    # turned and sheared layers: all but the scale goes into the affine
    turned = linear @ np.diag(1 / np.asarray(taken.look["scale"]))
    shift = np.asarray(taken.look["translate"])
    affine[1:-1, 1:-1] = outer[:-1, :-1] @ turned
    affine[1:-1, -1] = outer[:-1, :-1] @ (shift - turned @ shift) + outer[:-1, -1]
    look["affine"] = affine
    if "units" in look:
        look["units"] = ("pixel", *look["units"])
    if "axis_labels" in look:
        look["axis_labels"] = ("way", *look["axis_labels"])
    return viewer.add_image(
        planes,
        name=unused_name(f"{taken.name} to {to}", names_in(viewer)),
        multiscale=False,
        **look,
    )


def _look(layer: Image, cut: Cut) -> dict[str, Any]:
    inner = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    shift = inner.linear_matrix @ np.asarray(cut.plane.point, dtype=float)
    look: dict[str, Any] = {
        **{name: getattr(layer, name) for name in _PLACE if hasattr(layer, name)},
        "translate": np.array(layer.translate) + shift,
        "affine": np.array(layer.affine.affine_matrix),
        "rgb": bool(layer.rgb),
        "blending": str(layer.blending),
        "gamma": float(layer.gamma),
        "opacity": float(layer.opacity),
    }
    if not layer.rgb:
        look |= {
            "colormap": layer.colormap,
            "contrast_limits": [float(limit) for limit in layer.contrast_limits],
        }
    return look
