"""How far a restoration is from the truth, measured inside the hole only.

Outside the hole a restoration equals its input, so a figure over the whole image would mostly
say how small the hole is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MaskError

__all__ = ["psnr_in", "ssim_in"]

_SSIM_WINDOW = 7


def psnr_in(
    mask: NDArray[Any], truth: NDArray[Any], restored: NDArray[Any], data_range: float
) -> float:
    """Peak signal-to-noise ratio over the masked pixels.

    Parameters
    ----------
    mask : ndarray
        (H, W); non-zero where the image was restored.
    truth, restored : ndarray
        (H, W) or (H, W, 3), in the same units.
    data_range : float
        Difference of the largest and the smallest possible value, 255 for 8 bit.

    Returns
    -------
    float
        In dB, the higher the better; infinity where both agree.

    Raises
    ------
    MaskError
        If the mask is empty or of another shape.
    ImageError
        If the images are of different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((8, 8))
    >>> psnr_in(truth == 0, truth, truth + 0.1, data_range=1.0)
    20.0
    """
    inside = _checked(mask, truth, restored)
    # float64: differences of unsigned integers would wrap around
    error = np.asarray(truth, np.float64)[inside] - np.asarray(restored, np.float64)[inside]
    mse = float(np.mean(error**2))
    return float("inf") if mse == 0 else round(10 * float(np.log10(data_range**2 / mse)), 9)


def ssim_in(
    mask: NDArray[Any], truth: NDArray[Any], restored: NDArray[Any], data_range: float
) -> float:
    """Structural similarity, averaged over the masked pixels.

    The map of scikit-image (windows of 7 by 7 px, uniform weights) is taken over the whole image
    and averaged inside the mask, so that pixels at its rim are compared in their surroundings.

    Parameters
    ----------
    mask, truth, restored, data_range
        As for `psnr_in`; images from 7x7 px up.

    Returns
    -------
    float
        From -1 to 1, the higher the better.

    Raises
    ------
    MaskError
        If the mask is empty or of another shape.
    ImageError
        If the images are of different shapes, or smaller than 7 px.
    """
    inside = _checked(mask, truth, restored)
    if min(truth.shape[:2]) < _SSIM_WINDOW:
        raise ImageError(
            f"Got an image of shape {truth.shape}; wanted at least {_SSIM_WINDOW}x{_SSIM_WINDOW} "
            "px to compare structure. Use a larger image, or PSNR."
        )
    from skimage.metrics import structural_similarity

    _, similarity = structural_similarity(
        np.asarray(truth, np.float64),
        np.asarray(restored, np.float64),
        data_range=data_range,
        win_size=_SSIM_WINDOW,
        channel_axis=-1 if truth.ndim == 3 else None,
        full=True,
    )
    return float(np.mean(similarity[inside]))


def _checked(mask: NDArray[Any], truth: NDArray[Any], restored: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.asarray(mask) != 0
    if truth.shape != restored.shape:
        raise ImageError(
            f"Got images of shapes {truth.shape} and {restored.shape} to compare; wanted the same. "
            "Compare images of the same size."
        )
    if inside.shape != truth.shape[:2]:
        raise MaskError(
            f"Got a mask of shape {inside.shape} for images of {truth.shape}; wanted "
            f"{truth.shape[:2]}. Use the mask the image was restored with."
        )
    if not inside.any():
        raise MaskError(
            "Got an empty mask; wanted at least one pixel to compare. Mark the restored pixels."
        )
    return inside
