"""How close a result is to a layer that shows the truth."""

from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.widgets.inputs import current_plane, full_resolution

__all__ = ["check_reference", "compare", "describe_likeness", "take_reference"]

_RIM = 8
"""Pixels around the hole that the windows of SSIM may look at."""


def check_reference(image: Image | None, reference: Image | None, dims: Dims) -> str:
    """Find the reason why a result cannot be compared with a reference.

    Parameters
    ----------
    image : Image or None
        The layer to restore.
    reference : Image or None
        The layer that shows the truth; None compares nothing.
    dims : Dims
        The viewer's; says which slice is shown.

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
    ours, theirs = _shape(image, dims), _shape(reference, dims)
    if ours != theirs:
        return (
            f"The reference '{reference.name}' is {_written(theirs)}, '{image.name}' "
            f"{_written(ours)}; wanted the same. Choose another reference, or '-----'."
        )
    return ""


def take_reference(reference: Image, dims: Dims) -> NDArray[Any]:
    """Copy the plane of a reference that is on screen; (H, W) or (H, W, 3)."""
    pixels = np.array(full_resolution(reference)[current_plane(reference, dims).index()])
    return pixels[..., :3] if reference.rgb else pixels


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


def describe_likeness(figures: dict[str, float], name: str) -> str:
    """Say for people how close a result is to the reference."""
    if not figures:
        return f"It could not be compared with '{name}', which has no range of values."
    return (
        f"Inside the hole, against '{name}': PSNR {figures['psnr']:.1f} dB, "
        f"SSIM {figures['ssim']:.2f}."
    )


def _shape(layer: Image, dims: Dims) -> tuple[int, ...]:
    if layer.ndim < 2:
        return tuple(layer.data.shape)
    return (*current_plane(layer, dims).shape(layer), *((3,) if layer.rgb else ()))


def _written(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:2])) + (" pixels in colour" if shape[2:] else " pixels")
