"""How close a result is to a layer that shows the truth."""

from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.widgets.planes import cut_layer, full_resolution

__all__ = [
    "check_reference",
    "compare",
    "compare_planes",
    "describe_likeness",
    "take_reference",
]

_RIM = 8
"""Pixels around the hole that the windows of SSIM may look at."""


def check_reference(
    image: Image | None,
    reference: Image | None,
    dims: Dims,
    scope: str = "slice",
    *,
    growth: int = 1,
    coloured: bool = False,
) -> str:
    """Find the reason why a result cannot be compared with a reference.

    Parameters
    ----------
    image : Image or None
        The layer to restore.
    reference : Image or None
        The layer that shows the truth; None compares nothing.
    dims : Dims
        The viewer's; says which slice is shown.
    scope : {"slice", "slices", "channels"}
        Which planes are restored.
    growth : int
        Pixels of the result along the side of one of the image.
    coloured : bool
        Whether a grey image gets colours.

    Returns
    -------
    str
        What was got, what was wanted and what to do; empty if nothing is wrong.
    """
    if image is None or reference is None:
        return ""
    if reference is image:
        return (
            f"'{image.name}' is its own reference; wanted another layer that shows the truth. "
            "Choose it, or '-----' to compare nothing."
        )
    ours, theirs = _shape(image, dims, scope, growth), _shape(reference, dims, scope)
    if coloured and not image.rgb:
        ours = (*ours, 3)
    if ours != theirs:
        same = growth == 1 and not coloured
        whose = f"'{image.name}'" if same else f"the result of '{image.name}' would be"
        return (
            f"The reference '{reference.name}' is {_written(theirs, reference.rgb)}, {whose} "
            f"{_written(ours, image.rgb or coloured)}; wanted the same. Choose another reference, "
            "or '-----'."
        )
    return ""


def take_reference(reference: Image, dims: Dims, scope: str = "slice") -> Any:
    """Take the planes of a reference that belong to those restored.

    Parameters
    ----------
    reference : Image
        The layer that shows the truth.
    dims : Dims
        The viewer's; says which slice is shown.
    scope : {"slice", "slices", "channels"}
        Which planes are restored.

    Returns
    -------
    array
        (n, H, W) or (n, H, W, 3), a copy; lazy where the layer is and several planes are taken.
    """
    cut = cut_layer(reference, dims, scope)
    planes = cut.take(full_resolution(reference))
    if not cut.every:
        planes = np.array(planes)[None]
    elif isinstance(planes, np.ndarray):
        planes = planes.copy()
    return planes[..., :3] if reference.rgb else planes


def compare_planes(
    truth: Any, restored: NDArray[Any], invented: NDArray[np.bool_]
) -> dict[str, Any]:
    """Measure every restored plane against the truth, inside the hole only.

    Parameters
    ----------
    truth : array
        (n, H, W) or (n, H, W, 3); may be lazy.
    restored : ndarray
        As large.
    invented : ndarray
        (n, H, W), bool.

    Returns
    -------
    dict
        "psnr" in dB and "ssim", the means over the planes that could be measured; where there are
        several, "planes" has the figures of each, its number under "plane". Empty if none could.
    """
    found = []
    for at in np.flatnonzero(invented.any(axis=(1, 2))):
        figures = compare(np.asarray(truth[at]), restored[at], invented[at])
        if figures:
            found.append({"plane": int(at), **figures})
    if not found:
        return {}
    mean: dict[str, Any] = {
        key: float(np.mean([one[key] for one in found])) for key in ("psnr", "ssim")
    }
    return mean if len(restored) == 1 else {**mean, "planes": found}


def compare(
    truth: NDArray[Any], restored: NDArray[Any], invented: NDArray[np.bool_]
) -> dict[str, float]:
    """Measure a result against the truth, inside the hole only.

    Parameters
    ----------
    truth, restored : ndarray
        (H, W) or (H, W, 3).
    invented : ndarray
        (H, W), bool.

    Returns
    -------
    dict
        "psnr" in dB and "ssim"; empty where they cannot be measured. The range of values that both
        need is that of the truth, so the figures do not depend on the units.
    """
    span = float(np.max(truth)) - float(np.min(truth))
    if not invented.any() or not np.isfinite(span) or span <= 0:
        return {}
    # SSIM of a whole slide for the sake of a scratch would hold up the window.
    box = find_objects(invented.astype(np.uint8))[0]
    here = tuple(slice(max(0, side.start - _RIM), side.stop + _RIM) for side in box)
    cut = (invented[here], truth[here], restored[here])
    try:
        return {"psnr": psnr_in(*cut, data_range=span), "ssim": ssim_in(*cut, data_range=span)}
    except MGANPriorError:
        return {}


def describe_likeness(figures: dict[str, Any], name: str, *, inside: bool = True) -> str:
    """Say for people how close a result is to the reference, ``inside`` the hole or everywhere."""
    if not figures:
        return f"It could not be compared with '{name}', which has no range of values."
    n_planes = len(figures.get("planes", ()))
    mean = f", mean of {n_planes} planes" if n_planes > 1 else ""
    where = "Inside the hole, against" if inside else "Against"
    return f"{where} '{name}': PSNR {figures['psnr']:.1f} dB, SSIM {figures['ssim']:.2f}{mean}."


def _shape(layer: Image, dims: Dims, scope: str, growth: int = 1) -> tuple[int, ...]:
    if layer.ndim < 2:
        return tuple(layer.data.shape)
    cut = cut_layer(layer, dims, scope)
    shape = list(cut.shape)
    for axis in cut.plane.axes:
        shape[axis] *= growth
    sides = shape if cut.every else [shape[axis] for axis in cut.plane.axes]
    return (*sides, *((3,) if layer.rgb else ()))


def _written(shape: tuple[int, ...], coloured: bool) -> str:
    lengths = shape[:-1] if coloured else shape
    return " x ".join(map(str, lengths)) + (" pixels in colour" if coloured else " pixels")
