"""From a run's folder to the trainer and back: the file of the training runs that loads torch."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import choose_device, seeded
from napari_mganprior.files import write_atomically
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, draw_samples, encode_sheet
from napari_mganprior.runs.training_folder import CHECKPOINT, COPIED, TrainingOrder
from napari_mganprior.runs.training_layers import open_copies
from napari_mganprior.training.card import CardText, publish_prior
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.loop import TrainingState, TrainingStep, train
from napari_mganprior.training.session import export_prior, open_state, save_state
from napari_mganprior.training.sources import ArrayInput, Sources, opening_steps

__all__ = ["Session", "open_session"]

_SIDE = 4  # samples along a side of the sheet
_FEW = 3
_MEASURE_SECONDS = 3.0
_N_MEASURED, _N_SEARCHED = 500, 5_000  # seconds, not minutes, at the end of a run


class Session:
    """A training run that can be saved between any two steps.

    Parameters
    ----------
    folder : Path
        Of the run.
    order : TrainingOrder
        What is asked for.
    state : TrainingState
        New, or from the checkpoint.
    sources : Sources
        What to train on, and what to measure with.

    Attributes
    ----------
    notices : list of str
        What is to be told before it starts.
    """

    def __init__(
        self,
        folder: Path,
        order: TrainingOrder,
        state: TrainingState,
        sources: Sources,
    ) -> None:
        self._folder, self._order, self._state = folder, order, state
        self._train, self._held_out = sources.train, sources.held_out
        self.notices = _skipped(sources)

    @property
    def images_seen(self) -> int:
        """Crops so far."""
        return self._state.images_seen

    @property
    def n_images(self) -> int:
        """Crops at the end."""
        return self._state.config.n_images

    def __iter__(self) -> Iterator[TrainingStep]:
        state, minutes = self._state, self._order.minutes
        if minutes is not None and state.images_seen == 0:
            start = time.perf_counter()
            for step in train(state, self._train):
                yield step
                seconds = time.perf_counter() - start
                if seconds > min(_MEASURE_SECONDS, 6 * minutes):
                    break
            n = int(60 * minutes * state.images_seen / seconds)
            state.config = replace(state.config, n_images=max(n, state.images_seen))
        yield from train(state, self._train)

    def save(self) -> None:
        """Write the checkpoint; StorageError if that fails."""
        save_state(self._state, self._folder / CHECKPOINT)

    def sheet(self) -> NDArray[np.uint8]:
        """Draw samples of the averaged generator, for the same codes each time."""
        samples = draw_samples(self._state.average, _SIDE**2, rng=seeded(GRID_SEED))
        return contact_sheet(samples, _SIDE)

    def publish(self, target: Path) -> Iterator[str]:
        """Put the prior among the user's own; says what it does before each stage."""
        order = self._order
        yield "Measuring the prior and drawing samples"
        made = self._folder / "published"
        if self._held_out is not None:
            publish_prior(
                self._state,
                made,
                self._text(),
                train=self._train,
                held_out=self._held_out,
                n_crops=_N_MEASURED,
                n_searched=_N_SEARCHED,
            )
        else:
            self._publish_unmeasured(made)
        # the prior itself last: what lies beside it is no prior
        endings = ("_grid.png", "_nearest.png", ".md", ".safetensors")
        for name in (order.name + ending for ending in endings):
            if (made / name).exists():
                write_atomically(target / name, (made / name).read_bytes())

    def _publish_unmeasured(self, made: Path) -> None:
        """Write prior and samples where no image could be spared to measure with."""
        text = self._text()
        export_prior(
            self._state,
            made / f"{text.name}.safetensors",
            name=text.name,
            domain=text.domain,
            licence=text.licence,
            pixel_size=text.pixel_size,
            training={"data": text.data, "n_images_used": self._train.n_images},
        )
        samples = draw_samples(self._state.average, 64, rng=seeded(GRID_SEED))
        grid = encode_sheet(contact_sheet(samples, 8))
        write_atomically(made / f"{text.name}_grid.png", grid)

    def _text(self) -> CardText:
        order = self._order
        domain = order.domain or f"images like those of {order.shown}"
        return CardText(
            name=order.name,
            domain=domain,
            pixel_size="as in the training images",
            data=f"{self._train.n_images} images of {order.shown}, random crops, turned and "
            "mirrored",
            licence=order.licence,
            use=f"Filling damaged pixels of {domain}.",
            limits="It invents: what stands in the hole is plausible, not measured. Never count "
            "or measure there. It knows only what its training images showed.",
            repeat="In napari's form Train a prior: "
            f"{order.shown}, {order.resolution} px, {self.n_images:,} crops, seed {order.seed}.",
        )


def open_session(folder: Path, order: TrainingOrder) -> Iterator["str | Session"]:
    """Read the images, and the checkpoint if there is one.

    Yields
    ------
    str or Session
        What is read, again and again; at last the session.

    Raises
    ------
    MGANPriorError
        If images, settings or the checkpoint are refused.
    """
    device = choose_device(order.device)
    sources: Sources | None = None
    for step in opening_steps(_inputs(folder, order), order.resolution, seed=order.seed):
        yield f"Reading the images ({step.n_images} found)"
        sources = step.sources
    assert sources is not None
    path = folder / CHECKPOINT
    if path.exists():
        state = open_state(path, device)
    else:
        settings = {
            "resolution": order.resolution,
            "image_channels": sources.train.image_channels,
            "n_images": order.n_images or TrainingConfig().n_images,
            "seed": order.seed,
            **order.settings,
        }
        state = TrainingState(TrainingConfig(**settings), device)
    yield Session(folder, order, state, sources)


def _inputs(folder: Path, order: TrainingOrder) -> list[ArrayInput | Path | str]:
    if order.inputs != (COPIED,):
        return list(order.inputs)
    return [
        ArrayInput(layer.name, layer.data, rgb=layer.rgb) for layer in open_copies(folder / COPIED)
    ]


def _skipped(sources: Sources) -> list[str]:
    """Say what was left out."""
    if not sources.skipped:
        return []
    few = [f"{name} ({why})" for name, why in list(sources.skipped.items())[:_FEW]]
    n = len(sources.skipped)
    more = f" and {n - _FEW} more" if n > _FEW else ""
    return [f"{n} image{'s are' if n > 1 else ' is'} left out: {', '.join(few)}{more}."]
