"""`napari-mganprior run`: a recipe once more, on its own image or on many others."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mganprior.errors import ImageError, MGANPriorError
from napari_mganprior.files import check_not_input, check_output
from napari_mganprior.runs.batch import (
    SUMMARY,
    BatchRow,
    find_images,
    lay_out,
    outputs_for,
    write_result,
    write_summary,
)
from napari_mganprior.runs.recipe import read_recipe

__all__ = ["run"]

_MOST_THREADS = 1024  # a recipe may come from a stranger


def run(args: argparse.Namespace) -> None:
    """Do to every image what the recipe says."""
    recipe = read_recipe(args.recipe)
    paths = find_images(args.image)
    if len(paths) == 1 and args.output.suffix and not args.output.is_dir():
        _restore(paths[0], args.output, recipe, args)
        return
    stacked = "planes" in recipe or "proposals" in recipe
    outputs = outputs_for(paths, args.output, planes=stacked, overwrite=args.overwrite)
    summary, rows = args.output / SUMMARY, []
    for path, output in zip(paths, outputs, strict=True):
        try:
            rows.append(_restore(path, output, recipe, args))
        except MGANPriorError as error:
            rows.append(BatchRow(image=path.name, message=str(error)))
            print(f"{path.name}: {error}")
        write_summary(summary, rows)
    failed = sum(row.outcome != "restored" for row in rows)
    print(f"{summary}: {len(rows) - failed} of {len(rows)} images restored")
    if failed:
        raise ImageError(
            f"Got {failed} of {len(rows)} images that could not be restored; the reasons stand in "
            f"{summary}. Mend them, and run the command again for those."
        )


def _restore(
    path: Path, output: Path, recipe: Mapping[str, Any], args: argparse.Namespace
) -> BatchRow:
    laid = lay_out(path, recipe, args.mask)
    # a format that cannot hold the pixels is found before an hour's work
    shown = laid.file.array if laid.colours_apart else laid.image
    stacked = laid.planes or "proposals" in recipe
    check_output(output, shown, overwrite=args.overwrite, planes=stacked)
    check_not_input(output, path)

    import torch

    from napari_mganprior.cli.restoring import follow_restoration
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore import Replay

    threads = recipe.get("threads")
    if isinstance(threads, int) and 0 < threads <= _MOST_THREADS:
        # sums of floats depend on how they are shared out among threads
        torch.set_num_threads(threads)
    task = Replay(
        recipe,
        laid.image,
        laid.mask,
        prior=None if args.prior is None else load_prior(find_prior(args.prior)),
        device=args.device,
    )
    follow_restoration(task, quiet=args.quiet, label=path.name)
    restoration = task.result()
    write_result(output, laid, restoration)
    row = BatchRow.restored(path.name, str(output), restoration, stopped=False)
    done = f"{row.invented_pixels} pixels restored"
    if recipe["task"] != "inpaint":  # which replaces all of them
        done = f"{recipe['task']} done"
    print(
        f"{output}: {done} in {row.seconds:.1f} s{_verdict(recipe, restoration.recipe, task.same)}"
    )
    return row


def _verdict(old: Mapping[str, Any], new: Mapping[str, Any], same: bool) -> str:
    """Say whether the result is the recipe's own."""
    recorded = old.get("result", {}).get("sha256")
    if not old.get("repeatable", True) and old["image"]["sha256"] == new["image"]["sha256"]:
        return (
            "; not compared with the recorded result, which began at another one or at codes that "
            "a recipe does not hold"
        )
    if not same or recorded is None:
        return ""
    if recorded == new["result"]["sha256"]:
        return "; identical to the recorded result"
    return (
        f"; NOT identical to the recorded result (made on {old.get('device')} with "
        f"{old.get('versions')}; now on {new['device']} with {new['versions']})"
    )
