"""`napari-mganprior run`: a recipe once more, on its own image or on many others."""

import argparse
import csv
import io
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MGANPriorError, StorageError
from napari_mganprior.files import (
    ImageFile,
    check_output,
    read_mask,
    read_stack,
    write_atomically,
    write_image,
)
from napari_mganprior.runs.recipe import read_recipe

__all__ = ["run"]

_IMAGES = (".png", ".tif", ".tiff")
_SUMMARY = "summary.csv"


@dataclass(frozen=True, slots=True)
class _Row:
    """What became of one image."""

    image: str
    output: str = ""
    outcome: str = "refused"
    invented_pixels: int = 0
    loss: float | str = ""
    seconds: float | str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    """One image, read and laid out as the recipe wants it."""

    file: ImageFile
    image: NDArray[Any]
    mask: NDArray[np.bool_] | None
    output: Path
    planes: bool
    colours_apart: bool


def run(args: argparse.Namespace) -> None:
    """Do to every image what the recipe says."""
    recipe = read_recipe(args.recipe)
    paths = _find_images(args.image)
    alone = len(paths) == 1 and args.output.suffix.lower() in _IMAGES
    outputs = [
        args.output if alone else args.output / f"{path.stem}_restored{_suffix(path, recipe)}"
        for path in paths
    ]
    _check_outputs(outputs, None if alone else args.output / _SUMMARY, args.overwrite)
    rows = []
    for path, output in zip(paths, outputs, strict=True):
        if alone:  # its error is the program's
            rows.append(_restore_one(path, output, recipe, args))
            break
        try:
            rows.append(_restore_one(path, output, recipe, args))
        except MGANPriorError as error:
            rows.append(_Row(path.name, message=str(error)))
            print(f"{path.name}: {error}")
        _write_summary(args.output / _SUMMARY, rows)
    failed = sum(row.outcome != "restored" for row in rows)
    if not alone:
        print(f"{args.output / _SUMMARY}: {len(rows) - failed} of {len(rows)} images restored")
    if failed:
        raise ImageError(
            f"Got {failed} of {len(rows)} images that could not be restored; the reasons stand in "
            f"{args.output / _SUMMARY}. Mend them, and run the command again for those."
        )


def _find_images(given: list[Path]) -> list[Path]:
    """Replace folders by the images in them."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in _IMAGES)
        else:
            found.append(path)
    if not found:
        raise StorageError(
            f"Got no image in {', '.join(map(str, given))}; wanted PNG or TIFF files. Check the "
            "folder."
        )
    return found


def _suffix(path: Path, recipe: Mapping[str, Any]) -> str:
    return ".tif" if "planes" in recipe else path.suffix


def _check_outputs(outputs: list[Path], summary: Path | None, overwrite: bool) -> None:
    twice = {str(path) for path in outputs if outputs.count(path) > 1}
    if twice:
        raise StorageError(
            f"Got several images for the output {', '.join(sorted(twice))}; wanted one each. "
            "Restore images of the same name in separate runs."
        )
    there = [str(path) for path in [*outputs, *([summary] if summary else [])] if path.exists()]
    if there and not overwrite:
        raise StorageError(
            f"Got the output {there[0]}, which exists already; wanted a new name. Choose another "
            "with -o, or allow overwriting (--overwrite)."
        )


def _restore_one(
    path: Path, output: Path, recipe: Mapping[str, Any], args: argparse.Namespace
) -> _Row:
    job = _lay_out(path, output, recipe, args.mask)

    import torch

    from napari_mganprior.cli.restoring import follow_restoration
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore import Replay

    threads = recipe.get("threads")
    if isinstance(threads, int) and threads > 0:
        # sums of floats depend on how they are shared out among threads
        torch.set_num_threads(threads)
    task = Replay(
        recipe,
        job.image,
        job.mask,
        prior=None if args.prior is None else load_prior(find_prior(args.prior)),
        device=args.device,
    )
    follow_restoration(task, quiet=args.quiet, label=path.name)
    restoration = task.result()
    pixels = np.moveaxis(restoration.image, 0, -1) if job.colours_apart else restoration.image
    write_image(output, pixels, like=job.file, recipe=restoration.recipe, planes=job.planes)
    new = restoration.recipe
    print(
        f"{output}: {int(restoration.invented.sum())} pixels restored in {new['seconds']:.1f} s"
        f"{_verdict(recipe, new, task.same)}"
    )
    return _Row(
        path.name,
        str(output),
        "restored",
        int(restoration.invented.sum()),
        restoration.history[-1],
        new["seconds"],
        "; ".join(f"plane {p}: {why}" for p, why in _skipped(new).items()),
    )


def _verdict(old: Mapping[str, Any], new: Mapping[str, Any], same: bool) -> str:
    """Say whether the result is the recipe's own."""
    recorded = old.get("result", {}).get("sha256")
    if not same or recorded is None:
        return ""
    if recorded == new["result"]["sha256"]:
        return "; identical to the recorded result"
    return (
        f"; NOT identical to the recorded result (made on {old.get('device')} with "
        f"{old.get('versions')}; now on {new['device']} with {new['versions']})"
    )


