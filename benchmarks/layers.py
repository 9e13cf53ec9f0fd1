"""Repeat the paper's layer study on `nuclei`: more codes, and where to cut for which task.

``make bench-layers`` tries every other cut (both blocks of a size cut maps of the same height)
with 1 to 30 codes on several held-out pictures and tasks, and writes docs/benchmarks-layers.csv
and a part of docs/benchmarks.md with a plot. Like ``make bench-quality`` it goes on where it
stopped.
"""

import argparse
import csv
import io
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from domains import pictures
from numpy.typing import NDArray
from report import between_markers
from resumable import read_rows, run_jobs

from napari_mganprior.analysis import LayerStudy, StudyConfig
from napari_mganprior.analysis.plot import line_plot
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.priors import find_prior

VERSION = 1
CUTS, CODES = (1, 3, 5, 7, 9), (1, 5, 10, 20, 30)
TASKS = ("invert", "inpaint", "missing", "denoise", "super-resolve")
PLATEAU = 0.3  # dB that 30 codes may bring above 20 where "more help up to about 20" holds
_COLUMNS = ("task", "image", "cut", "map_size", "n_codes", "psnr", "ssim", "evaluations", "seconds")

Row = dict[str, Any]


def measure(job: dict[str, Any]) -> list[Row]:
    """Study one picture and task."""
    torch.set_num_threads(1)
    chosen = pictures("nuclei", Path(job["data"]), size=64, count=job["count"])
    picture = chosen[job["number"]]
    config = StudyConfig(
        task=job["task"], cuts=CUTS, codes=CODES, n_restarts=1, n_steps=job["steps"]
    )
    study = LayerStudy(
        picture.truth, _prior(job["prior"]), config, seed=job["number"], device="cpu"
    )
    for _ in study:
        pass
    return [
        {
            "task": job["task"],
            "image": picture.name,
            **{name: getattr(row, name) for name in _COLUMNS[2:]},
        }
        for row in study.result().rows
    ]


@lru_cache(maxsize=1)
def _prior(name: str) -> LoadedPrior:
    return load_prior(find_prior(name))


def means(rows: list[Row], task: str) -> NDArray[np.float64]:
    """Return the mean PSNR over pictures, (cuts, codes)."""
    found = np.full((len(CUTS), len(CODES)), np.nan)
    for i, cut in enumerate(CUTS):
        for j, n in enumerate(CODES):
            mine = [
                r["psnr"] for r in rows if (r["task"], r["cut"], r["n_codes"]) == (task, cut, n)
            ]
            found[i, j] = np.mean(mine) if mine else np.nan
    return found


def verdicts(rows: list[Row]) -> Iterator[str]:
    """Say of both findings of the paper whether they hold here."""
    best_cuts, gains, beyond = {}, {}, {}
    for task in TASKS:
        grid = means(rows, task)
        if np.isnan(grid).any():
            continue
        best = int(np.unravel_index(np.argmax(grid), grid.shape)[0])
        best_cuts[task] = CUTS[best]
        upto, more = CODES.index(20), CODES.index(30)
        gains[task] = grid[best, upto] - grid[best, 0]
        beyond[task] = grid[best, more] - grid[best, upto]
    if not best_cuts:
        yield "Not measured yet."
        return
    told = ", ".join(
        f"{t} {gains[t]:+.1f} dB from 1 to 20 codes and {beyond[t]:+.1f} dB from 20 to 30"
        for t in gains
    )
    helped = [t for t in gains if gains[t] > PLATEAU]
    flat = [t for t in gains if beyond[t] <= PLATEAU]
    holds = len(helped) == len(gains) and len(flat) == len(gains)
    word = "holds" if holds else "holds in part" if helped and flat else "does not hold"
    yield (
        f"**More codes help, up to about 20: {word}.** At each task's best cut: {told}. More than "
        f"{PLATEAU} dB come from 1 to 20 in {len(helped)} of {len(gains)} tasks, and no more than "
        f"{PLATEAU} dB beyond 20 in {len(flat)}."
    )
    cuts = ", ".join(f"{task} {cut}" for task, cut in best_cuts.items())
    differ = len(set(best_cuts.values())) > 1
    losses = _losses(rows, best_cuts)
    yield (
        f"**The best cut differs by task: {'holds' if differ else 'does not hold'}.** Best cuts: "
        f"{cuts}.{losses}"
    )


