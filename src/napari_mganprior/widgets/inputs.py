"""From layers to what a run takes: is it usable, which pixels, what surrounds them.

No Qt here; everything works on napari's models.
"""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MaskError, SettingsError
from napari_mganprior.widgets.damage import (
    ALL_LABELS,
    check_fit,
    check_growth,
    parse_labels,
    take_damage,
    write_labels,
)
from napari_mganprior.widgets.planes import Cut, cut_layer, describe_cut, full_resolution
from napari_mganprior.widgets.region import Region, find_region
from napari_mganprior.widgets.taken import Choice, Inputs

__all__ = ["Choice", "Inputs", "check_inputs", "describe_choice", "take_inputs", "take_mask"]

_ASK_FOR_IMAGE = (
    "No image layer. Open a picture, or use File > Open Sample > mGANprior restoration."
)
_ASK_FOR_MASK = "No labels layer. Press 'New' beside Damage, then paint over the damage."
_LARGEST_LIVE_CHECK = 1 << 24
"""Pixels of a mask that are looked at while the user paints; some 10 ms."""


def check_inputs(choice: Choice, viewer: ViewerModel) -> str:
    """Find the reason why a run cannot start, as far as that is cheap.

    Parameters
    ----------
    choice : Choice
        What the form says.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.

    Returns
    -------
    str
        What was got, what was wanted and what to do; empty if nothing is wrong.
    """
    image, damage, dims = choice.image, choice.damage, viewer.dims
    if image is None:
        return _ASK_FOR_IMAGE
    if damage is None and choice.spec.mask == "needed":
        return _ASK_FOR_MASK
    if image.ndim < 2:
        return f"'{image.name}' has {image.ndim} axis; wanted 2 or more. Choose another image."
    if choice.spec.grey_only and image.rgb:
        return (
            f"'{image.name}' has colours already; wanted a grey image. Choose another image, or "
            "convert this one to grey."
        )
    if choice.options.get("proposals", 1) > 1 and choice.scope != "slice":
        return (
            f"Got {choice.options['proposals']} proposals for each of several slices; wanted one. "
            "Choose one proposal, or the current slice."
        )
    try:
        cut = cut_layer(image, dims, choice.scope)
        if damage is None:
            return ""
        check_fit(image, damage, cut, dims)
        ranges = None if isinstance(damage, Shapes) else parse_labels(choice.labels)
        check_growth(choice.grow, choice.feather)
        region = find_region(image, cut.plane, choice.region, viewer)
        height, width = cut.size
        if cut.n_planes * height * width > _LARGEST_LIVE_CHECK or _is_lazy(damage):
            return ""
        mask = take_damage(image, damage, ranges, choice.invert, cut, dims)
    except (MaskError, SettingsError) as error:
        return str(error)
    return _look_at(mask, region, choice) if choice.spec.mask == "needed" else ""


def describe_choice(choice: Choice, viewer: ViewerModel) -> str:
    """Say which planes will be restored, and whether only a part; nothing if all there is."""
    if choice.image is None:
        return ""
    cut = cut_layer(choice.image, viewer.dims, choice.scope)
    said = describe_cut(choice.image, cut)
    region = find_region(choice.image, cut.plane, choice.region, viewer)
    if region is not None:
        size = f"{region[2] - region[0]} x {region[3] - region[1]} pixels"
        said = f"{said} Only damage in a region of {size} is restored.".strip()
    return said


def take_inputs(choice: Choice, viewer: ViewerModel) -> Inputs:
    """Copy everything a run needs from the layers.

    Parameters
    ----------
    choice : Choice
        What the form says.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.

    Returns
    -------
    Inputs
        Copies, in plain numpy; of a lazy stack the lazy array.

    Raises
    ------
    MaskError
        If damage or region do not lie on the image, or a layer is missing.
    SettingsError
        If the labels are not written as wanted, or feather and growth do not go together.
    ImageError
        If the image cannot be read.
    """
    image, damage, dims = choice.image, choice.damage, viewer.dims
    if image is None or (damage is None and choice.spec.mask == "needed"):
        raise MaskError(_ASK_FOR_IMAGE if image is None else _ASK_FOR_MASK)
    cut = cut_layer(image, dims, choice.scope)
    ranges, mask = None, None
    if damage is not None:
        check_fit(image, damage, cut, dims)
        ranges = None if isinstance(damage, Shapes) else parse_labels(choice.labels)
    check_growth(choice.grow, choice.feather)
    region = find_region(image, cut.plane, choice.region, viewer)
    try:
        # Cut first: a lazy stack need not fit into memory.
        pixels = cut.take(full_resolution(image))
        if not cut.every or isinstance(pixels, np.ndarray):
            pixels = np.array(pixels)
        if damage is not None:
            mask = np.array(take_damage(image, damage, ranges, choice.invert, cut, dims))
    except (OSError, ValueError, IndexError) as error:
        raise ImageError(
            f"Could not read the pixels of {_names(image, damage)} ({error}); wanted "
            "readable data. Check that its file is still there, then open it again."
        ) from error
    alpha = None
    if image.rgb and pixels.shape[-1] == 4:
        pixels, alpha = pixels[..., :3], pixels[..., 3]
    place = _place(image, cut)
    return Inputs(
        image=cut.split(pixels),
        mask=None if mask is None else cut.split(mask),
        alpha=alpha,
        cut=cut,
        region=region,
        grow=choice.grow,
        feather=choice.feather,
        names={"image": image.name, **({} if damage is None else _marks(choice, damage))},
        marked={
            "scope": choice.scope,
            **({} if damage is None else _how_marked(choice, damage, ranges)),
        },
        look={**place, **_look(image)},
        place=place,
        spec=choice.spec,
        options=choice.spec.told(choice.options),
    )


