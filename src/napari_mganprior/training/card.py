"""Publish a prior: measure it, draw samples, and write it with a model card beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mganprior.arrays import correlation_length, from_tensor, seeded
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, draw_samples, encode_sheet
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.distance import SlicedDistance, sliced_wasserstein
from napari_mganprior.training.session import export_prior
from napari_mganprior.training.state import TrainingState

__all__ = [
    "CardText",
    "Measured",
    "measure",
    "nearest_crops",
    "publish_prior",
]

_CROP_SEED, _DISTANCE_SEED, _NEAREST_SEED = 2, 3, 4  # the grid has 1
_SIDE = 8  # samples along each side of the grid
_N_SEARCHED = 20_000  # training crops among which the nearest is looked for
_MOST_IMAGES = 1_000  # whole images whose correlation length is measured
_SMALL = 16  # px at which two pictures are compared


@dataclass(frozen=True, kw_only=True, slots=True)
class CardText:
    """What a person has to say about a prior; numbers are measured.

    Attributes
    ----------
    name : str
        Short name, also the stem of the files.
    domain : str
        What the images show.
    pixel_size : str
        Scale of the training images, in words.
    data : str
        Where the training images come from, and how many.
    licence : str
        Under which the weights may be used.
    use, limits, repeat : str
        Markdown: what it is for, what it cannot do, how to make it again.
    notice : str
        Markdown: what the licence of the training images wants to be passed on; may be empty.
    """

    name: str
    domain: str
    pixel_size: str
    data: str
    licence: str
    use: str
    limits: str
    repeat: str
    notice: str = ""


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
    rng = seeded(_CROP_SEED)
    samples = draw_samples(generator, n_crops, rng=rng)
    unseen, some, others = (s.batch(n_crops, rng) for s in (held_out, train, train))

    def distance(first: Tensor, second: Tensor) -> SlicedDistance:
        return sliced_wasserstein(first, second, rng=seeded(_DISTANCE_SEED))

    return Measured(
        n_crops=n_crops,
        held_out=distance(samples, unseen),
        held_out_floor=distance(some, unseen),
        training=distance(samples, some),
        training_floor=distance(others, some),
        correlation_length=_percentiles([correlation_length(from_tensor(x)) for x in some]),
        image_correlation_length=_percentiles(
            [correlation_length(np.moveaxis(image, 0, -1)) for image in train.images(_MOST_IMAGES)]
        ),
    )


def nearest_crops(
    samples: Tensor, source: CropSource, *, rng: torch.Generator, n_searched: int = _N_SEARCHED
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
    best = torch.full((len(samples),), float("inf"))
    nearest = torch.zeros_like(samples)
    wanted = _shrink(samples)
    for crops in source.batches(n_searched, 1_000, rng):
        distance, which = torch.cdist(wanted, _shrink(crops)).min(dim=1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        nearest[closer] = crops[which[closer]]
    return nearest


def publish_prior(
    state: TrainingState,
    folder: Path,
    text: CardText,
    *,
    train: CropSource,
    held_out: CropSource,
    n_crops: int = 2_000,
    n_searched: int = _N_SEARCHED,
) -> str:
    """Write the prior, its model card, a grid of samples and their nearest training crops.

    Parameters
    ----------
    state : TrainingState
        A finished or unfinished run.
    folder : Path
        Gets ``NAME.safetensors``, ``NAME.md``, ``NAME_grid.png`` and ``NAME_nearest.png``.
    text : CardText
        What to say about it.
    train, held_out : CropSource
        Images it was trained on, and images it never saw.
    n_crops : int
        Images in each set of the distances.
    n_searched : int
        Training crops among which the nearest are looked for.

    Returns
    -------
    str
        The sha256 of the prior, in hexadecimal.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    measured = measure(state.average, train, held_out, n_crops=n_crops)
    samples = draw_samples(state.average, _SIDE**2, rng=seeded(GRID_SEED))
    few = samples[:_SIDE]
    pairs = [few, nearest_crops(few, train, rng=seeded(_NEAREST_SEED), n_searched=n_searched)]
    sha256 = export_prior(
        state,
        folder / f"{text.name}.safetensors",
        name=text.name,
        domain=text.domain,
        licence=text.licence,
        pixel_size=text.pixel_size,
        training={"data": text.data, "n_images_used": train.n_images, **measured.to_dict()},
    )
    sheets = {
        "grid": contact_sheet(samples, _SIDE),
        "nearest": contact_sheet(torch.cat(pairs), _SIDE),
    }
    for what, sheet in sheets.items():
        write_atomically(folder / f"{text.name}_{what}.png", encode_sheet(sheet))
    page = _page(state, text, measured, sha256, n_searched)
    write_atomically(folder / f"{text.name}.md", page.encode())
    return sha256


