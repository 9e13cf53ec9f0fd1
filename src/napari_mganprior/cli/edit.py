"""`napari-mganprior edit`: an image file in, an edited one out, or the way to another image."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mganprior.errors import SettingsError, StorageError
from napari_mganprior.files import (
    ImageFile,
    check_not_input,
    check_output,
    read_image,
    write_image,
)
from napari_mganprior.priors import find_prior

if TYPE_CHECKING:
    from napari_mganprior.editing import Direction
    from napari_mganprior.generators.checkpoint import LoadedPrior

__all__ = ["run"]

_LEARNT = "learnt"
_SHOWN = 8


def run(args: argparse.Namespace) -> None:
    """Edit an image file; paths are checked before torch is loaded."""
    image = read_image(args.image)
    _check_files(args, image)
    _check_options(args)
    other = None if args.to is None else read_image(args.to)
    groups = [[read_image(path).array for path in paths] for paths in (args.like, args.unlike)]
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import open_prior

    prior = open_prior(args)
    learnt = _learn(args, groups)
    if other is None:
        _edit(args, image, prior, learnt)
    else:
        _interpolate(args, image, other)


def _check_files(args: argparse.Namespace, image: ImageFile) -> None:
    shown = image.array[None] if args.to else image.array
    check_output(args.output, shown, overwrite=args.overwrite, planes=args.to is not None)
    for path in filter(None, (args.image, args.to, *args.like, *args.unlike)):
        check_not_input(args.output, path)
    for path in filter(None, (args.boundary, args.strip)):
        if path.exists() and not args.overwrite:
            raise StorageError(
                f"Got the output {path}, which exists already; wanted a new name. Choose another, "
                "or allow overwriting (--overwrite)."
            )


def _check_options(args: argparse.Namespace) -> None:
    if (args.to is None) is not bool(args.move):
        raise SettingsError(
            f"Got {len(args.move)} moves{' and an image to go to' if args.to else ''}; wanted "
            "either --move, once or more, or --to. Give --move 1=2, say."
        )
    if args.to is not None and (args.codes or args.strip):
        raise SettingsError(
            "Got --to with --codes or --strip; wanted --to alone, which inverts both images. Leave "
            "the others out."
        )
    if bool(args.like) is not bool(args.unlike):
        raise SettingsError(
            "Got one group of examples; wanted two. Give --like and --unlike, two files each."
        )
    if args.boundary is not None and not args.like:
        raise SettingsError(
            "Got --boundary without examples; wanted --like and --unlike to learn it from. Give "
            "two files each."
        )


def _learn(args: argparse.Namespace, groups: list[list[Any]]) -> "Direction | None":
    if not args.like:
        return None
    from napari_mganprior.editing import save_boundary
    from napari_mganprior.restore import learn_from_images

    learnt = learn_from_images(
        groups[0], groups[1], prior=args.prior, name=_LEARNT, seed=args.seed, device=args.device,
        zoom=args.zoom,
    )  # fmt: skip
    n = sum(learnt.source["examples"])
    print(
        f"Learnt a direction from {n} examples; {learnt.source['left_out_right']} of them are told "
        "apart by the others"
    )
    if args.boundary is not None:
        save_boundary(args.boundary, learnt)
    return learnt


def _edit(
    args: argparse.Namespace, image: ImageFile, prior: "LoadedPrior", learnt: "Direction | None"
) -> None:
    from napari_mganprior.cli.restoring import finished
    from napari_mganprior.restore import Editing, load_codes

    task = Editing(
        image.array,
        prior,
        [_move(text, learnt) for text in args.move],
        codes=() if args.codes is None else load_codes(args.codes, prior.sha256, image.array),
        keep_detail=not args.drawing,
        zoom=args.zoom,
        quality=args.quality,
        seed=args.seed,
        device=args.device,
    )
    restoration = finished(task, args)
    if args.strip is not None:
        _write_strip(args, image, prior, restoration.codes, task.zoom)
    write_image(args.output, restoration.image, like=image, recipe=restoration.recipe)
    told = ", ".join(f"{direction.name} by {strength:g}" for direction, strength in task.moves)
    print(
        f"{args.output}: moved along {told} with {prior.card.name} (sha256 {prior.sha256}), seed "
        f"{args.seed}, in {restoration.recipe['seconds']:.1f} s; "
        f"{int(restoration.invented.sum())} pixels changed, and all of these are invented"
    )


def _interpolate(args: argparse.Namespace, image: ImageFile, other: ImageFile) -> None:
    from napari_mganprior.restore import interpolate

    stack = interpolate(
        image.array, other.array, n=args.pictures, prior=args.prior, keep_detail=not args.drawing,
        quality=args.quality, seed=args.seed, device=args.device, zoom=args.zoom,
    )  # fmt: skip
    write_image(args.output, stack, like=image, planes=True)
    print(
        f"{args.output}: {len(stack)} pictures from {args.image.name} to {args.to.name}; all but "
        "the ends are invented"
    )


def _move(text: str, learnt: "Direction | None") -> "tuple[str | Direction, float]":
    which, _, strength = text.rpartition("=")
    try:
        number = float(strength)
    except ValueError:
        number = float("nan")
    if not which or number != number:
        raise SettingsError(
            f"Got the move {text!r}; wanted DIRECTION=STRENGTH. Give 1=2 or smile.npy=-1.5, say."
        )
    if which != _LEARNT:
        return which, number
    if learnt is None:
        raise SettingsError(
            "Got the move 'learnt' without examples; wanted --like and --unlike. Give two files "
            "each."
        )
    return learnt, number


def _write_strip(
    args: argparse.Namespace, image: ImageFile, prior: "LoadedPrior", codes: Any, zoom: float
) -> None:
    import numpy as np

    from napari_mganprior.editing import known_directions
    from napari_mganprior.restore import Editor, preview_strip

    editor = Editor(image.array, codes, prior, zoom=zoom, device=args.device)
    n = min(_SHOWN, len(known_directions(prior, 1)[0].vector))
    rows = preview_strip(editor, known_directions(prior, n))
    strip = np.concatenate(list(rows))
    path: Path = args.strip
    write_image(path, strip)
