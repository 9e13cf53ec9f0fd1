"""Use a generator of somebody else's, or one that is written in Python, as a prior.

    python examples/import_a_generator.py their_weights.pth --name faces
    python examples/import_a_generator.py generator.h5 --name drawn --architecture drawn.json
    python examples/import_a_generator.py

With a file it is imported: recognised, checked, and written as a prior with a picture of its
samples. ``--architecture`` names a layout that is not recognised, or an architecture file such as
lie in examples/architectures (see docs/architecture-files.md). Nothing in the checkpoint is run.

Without a file a small network is made in Python and registered. It has random weights; put your
own network into `build`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_mganprior import inpaint, load_prior, register_generator
from napari_mganprior.errors import MGANPriorError
from napari_mganprior.imports import import_steps
from napari_mganprior.priors import find_prior
from napari_mganprior.samples import load_sample


def build() -> nn.Module:
    """Make a network that draws grey images of 32 px from 16 numbers; yours goes here."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.ConvTranspose2d(16, 32, 4),  # 4 px
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),  # 8 px
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),  # 16 px
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),  # 32 px
        nn.Tanh(),
    )


def restore_with_own() -> None:
    """Register the network and restore a corner of a sample image with it."""
    # cut behind each ReLU, which named_modules() calls 1, 3 and 5
    name = register_generator(
        "mine", build, cut_points=["1", "3", "5"], code_shape=(16, 1, 1), overwrite=True
    )
    prior = load_prior(find_prior(name))
    shapes = [prior.generator.feature_shape(cut) for cut in range(prior.generator.n_layers + 1)]
    print(f"{name}: {prior.generator.resolution} px, cuts {shapes}")
    sample = load_sample("nuclei_bubble")
    part = slice(70, 134), slice(70, 134)
    image, mask = sample.damaged[part], sample.mask[part]
    restored = inpaint(image, mask, prior=name, quality="fast")
    print(f"{int(mask.sum())} pixels filled, {int((restored != image).sum())} of them changed")


def import_file(args: argparse.Namespace) -> None:
    """Import the file, say what is being done, and draw from the prior."""
    options: dict[str, Any] = {}
    if args.number is not None:
        options["class"] = args.number
    if args.truncation is not None:
        options["truncation"] = args.truncation
    architecture = args.architecture
    if architecture is not None and architecture.endswith(".json"):
        options["description"] = json.loads(Path(architecture).read_text(encoding="utf-8"))
        architecture = "described"
    for step in import_steps(
        args.file,
        name=args.name,
        architecture=architecture,
        options=options,
        folder=args.folder,
        overwrite=args.overwrite,
    ):
        print(f"{step.index}/{step.n_steps} {step.doing}", flush=True)
        entry = step.entry
    assert entry is not None  # the last step has it
    card, generator = entry.card, load_prior(entry.path).generator
    print(f"{entry.path}: {card.architecture}, {generator.resolution} px, {entry.sha256}")
    print(card.training.get("note") or "nothing was left out or assumed")
    for cut in range(generator.n_layers + 1):
        print(f"cut {cut}: {generator.feature_shape(cut)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments and do it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "file", type=Path, nargs="?", help="a checkpoint; left out: a demonstration"
    )
    parser.add_argument("--name", help="of the prior; the file's name if left out")
    parser.add_argument("--architecture", help="a layout's name, or an architecture file (JSON)")
    parser.add_argument("--class", type=int, dest="number", help="of a conditional generator")
    parser.add_argument("--truncation", type=float, help="above 0, 1 at most")
    parser.add_argument("--folder", type=Path, help="for the prior; the user's own if left out")
    parser.add_argument("--overwrite", action="store_true", help="replace a prior of that name")
    args = parser.parse_args(argv)
    try:
        if args.file is None:
            restore_with_own()
        else:
            import_file(args)
    except (MGANPriorError, OSError, ValueError) as error:  # its message says what to do
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
