"""Restoring in one call."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mganprior.damage import DamageConfig
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore.opening import open_run, restored
from napari_mganprior.restore.super_resolution import Kernel

if TYPE_CHECKING:
    from napari.types import ImageData, LabelsData

__all__ = ["colorize", "denoise", "inpaint", "invert", "super_resolve"]


def inpaint(
    image: "ImageData",
    mask: "LabelsData",
    *,
    prior: str | Path = "nuclei",
    method: str = "multi-code",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
    damage: DamageConfig | None = None,
    pick: str = "average",
) -> "ImageData":
    """Fill the damaged pixels of an image with what a prior knows.

    Multi-code inversion of a generator, Gu, Shen, Zhou, CVPR 2020,
    https://doi.org/10.1109/CVPR42600.2020.00308.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    mask : array
        (H, W); pixels that are not 0 are damaged.
    prior : str or Path
        Name of an installed prior, or a file.
    method : str
        What is searched for: one of `inversion.config.METHODS`, described in docs/method.md.
    quality : {"fast", "balanced", "best"}
        How much time to spend.
    seed : int
        The same seed on the same device gives the same pixels.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    zoom : float or None
        Enlargement before restoring, 0.125 .. 8; None estimates it.
    damage : DamageConfig, optional
        How far the mask is grown and feathered, and which region is restored.
    pick : {"average", "best"}
        The mean over the searches, or of each window the one that explains best what was measured.

    Returns
    -------
    array
        Same shape and dtype; undamaged pixels are bit-identical. For uncertainty and recipe use
        `Inpainting`.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    return _done(
        "inpaint", image, prior, mask=mask, damage=damage, quality=quality, seed=seed,
        device=device, zoom=zoom, method=method, pick=pick,
    )  # fmt: skip


def colorize(
    image: "ImageData",
    *,
    prior: str | Path = "histology",
    proposals: int = 1,
    method: str = "multi-code",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
    pick: str = "average",
) -> "ImageData":
    """Give a grey image colours that a prior knows.

    All colours are invented.

    Parameters
    ----------
    image : array
        (H, W), at least 16x16 pixels, any integer or float type, any range.
    prior : str or Path
        Name of an installed prior of RGB images, or a file.
    proposals : int
        How many results to choose from, 1 .. 100, of this seed and those after it.
    method, quality, seed, device, zoom, pick
        As for `inpaint`.

    Returns
    -------
    array
        (H, W, 3), or (proposals, H, W, 3) for several; same dtype. Their luma is the image, within
        rounding for whole numbers.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    options = {"proposals": proposals}
    return _done(
        "colorize", image, prior, options=options, quality=quality, seed=seed, device=device,
        zoom=zoom, method=method, pick=pick,
    )  # fmt: skip


def denoise(
    image: "ImageData",
    *,
    prior: str | Path = "nuclei",
    noise: str = "gaussian",
    level: float | None = None,
    gain: float | None = None,
    offset: float | None = None,
    read_noise: float | None = None,
    mask: "LabelsData | None" = None,
    find_bad: bool = False,
    drawing_only: bool = False,
    method: str = "multi-code",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
    pick: str = "average",
) -> "ImageData":
    """Draw a noisy image anew from what a prior knows.

    Every pixel of the result is an estimate.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : str or Path
        Name of an installed prior, or a file.
    noise : {"gaussian", "poisson"}
        The same everywhere, or growing with the signal.
    level, gain, offset, read_noise : float, optional
        As in `NoiseConfig`, in the image's units; measured in the image if left out.
    mask : array, optional
        (H, W); pixels that are not 0 are bad, and are filled.
    find_bad : bool
        Find further bad pixels, see `find_bad_pixels`.
    drawing_only : bool
        Return what the prior drew, and take nothing from the noisy image; otherwise the drawing
        tells a filter what in that is no noise.
    method, quality, seed, device, zoom, pick
        As for `inpaint`.

    Returns
    -------
    array
        Same shape and dtype. For uncertainty, noise level and recipe use `Denoising`.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    options = {
        "noise": noise, "level": level, "gain": gain, "offset": offset, "read_noise": read_noise,
        "find_bad": find_bad, "drawing_only": drawing_only,
    }  # fmt: skip
    return _done(
        "denoise", image, prior, mask=mask, options=options, quality=quality, seed=seed,
        device=device, zoom=zoom, method=method, pick=pick,
    )  # fmt: skip


def invert(
    image: "ImageData",
    *,
    prior: str | Path = "nuclei",
    method: str = "multi-code",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
    pick: str = "average",
) -> "ImageData":
    """Draw an image anew as well as a prior can.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : str or Path
        Name of an installed prior, or a file.
    method, quality, seed, device, zoom, pick
        As for `inpaint`.

    Returns
    -------
    array
        Same shape and dtype: the drawing. For its codes use `Reconstruction`.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    return _done(
        "invert", image, prior, method=method, quality=quality, seed=seed, device=device,
        zoom=zoom, pick=pick,
    )  # fmt: skip


def super_resolve(
    image: "ImageData",
    *,
    prior: str | Path = "nuclei",
    factor: int = 4,
    kernel: Kernel = "binning",
    sigma: float = 1.0,
    drawing_only: bool = False,
    method: str = "multi-code",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    pick: str = "average",
) -> "ImageData":
    """Draw an image of more pixels whose reduction is the image that was measured.

    Every pixel of the result is an estimate.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : str or Path
        Name of an installed prior, or a file.
    factor : {2, 4, 8, 16}
        Pixels of the result along the side of a measured one.
    kernel : {"binning", "bicubic", "gaussian"}
        How the image is thought to have been made from the larger one: camera pixels, an image
        program, or a microscope's blur and camera pixels.
    sigma : float
        Standard deviation of that blur in pixels of the result, above 0 .. 64.
    drawing_only : bool
        Take the result from what the prior drew alone; otherwise bicubic interpolation has its
        share in it, the larger the better it explains what was measured nearby.
    method, quality, seed, device, pick
        As for `inpaint`.

    Returns
    -------
    array
        (H * factor, W * factor) or (H * factor, W * factor, 3), same dtype. For uncertainty and
        recipe use `SuperResolution`.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    options = {
        "factor": factor, "kernel": kernel, "sigma": sigma, "drawing_only": drawing_only
    }  # fmt: skip
    return _done(
        "super_resolve", image, prior, options=options, quality=quality, seed=seed, device=device,
        method=method, pick=pick,
    )  # fmt: skip


def _done(
    task: str, image: "ImageData", prior: str | Path, *, method: str, **more: Any
) -> "ImageData":
    """Open a task, carry it out and return its picture."""
    loaded = load_prior(find_prior(str(prior)))
    return restored(open_run(task, image, loaded, overrides={"method": method}, **more)).image
