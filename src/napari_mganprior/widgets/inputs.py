"""From layers to plain arrays: which plane, is it usable, what surrounds it.

No Qt here; everything works on napari's models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels
from napari.layers.base import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MaskError

__all__ = ["Inputs", "Plane", "check_layers", "current_plane", "describe_plane", "take_inputs"]

_ASK_FOR_IMAGE = (
    "No image layer. Open a picture, or use File > Open Sample > mGANprior restoration."
)
_ASK_FOR_MASK = "No labels layer. Press 'New' beside Damage, then paint over the damage."
_LARGEST_LIVE_CHECK = 1 << 24
"""Pixels of a mask that are looked at while the user paints; some 10 ms."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A 2-D plane of a layer's data.

    Attributes
    ----------
    axes : tuple of int
        The two data axes that span it, ascending.
    point : tuple of int
        One whole number per spatial axis; where the plane stands on all other axes, 0 on `axes`.
    """

    axes: tuple[int, int]
    point: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether the layer has no other axis."""
        return len(self.point) == 2

    def index(self) -> tuple[int | slice, ...]:
        """Return the index that cuts the plane out of the data."""
        return tuple(slice(None) if axis in self.axes else at for axis, at in enumerate(self.point))

    def shape(self, layer: Layer) -> tuple[int, int]:
        """Return the plane's height and width in pixels."""
        full = spatial_shape(layer)
        return full[self.axes[0]], full[self.axes[1]]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What was taken from the layers when Run was pressed; nothing in it is a layer.

    Attributes
    ----------
    image : ndarray
        (H, W) or (H, W, 3).
    mask : ndarray
        (H, W), bool.
    alpha : ndarray or None
        (H, W), the opacity of an RGBA picture.
    plane : Plane
        Where in the image layer it was.
    image_name, labels_name : str
        The layers' names.
    label : int or None
        The label that counted as damage; None for all of them.
    look : dict
        Keywords for `viewer.add_image` that put a result where the image is and make it look
        like it.
    place : dict
        The part of `look` that any layer takes.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_]
    alpha: NDArray[Any] | None
    plane: Plane
    image_name: str
    labels_name: str
    label: int | None
    look: dict[str, Any]
    place: dict[str, Any]


def full_resolution(layer: Layer) -> Any:
    """Return a layer's data, at level 0 of a multiscale layer; may be lazy."""
    return layer.data[0] if layer.multiscale else layer.data


def spatial_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's data without a colour axis."""
    return tuple(int(n) for n in full_resolution(layer).shape[: layer.ndim])


def current_plane(layer: Layer, dims: Dims) -> Plane:
    """Find the plane of a layer that is on screen.

    In 3-D display, where there is no such plane, it is the one spanned by the last two axes in
    the order of the sliders.
    """
    missing = dims.ndim - layer.ndim  # a layer has the last axes of the world
    order = [axis - missing for axis in dims.order if axis >= missing]
    first, second = sorted(order[-2:])
    here = np.rint(np.asarray(layer.world_to_data(dims.point))).astype(int)
    last = np.asarray(spatial_shape(layer)) - 1
    point = [
        0 if axis in (first, second) else int(at) for axis, at in enumerate(np.clip(here, 0, last))
    ]
    return Plane((first, second), tuple(point))


def describe_plane(layer: Layer, plane: Plane) -> str:
    """Say which slice will be restored; nothing for a 2-D layer."""
    if plane.whole:
        return ""
    where = ", ".join(
        f"{_axis_name(layer, axis)} {at}"
        for axis, at in enumerate(plane.point)
        if axis not in plane.axes
    )
    return f"The current slice is restored ({where})."


def check_layers(image: Image | None, labels: Labels | None, label: int | None, dims: Dims) -> str:
    """Find the reason why a run cannot start, as far as that is cheap.

    Parameters
    ----------
    image : Image or None
        The layer to restore.
    labels : Labels or None
        The layer that marks damage.
    label : int or None
        The label that counts as damage; None for all of them.
    dims : Dims
        The viewer's; says which slice is shown.

    Returns
    -------
    str
        What was got, what was wanted and what to do; empty if nothing is wrong.
    """
    if image is None:
        return _ASK_FOR_IMAGE
    if labels is None:
        return _ASK_FOR_MASK
    if image.ndim < 2:
        return f"'{image.name}' has {image.ndim} axis; wanted 2 or more. Choose another image."
    try:
        plane, mask_plane = _planes(image, labels, dims)
    except MaskError as error:
        return str(error)
    height, width = plane.shape(image)
    if height * width > _LARGEST_LIVE_CHECK or not isinstance(full_resolution(labels), np.ndarray):
        return ""
    mask = _cut_mask(labels, mask_plane, label)
    which = f"label {label}" if label is not None else "labelled pixels"
    if not mask.any():
        return (
            f"No {which} in '{labels.name}' here; wanted some. Paint over the damage with the "
            "brush of that layer."
        )
    if mask.all():
        return (
            f"The {which} in '{labels.name}' cover the whole picture; wanted some measured pixels "
            "beside them. Erase where the picture is good."
        )
    return ""


