"""`napari-mganprior inpaint`: one image file in, one out."""

import argparse

from napari_mganprior.damage import DamageConfig
from napari_mganprior.files import check_not_input, check_output, read_image, read_mask, write_image
from napari_mganprior.priors import find_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Restore an image file; everything that can be refused is refused before torch is loaded."""
    image = read_image(args.image)
    mask = read_mask(args.mask)
    if args.invert:
        mask = ~mask
    region = None if args.region is None else tuple(args.region)
    damage = DamageConfig(grow=args.grow, feather=args.feather, region=region)
    check_output(args.output, image.array, overwrite=args.overwrite)
    check_not_input(args.output, args.image)
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import open_prior, restore

    prior = open_prior(args)
    restoration = restore(image.array, mask, prior, args, zoom=args.zoom, damage=damage)
    write_image(args.output, restoration.image, like=image, recipe=restoration.recipe)
    print(
        f"{args.output}: {int(restoration.invented.sum())} pixels restored with {prior.card.name} "
        f"(sha256 {prior.sha256}), seed {args.seed}, zoom {restoration.recipe['zoom']:g}, "
        f"in {restoration.recipe['seconds']:.1f} s"
    )
