"""Pictures of cases: the worst, the median and the best of every task, not picked by anybody."""

from pathlib import Path
from typing import Any

import numpy as np
from cases import OURS, TASKS
from domains import DOMAINS
from PIL import Image, ImageDraw

__all__ = ["draw_cases"]

Row = dict[str, Any]
MAIN_RIVAL = {
    "invert": ("single-code",),
    "hole": ("biharmonic", "deep image prior"),
    "missing": ("biharmonic", "deep image prior"),
    "gaussian": ("non-local means", "deep image prior"),
    "poisson": ("non-local means", "total variation"),
    "x4": ("bicubic", "deep image prior"),
    "x8": ("bicubic",),
    "colorize": ("grey input",),
}
_SIDE, _GAP, _LEFT, _TOP = 96, 3, 92, 14
_COLOURS = 96  # of a picture's palette: small files


def draw_cases(rows: list[Row], pictures: Path, folder: Path) -> dict[str, str]:
    """Draw a sheet a task; returns the Markdown that shows each.

    Cases are ordered by our PSNR minus the first rival's; without a rival there, by our PSNR.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for task in TASKS:
        lines = []
        for domain in DOMAINS:
            lines += _lines(rows, task, domain, pictures)
        if not lines:
            continue
        names = ["truth", "given", OURS, *MAIN_RIVAL[task]]
        sheet = _sheet(names, lines)
        path = folder / f"{task}.png"
        sheet.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        found[task] = (
            f"![{task}: worst, median and best case of each domain](images/benchmarks/{task}.png)"
        )
    return found


def _lines(rows: list[Row], task: str, domain: str, pictures: Path) -> list[tuple[str, list[Any]]]:
    size = 128 if task == "x8" else 64
    here = [r for r in rows if (r["task"], r["domain"], r["size"]) == (task, domain, size)]
    mine = {r["number"]: r["psnr"] for r in here if r["method"] == OURS}
    theirs = {r["number"]: r["psnr"] for r in here if r["method"] == MAIN_RIVAL[task][0]}
    both = [n for n in mine if n in theirs] or list(mine)
    order = sorted(both, key=lambda n: mine[n] - theirs.get(n, 0.0))
    places = {"worst": 0, "median": len(order) // 2, "best": len(order) - 1}
    lines = []
    for word, place in dict(zip(places.values(), places, strict=True)).items():
        number = order[word] if order else None
        if number is None:
            continue
        stem = f"{domain}_{size}_{task}_{number}"
        shown = []
        for what in ("truth", "measured", OURS, *MAIN_RIVAL[task]):
            path = pictures / f"{stem}_{what.replace(' ', '-')}.npy"
            shown.append(np.load(path) if path.exists() else None)
        gain = f"{mine[number] - theirs[number]:+.1f} dB" if number in theirs else ""
        lines.append((f"{domain}\n{place}\n{gain}", shown))
    return lines


def _sheet(names: list[str], lines: list[tuple[str, list[Any]]]) -> Image.Image:
    width = _LEFT + len(names) * (_SIDE + _GAP)
    sheet = Image.new("RGB", (width, _TOP + len(lines) * (_SIDE + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((_LEFT + column * (_SIDE + _GAP) + 2, 1), name, fill="black")
    for row, (words, shown) in enumerate(lines):
        top = _TOP + row * (_SIDE + _GAP)
        pen.text((2, top + 20), words, fill="black")
        for column, array in enumerate(shown):
            place = (_LEFT + column * (_SIDE + _GAP), top)
            if array is None:
                pen.text((place[0] + 20, top + 40), "not run", fill="grey")
                continue
            picture = Image.fromarray(array).convert("RGB")
            sheet.paste(picture.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), place)
    return sheet
