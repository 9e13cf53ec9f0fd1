"""`napari-mganprior colorize`: one grey image file in, one in colours out."""

import argparse

import numpy as np

from napari_mganprior.errors import ImageError
from napari_mganprior.files import check_not_input, check_output, read_image, write_image
from napari_mganprior.priors import find_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Colorize an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    if image.array.ndim != 2:
        raise ImageError(
            f"Got {args.image.name}, which has colours already; wanted a grey image. Convert it "
            "to grey, or choose one channel."
        )
    coloured = np.repeat(image.array[..., None], 3, axis=-1)
    check_output(args.output, coloured, overwrite=args.overwrite)
    check_not_input(args.output, args.image)
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import engine, finished, open_prior
    from napari_mganprior.restore import Colorization

    prior = open_prior(args)
    task = Colorization(image.array, prior, zoom=args.zoom, **engine(args))
    restoration = finished(task, args)
    write_image(args.output, restoration.image, like=image, recipe=restoration.recipe)
    print(
        f"{args.output}: coloured with {prior.card.name} (sha256 {prior.sha256}), seed "
        f"{args.seed}, in {restoration.recipe['seconds']:.1f} s; all colours are invented, the "
        "luma is the input"
    )
