"""What the restoring commands share: load the prior, tell which, restore with a progress bar."""

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from napari_mganprior.cli.progress import follow
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import Inpainting, Restoration, RestoreStep
from napari_mganprior.restore.opening import Run

__all__ = ["finished", "follow_restoration", "open_prior", "restore"]


def open_prior(args: argparse.Namespace) -> LoadedPrior:
    """Load the prior asked for, and name it with its hash."""
    path = find_prior(args.prior)
    prior = load_prior(path)
    if not args.quiet:
        print(f"Prior {prior.card.name}, sha256 {prior.sha256}", file=sys.stderr)
    return prior


def restore(
    image: NDArray[Any],
    mask: NDArray[Any],
    prior: LoadedPrior,
    args: argparse.Namespace,
    *,
    label: str = "",
) -> Restoration:
    """Fill the holes of an image."""
    task = Inpainting(image, mask, prior, quality=args.quality, seed=args.seed, device=args.device)
    return finished(task, args, label=label)


def finished(task: Run, args: argparse.Namespace, *, label: str = "") -> Restoration:
    """Carry a task out to its end."""
    follow_restoration(task, quiet=args.quiet, label=label)
    return task.result()


def follow_restoration(task: Iterable[RestoreStep], *, quiet: bool, label: str = "") -> None:
    """Let a restoration run to its end, with a progress bar."""
    for _ in follow(task, _place, unit="step", quiet=quiet, label=label):
        pass


def _place(step: RestoreStep) -> tuple[int, int, str]:
    note = f"window {step.window}/{step.n_windows}, loss {step.loss:.2g}"
    if step.n_planes > 1:
        note = f"plane {step.plane}/{step.n_planes}, {note}"
    return step.index, step.n_steps, note
