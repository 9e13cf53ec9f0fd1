"""A training run with its folder: starts, goes on, saves, and exports the prior at the end."""

import contextlib
import copy
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import TrainingError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.checkpoint import PriorCard, save_prior
from napari_mganprior.training.budget import TimeBudget
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.heldout import HeldOut
from napari_mganprior.training.loop import DivergedError, TrainingStep, train
from napari_mganprior.training.ranks import Ranks
from napari_mganprior.training.state import TrainingState

__all__ = ["export_prior", "open_state", "run_session", "save_sound_state", "save_state"]

_MOST_ROLLBACKS = 3
_N_PIXEL_CROPS, _PIXEL_SEED = 256, 8  # measured before a run; the seeds of held-out crops are 5-7
_WORSE = 1.25  # times the best distance; it goes up and down by a tenth from one to the next
_LEAST_STD = 0.05  # of pixels in [-1, 1]
_ONLY_SPEED = ("bfloat16", "channels_last")  # may differ from machine to machine


def save_state(state: TrainingState, path: Path) -> None:
    """Write a training checkpoint to a temporary name and rename it; process 0 writes.

    Raises
    ------
    StorageError
        If it cannot be written; an older checkpoint stays as it was.
    """
    raw = state.state_dict()
    if state.ranks.rank == 0:
        buffer = io.BytesIO()
        torch.save(raw, buffer)
        write_atomically(path, buffer.getvalue())


def save_sound_state(state: TrainingState, path: Path) -> bool:
    """Write a checkpoint, unless the run may be beyond help; returns whether it was written.

    Raises
    ------
    StorageError
        If it cannot be written; an older checkpoint stays as it was.
    """
    try:
        _check_weights(state)
    except DivergedError:
        return False
    if state.suspect:
        return False
    save_state(state, path)
    return True


def open_state(
    path: Path, device: torch.device | str = "cpu", ranks: Ranks | None = None
) -> TrainingState:
    """Read a training checkpoint; no code in the file can run.

    Parameters
    ----------
    path : Path
        Where it is; only process 0 needs it.
    device : torch.device or str
        Where the run goes on.
    ranks : Ranks, optional
        The processes that train together; this one alone if left out.

    Raises
    ------
    TrainingError
        If it is damaged or from another version.
    """
    ranks = ranks or Ranks()
    raw: Any = None
    if ranks.rank == 0:
        try:
            raw = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever its readers raise on damaged files
            raise TrainingError(
                f"Could not read the training checkpoint {path} ({error}); wanted one written by "
                "`napari-mganprior train`. Delete it to start again."
            ) from error
    return TrainingState.from_state_dict(ranks.from_first(raw), device, ranks)


def run_session(
    folder: Path,
    source: CropSource,
    config: TrainingConfig,
    *,
    held_out: CropSource | None = None,
    minutes: float | None = None,
    device: torch.device | str = "cpu",
    save_every: int = 5_000,
    measure_every: int = 10_000,
    saved: Callable[[TrainingState], None] | None = None,
    opened: Callable[[TrainingState], None] | None = None,
    ranks: Ranks | None = None,
) -> Iterator[TrainingStep]:
    """Train in a folder, resuming from its checkpoint if there is one.

    A run that goes wrong is taken back to its last checkpoint and goes on with half the learning
    rate; the next step's ``notice`` says so.

    Parameters
    ----------
    folder : Path
        Holds ``checkpoint.pt`` and, with ``held_out``, ``best.pt``: the state with the smallest
        distance.
    source : CropSource
        Where the crops come from.
    config : TrainingConfig
        Settings; a checkpoint with other settings is refused, except those that only decide
        about speed.
    held_out : CropSource, optional
        Crops of images that are not trained on, to measure the distance to.
    minutes : float, optional
        Time budget over all sittings, in place of the settings' ``n_images``. A run that has
        one keeps it; another one changes the plan.
    device : torch.device or str
        Where it runs.
    save_every, measure_every : int
        Images between two checkpoints, and between two measurements.
    saved : callable, optional
        Called with the state after every checkpoint, and with the one that a run was taken
        back to.
    opened : callable, optional
        Called with the state before its first step, and with the one the run is taken back to;
        between two steps it may be looked at, and saved with `save_sound_state`.
    ranks : Ranks, optional
        The processes that train together; this one alone if left out.

    Yields
    ------
    TrainingStep
        One a step.

    Raises
    ------
    TrainingError
        If the checkpoint was made with other settings, the crops do not fit the settings, or the
        run went wrong more than 3 times; the last good checkpoint stays.
    StorageError
        If the folder cannot be written to, or is full; an older checkpoint stays as it was.
    """
    ranks = ranks or Ranks()
    _check_source(source, config)
    path = folder / "checkpoint.pt"
    state = _open_or_start(path, source, config, device, ranks, timed=minutes is not None)
    budget = TimeBudget(state, minutes)
    if state.images_seen < state.n_images:
        if ranks.rank == 0:
            _sweep(folder)
        # at once, so that a folder that cannot be written to is known before any work is lost
        save_state(state, path)
    measuring = None if held_out is None else HeldOut(held_out, source)
    notice = ""
    while True:
        if opened is not None:
            opened(state)
        try:
            for step in _train(state, source, budget, path, measuring, save_every, measure_every):
                if saved is not None and step[1]:
                    saved(state)
                yield replace(step[0], notice=" ".join(filter(None, (notice, step[0].notice))))
                notice = ""
            return
        except DivergedError as error:
            state, notice = _roll_back(state, path, error)
            if saved is not None:  # the state it was told before is no longer the run's
                saved(state)


