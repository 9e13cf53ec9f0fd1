"""`napari-mganprior denoise`: one noisy image file in, one out."""

import argparse

from napari_mganprior.files import check_not_input, check_output, read_image, read_mask, write_image
from napari_mganprior.priors import find_prior

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Denoise an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    mask = None if args.mask is None else read_mask(args.mask)
    check_output(args.output, image.array, overwrite=args.overwrite)
    check_not_input(args.output, args.image)
    find_prior(args.prior)

    from napari_mganprior.restore import Denoising, NoiseConfig

    noise = NoiseConfig(
        model=args.noise,
        level=args.level,
        gain=args.gain,
        offset=args.offset,
        read_noise=args.read_noise,
    )

    from napari_mganprior.cli.restoring import engine, finished, open_prior

    prior = open_prior(args)
    task = Denoising(
        image.array,
        prior,
        noise=noise,
        mask=mask,
        find_bad=args.find_bad_pixels,
        zoom=args.zoom,
        **engine(args),
    )
    restoration = finished(task, args)
    write_image(args.output, restoration.image, like=image, recipe=restoration.recipe)
    known = task.noise.to_dict()
    told = ", ".join(
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in known.items()
        if isinstance(value, float)
    )
    print(
        f"{args.output}: {args.noise} noise of {told} removed with {prior.card.name} (sha256 "
        f"{prior.sha256}), seed {args.seed}, in {restoration.recipe['seconds']:.1f} s; every pixel "
        f"is an estimate, {int(restoration.invented.sum())} bad pixels were filled"
    )
