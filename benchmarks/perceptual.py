"""LPIPS of the pictures that a benchmark kept: for the report only, nothing is measured anew.

The pictures have 8 bits, and pixels that were measured are the truth's own.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from napari_mganprior.errors import PriorError
from napari_mganprior.priors import WEIGHTS, find_weights
from napari_mganprior.restore.comparing import deep_distance

__all__ = ["picture_name", "with_lpips"]

Row = dict[str, Any]
_NAMES = ("vgg16", "lpips-vgg")


def picture_name(row: Row, what: str) -> str:
    """Name the file of what a row was measured on: a method, "truth" or "measured"."""
    place = "_".join(str(row[part]) for part in ("domain", "size", "task", "number"))
    return f"{place}_{what.replace(' ', '-')}.npy"


def with_lpips(rows: list[Row], pictures: Path, folder: Path | None) -> list[Row]:
    """Add "lpips" to rows whose picture is there; to none without the weights.

    Parameters
    ----------
    rows : list of dict
        As they were measured, oldest first: of several with one picture, the last made it.
    pictures : Path
        The folder of the kept pictures.
    folder : Path or None
        Where the published files of VGG16 and LPIPS are; None takes those that were fetched.

    Returns
    -------
    list of dict
        New rows.
    """
    if folder is not None:
        for name in _NAMES:
            key = f"NAPARI_MGANPRIOR_{name.replace('-', '_').upper()}"
            os.environ[key] = str(folder / WEIGHTS[name].file)
    try:
        for name in _NAMES:
            find_weights(name)
    except PriorError as error:
        print(f"no column LPIPS: {error}")
        return rows
    last = {picture_name(row, row["method"]): number for number, row in enumerate(rows)}
    found = [dict(row) for row in rows]
    for name, number in last.items():
        paths = [pictures / picture_name(rows[number], "truth"), pictures / name]
        if all(path.exists() for path in paths):
            pair = [np.load(path) for path in paths]
            distance = deep_distance(*pair, kind="lpips-vgg", value_range=(0, 255))
            found[number]["lpips"] = distance
    return found
