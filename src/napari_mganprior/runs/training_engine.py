"""From a run's folder to the trainer and back: the file of the training runs that loads torch."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import choose_device, seeded
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import check_free_name, copy_prior
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, draw_samples, encode_sheet
from napari_mganprior.runs.training_folder import CHECKPOINT, COPIED, TrainingOrder
from napari_mganprior.runs.training_layers import open_copies
from napari_mganprior.training.card import CardText, PublishStep, publish_steps
from napari_mganprior.training.choosing import best_state
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.encoder import (
    EncoderConfig,
    EncoderState,
    store_encoder,
    train_encoder,
)
from napari_mganprior.training.loop import TrainingStep
from napari_mganprior.training.session import (
    export_prior,
    open_state,
    run_session,
    save_sound_state,
)
from napari_mganprior.training.sources import ArrayInput, Sources, opening_steps
from napari_mganprior.training.state import TrainingState

__all__ = ["Session", "open_session"]

_SIDE = 4  # samples along a side of the sheet
_FEW = 3
_MEANWHILE = (
    "It was installed meanwhile, and the run is kept: remove that prior in the form Priors, then "
    "press Keep in the form Train a prior."
)
_MEASURED_AT_64 = 5_000  # crops between two distances
_ENCODER_SHARE, _ENCODER_MINUTES = 0.1, (0.1, 10.0)  # of the run's time; least and most
_ENCODER_STEPS = 20  # of the bar
_N_MEASURED, _N_SEARCHED = 500, 5_000  # seconds, not minutes, at the end of a run


class Session:
    """A training run that can be saved between any two steps.

    Parameters
    ----------
    folder : Path
        Of the run.
    order : TrainingOrder
        What is asked for.
    sources : Sources
        What to train on, and what to measure with.

    Attributes
    ----------
    notices : list of str
        What is to be told before it starts.
    saved_at : int or None
        Crops at the checkpoint on the disk; None before there is one.
    """

    def __init__(self, folder: Path, order: TrainingOrder, sources: Sources) -> None:
        self._folder, self._order = folder, order
        self._path = folder / CHECKPOINT
        self._train, self._held_out = sources.train, sources.held_out
        self._device = choose_device(order.device)
        self._state: TrainingState | None = None
        self.notices = _skipped(sources)
        self.saved_at: int | None = None
        if self._path.exists():
            self._state = open_state(self._path, self._device)
            self.saved_at = self._state.images_seen

    @property
    def images_seen(self) -> int:
        """Crops so far."""
        return 0 if self._state is None else self._state.images_seen

    @property
    def n_images(self) -> int:
        """Crops at the end; 0 while a time budget has not been planned."""
        state = self._state
        if state is None or (state.minutes is not None and not state.planned):
            return 0
        return state.n_images

    def __iter__(self) -> Iterator[TrainingStep]:
        config = self._config() if self._state is None else self._state.config
        yield from run_session(
            self._folder,
            self._train,
            config,
            held_out=self._held_out,
            minutes=self._order.minutes,
            device=self._device,
            measure_every=self._measure_every(config),
            saved=self._note_saved,
            opened=self._note_opened,
        )

    def save(self) -> None:
        """Write the checkpoint, unless the run may be beyond help; StorageError if that fails."""
        if self._state is not None and save_sound_state(self._state, self._path):
            self._note_saved(self._state)

    def sheet(self) -> NDArray[np.uint8] | None:
        """Draw samples of the averaged generator, for the same codes each time."""
        if self._state is None:
            return None
        samples = draw_samples(self._state.average, _SIDE**2, rng=seeded(GRID_SEED))
        return contact_sheet(samples, _SIDE)

    def publish(self, target: Path) -> Iterator[PublishStep]:
        """Put the prior among the user's own, part by part.

        StorageError if a prior has got its name since the run began; the run stays as it is.
        """
        order = self._order
        check_free_name(order.name, target, _MEANWHILE)
        made = self._folder / "published"
        state = best_state(self._folder, self._held_out, self._train, self._device)
        more = _ENCODER_STEPS if order.encoder else 0
        for step in self._made(state, made):
            yield replace(step, n_steps=step.n_steps + more, sha256="")
        if order.encoder:
            path, n_steps = made / f"{order.name}.safetensors", step.n_steps + more
            for share, doing in self._add_encoder(path, state.seconds):
                done = step.n_steps + int(share * more)
                yield PublishStep(index=done, n_steps=n_steps, doing=doing)
        check_free_name(order.name, target, _MEANWHILE)  # the stages above take minutes
        copy_prior(made, order.name, target)

    def _made(self, state: TrainingState, made: Path) -> Iterator[PublishStep]:
        """Write a prior into a folder of the run."""
        if self._held_out is not None:
            yield from publish_steps(
                state,
                made,
                self._text(),
                train=self._train,
                held_out=self._held_out,
                n_crops=_N_MEASURED,
                n_searched=_N_SEARCHED,
            )
            return
        yield PublishStep(index=0, n_steps=1, doing="Drawing samples")
        self._publish_unmeasured(state, made)
        yield PublishStep(index=1, n_steps=1, doing="Written")

    def _add_encoder(self, path: Path, seconds: float) -> Iterator[tuple[float, str]]:
        """Train an encoder on the prior's own drawings, for a tenth of the time of the run.

        Yields which share of it is done, and what is done.
        """
        minutes = min(max(_ENCODER_SHARE * seconds / 60, _ENCODER_MINUTES[0]), _ENCODER_MINUTES[1])
        yield 0.0, "Training the encoder"
        generator = load_prior(path).generator
        state = EncoderState(generator, EncoderConfig(seed=self._order.seed))
        began, told, last = time.monotonic(), 0.0, None
        for step in train_encoder(generator, state, minutes=minutes):
            last = step
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                share = min(1.0, (told - began) / (60 * minutes))
                left = 60 * minutes * (1 - share)
                yield share, f"Training the encoder, {left:.0f} s left"
        if last is None:  # not even its first drawings were done in the time
            return
        store_encoder(path, state, state.told(last, minutes))

    def _config(self) -> TrainingConfig:
        order, changes = self._order, dict(self._order.settings)
        if order.n_images is not None:
            changes["n_images"] = order.n_images
        return TrainingConfig.for_resolution(
            order.resolution,
            image_channels=self._train.image_channels,
            device=self._device,
            seed=order.seed,
            **changes,
        )

    def _measure_every(self, config: TrainingConfig) -> int:
        """Measure some ten times a run at least, for up to a twentieth of the time."""
        usual = max(500, _MEASURED_AT_64 * 64**2 // config.resolution**2)
        if self._order.n_images is not None:
            usual = min(usual, self._order.n_images // 10)
        return max(config.batch_size, usual)

    def _note_opened(self, state: TrainingState) -> None:
        self._state = state
        if self._path.exists():  # written before the first step
            self.saved_at = state.images_seen

    def _note_saved(self, state: TrainingState) -> None:
        self.saved_at = state.images_seen

    def _publish_unmeasured(self, state: TrainingState, made: Path) -> None:
        """Write prior and samples where no image could be spared to measure with."""
        text = self._text()
        export_prior(
            state,
            made / f"{text.name}.safetensors",
            name=text.name,
            domain=text.domain,
            licence=text.licence,
            pixel_size=text.pixel_size,
            training={"data": text.data, "n_images_used": self._train.n_images},
        )
        samples = draw_samples(state.average, 64, rng=seeded(GRID_SEED))
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
    sources: Sources | None = None
    for step in opening_steps(_inputs(folder, order), order.resolution, seed=order.seed):
        yield f"Reading the images ({step.n_images} found)"
        sources = step.sources
    assert sources is not None
    yield Session(folder, order, sources)


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
