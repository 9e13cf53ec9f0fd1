"""How close a prior's samples come to real images, and to those it learned from."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_mganprior.arrays import correlation_length, from_tensor, seeded
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.priors.grid import draw_samples
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.distance import SlicedDistance, sliced_wasserstein

__all__ = [
    "BATCH",
    "N_MEASURING",
    "N_SEARCHED",
    "SMALL",
    "Measured",
    "measure",
    "measuring",
    "nearest_crops",
    "searching",
]

N_MEASURING = 6
"""Parts of `measuring`."""
N_SEARCHED = 20_000
"""Training crops among which the nearest is usually looked for."""
BATCH = 1_000
"""Crops that `searching` looks at between two steps."""
SMALL = 16
"""Side in pixels at which two pictures are compared."""

_CROP_SEED, _DISTANCE_SEED = 2, 3  # the grid has 1
_MOST_IMAGES = 1_000  # whole images whose correlation length is measured

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """How close a prior's samples come to images it never saw.

    Attributes
    ----------
    n_crops : int
        Images in each set.
    held_out : SlicedDistance
        Samples against crops of held-out images.
    held_out_floor : SlicedDistance
        Training crops against the same held-out crops: what a perfect copy of the training
        images would reach.
    training : SlicedDistance
        Samples against training crops.
    training_floor : SlicedDistance
        Two disjoint draws of training crops.
    correlation_length : dict
        ``p10``, ``p50``, ``p90`` of `correlation_length` over the training crops, pixels.
    image_correlation_length : dict
        The same over whole training images.
    """

    n_crops: int
    held_out: SlicedDistance
    held_out_floor: SlicedDistance
    training: SlicedDistance
    training_floor: SlicedDistance
    correlation_length: dict[str, float]
    image_correlation_length: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON-able values, for the header of the prior."""
        return {
            "sliced_wasserstein_x1000": {
                "n_crops": self.n_crops,
                "samples_to_held_out": self.held_out.to_dict(),
                "training_to_held_out": self.held_out_floor.to_dict(),
                "samples_to_training": self.training.to_dict(),
                "training_to_training": self.training_floor.to_dict(),
            },
            "correlation_length": self.correlation_length,
            "image_correlation_length": self.image_correlation_length,
        }


def measure(
    generator: SplitGenerator, train: CropSource, held_out: CropSource, *, n_crops: int = 2_000
) -> Measured:
    """Measure samples against real crops, beside what real crops reach themselves.

    Parameters
    ----------
    generator : SplitGenerator
        Usually the averaged one.
    train, held_out : CropSource
        Images it was trained on, and images it never saw.
    n_crops : int
        Images in each set; about 10 s per comparison for 2,000 of 64 px on a CPU.
    """
    return _last(measuring(generator, train, held_out, n_crops))


def measuring(
    generator: SplitGenerator, train: CropSource, held_out: CropSource, n_crops: int
) -> Generator[str, None, Measured]:
    """Do what `measure` does; yields what is next, in words, `N_MEASURING` times."""
    yield "Drawing samples to measure"
    rng = seeded(_CROP_SEED)
    samples = draw_samples(generator, n_crops, rng=rng)
    unseen, some, others = (s.batch(n_crops, rng) for s in (held_out, train, train))
    distances: list[SlicedDistance] = []
    pairs = ((samples, unseen), (some, unseen), (samples, some), (others, some))
    for number, (first, second) in enumerate(pairs, start=1):
        yield f"Measuring distance {number} of {len(pairs)}"
        distances.append(sliced_wasserstein(first, second, rng=seeded(_DISTANCE_SEED)))
    yield "Measuring correlation lengths"
    return Measured(
        n_crops=n_crops,
        held_out=distances[0],
        held_out_floor=distances[1],
        training=distances[2],
        training_floor=distances[3],
        correlation_length=_percentiles([correlation_length(from_tensor(x)) for x in some]),
        image_correlation_length=_percentiles(
            [correlation_length(np.moveaxis(image, 0, -1)) for image in train.images(_MOST_IMAGES)]
        ),
    )


def nearest_crops(
    samples: Tensor, source: CropSource, *, rng: torch.Generator, n_searched: int = N_SEARCHED
) -> Tensor:
    """Find the training crop that resembles each sample most, to see whether it is a copy.

    Parameters
    ----------
    samples : Tensor
        Images (B, C, H, W) in [-1, 1].
    source : CropSource
        The training images.
    rng : torch.Generator
        Source of randomness for the crops.
    n_searched : int
        How many random crops are looked at.

    Returns
    -------
    Tensor
        One crop a sample, of the shape of ``samples``.
    """
    return _last(searching(samples, source, rng, n_searched))


def searching(
    samples: Tensor, source: CropSource, rng: torch.Generator, n_searched: int
) -> Generator[str, None, Tensor]:
    """Do what `nearest_crops` does; yields what is next, in words, before every batch."""
    best = torch.full((len(samples),), float("inf"))
    nearest = torch.zeros_like(samples)
    wanted = _shrink(samples)
    doing = f"Searching {n_searched:,} training crops for the nearest"
    yield doing
    for searched, crops in enumerate(source.batches(n_searched, BATCH, rng), start=1):
        if searched > 1:
            yield doing
        distance, which = torch.cdist(wanted, _shrink(crops)).min(dim=1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        nearest[closer] = crops[which[closer]]
    return nearest


def _last(parts: Generator[str, None, _T]) -> _T:
    """Go through a generator for what it returns."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: _T = end.value
            return result


def _shrink(images: Tensor) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images, SMALL).flatten(1)


def _percentiles(lengths: list[float]) -> dict[str, float]:
    values = np.asarray(lengths)
    values = values[np.isfinite(values)]
    if not values.size:
        return {}
    return {f"p{p}": round(float(np.percentile(values, p)), 2) for p in (10, 50, 90)}
