"""Damage a good image as a task expects it, so that the truth is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.analysis.config import StudyConfig
from napari_mganprior.errors import ImageError, MaskError
from napari_mganprior.restore.colorization import luma
from napari_mganprior.restore.super_resolution import reduced

__all__ = ["FILLING", "Trial", "as_given", "make_trial"]

FILLING = ("inpaint", "missing")
"""Tasks that fill pixels and leave the others alone."""

_NOISE = 25 / 255  # of the range
_MISSING = 0.8
_HOLE = 0.25  # of the side


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What is restored, and what it is compared with.

    Attributes
    ----------
    measured : array
        (H, W) or (H, W, 3).
    mask : array of bool or None
        Damage, (H, W).
    truth : array or None
        Of the result's shape.
    level : float or None
        Standard deviation of the noise, where it is known.
    """

    measured: NDArray[Any]
    mask: NDArray[np.bool_] | None = None
    truth: NDArray[Any] | None = None
    level: float | None = None

    def where(self, task: str) -> NDArray[np.bool_]:
        """Return the pixels to compare, (H, W) of the truth: those that were lost, or all."""
        assert self.truth is not None
        if task in FILLING and self.mask is not None:
            return self.mask
        return np.ones(self.truth.shape[:2], bool)

    def data_range(self) -> float:
        """Return from how dark to how bright the truth is (1st to 99.8th percentile)."""
        assert self.truth is not None
        low, high = np.percentile(self.truth, [1.0, 99.8])
        return float(high - low) or float(np.ptp(self.truth)) or 1.0


def make_trial(image: NDArray[Any], config: StudyConfig, seed: int) -> Trial:
    """Damage a copy of a good image.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3).
    config : StudyConfig
        The task.
    seed : int
        Of what is random.

    Raises
    ------
    ImageError
        If the image has no colours to take out, or sides that the factor does not divide.
    """
    rng = np.random.default_rng([seed, 77])
    height, width = image.shape[:2]
    if config.task == "inpaint":
        mask = np.zeros((height, width), bool)
        side = max(2, round(min(height, width) * _HOLE))
        top, left = (height - side) // 2, (width - side) // 2
        mask[top : top + side, left : left + side] = True
        return Trial(image, mask, image)
    if config.task == "missing":
        return Trial(image, rng.random((height, width)) < _MISSING, image)
    if config.task == "denoise":
        level = _NOISE * Trial(image, truth=image).data_range()
        # not cut off at the ends of the type: noise would no longer be 0 on average
        noisy = image + rng.normal(0, level, image.shape)
        return Trial(noisy.astype(np.float32), None, image, level)
    if config.task == "super-resolve":
        return Trial(reduced(image, config.factor).astype(np.float32), None, image)
    if config.task == "colorize":
        if image.ndim != 3:
            raise ImageError(
                f"Got a grey image of shape {image.shape} to try colorization on; wanted an RGB "
                "one, whose colours are taken out. Choose an RGB image, or another task."
            )
        return Trial(luma(image).astype(np.float32), None, image)
    return Trial(image, None, image)


def as_given(
    image: NDArray[Any],
    config: StudyConfig,
    mask: NDArray[np.bool_] | None,
    truth: NDArray[Any] | None,
) -> Trial:
    """Take an image as it is.

    Raises
    ------
    MaskError
        If the task needs a mask.
    ImageError
        If the truth does not have the result's shape.
    """
    if config.task in FILLING and mask is None:
        raise MaskError(
            f"Got no mask for a study of {config.task!r}; wanted the damaged pixels. Give a mask, "
            "or let a trial make one."
        )
    if config.task == "colorize":
        wanted: tuple[int, ...] = (*image.shape[:2], 3)
    elif config.task == "super-resolve":
        sides = (n * config.factor for n in image.shape[:2])
        wanted = (*sides, *image.shape[2:])
    else:
        wanted = image.shape
    if truth is not None and truth.shape != wanted:
        raise ImageError(
            f"Got a truth of shape {truth.shape} for results of shape {wanted}; wanted the same. "
            "Choose another truth, or leave it out."
        )
    takes_mask = config.task in (*FILLING, "denoise")
    return Trial(image, mask if takes_mask else None, truth)
