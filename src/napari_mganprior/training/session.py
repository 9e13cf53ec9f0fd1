"""A training run with its folder: starts, goes on, saves, and exports the prior at the end."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from napari_mganprior.errors import TrainingError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.checkpoint import PriorCard, save_prior
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.loop import TrainingState, TrainingStep, train

__all__ = ["export_prior", "open_state", "run_session", "save_state"]


def save_state(state: TrainingState, path: Path) -> None:
    """Write a training checkpoint to a temporary name and rename it.

    Raises
    ------
    StorageError
        If it cannot be written; an older checkpoint stays as it was.
    """
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    write_atomically(path, buffer.getvalue())


def open_state(path: Path, device: torch.device | str = "cpu") -> TrainingState:
    """Read a training checkpoint; no code in the file can run.

    Raises
    ------
    TrainingError
        If it is damaged or from another version.
    """
    try:
        raw: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its readers raise on damaged files
        raise TrainingError(
            f"Could not read the training checkpoint {path} ({error}); wanted one written by "
            "`napari-mganprior train`. Delete it to start again."
        ) from error
    return TrainingState.from_state_dict(raw, device)


def run_session(
    folder: Path,
    source: CropSource,
    config: TrainingConfig,
    *,
    device: torch.device | str = "cpu",
    save_every: int = 5_000,
    saved: Callable[[TrainingState], None] | None = None,
) -> Iterator[TrainingStep]:
    """Train in a folder, resuming from its checkpoint if there is one.

    Parameters
    ----------
    folder : Path
        Holds ``checkpoint.pt``.
    source : CropSource
        Where the crops come from.
    config : TrainingConfig
        Settings; a checkpoint with other settings is refused.
    device : torch.device or str
        Where it runs.
    save_every : int
        Images between two checkpoints.
    saved : callable, optional
        Called with the state after every checkpoint.

    Yields
    ------
    TrainingStep
        One a step.

    Raises
    ------
    TrainingError
        If the checkpoint was made with other settings, the crops do not fit the settings, or the
        numbers are no longer finite; the last good checkpoint stays.
    """
    _check_source(source, config)
    path = folder / "checkpoint.pt"
    state = open_state(path, device) if path.exists() else TrainingState(config, device)
    if state.config != config:
        raise TrainingError(
            f"Got settings that differ from those of {path}; wanted the same, to go on. Use the "
            "same settings, or another folder."
        )
    due = state.images_seen + save_every
    for step in train(state, source):
        if step.images_seen >= due or step.images_seen >= config.n_images:
            _check_weights(state)
            save_state(state, path)
            due += save_every
            if saved is not None:
                saved(state)
        yield step


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
            "torch": str(torch.__version__),
            "machine_cores": os.cpu_count(),
            **(training or {}),
        },
    )
    return save_prior(path, card, state.average, state.discriminator)


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
        raise TrainingError(
            f"Got weights that are not finite after {state.images_seen} images; they were not "
            "saved. Go on from the last checkpoint with a smaller learning rate."
        )
