"""Publish a prior: measure it, draw samples, and write it with a model card beside it."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.files import write_atomically
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, draw_samples, encode_sheet
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.measured import (
    BATCH,
    N_MEASURING,
    N_SEARCHED,
    SMALL,
    Measured,
    measuring,
    searching,
)
from napari_mganprior.training.session import export_prior
from napari_mganprior.training.state import TrainingState

__all__ = [
    "CardText",
    "PublishStep",
    "publish_prior",
    "publish_steps",
]

_T = TypeVar("_T")

_NEAREST_SEED = 4  # measuring has 2 and 3
_SIDE = 8  # samples along each side of the grid


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
class PublishStep:
    """How far publishing is.

    Attributes
    ----------
    index, n_steps : int
        Parts that are done, of how many.
    doing : str
        The part that is next, in words.
    sha256 : str
        Of the prior, in hexadecimal, in the last step; empty before.
    """

    index: int
    n_steps: int
    doing: str
    sha256: str = ""


def publish_prior(
    state: TrainingState,
    folder: Path,
    text: CardText,
    *,
    train: CropSource,
    held_out: CropSource,
    n_crops: int = 2_000,
    n_searched: int = N_SEARCHED,
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
    sha256 = ""
    for step in publish_steps(
        state, folder, text, train=train, held_out=held_out, n_crops=n_crops, n_searched=n_searched
    ):
        sha256 = step.sha256
    return sha256


def publish_steps(
    state: TrainingState,
    folder: Path,
    text: CardText,
    *,
    train: CropSource,
    held_out: CropSource,
    n_crops: int = 2_000,
    n_searched: int = N_SEARCHED,
) -> Generator[PublishStep]:
    """Do what `publish_prior` does part by part; left early, it has written nothing.

    Parameters
    ----------
    state, folder, text, train, held_out, n_crops, n_searched
        As for `publish_prior`.

    Yields
    ------
    PublishStep
        One before each part, and one at the end.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    n_steps = N_MEASURING + -(-n_searched // BATCH) + 1
    done = 0

    def numbered(parts: Generator[str, None, _T]) -> Generator[PublishStep, None, _T]:
        nonlocal done
        while True:
            try:
                doing = next(parts)
            except StopIteration as end:
                result: _T = end.value
                return result
            yield PublishStep(index=done, n_steps=n_steps, doing=doing)
            done += 1

    measured = yield from numbered(measuring(state.average, train, held_out, n_crops))
    samples = draw_samples(state.average, _SIDE**2, rng=seeded(GRID_SEED))
    few = samples[:_SIDE]
    nearest = yield from numbered(searching(few, train, seeded(_NEAREST_SEED), n_searched))
    yield PublishStep(index=done, n_steps=n_steps, doing="Writing the prior")
    sha256 = _write(state, folder, text, measured, samples, nearest, train.n_images, n_searched)
    yield PublishStep(index=n_steps, n_steps=n_steps, doing="Written", sha256=sha256)


def _write(
    state: TrainingState,
    folder: Path,
    text: CardText,
    measured: Measured,
    samples: Tensor,
    nearest: Tensor,
    n_images: int,
    n_searched: int,
) -> str:
    """Write prior, pictures and page; returns the prior's sha256."""
    sha256 = export_prior(
        state,
        folder / f"{text.name}.safetensors",
        name=text.name,
        domain=text.domain,
        licence=text.licence,
        pixel_size=text.pixel_size,
        training={"data": text.data, "n_images_used": n_images, **measured.to_dict()},
    )
    sheets = {
        "grid": contact_sheet(samples, _SIDE),
        "nearest": contact_sheet(torch.cat([samples[:_SIDE], nearest]), _SIDE),
    }
    for what, sheet in sheets.items():
        write_atomically(folder / f"{text.name}_{what}.png", encode_sheet(sheet))
    page = _page(state, text, measured, sha256, n_searched)
    write_atomically(folder / f"{text.name}.md", page.encode())
    return sha256


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
training crops. Nearest means the smallest squared difference at {SMALL}x{SMALL} px.

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
