"""Which state of a run becomes the prior: the one closest to the pictures."""

from pathlib import Path

import torch

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.heldout import HeldOut
from napari_mganprior.training.session import open_state
from napari_mganprior.training.state import TrainingState

__all__ = ["best_state"]


def best_state(
    folder: Path,
    held_out: CropSource | None,
    train: CropSource,
    device: torch.device | str = "cpu",
) -> TrainingState:
    """Open the state of a run with the smallest distance to the pictures.

    The last one is measured where it is not the best one known: a run that was stopped between
    two measurements would else lose what it learned since. That takes some seconds.

    Parameters
    ----------
    folder : Path
        Of the run: ``checkpoint.pt`` is its last state, ``best.pt`` the best of those measured.
    held_out : CropSource or None
        What the run was measured with; the last state is taken if it was not.
    train : CropSource
        What it was trained on.
    device : torch.device or str
        Where the state is to be.

    Returns
    -------
    TrainingState
        Of the last one and the best one, the one that is closer; the last one of two alike.

    Raises
    ------
    TrainingError
        If there is no checkpoint, or it is damaged.
    """
    if not (folder / "checkpoint.pt").exists():
        raise TrainingError(
            f"Got the end of the run before its first step, and no checkpoint in {folder}; wanted "
            "something to keep. Let it train for a while."
        )
    last = open_state(folder / "checkpoint.pt", device)
    if held_out is None or not (folder / "best.pt").exists():
        return last
    best = open_state(folder / "best.pt", device)
    if best.best_distance is None:
        return last
    if best.images_seen == last.images_seen:
        return best
    # a distance that is no number is no reason to take the last one
    return last if HeldOut(held_out, train).distance(last) <= best.best_distance else best