def take_inputs(image: Image, labels: Labels, label: int | None, dims: Dims) -> Inputs:
    """Copy everything a run needs from the layers.

    Parameters
    ----------
    image : Image
        The layer to restore.
    labels : Labels
        The layer that marks damage.
    label : int or None
        The label that counts as damage; None for all of them.
    dims : Dims
        The viewer's; says which slice is shown.

    Returns
    -------
    Inputs
        Copies, in plain numpy.

    Raises
    ------
    MaskError
        If the two layers do not lie on each other pixel by pixel.
    ImageError
        If the image cannot be read.
    """
    plane, mask_plane = _planes(image, labels, dims)
    try:
        # Cut first: a lazy stack need not fit into memory.
        pixels = np.array(full_resolution(image)[plane.index()])
        mask = _cut_mask(labels, mask_plane, label)
    except (OSError, ValueError, IndexError) as error:
        raise ImageError(
            f"Could not read the pixels of '{image.name}' or '{labels.name}' ({error}); wanted "
            "readable data. Check that its file is still there, then open it again."
        ) from error
    alpha = None
    if image.rgb and pixels.shape[-1] == 4:
        pixels, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy()
    place = _place(image, plane)
    return Inputs(
        image=pixels,
        mask=mask,
        alpha=alpha,
        plane=plane,
        image_name=image.name,
        labels_name=labels.name,
        label=label,
        look={**place, **_look(image)},
        place=place,
    )


def _planes(image: Image, labels: Labels, dims: Dims) -> tuple[Plane, Plane]:
    plane = current_plane(image, dims)
    if labels.ndim == image.ndim:
        mask_plane = Plane(plane.axes, current_plane(labels, dims).point)
        kept: Sequence[int] = range(image.ndim)
    elif labels.ndim == 2:  # one mask for every slice of a stack
        mask_plane = Plane((0, 1), (0, 0))
        kept = plane.axes
    else:
        raise MaskError(
            f"'{labels.name}' has {labels.ndim} axes, '{image.name}' {image.ndim}; wanted as "
            "many, or 2. Press 'New' for a labels layer that fits."
        )
    got, wanted = mask_plane.shape(labels), plane.shape(image)
    if got != wanted:
        raise MaskError(
            f"'{labels.name}' is {got[0]} x {got[1]} pixels, '{image.name}' {wanted[0]} x "
            f"{wanted[1]}; wanted the same. Press 'New' for a labels layer that fits."
        )
    if not _same_place(image, labels, kept):
        raise MaskError(
            f"'{labels.name}' has another scale or position than '{image.name}' (scale "
            f"{_numbers(labels.scale[-2:])} against {_numbers(image.scale[-2:])}); wanted the "
            "same. Give it the image's scale, translate, rotate, shear and affine, or press "
            "'New' for a labels layer that fits."
        )
    return plane, mask_plane


def _same_place(image: Image, labels: Labels, kept: Sequence[int]) -> bool:
    ours, theirs = _to_world(image), _to_world(labels)
    axes = list(kept)
    turn, shift = ours.linear_matrix[np.ix_(axes, axes)], ours.translate[axes]
    pixel = np.abs(turn).max(axis=1)
    # Half a pixel out is another pixel; less than a tenth is rounding in a file.
    return bool(
        np.all(np.abs(turn - theirs.linear_matrix) <= 1e-3 * pixel[:, None])
        and np.all(np.abs(shift - theirs.translate) <= 0.1 * pixel)
    )


def _to_world(layer: Layer) -> Affine:
    inner = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    return layer.affine.compose(inner)


def _cut_mask(labels: Labels, plane: Plane, label: int | None) -> NDArray[np.bool_]:
    values = np.asarray(full_resolution(labels)[plane.index()])
    return np.array(values != 0 if label is None else values == label)


def _place(image: Image, plane: Plane) -> dict[str, Any]:
    # A slice keeps all its axes, with length 1, so that it lies in its stack where it came from.
    inner = Affine(scale=image.scale, rotate=image.rotate, shear=image.shear)
    shift = inner.linear_matrix @ np.asarray(plane.point, dtype=float)
    place = {
        "scale": np.array(image.scale),
        "translate": np.array(image.translate) + shift,
        "rotate": np.array(image.rotate),
        "shear": np.array(image.shear),
        "affine": np.array(image.affine.affine_matrix),
    }
    place |= {key: getattr(image, key) for key in ("units", "axis_labels") if hasattr(image, key)}
    return place


def _look(image: Image) -> dict[str, Any]:
    look = {
        "rgb": bool(image.rgb),
        "blending": str(image.blending),
        "gamma": float(image.gamma),
        "opacity": float(image.opacity),
    }
    if str(image.interpolation2d) != "custom":  # that one needs a kernel of its own
        look["interpolation2d"] = str(image.interpolation2d)
    if not image.rgb:
        look |= {
            "colormap": image.colormap,
            "contrast_limits": [float(limit) for limit in image.contrast_limits],
        }
    return look


def _axis_name(layer: Layer, axis: int) -> str:
    labels = getattr(layer, "axis_labels", ())
    name = str(labels[axis]) if axis < len(labels) else ""
    # "-3", or "axis -3", is what napari calls an axis without a name.
    nameless = name.removeprefix("axis").strip().lstrip("-")
    return name if nameless and not nameless.isdigit() else f"axis {axis}, slice"


def _numbers(values: Any) -> str:
    return " x ".join(f"{float(value):.4g}" for value in values)