def _shrink(images: Tensor) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images, _SMALL).flatten(1)


def _percentiles(lengths: list[float]) -> dict[str, float]:
    values = np.asarray(lengths)
    values = values[np.isfinite(values)]
    if not values.size:
        return {}
    return {f"p{p}": round(float(np.percentile(values, p)), 2) for p in (10, 50, 90)}


def _page(
    state: TrainingState, text: CardText, measured: Measured, sha256: str, n_searched: int
) -> str:
    """Write the model card."""
    config = state.config
    spec = state.generator.spec()
    facts = {
        "Shows": text.domain,
        "Scale": text.pixel_size,
        "Images": f"{spec['resolution']}x{spec['resolution']} px, "
        + {1: "grey", 3: "RGB"}.get(spec["image_channels"], f"{spec['image_channels']} channels"),
        "Pixel values": "1st to 99.8th percentile of the image, mapped to -1 .. 1",
        "Networks": f"PGGAN generator, channels {_list(spec['widths'])}, code of "
        f"{spec['code_dim']} numbers, {state.generator.n_layers} blocks; residual discriminator "
        "of the mirrored widths, for feature losses",
        "Trained on": text.data,
        "Crops seen": f"{state.images_seen:,} of {state.n_images:,}",
        "Seed": config.seed,
        "Settings": ", ".join(
            f"{key} {value}"
            for key, value in config.to_dict().items()
            if key not in (*spec, "n_images", "seed") and value is not None
        ),
        "Stored": "float16, exponential average of the generator's weights",
        "Licence": text.licence,
        "sha256": f"`{sha256}`",
    }
    notice = f"\n## Licence notice\n\n{text.notice}\n" if text.notice else ""
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""# Prior `{text.name}`

![{_SIDE**2} samples, drawn one after the other and not picked]({text.name}_grid.png)

{_SIDE**2} samples from a fixed seed, none left out.

| | |
|---|---|
{rows}

## What it is for

{text.use}

## What it cannot do

{text.limits}

## How close it comes

Sliced Wasserstein distance x 1000 (Karras et al., ICLR 2018) between {measured.n_crops:,} images a
set; smaller is closer. Real crops do not reach 0 either: the second and fourth row are what the
training images themselves reach, and the number to compare with.

{_distances(measured)}

Correlation length (radius at which the autocorrelation falls to 0.5), 10th, 50th and 90th
percentile: {_list(measured.correlation_length.values())} px over training crops,
{_list(measured.image_correlation_length.values())} px over whole training images.

![Samples above, the nearest training crops below]({text.name}_nearest.png)

Above, the first {_SIDE} samples of the grid; below each, the nearest of {n_searched:,} random
training crops. Nearest means the smallest squared difference at {_SMALL}x{_SMALL} px.

## How to repeat it

{text.repeat}
{notice}"""


def _distances(measured: Measured) -> str:
    """Tabulate the four distances, a column a level."""
    sides = measured.held_out.sides
    lines = [
        "| compared | " + " | ".join(f"{side} px" for side in sides) + " | mean |",
        "|---|" + "---|" * (len(sides) + 1),
    ]
    for label, distance in (
        ("samples, held-out crops", measured.held_out),
        ("training crops, held-out crops", measured.held_out_floor),
        ("samples, training crops", measured.training),
        ("training crops, other training crops", measured.training_floor),
    ):
        numbers = " | ".join(f"{value:.1f}" for value in (*distance.levels, distance.mean))
        lines.append(f"| {label} | {numbers} |")
    return "\n".join(lines)


def _list(values: Any) -> str:
    return ", ".join(str(value) for value in values)
