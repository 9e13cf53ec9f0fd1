"""Choose how near is near where drawing and interpolation share a super-resolved picture.

``make bench-shares`` mixes the two in several ways on crops that no other benchmark takes, and
prints the mean PSNR of each domain: what stands in docs/method.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cases import make_case
from domains import DOMAINS, Picture
from fresh import fresh_pictures, measured_rows, without
from ideas import drawn_by_each
from rivals import Image, back_projected, bicubic
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.metrics import psnr_in
from napari_mganprior.priors import find_prior
from napari_mganprior.restore.super_resolution import reduced

VERSION = 1
_TAKEN = 8  # pictures of a domain in `fresh.py`
_SIGMAS = (1, 2, 4, 8)


def untouched(domain: str, data: Path, count: int) -> list[Picture]:
    """Draw crops that neither quality.py nor fresh.py takes."""
    taken = fresh_pictures(domain, data, _TAKEN)
    many = fresh_pictures(domain, data, max(4 * count, _TAKEN + count))
    return without(taken, many)[:count]


def mixes(drawn: Image, y: Image, factor: int, truth: Image) -> Iterator[tuple[str, Image]]:
    """Mix a drawing with interpolation in every way that is compared."""
    smooth = bicubic(y, factor)
    ours, theirs = (back_projected(x, y, factor) for x in (drawn, smooth))
    yield "drawing", ours
    yield "bicubic, made to agree", theirs
    faults = [(reduced(x, factor) - y) ** 2 for x in (drawn, smooth)]
    faults = [f if f.ndim == 2 else f.mean(axis=-1) for f in faults]
    share = faults[1].mean() / (faults[0].mean() + faults[1].mean())
    yield "one share", share * ours + (1 - share) * theirs
    for sigma in _SIGMAS:
        one, other = (gaussian_filter(f, sigma, mode="reflect") for f in faults)
        local = resize(other / (one + other), truth.shape[:2], order=1, mode="edge")
        local = local if truth.ndim == 2 else local[..., None]
        yield f"{sigma} px", back_projected(local * drawn + (1 - local) * smooth, y, factor)
    # mean of squares of s * a + (1 - s) * b, a and b the faults, is least at
    a, b = ours - truth, theirs - truth
    best = np.clip(np.mean(b * (b - a)) / np.mean((a - b) ** 2), 0, 1)
    yield "best single share, told the truth", best * ours + (1 - best) * theirs


def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Search one picture's drawing, and mix it in every way."""
    torch.set_num_threads(1)
    chosen = untouched(job["domain"], Path(job["data"]), job["count"])
    if job["number"] >= len(chosen):
        return []
    case = make_case(job["task"], chosen[job["number"]], 200 + job["number"])
    drawn = drawn_by_each(case, load_prior(find_prior(job["domain"])), job["number"]).mean(axis=0)
    low, high = case.truth.min(), case.truth.max()
    whole = np.ones(case.truth.shape[:2], bool)
    return [
        {
            "domain": job["domain"],
            "method": name,
            "psnr": psnr_in(whole, case.truth, np.clip(picture, low, high), data_range=2),
        }
        for name, picture in mixes(drawn, case.measured, case.factor, case.truth)
    ]


def main() -> None:
    """Measure what is left, and print."""
    told, work = __doc__.splitlines()[0], Path(".bench/shares")
    rows = measured_rows(told, measure, work=work, tasks=("x4",), images=5, version=VERSION)
    names = list(dict.fromkeys(r["method"] for r in rows))
    print(f"| domain | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for domain in DOMAINS:
        values = [
            np.mean([r["psnr"] for r in rows if (r["domain"], r["method"]) == (domain, name)])
            for name in names
        ]
        print(f"| {domain} | {' | '.join(f'{v:.2f}' for v in values)} |")


if __name__ == "__main__":
    main()
