"""Ask whether denoising and x4 are as good on pictures that no setting was chosen on.

What is added to a drawing was chosen on pictures of ``make bench-quality``, so its gain there is
somewhat too good. ``make bench-fresh`` takes other test pictures of the same domains.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cases import OURS, figures, make_case, ours, rivals
from domains import DOMAINS, Picture, pictures
from resumable import read_rows, run_jobs

from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import find_prior

VERSION = 1
RIVALS = {"gaussian": "non-local means", "poisson": "non-local means", "x4": "bicubic"}
_USED = 6  # pictures of a domain in `benchmarks/quality.py`


def fresh_pictures(domain: str, data: Path, count: int) -> list[Picture]:
    """Draw crops of test images; none from a place that quality.py looks at.

    Where a data set has few images, crops are further ones of the same images.
    """
    used = pictures(domain, data, size=64, count=_USED)
    names = {p.name for p in used}
    rest = without(used, pictures(domain, data, size=64, count=4 * (count + _USED)))
    rest = sorted(rest, key=lambda p: p.name.partition(" ")[0] in names)  # new images first
    return rest[:count]


def without(taken: list[Picture], many: list[Picture]) -> list[Picture]:
    """Return those of many pictures that are none of some."""
    return [p for p in many if not any(np.array_equal(p.truth, t.truth) for t in taken)]


def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Restore a picture with ours and with all that is classical."""
    torch.set_num_threads(1)
    data, domain, number = Path(job["data"]), job["domain"], job["number"]
    chosen = fresh_pictures(domain, data, job["count"])
    if number >= len(chosen):
        return []
    case = make_case(job["task"], chosen[number], 100 + number)
    image, _ = ours(case, load_prior(find_prior(domain)), OURS, number, "balanced")
    results = {OURS: image}
    results |= {n: rival(case) for n, rival in rivals(case, domain, data, Path(job["strengths"]))}
    return [
        {"domain": domain, "task": job["task"], "method": name, **figures(case, picture)}
        for name, picture in results.items()
    ]


def summary(rows: list[dict[str, Any]]) -> str:
    """Tabulate the means, and the paired difference with its standard error."""
    lines = [
        "| task | domain | n | ours, dB | rival | by how much | best other | better on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, domain in product(RIVALS, DOMAINS):
        mine = [r for r in rows if (r["task"], r["domain"]) == (task, domain)]
        names = list(dict.fromkeys(r["method"] for r in mine))
        values = {n: np.array([r["psnr"] for r in mine if r["method"] == n]) for n in names}
        if OURS not in values or len(values[OURS]) < 2:
            continue
        rival = RIVALS[task]
        gain = values[OURS] - values[rival]
        others = {n: v.mean() for n, v in values.items() if n not in (OURS, rival)}
        best = max(others, key=lambda n: others[n])
        lines.append(
            f"| {task} | {domain} | {len(gain)} | {values[OURS].mean():.2f} | "
            f"{rival} {values[rival].mean():.2f} | {gain.mean():+.2f} ± "
            f"{gain.std(ddof=1) / len(gain) ** 0.5:.2f} | {best} {others[best]:.2f} | "
            f"{int((gain > 0).sum())} of {len(gain)} |"
        )
    return "\n".join(lines)


def measured_rows(
    told: str,
    measure: Callable[[dict[str, Any]], list[dict[str, Any]]],
    *,
    work: Path,
    tasks: Iterable[str],
    images: int,
    version: int,
) -> list[dict[str, Any]]:
    """Read the command line, measure what is left of so many pictures a task and domain."""
    parser = argparse.ArgumentParser(description=told)
    parser.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    parser.add_argument("--work", type=Path, default=work, help="kept rows")
    parser.add_argument("--images", type=int, default=images, help="of each domain")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    jobs = [
        {
            "key": f"{domain}/{task}/{number}/{options.images}/v{version}",
            "domain": domain,
            "task": task,
            "number": number,
            "count": options.images,
            "data": str(options.data),
            "strengths": str(options.work / "strengths"),
        }
        for number, task, domain in product(range(options.images), tasks, DOMAINS)
    ]
    run_jobs(jobs, measure, options.work, processes=options.processes, minutes=None)
    return read_rows(options.work)


def main() -> None:
    """Measure what is left, and print."""
    told, work = __doc__.splitlines()[0], Path(".bench/fresh")
    rows = measured_rows(told, measure, work=work, tasks=RIVALS, images=8, version=VERSION)
    print(summary(rows))


if __name__ == "__main__":
    main()
