"""From kept rows to docs/benchmarks.csv, the tables of docs/benchmarks.md, and pictures."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from aims import aims_table, judge
from cases import OURS, TASKS
from contact import draw_cases
from domains import DOMAINS

__all__ = ["between_markers", "mean_and_error", "write_report"]

Row = dict[str, Any]
TITLES = {
    "invert": "Inversion",
    "hole": "Hole in the middle, a quarter of the side",
    "missing": "80 % of the pixels missing",
    "gaussian": "Gaussian noise, sigma 25/255",
    "poisson": "Photon noise, 10 photons at the brightest",
    "x4": "Super-resolution x4 from binned pixels",
    "x8": "Super-resolution x8 from binned pixels (128 px)",
    "colorize": "Colorization",
}
_COLUMNS = (
    *("domain", "prior", "prior_sha256", "size", "task", "method", "image", "number"),
    *("psnr", "ssim", "deep", "deep_kind", "chroma_psnr", "ciede2000", "seconds", "quality"),
)
REMARKS = Path(__file__).with_name("remarks.json")
"""Why an aim is missed and what was tried, written by people; see `aims.aims_table`."""


def write_report(rows: list[Row], pictures: Path, docs: Path) -> None:
    """Write everything there is to say about the rows."""
    if not rows:
        print("no rows: nothing to report")
        return
    rows = sorted(rows, key=lambda r: tuple(str(r[name]) for name in _COLUMNS[:8]))
    path = docs / "benchmarks.csv"
    path.write_text(_as_csv(rows), "utf-8")
    verdicts = judge(rows, DOMAINS)
    remarks = json.loads(REMARKS.read_text("utf-8")) if REMARKS.exists() else {}
    aims = aims_table(verdicts, remarks)
    figures = draw_cases(rows, pictures, docs / "images" / "benchmarks")
    text = "\n\n".join(
        [
            _header(rows),
            "### Aims\n\nOn held-in test pictures of each prior's own domain, 64 px (x8: 128 px); "
            "mean over the pictures that both methods were measured on, ± standard error of the "
            "paired difference.",
            aims,
            *_task_sections(rows, figures),
            *_method_section(rows),
            *_other_section(
                rows, "Larger pictures", lambda r: r["size"] == 128 and r["task"] != "x8"
            ),
            *_other_section(
                rows,
                "Outside the domain: what the prior has never seen",
                lambda r: r["domain"].startswith("outside"),
            ),
        ]
    )
    between_markers(docs / "benchmarks.md", "quality", text)
    print(aims)
    print(f"{path}: {len(rows)} rows")


def _header(rows: list[Row]) -> str:
    priors = sorted({(r["prior"], r["prior_sha256"]) for r in rows})
    named = ", ".join(f"`{name}` ({sha256})" for name, sha256 in priors)
    kinds = ", ".join(sorted({r["deep_kind"] for r in rows}))
    return (
        f"{len(rows)} results. Priors: {named}. Quality {rows[0]['quality']}. PSNR in dB and SSIM "
        "over the hole where there is one, else over the whole picture, relative to the range "
        f"from the 1st to the 99.8th percentile. Deep: distance between feature maps ({kinds}), "
        "smaller is better."
        + " LPIPS: v0.1 with VGG16, of the whole picture in 8 bits."
        * _has_lpips(rows)
        + " Seconds are processor time of one thread (median). n is the number of "
        "pictures; mean ± standard error. Methods with another n were measured on the first of "
        "the same pictures."
    )


def _task_sections(rows: list[Row], figures: dict[str, str]) -> list[str]:
    found = []
    for task in TASKS:
        size = 128 if task == "x8" else 64
        mine = [
            r for r in rows if r["task"] == task and r["size"] == size and r["domain"] in DOMAINS
        ]
        if not mine:
            continue
        found.append(f"### {TITLES[task]}")
        found.append(_table(_without_variants(mine)))
        if task in figures:
            found.append(figures[task])
    return found


def _without_variants(rows: list[Row]) -> list[Row]:
    """Leave out our own methods other than the default and the single code."""
    variants = {r["method"] for r in rows} & _variants(rows)
    return [r for r in rows if r["method"] not in variants]


def _variants(rows: list[Row]) -> set[str]:
    from quality import _METHODS

    return set(_METHODS)


def _method_section(rows: list[Row]) -> list[str]:
    variants = _variants(rows)
    there = [r for r in rows if r["method"] in variants and r["size"] == 64]
    if not there:
        return []
    shown = {(r["domain"], r["task"], r["image"], r["number"]) for r in there}
    mine = [
        r
        for r in rows
        if r["size"] == 64
        and r["method"] in variants | {OURS, "single-code"}
        and (r["domain"], r["task"], r["image"], r["number"]) in shown
    ]
    return [
        "### Methods of the engine\n\nThe same pictures, restarts and evaluations; only the method "
        "differs.",
        _table(mine, by_task=True),
    ]


def _other_section(rows: list[Row], title: str, wanted: Any) -> list[str]:
    mine = [r for r in rows if wanted(r)]
    return [f"### {title}", _table(mine, by_task=True)] if mine else []


def _table(rows: list[Row], *, by_task: bool = False) -> str:
    colour = any("ciede2000" in r for r in rows) and not by_task
    names = ["task"] * by_task + ["domain", "method", "n", "PSNR", "SSIM", "deep"]
    lpips = _has_lpips(rows)
    names += ["LPIPS"] * lpips + ["PSNR of the chroma", "CIEDE2000"] * colour + ["seconds"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["method"] == "the input" and row["task"] in ("hole", "missing"):
            continue  # nothing was measured there
        groups.setdefault((row["task"], row["domain"], row["method"]), []).append(row)
    order = sorted(groups, key=lambda k: (TASKS.index(k[0]), k[1], -_mean(groups[k], "psnr")))
    for key in order:
        mine = groups[key]
        name = f"**{key[2]}**" if key[2] == OURS else key[2]
        cells = [*([key[0]] if by_task else []), key[1], name, str(len(mine))]
        cells.append(mean_and_error([r["psnr"] for r in mine], 2))
        cells.append(mean_and_error([r["ssim"] for r in mine], 3))
        cells.append(f"{_mean(mine, 'deep'):.4f}")
        if lpips:
            there = [r for r in mine if "lpips" in r]
            cells.append(f"{_mean(there, 'lpips'):.3f}" if there else "")
        if colour:
            cells += [f"{_mean(mine, 'chroma_psnr'):.2f}", f"{_mean(mine, 'ciede2000'):.2f}"]
        seconds = float(np.median([r["seconds"] for r in mine]))
        cells.append(f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _has_lpips(rows: list[Row]) -> bool:
    return any("lpips" in r for r in rows)


def _mean(rows: list[Row], figure: str) -> float:
    return float(np.mean([r[figure] for r in rows]))


def mean_and_error(values: list[float], digits: int) -> str:
    """Write a mean and its standard error."""
    numbers = np.array(values, float)
    if len(numbers) < 2:
        return f"{numbers.mean():.{digits}f}"
    error = numbers.std(ddof=1) / np.sqrt(len(numbers))
    return f"{numbers.mean():.{digits}f} ± {error:.{digits}f}"


def _as_csv(rows: list[Row]) -> str:
    text = io.StringIO(newline="")
    names = [*_COLUMNS, *["lpips"] * _has_lpips(rows)]
    writer = csv.DictWriter(text, fieldnames=names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()


def between_markers(path: Path, name: str, text: str) -> None:
    """Replace what stands between two markers of a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = path.read_text("utf-8")
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no lines {begin} and {end}: add them")
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")
