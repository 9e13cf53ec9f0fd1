"""Restoring in one call."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari_mganprior.damage import DamageConfig
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore.inpainting import Inpainting

if TYPE_CHECKING:
    from napari.types import ImageData, LabelsData

__all__ = ["inpaint"]


def inpaint(
    image: "ImageData",
    mask: "LabelsData",
    *,
    prior: str | Path = "nuclei",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
    damage: DamageConfig | None = None,
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
    run = Inpainting(
        image,
        mask,
        load_prior(find_prior(str(prior))),
        quality=quality,
        seed=seed,
        device=device,
        zoom=zoom,
        damage=damage,
    )
    for _ in run:
        pass
    return run.result().image
