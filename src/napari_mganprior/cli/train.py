"""`napari-mganprior train`: a prior from the user's own images."""

import argparse
import sys
from typing import TYPE_CHECKING

from napari_mganprior.errors import StorageError
from napari_mganprior.priors import check_prior_name, user_folder

if TYPE_CHECKING:
    from napari_mganprior.training.card import CardText

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Train, or go on training, and write the prior."""
    check_prior_name(args.name)
    prior_path = args.output / f"{args.name}.safetensors"
    if prior_path.exists() and not args.overwrite:
        raise StorageError(
            f"Got the output {prior_path}, which exists already; wanted a new name. Choose "
            "another with --name, or allow overwriting (--overwrite)."
        )
    from napari_mganprior.arrays import choose_device
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.training.card import publish_prior
    from napari_mganprior.training.config import TrainingConfig
    from napari_mganprior.training.data import CropSource, load_images
    from napari_mganprior.training.session import export_prior, open_state, run_session

    device = choose_device(args.device)
    source = CropSource(load_images(args.source), args.resolution)
    held_out = CropSource(load_images(args.held_out), args.resolution) if args.held_out else None
    if source.skipped and not args.quiet:
        print(f"{len(source.skipped)} images are left out as unusable.", file=sys.stderr)
    config = TrainingConfig(
        resolution=args.resolution,
        widths=_widths(args.resolution),
        image_channels=source.image_channels,
        n_images=args.images,
        seed=args.seed,
    )
    steps = run_session(args.output, source, config, device=device)
    for _ in follow(
        steps,
        lambda step: (
            step.images_seen,
            step.n_images,
            f"losses {step.generator_loss:.2f} {step.discriminator_loss:.2f}",
        ),
        unit="crop",
        quiet=args.quiet,
    ):
        pass
    state = open_state(args.output / "checkpoint.pt", device)
    text = _card_text(args, source.n_images)
    if held_out is not None:
        sha256 = publish_prior(state, args.output, text, train=source, held_out=held_out)
    else:
        sha256 = export_prior(
            state,
            prior_path,
            name=text.name,
            domain=text.domain,
            licence=text.licence,
            training={"data": text.data, "n_images_used": source.n_images},
        )
    print(f"{prior_path}  sha256 {sha256}")
    print(f"Use it with --prior {prior_path}, or by name from anywhere: copy it to {user_folder()}")


def _widths(resolution: int) -> tuple[int, ...]:
    """Choose the channels at 4, 8, .. pixels: 24 at the full size, doubling down to 192."""
    sides = [4 * 2**i for i in range(max(1, resolution.bit_length() - 2))]
    return tuple(min(192, 24 * resolution // side) for side in sides)


def _card_text(args: argparse.Namespace, n_images: int) -> "CardText":
    from napari_mganprior.training.card import CardText

    domain = args.domain or f"images like those of {args.source.name}"
    return CardText(
        name=args.name,
        domain=domain,
        pixel_size="as in the training images",
        data=f"{n_images} images of {args.source.name}, random crops, turned and mirrored",
        licence=args.licence,
        use=f"Filling damaged pixels of {domain}.",
        limits="It invents: what stands in the hole is plausible, not measured. Never count or "
        "measure there. It knows only what its training images showed.",
        repeat=f"`napari-mganprior train {args.source.name} --name {args.name} --images "
        f"{args.images} --resolution {args.resolution} --seed {args.seed} -o FOLDER`",
    )
