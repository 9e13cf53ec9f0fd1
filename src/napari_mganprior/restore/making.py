"""From a task's name, its inputs and its options to the run that does it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import MaskError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.codes_file import load_codes
from napari_mganprior.restore.colorization import Colorization
from napari_mganprior.restore.denoising import Denoising
from napari_mganprior.restore.inpainting import Inpainting
from napari_mganprior.restore.noise import NoiseConfig
from napari_mganprior.restore.reconstruction import Reconstruction
from napari_mganprior.restore.super_resolution import SuperResolution
from napari_mganprior.restore.tasks import TaskSpec, find_task

__all__ = ["CLASSES", "make_task"]

CLASSES: dict[str, type[WindowTask]] = {
    kind.name: kind
    for kind in (Inpainting, Denoising, SuperResolution, Colorization, Reconstruction)
}
"""What does each task, by its name."""

_Given = dict[str, Any]
_Mask = NDArray[Any] | None


def make_task(
    task: str,
    image: ArrayLike,
    prior: LoadedPrior,
    *,
    mask: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
    damage: DamageConfig | None = None,
    zoom: float | None = 1.0,
    **engine: Any,
) -> WindowTask:
    """Make the task of one plane.

    Parameters
    ----------
    task : str
        Its name, as `restore.tasks.TASKS` has it.
    image : array
        (H, W) or (H, W, 3).
    prior : LoadedPrior
        What draws.
    mask : array, optional
        (H, W), not 0 where pixels are damaged or bad; refused by tasks without a mask unless empty.
    options : mapping, optional
        What the task is told; what is left out is as its description says.
    damage : DamageConfig, optional
        For inpainting.
    zoom : float or None
        Enlargement to the prior's scale; nothing to a task that does not zoom.
    **engine
        quality, config, overrides, seed, device, precision and start, as for `Inpainting`.

    Raises
    ------
    SettingsError, ImageError, MaskError, PriorError, DeviceError, StorageError
        If something cannot be used; the message says what to do.
    """
    spec = find_task(task)
    told = spec.told(options or {})
    told.pop("proposals", None)  # runs of their own
    marked = None if mask is None else np.asarray(mask)
    _check_mask(spec, marked)
    if spec.zooms:
        engine["zoom"] = zoom
    if task == "inpaint":
        engine["damage"] = damage
    return _MAKERS[task](image, marked, prior, told, engine)


def _check_mask(spec: TaskSpec, mask: _Mask) -> None:
    if spec.mask == "needed" and mask is None:
        raise MaskError(
            f"Got no mask for the task {spec.name!r}; wanted the damage. Give one of the image's "
            "height and width."
        )
    if spec.mask == "none" and mask is not None and mask.any():
        raise MaskError(
            f"Got a mask for the task {spec.name!r}; wanted none, since all pixels count as "
            "measured. Leave it out, and inpaint the image first."
        )


def _inpainting(
    image: Any, mask: _Mask, prior: LoadedPrior, told: _Given, engine: _Given
) -> WindowTask:
    assert mask is not None
    return Inpainting(image, mask, prior, **engine)


def _denoising(
    image: Any, mask: _Mask, prior: LoadedPrior, told: _Given, engine: _Given
) -> WindowTask:
    noise = NoiseConfig(
        model=told["noise"],
        level=told["level"],
        gain=told["gain"],
        offset=told["offset"],
        read_noise=told["read_noise"],
    )
    return Denoising(
        image,
        prior,
        noise=noise,
        mask=mask,
        find_bad=bool(told["find_bad"]),
        drawing_only=bool(told["drawing_only"]),
        **engine,
    )


def _super_resolution(
    image: Any, mask: _Mask, prior: LoadedPrior, told: _Given, engine: _Given
) -> WindowTask:
    return SuperResolution(image, prior, **told, **engine)


def _colorization(
    image: Any, mask: _Mask, prior: LoadedPrior, told: _Given, engine: _Given
) -> WindowTask:
    return Colorization(image, prior, **engine)


def _reconstruction(
    image: Any, mask: _Mask, prior: LoadedPrior, told: _Given, engine: _Given
) -> WindowTask:
    path = told["codes"]
    codes = () if path is None else load_codes(path, prior.sha256)
    return Reconstruction(image, prior, codes=codes, **engine)


_MAKERS: dict[
    str, Callable[[Any, NDArray[Any] | None, LoadedPrior, _Given, _Given], WindowTask]
] = {
    "inpaint": _inpainting,
    "denoise": _denoising,
    "super_resolve": _super_resolution,
    "colorize": _colorization,
    "invert": _reconstruction,
}
