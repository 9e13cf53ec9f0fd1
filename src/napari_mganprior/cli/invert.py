"""`napari-mganprior invert`: an image file drawn anew, and its codes."""

import argparse

from napari_mganprior.errors import StorageError
from napari_mganprior.files import check_not_input, check_output, read_image, write_image
from napari_mganprior.priors import find_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Invert an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    check_output(args.output, image.array, overwrite=args.overwrite)
    check_not_input(args.output, args.image)
    if args.codes is not None and args.codes.exists() and not args.overwrite:
        raise StorageError(
            f"Got {args.codes} for the codes, which exists already; wanted a new file. Choose "
            "another name, or allow overwriting (--overwrite)."
        )
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import engine, finished, open_prior
    from napari_mganprior.restore import Reconstruction, load_codes, save_codes

    prior = open_prior(args)
    begin = () if args.start is None else load_codes(args.start, prior.sha256)
    task = Reconstruction(image.array, prior, codes=begin, zoom=args.zoom, **engine(args))
    restoration = finished(task, args)
    write_image(args.output, restoration.image, like=image, recipe=restoration.recipe)
    if args.codes is not None:
        save_codes(args.codes, restoration.codes, prior.sha256)
    print(
        f"{args.output}: drawn with {prior.card.name} (sha256 {prior.sha256}), seed {args.seed}, "
        f"in {restoration.recipe['seconds']:.1f} s, loss {restoration.history[-1]:.2g}"
    )
