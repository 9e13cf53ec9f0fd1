"""What `inpaint` and `demo` share: load the prior, tell which, restore with a progress bar."""

import argparse
import sys
from typing import Any

from numpy.typing import NDArray

from napari_mganprior.cli.progress import follow
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import Inpainting, Restoration, RestoreStep

__all__ = ["open_prior", "restore"]


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
    zoom: float | None = 1.0,
    label: str = "",
) -> Restoration:
    """Restore an image to the end."""
    task = Inpainting(
        image,
        mask,
        prior,
        quality=args.quality,
        seed=args.seed,
        device=args.device,
        zoom=zoom,
    )
    for _ in follow(task, _place, unit="step", quiet=args.quiet, label=label):
        pass
    return task.result()


def _place(step: RestoreStep) -> tuple[int, int, str]:
    note = f"window {step.window}/{step.n_windows}, loss {step.loss:.2g}"
    return step.index, step.n_steps, note