def _train(
    state: TrainingState,
    source: CropSource,
    budget: TimeBudget,
    path: Path,
    measuring: HeldOut | None,
    save_every: int,
    measure_every: int,
) -> Iterator[tuple[TrainingStep, bool]]:
    """Train, plan, measure and save; yield each step, and whether it was saved."""
    steps = train(state, source)
    started = time.monotonic()
    for step in steps:
        before = state.images_seen - state.step_images
        distance, worse = None, ""

        def due(every: int, before: int = before) -> bool:
            return (
                state.images_seen // every > before // every or state.images_seen >= state.n_images
            )

        if measuring is not None and due(measure_every):
            _check_weights(state)
            distance = _measure(state, measuring, path.with_name("best.pt"))
            worse = _rising(state, distance)
        notice = " ".join(filter(None, (budget.spent(state, time.monotonic() - started), worse)))
        started = time.monotonic()
        # a run that may be beyond help must not replace a good checkpoint
        saves = due(save_every) and not state.suspect
        if saves:
            _check_weights(state)
            save_state(state, path)
        # out of here the clock stands still, since the run may be paused
        spent = time.monotonic() - started
        yield replace(step, n_images=state.n_images, distance=distance, notice=notice), saves
        started = time.monotonic() - spent


def _open_or_start(
    path: Path,
    source: CropSource,
    config: TrainingConfig,
    device: torch.device | str,
    ranks: Ranks,
    *,
    timed: bool,
) -> TrainingState:
    if not ranks.from_first(path.exists()):
        return TrainingState(_with_pixels(config, source, ranks), device, ranks)
    state = open_state(path, device, ranks)
    free = {*_ONLY_SPEED, *(["n_images"] if timed or state.minutes is not None else [])}
    got, kept = config.to_dict(), state.config.to_dict()
    other = [
        f"{name} {kept[name]} there, {got[name]} here"
        for name in got
        # what an older version did not know, and what is left to the recipe, is no difference
        if name in state.settings_read - free and got[name] not in (None, kept[name])
    ]
    if other:
        raise TrainingError(
            f"Got settings that differ from those of {path} ({'; '.join(other)}); wanted the same, "
            "to go on. Use the same settings, or another folder."
        )
    return state