def _losses(rows: list[Row], best_cuts: dict[str, int]) -> str:
    """Say what the one cut that is best on average costs the tasks that have another."""
    grids = {task: means(rows, task).max(axis=1) for task in best_cuts}
    common = int(np.mean([g - g.max() for g in grids.values()], axis=0).argmax())
    costs = {task: float(g.max() - g[common]) for task, g in grids.items()}
    worst = max(costs, key=lambda task: costs[task])
    return (
        f" The one cut that is best for all together is {CUTS[common]}; it costs {worst} "
        f"{costs[worst]:.2f} dB, the others less."
    )


def table(rows: list[Row], task: str) -> str:
    """Write the grid of a task, the best in bold."""
    grid = means(rows, task)
    lines = [f"| {task}, cut | {' | '.join(f'{n} codes' for n in CODES)} |", "|---" * 6 + "|"]
    for cut, values in zip(CUTS, grid, strict=True):
        cells = [
            "" if np.isnan(v) else f"**{v:.2f}**" if v == np.nanmax(grid) else f"{v:.2f}"
            for v in values
        ]
        lines.append(f"| {cut} ({4 * 2 ** ((cut - 1) // 2)} px) | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_report(rows: list[Row], docs: Path) -> None:
    """Write CSV, plots and the part of docs/benchmarks.md."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda r: tuple(str(r[name]) for name in _COLUMNS[:5])):
        writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
    (docs / "benchmarks-layers.csv").write_text(text.getvalue(), "utf-8")
    folder = docs / "images" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    there = [task for task in TASKS if not np.isnan(means(rows, task)).all()]
    for task in there:
        grid = means(rows, task)
        lines = {f"{n} code{'s' if n > 1 else ''}": grid[:, j] for j, n in enumerate(CODES)}
        plot = line_plot(
            CUTS, lines, title=task, across="cut (composing layer)", up="PSNR (dB)", width=420
        )
        # a ground of its own: GitHub shows pages on black too
        ground = '<rect width="100%" height="100%" fill="white"/>'
        plot = plot.replace('sans-serif">', f'sans-serif">{ground}', 1)
        (folder / f"layers-{task}.svg").write_text(plot, "utf-8")
    images = len({r["image"] for r in rows})
    parts = [
        f"{len(rows)} searches on up to {images} held-out pictures of 64 px, prior `nuclei`, one "
        "restart each, means over the pictures. PSNR in the hole for the tasks that have one.",
        *verdicts(rows),
        *(f"![{task}](images/benchmarks/layers-{task}.svg)" for task in there),
        *(table(rows, task) for task in there),
    ]
    between_markers(docs / "benchmarks.md", "layers", "\n\n".join(parts))
    print("\n".join(verdicts(rows)))


def main() -> None:
    """Measure what is left, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    parser.add_argument("--work", type=Path, default=Path(".bench/layers"), help="kept rows")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--minutes", type=float, help="begin nothing new after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report")
    options = parser.parse_args()
    if not options.report:
        sha256 = _prior("nuclei").sha256[:12]
        tail = f"{options.steps}/v{VERSION}-{sha256}"
        jobs = [
            {
                "key": f"layers/{task}/{number}of{options.images}/{tail}",
                "task": task,
                "number": number,
                "count": options.images,
                "steps": options.steps,
                "data": str(options.data),
                "prior": "nuclei",
            }
            for number in range(options.images)
            for task in TASKS
        ]
        left = run_jobs(
            jobs, measure, options.work, processes=options.processes, minutes=options.minutes
        )
        if left:
            print(f"{left} jobs are left: run it again")
    write_report(read_rows(options.work), options.docs)


if __name__ == "__main__":
    main()
