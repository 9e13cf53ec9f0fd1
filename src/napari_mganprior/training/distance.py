"""How far one set of images is from another: the sliced Wasserstein distance.

Written from the description in Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for
Improved Quality, Stability, and Variation", ICLR 2018, section 5,
https://doi.org/10.48550/arXiv.1710.10196.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.errors import TrainingError

__all__ = ["SlicedDistance", "laplacian_pyramid", "sliced_wasserstein"]

_PATCH = 7
_COARSEST = 16  # px; a coarser level has hardly room for a patch
_DIRECTIONS_AT_ONCE = 32  # bounds the memory of the projections


@dataclass(frozen=True, slots=True)
class SlicedDistance:
    """Distance between two sets of images at every size, in thousandths.

    Attributes
    ----------
    sides : tuple of int
        Height of the images at each level of the pyramid in pixels, finest first. A fine level
        speaks of texture and edges, a coarse one of the layout.
    levels : tuple of float
        1000 times the distance at each level, from 0 up; patches have unit variance.
    """

    sides: tuple[int, ...]
    levels: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the levels."""
        return sum(self.levels) / len(self.levels)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON-able values, rounded to a hundredth."""
        return {
            "levels": {str(s): round(v, 2) for s, v in zip(self.sides, self.levels, strict=True)},
            "mean": round(self.mean, 2),
        }


def sliced_wasserstein(
    first: Tensor,
    second: Tensor,
    *,
    rng: torch.Generator,
    n_patches: int = 32,
    n_directions: int = 256,
) -> SlicedDistance:
    """Compare the 7x7 patches of two sets of images along random directions.

    Both sets are cut at the same places, so that the distance is exactly symmetric and exactly 0
    between a set and itself. Numbers can be compared only between sets of the same size: the
    distance between two small sets of the same kind is far from 0 (measure that floor with two
    disjoint sets of real images).

    Parameters
    ----------
    first, second : Tensor
        Images (B, C, H, W), at least 2 of at least 7x7 px, of the same shape.
    rng : torch.Generator
        Source of randomness, on the CPU.
    n_patches : int
        Patches taken from every image at every level, from 1 up.
    n_directions : int
        Random directions the patches are projected on, from 1 up.

    Returns
    -------
    SlicedDistance
        One number for each level of the Laplacian pyramid.

    Raises
    ------
    TrainingError
        If the shapes differ, the images are too few or too small, or hold NaN or infinity.
    """
    _check(first, second)
    sides, levels = [], []
    pyramids = (laplacian_pyramid(first), laplacian_pyramid(second))
    for one, other in zip(*pyramids, strict=True):
        rows, columns = (
            torch.randint(side - _PATCH + 1, (len(one), n_patches), generator=rng)
            for side in one.shape[2:]
        )
        directions = torch.randn(one.shape[1] * _PATCH**2, n_directions, generator=rng)
        directions = (directions / directions.norm(dim=0)).to(one.device)
        descriptors = (_patches(one, rows, columns), _patches(other, rows, columns))
        sides.append(int(one.shape[2]))
        levels.append(1000.0 * _transport(*descriptors, directions))
    return SlicedDistance(tuple(sides), tuple(levels))


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Split images into what each size adds to the next coarser one.

    Parameters
    ----------
    images : Tensor
        Images (B, C, H, W).

    Returns
    -------
    list of Tensor
        Finest level first; the last is the rest at 16 px or at the last even size. Each level
        plus the enlarged sum of those after it gives back the images.
    """
    levels = []
    current = images.float()
    while min(current.shape[2:]) >= 2 * _COARSEST and not any(s % 2 for s in current.shape[2:]):
        smaller = _smooth(current, 1.0)[:, :, ::2, ::2]
        levels.append(current - _enlarge(smaller))
        current = smaller
    return [*levels, current]


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4 or len(first) < 2:
        raise TrainingError(
            f"Got image sets of shapes {tuple(first.shape)} and {tuple(second.shape)}; wanted the "
            "same (B, C, H, W) twice, with at least 2 images. Draw as many of one as of the other."
        )
    if min(first.shape[2:]) < _PATCH:
        raise TrainingError(
            f"Got images of {first.shape[2]}x{first.shape[3]} px; wanted at least "
            f"{_PATCH}x{_PATCH}. Compare larger images."
        )
    if not (first.isfinite().all() and second.isfinite().all()):
        raise TrainingError(
            "Got NaN or infinity in the images to compare; wanted finite numbers. Go back to a "
            "checkpoint from before the training run went wrong."
        )


def _smooth(x: Tensor, gain: float) -> Tensor:
    """Filter with the 5-tap binomial kernel, mirrored at the border."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    kernel = (gain * taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])


def _enlarge(x: Tensor) -> Tensor:
    spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    return _smooth(spread, 4.0)  # three of four pixels are zeros


def _patches(level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut (B, n_patches) patches and bring every channel to mean 0, standard deviation 1."""
    windows = level.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)  # (B, C, rows, columns, 7, 7) view
    which = torch.arange(len(level))[:, None]
    patches = windows[which, :, rows, columns]  # (B, n_patches, C, 7, 7)
    spread, mean = torch.std_mean(patches, dim=(0, 1, 3, 4), keepdim=True)
    return ((patches - mean) / spread.clamp_min(1e-8)).flatten(0, 1).flatten(1)


def _transport(one: Tensor, other: Tensor, directions: Tensor) -> float:
    """Mean absolute difference of the sorted projections of (n, 49 C) patches."""
    total = 0.0
    for some in directions.split(_DIRECTIONS_AT_ONCE, dim=1):
        # along rows, where sorting reads memory in order: (directions, n)
        a, b = ((some.T @ patches.T).sort(dim=1).values for patches in (one, other))
        total += float((a - b).abs().mean(dim=1).sum())
    return total / directions.shape[1]
