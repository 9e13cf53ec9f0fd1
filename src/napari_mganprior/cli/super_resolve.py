"""`napari-mganprior super-resolve`: one image file in, one of more pixels out."""

import argparse

from napari_mganprior.files import check_not_input, check_output, read_image, write_image
from napari_mganprior.priors import find_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Enlarge an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    check_output(args.output, image.array, overwrite=args.overwrite)
    check_not_input(args.output, args.image)
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import engine, finished, open_prior
    from napari_mganprior.restore import SuperResolution

    prior = open_prior(args)
    task = SuperResolution(
        image.array,
        prior,
        factor=args.factor,
        kernel=args.kernel,
        sigma=args.sigma,
        **engine(args),
    )
    restoration = finished(task, args)
    larger = image.enlarged(args.factor)
    write_image(args.output, restoration.image, like=larger, recipe=restoration.recipe)
    height, width = restoration.image.shape[:2]
    print(
        f"{args.output}: {height}x{width} pixels drawn with {prior.card.name} (sha256 "
        f"{prior.sha256}), seed {args.seed}, in {restoration.recipe['seconds']:.1f} s; every pixel "
        "is an estimate, reduced again they are the input"
    )
