"""Every task, method and prior on held-out pictures, against what else there is.

``make bench-quality`` does what is not done yet and writes docs/benchmarks.csv, the tables in
docs/benchmarks.md and the pictures beside it. Rows are kept in a work folder, each under a key
that says all it depends on (prior's hash, task, method, picture, version of this benchmark): a run
that was stopped goes on, and a new prior is measured anew. ``--report`` writes from what there is.
"""

import argparse
import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cases import OURS, SINGLE, TASKS, figures, make_case, ours, rivals
from deep import DeepDistance
from domains import DOMAINS, Picture, pictures
from perceptual import picture_name, with_lpips
from resumable import read_rows, run_jobs

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion import config as settings
from napari_mganprior.priors import find_prior

VERSION = 1
"""Of what is measured and how; a higher one measures everything anew."""

CLASSICAL, DIP = "classical", "deep image prior"
_METHODS = tuple(m for m in getattr(settings, "METHODS", (OURS, SINGLE)) if m not in (OURS, SINGLE))

# pictures of each domain, by what is measured: many for the default, few for what is slow
_FULL = {"ours": 6, "single": 4, "dip": 6, "other": 2, "outside": 2, "large": 1, "x8": 2}
_QUICK = {"ours": 1, "single": 1, "dip": 0, "other": 0, "outside": 0, "large": 0, "x8": 0}
_DETAIL = ("nuclei", "histology")  # domains where slow methods are measured too
_OTHER_TASKS = ("invert", "hole", "missing")
_DIP_TASKS, _DIP_TASKS_MORE = ("hole", "missing"), ("gaussian", "x4")


def plan(options: argparse.Namespace, priors: dict[str, str]) -> Iterator[dict[str, Any]]:
    """List what is to be measured, so that stopping early leaves something of everything.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    priors : dict
        Hash by name, of those installed.
    """
    counts = _QUICK if options.quick else _FULL
    for number in range(max(counts.values())):
        for domain, task in product(priors, TASKS):
            # a grey prior knows no colours; 8 px are too few for any method
            if (domain, task) in (("nuclei", "colorize"), ("satellite", "x8")):
                continue
            size = 128 if task == "x8" else 64  # at least 16 px are enlarged
            for method in _methods(domain, task, number, counts):
                yield _job(options, domain, domain, task, method, number, size)
            if number < counts["large"] and domain in _DETAIL and task in ("hole", "gaussian"):
                for method in (OURS, CLASSICAL):
                    yield _job(options, domain, domain, task, method, number, 128)
        if number < counts["outside"]:
            yield from _outside(options, priors, number)


def _turn(job: dict[str, Any]) -> int:
    """Say when a job's turn comes: what the aims are about goes before what else is of interest."""
    later = 0
    if job["method"] == DIP or job["task"] == "x8":
        later = 1
    elif job["method"] in _METHODS or job["domain"].startswith("outside"):
        later = 2
    elif job["size"] == 128:
        later = 3
    return int(job["number"]) + later


def _methods(domain: str, task: str, number: int, counts: dict[str, int]) -> Iterator[str]:
    """Say what is measured on a picture of this number."""
    if number < counts["x8" if task == "x8" else "ours"]:
        yield OURS
        if task != "invert":
            yield CLASSICAL
    if number < counts["single"] and task in _OTHER_TASKS:
        yield SINGLE
    dip = task in _DIP_TASKS or (task in _DIP_TASKS_MORE and domain in _DETAIL)
    if number < counts["dip"] and dip:
        yield DIP
    if number < counts["other"] and task in _OTHER_TASKS and domain in _DETAIL:
        yield from _METHODS


def _outside(
    options: argparse.Namespace, priors: dict[str, str], number: int
) -> Iterator[dict[str, Any]]:
    for kind, prior in (("outside-grey", "nuclei"), ("outside-rgb", "histology")):
        if prior in priors:
            for task in ("invert", "hole", "missing", "gaussian", "x4"):
                for method in (OURS, CLASSICAL)[: 1 if task == "invert" else 2]:
                    yield _job(options, kind, prior, task, method, number, 64)


def _job(
    options: argparse.Namespace,
    domain: str,
    prior: str,
    task: str,
    method: str,
    number: int,
    size: int,
) -> dict[str, Any]:
    sha256 = "" if method in (CLASSICAL, DIP) else options.hashes[prior][:12]
    version = f"v{VERSION}-{options.quality}" + (f"-{sha256}" if sha256 else "")
    return {
        "key": f"{domain}/{size}/{task}/{method}/{number}/{version}",
        "domain": domain,
        "prior": prior,
        "task": task,
        "method": method,
        "number": number,
        "size": size,
        "quality": options.quality,
        "data": str(options.data),
        "vgg": None if options.vgg is None else str(options.vgg),
        "pictures": str(options.work / "pictures"),
        "strengths": str(options.work / "strengths"),
        "count": _FULL["ours"] if size == 64 else _FULL["x8"],
    }