def _skipped(recipe: Mapping[str, Any]) -> dict[str, str]:
    return dict(recipe.get("planes", {}).get("skipped", {}))


def _lay_out(path: Path, output: Path, recipe: Mapping[str, Any], masks: Path | None) -> _Job:
    """Read an image and cut out of it, or bring into order, what the recipe is about."""
    file = read_stack(path)
    image = file.array
    n_extra = image.ndim - (3 if file.rgb else 2)
    planes = "planes" in recipe
    wanted = tuple(recipe.get("image", {}).get("dimensions", ()))
    colours_apart = planes and file.rgb and n_extra == 0 and wanted[:1] == (3,)
    mask = None if masks is None else read_mask(_mask_for(path, masks), stack=True)
    if colours_apart:
        image = np.moveaxis(image, -1, 0)
    elif planes:
        image = image.reshape(-1, *image.shape[n_extra:])
        mask = mask if mask is None or mask.ndim <= 2 else mask.reshape(-1, *mask.shape[-2:])
    elif n_extra:
        place = _plane_of(path, recipe, image.shape[:n_extra])
        image = image[place]
        mask = mask[place] if mask is not None and mask.ndim > 2 else mask
    stacked = planes and not colours_apart
    # a missing folder or a format that cannot hold the pixels is found before an hour's work
    check_output(output, file.array if colours_apart else image, overwrite=True, planes=stacked)
    return _Job(file, image, mask, output, stacked, colours_apart)


def _plane_of(path: Path, recipe: Mapping[str, Any], extra: tuple[int, ...]) -> tuple[int, ...]:
    """Find the slice of a stack that the recipe restored."""
    place = tuple(at for at in recipe.get("layers", {}).get("slice", ()) if at is not None)
    if len(place) != len(extra) or any(at >= n for at, n in zip(place, extra, strict=True)):
        raise ImageError(
            f"Got {path.name} with {' x '.join(map(str, extra))} planes for a recipe of the slice "
            f"{list(place)}; wanted an image that has it. Save the plane as a file of its own."
        )
    return place


def _mask_for(path: Path, masks: Path) -> Path:
    """Find the mask of an image: the file given, or the one of its name in the folder given."""
    if not masks.is_dir():
        return masks
    names = [f"{path.stem}{tail}{end}" for tail in ("", "_mask") for end in _IMAGES]
    for name in names:
        if (masks / name).is_file():
            return masks / name
    raise StorageError(
        f"Got no mask for {path.name} in {masks}; wanted one of {', '.join(names)}. Add it, or "
        "give one mask for all images."
    )


def _write_summary(path: Path, rows: list[_Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(_Row)])
    writer.writerows(astuple(row) for row in rows)
    write_atomically(path, text.getvalue().encode())
