"""The commands that make an image from an image: one file in, one out, whatever the task."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import ImageError, StorageError
from napari_mganprior.files import check_not_input, check_output, read_image, read_mask
from napari_mganprior.priors import find_prior
from napari_mganprior.runs.batch import Laid, lay_out, write_result
from napari_mganprior.runs.tasks import TaskSpec, find_task, noise_in_words, overrides_in

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Do a task; all that can be refused is refused before torch is loaded."""
    spec = find_task(args.task)
    options = {option.name: getattr(args, option.name) for option in spec.options}
    laid = _laid(args)
    _check_colours(args, spec, laid)
    stacked = laid.planes or options.get("proposals", 1) > 1
    check_output(args.output, _result_like(spec, laid), overwrite=args.overwrite, planes=stacked)
    check_not_input(args.output, args.image)
    _check_codes(args)
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import finished, open_prior
    from napari_mganprior.restore import open_run, save_codes
    from napari_mganprior.restore.codes_file import image_sha256_in

    prior = open_prior(args)
    mask = laid.mask
    if mask is not None and getattr(args, "invert", False):
        mask = ~mask
    task = open_run(
        spec.name,
        laid.image,
        prior,
        mask=mask,
        planes=args.planes,
        options=options,
        damage=_damage(args),
        quality=args.quality,
        overrides=overrides_in(vars(args)),
        seed=args.seed,
        device=args.device,
        zoom=getattr(args, "zoom", 1.0),
        pick=args.pick,
    )
    restoration = finished(task, args)
    write_result(args.output, laid, restoration)
    if getattr(args, "codes_out", None) is not None:
        of = image_sha256_in(restoration.recipe)
        save_codes(args.codes_out, restoration.codes, prior.sha256, of)
    by = f"{prior.card.name} (sha256 {prior.sha256}), seed {args.seed}"
    took = f"in {restoration.recipe['seconds']:.1f} s"
    print(f"{args.output}: {_REPORTS[spec.name](restoration, by, took)}")


def _laid(args: argparse.Namespace) -> Laid:
    """Read the image and its mask."""
    mask = getattr(args, "mask", None)
    if args.planes == "one":
        image = read_image(args.image)
        return Laid(image, image.array, None if mask is None else read_mask(mask))
    # only colours that are told apart need to be known beforehand
    colours = [3] if args.planes == "channels" else []
    return lay_out(args.image, {"planes": {}, "image": {"dimensions": colours}}, mask)


def _check_colours(args: argparse.Namespace, spec: TaskSpec, laid: Laid) -> None:
    if spec.grey_only and laid.file.rgb:
        raise ImageError(
            f"Got {args.image.name}, which has colours already; wanted a grey image. Convert it "
            "to grey, or choose one channel."
        )


def _result_like(spec: TaskSpec, laid: Laid) -> Any:
    """Return an array of the result's type, and of as many colours."""
    shown = laid.file.array if laid.colours_apart else laid.image
    return np.repeat(shown[..., None], 3, axis=-1) if spec.grey_only else shown


def _check_codes(args: argparse.Namespace) -> None:
    path = getattr(args, "codes_out", None)
    if path is not None and path.exists() and not args.overwrite:
        raise StorageError(
            f"Got {path} for the codes, which exists already; wanted a new file. Choose another "
            "name, or allow overwriting (--overwrite)."
        )


def _damage(args: argparse.Namespace) -> DamageConfig | None:
    if not hasattr(args, "grow"):
        return None
    region = None if args.region is None else tuple(args.region)
    return DamageConfig(grow=args.grow, feather=args.feather, region=region)


def _inpainted(restoration: Any, by: str, took: str) -> str:
    zoom = f"zoom {restoration.recipe['zoom']:g}"
    return f"{int(restoration.invented.sum())} pixels restored with {by}, {zoom}, {took}"


def _denoised(restoration: Any, by: str, took: str) -> str:
    told, each = noise_in_words(restoration.recipe)
    rest = f", {'the rest ' if told else ''}measured in each plane," if each else ""
    model = restoration.recipe["noise"]["used"]["model"]
    return (
        f"{model} noise{f' of {told}' if told else ''}{rest} removed with {by}, {took}; every "
        "pixel is an estimate, "
        f"{int(restoration.invented.sum())} bad pixels were filled"
    )


def _enlarged(restoration: Any, by: str, took: str) -> str:
    height, width = restoration.uncertainty.shape[-2:]
    exact = restoration.recipe["operator"]["kernel"] == "binning"
    return (
        f"{height}x{width} pixels drawn with {by}, {took}; every pixel is an estimate, reduced "
        f"again they {'are' if exact else 'come close to'} the input"
    )


def _coloured(restoration: Any, by: str, took: str) -> str:
    number = restoration.recipe.get("proposals", 1)
    several = f"{number} proposals, " if number > 1 else ""
    return f"{several}coloured with {by}, {took}; all colours are invented, the luma is the input"


def _inverted(restoration: Any, by: str, took: str) -> str:
    return f"drawn with {by}, {took}, loss {restoration.history[-1]:.2g}"


_REPORTS: dict[str, Callable[[Any, str, str], str]] = {
    "inpaint": _inpainted,
    "denoise": _denoised,
    "super_resolve": _enlarged,
    "colorize": _coloured,
    "invert": _inverted,
}