def _names(image: Image, damage: Labels | Shapes | None) -> str:
    return f"'{image.name}'" + ("" if damage is None else f" or '{damage.name}'")


def _marks(choice: Choice, damage: Labels | Shapes) -> dict[str, str]:
    where = choice.region.name if isinstance(choice.region, Shapes) else choice.region
    return {"mask": damage.name, "region": where}


def _how_marked(choice: Choice, damage: Labels | Shapes, ranges: Any) -> dict[str, Any]:
    return {
        "kind": "shapes" if isinstance(damage, Shapes) else "labels",
        "labels": write_labels(ranges),
        "invert": choice.invert,
    }


def take_mask(
    choice: Choice, viewer: ViewerModel
) -> tuple[NDArray[np.bool_], Region | None] | None:
    """Copy the damage alone, as far as that is cheap.

    Parameters
    ----------
    choice : Choice
        What the form says.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.

    Returns
    -------
    ndarray of bool and tuple of int or None, or None
        Mask and region, as `Inputs` has them; None where no run can start, or the damage is too
        large to be looked at while the user paints.
    """
    image, damage = choice.image, choice.damage
    if image is None or damage is None or check_inputs(choice, viewer):
        return None
    cut = cut_layer(image, viewer.dims, choice.scope)
    if cut.n_planes * cut.size[0] * cut.size[1] > _LARGEST_LIVE_CHECK or _is_lazy(damage):
        return None
    ranges = None if isinstance(damage, Shapes) else parse_labels(choice.labels)
    mask = take_damage(image, damage, ranges, choice.invert, cut, viewer.dims)
    region = find_region(image, cut.plane, choice.region, viewer)
    return np.array(cut.split(np.array(mask))), region


def _is_lazy(damage: Labels | Shapes) -> bool:
    """Say whether reading the damage may take long, or fail."""
    return isinstance(damage, Labels) and not isinstance(full_resolution(damage), np.ndarray)


def _look_at(mask: NDArray[np.bool_], region: Region | None, choice: Choice) -> str:
    damage = choice.damage
    assert damage is not None
    which, several = _name_damage(choice), mask.ndim == 3
    if not mask.any():
        where = "in any slice" if several else "here"
        do = "Paint over the damage with the brush of that layer."
        if choice.invert:
            do = "Erase where the damage is, or untick 'invert'."
        elif isinstance(damage, Shapes):
            do = "Draw a shape over the damage."
        return f"No {which} in '{damage.name}' {where}; wanted some. {do}"
    full, touched = mask.all(axis=(-2, -1)), mask.any(axis=(-2, -1))
    if np.array_equal(full, touched):  # of several, those that are covered whole stay as they are
        of = " in every slice they are in" if several else ""
        return (
            f"The {which} in '{damage.name}' cover the whole picture{of}; wanted some measured "
            f"pixels beside them. {'Mark' if choice.invert else 'Erase'} where the picture is "
            "good."
        )
    if region is None:
        return ""
    # Damage that is grown may reach in from beside it.
    top, left = (max(0, side - choice.grow) for side in region[:2])
    bottom, right = (side + choice.grow for side in region[2:])
    if mask[..., top:bottom, left:right].any():
        return ""
    return (
        f"The {which} in '{damage.name}' are all outside the region; wanted some inside. Move the "
        "region over the damage, or choose the whole picture."
    )


def _name_damage(choice: Choice) -> str:
    if isinstance(choice.damage, Shapes):
        return "pixels outside the shapes" if choice.invert else "pixels under a shape"
    if choice.labels.strip().lower() == ALL_LABELS:
        return "pixels without a label" if choice.invert else "labelled pixels"
    label = f"label {choice.labels.strip()}"
    return f"pixels without {label}" if choice.invert else label


def _place(image: Image, cut: Cut) -> dict[str, Any]:
    # A slice keeps all its axes, with length 1, so that it lies in its stack where it came from.
    shift = np.zeros(image.ndim)
    if not cut.every:
        inner = Affine(scale=image.scale, rotate=image.rotate, shear=image.shear)
        shift = inner.linear_matrix @ np.asarray(cut.plane.point, dtype=float)
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