def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Do one job: a method, or all classical ones, on one picture; returns a row for each."""
    torch.set_num_threads(1)
    size, number, task, method = job["size"], job["number"], job["task"], job["method"]
    chosen = _pictures(job["domain"], Path(job["data"]), size, job["count"])
    if number >= len(chosen):
        return []
    picture = chosen[number]
    prior = _prior(job["prior"])
    case = make_case(task, picture, number)
    results: list[tuple[str, Any, float]] = []
    if method == CLASSICAL:
        for name, rival in rivals(case, job["domain"], Path(job["data"]), Path(job["strengths"])):
            results.append((name, *_timed(rival, case)))
    elif method == DIP:
        results.append((DIP, *_deep_image_prior(case, number)))
    else:
        results.append((method, *ours(case, prior, method, number, job["quality"])))
    distance = _distance(job["vgg"], job["prior"])
    rows = []
    for name, image, seconds in results:
        _keep_picture(Path(job["pictures"]), job, name, image, case)
        rows.append(
            {
                "domain": job["domain"],
                "prior": job["prior"],
                "prior_sha256": prior.sha256[:12],
                "size": size,
                "task": task,
                "method": name,
                "image": picture.name,
                "number": number,
                **figures(case, image),
                "deep": distance(case.truth, np.clip(image, -1, 1)),
                "deep_kind": distance.kind,
                "seconds": round(seconds, 3),
                "quality": job["quality"],
            }
        )
    return rows


def _timed(rival: Any, case: Any) -> tuple[Any, float]:
    import time

    started = time.process_time()
    image = rival(case)
    return image, time.process_time() - started


def _deep_image_prior(case: Any, seed: int) -> tuple[Any, float]:
    from dip import deep_image_prior_of

    return deep_image_prior_of(case, seed)


@lru_cache(maxsize=8)
def _pictures(domain: str, data: Path, size: int, count: int) -> list[Picture]:
    return pictures(domain, data, size=size, count=count)


@lru_cache(maxsize=4)
def _prior(name: str) -> LoadedPrior:
    return load_prior(find_prior(name))


@lru_cache(maxsize=4)
def _distance(vgg: str | None, prior: str) -> DeepDistance:
    return DeepDistance(None if vgg is None else Path(vgg), _prior(prior).discriminator)


def _keep_picture(folder: Path, job: dict[str, Any], name: str, image: Any, case: Any) -> None:
    """Keep what figures are made of, as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for what, picture in ((name, image), ("truth", case.truth), ("measured", case.shown())):
        shown = np.rint((np.clip(picture, -1, 1) + 1) * 127.5).astype(np.uint8)
        if case.mask is not None and what == name:
            hidden = case.mask if shown.ndim == 2 else case.mask[..., None]
            truth = np.rint((np.clip(case.truth, -1, 1) + 1) * 127.5).astype(np.uint8)
            shown = np.where(hidden, shown, truth)
        np.save(folder / picture_name(job, what), shown)


def installed() -> dict[str, str]:
    """Return the hash of every domain's generator that there is; say which there is not.

    It is that of the weights: an encoder added to a prior's file changes no other result.
    """
    found = {}
    for name in DOMAINS:
        try:
            found[name] = _weights_hash(name)
        except MGANPriorError:
            print(f"prior {name!r} is not installed: its domain is left out")
    return found


@lru_cache(maxsize=8)
def _weights_hash(name: str) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(_prior(name).generator.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    """Measure what is left, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    parser.add_argument("--vgg", type=Path, help="vgg_normalised_conv3_1.pth")
    parser.add_argument(
        "--lpips",
        type=Path,
        help="the folder of VGG16's and LPIPS' published files, for one more column of the report; "
        "those that were fetched if left out, no column where there are none",
    )
    parser.add_argument("--work", type=Path, default=Path(".bench/quality"), help="kept rows")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, help="some of them only")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="some of them only")
    parser.add_argument("--methods", nargs="+", help="some of them only; also 'classical'")
    parser.add_argument("--quick", action="store_true", help="one picture, the default method")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report")
    options = parser.parse_args()
    # imported here: each worker process imports this module too
    from report import write_report

    if not options.report:
        options.hashes = installed()
        vgg = options.vgg if options.vgg is not None and options.vgg.is_file() else None
        options.vgg = vgg
        print(f"quality {options.quality}; deep distance: {'VGG-19' if vgg else 'discriminator'}")
        jobs = [
            job
            for job in plan(options, options.hashes)
            if (not options.domains or job["domain"] in options.domains)
            and (not options.tasks or job["task"] in options.tasks)
            and (not options.methods or job["method"] in options.methods)
        ]
        jobs.sort(key=_turn)
        left = run_jobs(
            jobs, measure, options.work, processes=options.processes, minutes=options.minutes
        )
        if left:
            print(f"{left} jobs are left: run it again")
    kept = options.work / "pictures"
    write_report(with_lpips(read_rows(options.work), kept, options.lpips), kept, options.docs)


if __name__ == "__main__":
    main()
