"""Give a prior an encoder: a small network that says at once which code could have drawn an image.

    python examples/add_encoder.py my_prior.safetensors --minutes 5

It is trained on the prior's own drawings, so no images are needed, and stored in the same file.
Generator and discriminator stay as they are, bit by bit. The file's sha256 changes: recipes and
codes made with the old file ask for the old file. The methods "encoder" and "encoder-optimised"
need an encoder.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.training.encoder import (
    EncoderConfig,
    EncoderState,
    store_encoder,
    train_encoder,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, train, and write the file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("prior", type=Path, help="a prior's .safetensors file")
    parser.add_argument("--out", type=Path, help="file to write; the prior itself if left out")
    parser.add_argument("--minutes", type=float, default=5.0, help="time to train, 5 if left out")
    parser.add_argument("--images", type=int, help="drawings to train on, in place of a time")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if not 0 < args.minutes <= 10_000:
        parser.error("--minutes: wanted a number above 0, up to 10000")
    try:
        generator = load_prior(args.prior).generator
        config = EncoderConfig(
            seed=args.seed, **({} if args.images is None else {"n_images": args.images})
        )
        state = EncoderState(generator, config)
        images, codes = train(state, generator, None if args.images else args.minutes)
        told = {
            **config.to_dict(),
            "n_images": state.images_seen,
            "minutes": None if args.images else args.minutes,
            "image_loss": round(images, 6),
            "code_loss": round(codes, 6),
        }
        out = args.out or args.prior
        sha256 = store_encoder(args.prior, state, told, out=out)
    except MGANPriorError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the prior is as it was.", file=sys.stderr)
        return 130
    print(f"{out}  sha256 {sha256}")
    return 0


def train(
    state: EncoderState, generator: torch.nn.Module, minutes: float | None
) -> tuple[float, float]:
    """Train, say how it goes, and return the losses over the last drawings."""
    began = said = time.monotonic()
    recent: list[tuple[float, float]] = []
    for step in train_encoder(generator, state, minutes=minutes):
        recent = [*recent[-199:], (step.image_loss, step.code_loss)]
        if time.monotonic() > said + 15:
            said = time.monotonic()
            images, codes = (statistics.fmean(column) for column in zip(*recent, strict=True))
            print(
                f"{step.images_seen:7,} drawings in {(said - began) / 60:.1f} min | image error "
                f"{images:.4f}, 1 - cosine {codes:.3f}",
                flush=True,
            )
    images, codes = (statistics.fmean(column) for column in zip(*recent, strict=True))
    return images, codes


if __name__ == "__main__":
    sys.exit(main())