def _with_pixels(config: TrainingConfig, source: CropSource, ranks: Ranks) -> TrainingConfig:
    """Measure mean and deviation of the crops' pixels, where the settings do not say them."""
    if config.pixel_mean is not None and config.pixel_std is not None:
        return config
    crops = source.batch(_N_PIXEL_CROPS, seeded(config.seed, _PIXEL_SEED))
    mean, std = (f(crops, dim=(0, 2, 3)).tolist() for f in (torch.mean, torch.std))
    # a channel that is empty throughout must not be blown up
    mean, std = ranks.from_first((mean, [max(x, _LEAST_STD) for x in std]))
    return replace(config, pixel_mean=mean, pixel_std=std)


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed while it wrote left behind."""
    for part in folder.glob(".*.pt.*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


def _measure(state: TrainingState, measuring: HeldOut, path: Path) -> float:
    distance = measuring.distance(state) if state.ranks.rank == 0 else 0.0
    distance = state.ranks.from_first(distance)
    if state.best_distance is None or distance < state.best_distance:
        state.best_distance, state.best_images = distance, state.images_seen
        save_state(state, path)
    return float(distance)


def _rising(state: TrainingState, distance: float) -> str:
    """Say so where a run has been moving away from its pictures for as long as it came nearer."""
    best, at = state.best_distance, state.best_images
    if best is None or at is None:
        return ""
    if (
        distance < _WORSE * best
        or state.images_seen < 2 * at
        or state.images_seen >= state.n_images
    ):
        return ""
    return (
        f"The distance to the pictures has gone up from {best:.1f} after {at:,} crops to "
        f"{distance:.1f}. The state after {at:,} is kept and becomes the prior unless a better one "
        "comes; you may stop and keep it now. More pictures, or more alike ones, would help."
    )


def _roll_back(state: TrainingState, path: Path, error: DivergedError) -> tuple[TrainingState, str]:
    """Return the last good state with half the learning rate, and what to tell people."""
    rollbacks = state.rollbacks + 1
    if rollbacks > _MOST_ROLLBACKS:
        raise TrainingError(
            f"Got a run that went wrong {rollbacks} times, at last so: {error} Wanted a run that "
            f"{_MOST_ROLLBACKS} smaller learning rates keep stable. The last good checkpoint stays "
            f"in {path}; look at the images, or start again with a smaller learning rate."
        ) from error
    seen, seconds = state.images_seen, state.seconds
    good = open_state(path, state.device, state.ranks)
    good.rollbacks, good.seconds = rollbacks, seconds
    good.reseed()  # other crops and codes, in case it was those
    save_state(good, path)  # so that a run taken up again knows it, too
    return good, (
        f"The run went wrong after {seen:,} crops and was taken back to {good.images_seen:,} "
        f"({rollbacks} of at most {_MOST_ROLLBACKS} times); it goes on with half the learning "
        f"rate. {error}"
    )


def export_prior(
    state: TrainingState,
    path: Path,
    *,
    name: str,
    domain: str,
    licence: str,
    pixel_size: str = "",
    training: dict[str, Any] | None = None,
) -> str:
    """Write the averaged generator and the discriminator as a prior.

    Parameters
    ----------
    state : TrainingState
        A finished or unfinished run.
    path : Path
        Where to.
    name, domain, licence, pixel_size : str
        For the prior's card.
    training : dict, optional
        More to say about the run: data, measured distances.

    Returns
    -------
    str
        The sha256 of the file, in hexadecimal.
    """
    spec = state.generator.spec()
    card = PriorCard(
        name=name,
        architecture=state.generator.architecture,
        generator=spec,
        discriminator={k: v for k, v in spec.items() if k != "code_dim"},
        domain=domain,
        licence=licence,
        pixel_size=pixel_size,
        training={
            "images_seen": state.images_seen,
            "config": state.config.to_dict(),
            "n_images": state.n_images,
            "torch": str(torch.__version__),
            "machine_cores": os.cpu_count(),
            **(training or {}),
        },
    )
    discriminator = copy.deepcopy(state.discriminator)
    discriminator.fold_pixels()  # a prior's file says nothing of the pixels of a training
    return save_prior(path, card, state.average, discriminator)


def _check_source(source: CropSource, config: TrainingConfig) -> None:
    got = (source.resolution, source.image_channels)
    if got != (config.resolution, config.image_channels):
        raise TrainingError(
            f"Got crops of {got[0]} px with {got[1]} channels; the settings want "
            f"{config.resolution} px with {config.image_channels}. Set resolution and "
            "image_channels to what the images are."
        )


def _check_weights(state: TrainingState) -> None:
    networks = (state.generator, state.discriminator, state.average)
    if not all(bool(p.isfinite().all()) for n in networks for p in n.parameters()):
        raise DivergedError(
            f"Got weights that are not finite after {state.images_seen} images; they were not "
            "saved. Go on from the last checkpoint with a smaller learning rate."
        )
