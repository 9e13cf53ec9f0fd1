"""Classical methods, with one strength for a domain, chosen on training pictures.

A fair calibration: every denoiser is told the noise level, and the factor on its strength is that
which is best in PSNR on average over training crops of the domain; the test pictures play no
part. "As recommended" is the factor that scikit-image's documentation gives.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import (
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    inpaint_biharmonic,
)
from skimage.transform import resize

from napari_mganprior.restore.super_resolution import reduced

__all__ = [
    "DENOISERS",
    "PEAK",
    "STRENGTHS",
    "back_projected",
    "bicubic",
    "biharmonic",
    "calibrated",
    "denoised",
]

Image = NDArray[np.floating]
PEAK = 10  # photons at the brightest
STRENGTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)


def _axis(y: Image) -> int | None:
    return -1 if y.ndim == 3 else None


def _nl_means(y: Image, sigma: float, strength: float) -> Image:
    return denoise_nl_means(
        y,
        h=0.8 * sigma * strength,
        sigma=sigma,
        patch_size=5,
        patch_distance=6,
        fast_mode=False,
        channel_axis=_axis(y),
    )


def _total_variation(y: Image, sigma: float, strength: float) -> Image:
    return denoise_tv_chambolle(y, weight=sigma * strength, max_num_iter=500, channel_axis=_axis(y))


def _wavelet(y: Image, sigma: float, strength: float) -> Image:
    return denoise_wavelet(y, sigma=sigma * strength, method="BayesShrink", channel_axis=_axis(y))


DENOISERS: dict[str, Callable[[Image, float, float], Image]] = {
    "non-local means": _nl_means,
    "total variation": _total_variation,
    "wavelet, BayesShrink": _wavelet,
}


def denoised(name: str, y: Image, sigma: float, strength: float, *, photons: bool) -> Image:
    """Denoise an image; photon counts where their noise is alike everywhere (Anscombe).

    Parameters
    ----------
    name : str
        One of `DENOISERS`.
    y : array
        The noisy image in [-1, 1], or photon counts.
    sigma : float
        Of the noise; for photons 1, that of the transform.
    strength : float
        Factor on the recommended strength.
    photons : bool
        Whether ``y`` holds counts.

    Returns
    -------
    array
        In [-1, 1]. Back from the transform by the closed form of the exact unbiased inverse,
        Mäkitalo, Foi, 2011, https://doi.org/10.1109/TIP.2011.2121085.
    """
    method = DENOISERS[name]
    if not photons:
        return method(y, sigma, strength)
    d = np.maximum(method(2 * np.sqrt(y + 3 / 8), 1.0, strength), 2 * np.sqrt(3 / 8))
    root = np.sqrt(3 / 2)
    back = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return np.maximum(back, 0.0) / PEAK * 2 - 1


def calibrated(
    name: str, noisy: Sequence[tuple[Image, Image]], sigma: float, *, photons: bool
) -> float:
    """Choose the strength that is best in PSNR on average over training pictures.

    Parameters
    ----------
    name : str
        One of `DENOISERS`.
    noisy : sequence of (array, array)
        Noisy training pictures and their truths.
    sigma, photons
        As for `denoised`.
    """

    def mean_psnr(strength: float) -> float:
        errors = [
            np.mean((np.clip(denoised(name, y, sigma, strength, photons=photons), -1, 1) - t) ** 2)
            for y, t in noisy
        ]
        return float(np.mean(-10 * np.log10(errors)))

    return max(STRENGTHS, key=mean_psnr)


def biharmonic(y: Image, mask: NDArray[np.bool_]) -> Image:
    """Fill damage smoothly."""
    hidden = mask if y.ndim == 2 else mask[..., None]
    return inpaint_biharmonic(np.where(hidden, 0, y), mask, channel_axis=_axis(y))


def bicubic(y: Image, factor: int) -> Image:
    """Enlarge by cubic interpolation."""
    shape = (y.shape[0] * factor, y.shape[1] * factor, *y.shape[2:])
    return resize(y, shape, order=3, mode="symmetric", anti_aliasing=False)


def back_projected(x: Image, y: Image, factor: int, rounds: int = 20) -> Image:
    """Correct an enlarged image until, binned again, it is the input."""
    for number in range(rounds):
        lacking = y - reduced(x, factor)
        if number < rounds // 2:
            x = x + bicubic(lacking, factor)
        else:
            x = x + lacking.repeat(factor, axis=0).repeat(factor, axis=1)
    return x
