"""What was tried where an aim was missed: each idea against the default, on the same pictures.

``make bench-ideas`` does what is not done yet and writes docs/benchmarks-ideas.md. One search
serves several ideas: what differs after it, such as how a drawing is mixed with a classical
estimate, costs nothing more to try.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cases import SIGMA, Case, figures, make_case
from deep import DeepDistance
from domains import DOMAINS, pictures
from numpy.typing import NDArray
from resumable import read_rows, run_jobs
from rivals import PEAK, back_projected, bicubic, biharmonic, denoised

from napari_mganprior.arrays import seeded
from napari_mganprior.canvas.holes import corrected
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.operators.super_resolution import SuperResolution as Reduction
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import (
    Denoising,
    Inpainting,
    NoiseConfig,
    Reconstruction,
    SuperResolution,
)
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.filtering import filtered, thresholded
from napari_mganprior.restore.noise import mended, smoothed
from napari_mganprior.restore.search import pictures as drawings_of
from napari_mganprior.restore.search import search_measurement
from napari_mganprior.restore.super_resolution import reduced
from napari_mganprior.tiling import Window

VERSION = 1
Image = NDArray[np.floating]
Results = dict[str, Image]
BASE, _FEW = "default", "default of 16 searches"
_LEFT_OUT = 0.1
_REACHES = (0.0, 2.0, 4.0, 8.0, 1e3)
_FEATURES = "weight 0.1 of discriminator features"
_FEATURE_TASKS = ("invert", "hole", "missing", "x4", "gaussian")
# pictures of each domain: what is slow is tried on fewer
_MIX_COUNTS = {"gaussian": 6, "poisson": 6, "missing": 3, "hole": 3, "x4": 3, "invert": 3}
_COUNTS = {"features": 2, "search": 2, "restarts": 1}
_CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "gaussian": {
        "end at 0.9 of the noise": {"level": 0.9},
        "end at 1.1 of the noise": {"level": 1.1},
        "20 codes": {"n_codes": 20},
        "later cut": {"later": 0},
    },
    "invert": {"30 codes": {"n_codes": 30}, "later cut": {"later": 2}},
}


def plan(hashes: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """List searches, each with its turn: what many ideas share goes first."""
    for domain in hashes:
        for task, count in _MIX_COUNTS.items():
            if task != "invert" or domain != "blood":
                yield from _jobs(0, domain, task, "mix", count, hashes)
        yield from _jobs(2, domain, "gaussian", "left out", _COUNTS["search"], hashes)
        for task in _FEATURE_TASKS:
            if domain in ("nuclei", "histology") or (domain, task) == ("satellite", "invert"):
                yield from _jobs(1, domain, task, _FEATURES, _COUNTS["features"], hashes)
        for task, groups in _CHANGES.items():
            if task != "invert" or domain == "satellite":
                for group in groups:
                    yield from _jobs(2, domain, task, group, _COUNTS["search"], hashes)
        for task in ("gaussian", "x4", "hole"):
            yield from _jobs(3, domain, task, "restarts", _COUNTS["restarts"], hashes)


def _jobs(
    turn: int, domain: str, task: str, group: str, count: int, hashes: dict[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number in range(count):
        key = f"{domain}/{task}/{group}/{number}/v{VERSION}-{hashes[domain]}"
        names = {"domain": domain, "task": task, "group": group, "number": number}
        yield turn * 10 + number, {"key": key, **names}


def measure(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Carry out one search, and what is made of it; returns a row an idea."""
    torch.set_num_threads(1)
    domain, task, number = job["domain"], job["task"], job["number"]
    crop = pictures(domain, Path(job["data"]), size=64, count=6)[number]
    case = make_case(task, crop, number)
    prior = load_prior(find_prior(domain))
    started = time.process_time()
    results = _tried(case, prior, job["group"], number)
    seconds = time.process_time() - started
    distance = DeepDistance(Path(job["vgg"]) if job["vgg"] else None, prior.discriminator)
    return [
        {
            "domain": domain, "task": task, "idea": name, "number": number,
            **figures(case, image),
            "deep": distance(case.truth, np.clip(_whole(case, image), -1, 1)),
            "seconds": round(seconds, 2),
        }
        for name, image in results.items()
    ]  # fmt: skip


def _whole(case: Case, image: Image) -> Image:
    if case.mask is None:
        return image
    hidden = case.mask if image.ndim == 2 else case.mask[..., None]
    return np.where(hidden, image, case.truth)


def _tried(case: Case, prior: LoadedPrior, group: str, seed: int) -> Results:
    if group == "mix":
        return _MIXES[case.task](case, prior, seed)
    if group == "left out":
        return _left_out(case, prior, seed)
    if group == "restarts":
        return _restarts(case, prior, seed)
    if group == _FEATURES:
        return {group: _default(case, prior, seed, feature_weight=0.1)}
    changes = dict(_CHANGES[case.task][group])
    if "later" in changes:
        changes["layer"] = prior.generator.cuts[1] + changes.pop("later")
    return {group: _default(case, prior, seed, **changes)}


def _open(
    case: Case,
    prior: LoadedPrior,
    seed: int,
    *,
    left: Any = None,
    level: float = 1.0,
    **changes: Any,
) -> WindowTask:
    """Open the case's task with settings of its default changed; pixels ``left`` out of it."""
    options: dict[str, Any] = {"overrides": changes, "seed": seed, "device": "cpu"}
    if case.mask is not None:
        mask = case.mask if left is None else case.mask | left
        return Inpainting(case.measured, mask, prior, **options)
    if case.task == "gaussian":
        noise = NoiseConfig(level=SIGMA * level)
        return Denoising(case.measured, prior, noise=noise, mask=left, **options)
    if case.task == "poisson":
        noise = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.0)
        return Denoising(case.measured, prior, noise=noise, mask=left, **options)
    if case.factor > 1:
        return SuperResolution(
            case.measured, prior, factor=case.factor, drawing_only=True, **options
        )
    return Reconstruction(case.measured, prior, **options)


def _drawn(run: WindowTask) -> Image:
    """Return what each restart drew, (R, H, W[, C]), in the image's units."""
    step: Any = None
    for _ in run:
        step = run._current[1]  # crops are as large as a window: there is one
    return run._values.decode(drawings_of(step.image))


def drawn_by_each(case: Case, prior: LoadedPrior, seed: int) -> Image:
    """Return what each restart drew with the default's settings, as the truth is shaped."""
    return _shaped(case, _drawn(_open(case, prior, seed)))


def _shaped(case: Case, image: Image) -> Image:
    """Bring a drawing to the truth's shape and range."""
    image = np.asarray(image, np.float64).reshape(*image.shape[:-3], *case.truth.shape)
    return image / PEAK * 2 - 1 if case.task == "poisson" else image


def _default(case: Case, prior: LoadedPrior, seed: int, **changes: Any) -> Image:
    """Carry the task out; of denoising and super-resolution, the drawing alone."""
    run = _open(case, prior, seed, **changes)
    if isinstance(run, Denoising):
        return _within(case, _shaped(case, _drawn(run)).mean(0))
    for _ in run:
        pass
    return _shaped(case, run.result().image.reshape(*case.truth.shape[:2], -1))


def _within(case: Case, image: Image) -> Image:
    return np.clip(image, case.shown().min(), case.shown().max())


def _restarts(case: Case, prior: LoadedPrior, seed: int) -> Results:
    """Average the first 4, 8 and 16 of 16 searches."""
    drawn = _shaped(case, _drawn(_open(case, prior, seed, n_restarts=16)))
    return {
        (_FEW if n == 4 else f"{n} searches"): _finished(case, drawn[:n].mean(0))
        for n in (4, 8, 16)
    }


def _finished(case: Case, drawn: Image) -> Image:
    """Do with a mean drawing what the task does."""
    if case.factor > 1:
        return back_projected(drawn, case.measured, case.factor)
    if case.mask is None:
        return drawn
    values = case.truth.reshape(*case.mask.shape, -1).astype(np.float32)
    planes = drawn.reshape(1, *values.shape).astype(np.float32)
    return corrected(planes, values, ~case.mask, reach=2.0)[0].reshape(case.truth.shape)


def _share(drawn: Image, other: Image, seen: Image, where: Any) -> float:
    """Return the drawing's share, 0 .. 1, that is nearest to values neither was told."""
    d, o, y = (np.asarray(a)[where] for a in (drawn, other, seen))
    return float(np.clip(((y - o) * (d - o)).sum() / max(((d - o) ** 2).sum(), 1e-12), 0, 1))


def _noisy_mixes(case: Case, prior: LoadedPrior, seed: int) -> Results:
    photons = case.task == "poisson"
    shown = case.shown()
    drawn = _default(case, prior, seed)
    smooth = denoised("non-local means", case.measured, case.sigma, 1.0, photons=photons)
    variance = np.full(shown.shape, SIGMA**2)
    if photons:
        count = np.maximum(smoothed(case.measured, np.zeros(shown.shape[:2], bool)), 1)
        variance = count * (2 / PEAK) ** 2
    itself = thresholded(shown, variance)
    return {
        BASE: drawn,
        "half non-local means": (drawn + smooth) / 2,
        "filter, the drawing its pilot": filtered(shown, drawn, variance),
        "filter, non-local means its pilot": filtered(shown, smooth, variance),
        "filter, no prior in its pilot": filtered(shown, itself, variance),
        "filter, half drawing half threshold its pilot": filtered(
            shown, (drawn + itself) / 2, variance
        ),
    }


def _left_out(case: Case, prior: LoadedPrior, seed: int) -> Results:
    """Mix with non-local means: the drawing's share by pixels that neither was told."""
    shown = case.shown()
    left = np.random.default_rng([seed, 77]).random(shown.shape[:2]) < _LEFT_OUT
    part = _default(case, prior, seed, left=left)
    around = denoised("non-local means", mended(shown, left), case.sigma, 1.0, photons=False)
    share = _share(part, around, shown, left)
    drawn = _default(case, prior, seed)
    smooth = denoised("non-local means", case.measured, case.sigma, 1.0, photons=False)
    name = "non-local means, share by pixels left out"
    return {name: share * drawn + (1 - share) * smooth}


def _filling_mixes(case: Case, prior: LoadedPrior, seed: int) -> Results:
    """Mix with the biharmonic equation: shares and reach by pixels that were left out."""
    assert case.mask is not None
    rng = np.random.default_rng([seed, 78])
    left = ~case.mask & (rng.random(case.mask.shape) < _LEFT_OUT)
    if case.task == "hole":  # what is left out must lie as deep: a block of the same size
        left = np.roll(case.mask, 20 * (1 - 2 * int(rng.integers(2))), axis=int(rng.integers(2)))
    values = case.truth.reshape(*case.mask.shape, -1).astype(np.float32)
    both = case.mask | left

    def filled(drawn: Image, damage: Any, reach: float) -> Image:
        planes = drawn.reshape(1, *values.shape).astype(np.float32)
        return corrected(planes, values, ~damage, reach=reach)[0].reshape(case.truth.shape)

    drawn = _shaped(case, _drawn(_open(case, prior, seed))).mean(0)
    part = _shaped(case, _drawn(_open(case, prior, seed, left=left))).mean(0)
    errors = [np.mean((filled(part, both, r) - case.truth)[left] ** 2) for r in _REACHES]
    smooth = biharmonic(case.truth, case.mask)
    around = biharmonic(case.truth, both)
    results = {BASE if r == 2 else f"reach {r:g} px": filled(drawn, case.mask, r) for r in _REACHES}
    chosen = _REACHES[int(np.argmin(errors))]
    results["reach by pixels left out"] = filled(drawn, case.mask, chosen)
    share = _share(filled(part, both, 2.0), around, case.truth, left)
    results["biharmonic, share by pixels left out"] = share * results[BASE] + (1 - share) * smooth
    results["half biharmonic"] = (results[BASE] + smooth) / 2
    return results


def _enlarging_mixes(case: Case, prior: LoadedPrior, seed: int) -> Results:
    """Mix with bicubic interpolation that agrees with what was measured, as the drawing does."""
    y = case.measured
    each = drawn_by_each(case, prior, seed)
    drawn = back_projected(each.mean(0), y, case.factor)
    enlarged = bicubic(y, case.factor)
    smooth = back_projected(enlarged, y, case.factor)
    # before they were made to agree: whoever explains what was measured better counts more
    faults = [np.mean((reduced(x, case.factor) - y) ** 2) for x in (each.mean(0), enlarged)]
    fit = faults[1] / sum(faults)
    spread = each.var(axis=0).reshape(*case.truth.shape[:2], -1).mean(-1)
    spread = spread if y.ndim == 2 else spread[..., None]
    apart = np.mean((drawn - smooth) ** 2)
    local = apart / (apart + spread)
    left = np.random.default_rng([seed, 79]).random(y.shape[:2]) < _LEFT_OUT
    part = _without(case, prior, seed, left)
    around = reduced(bicubic(mended(y, left), case.factor), case.factor)
    share = _share(reduced(part, case.factor), around, y, left)
    return {
        BASE: drawn,
        "half bicubic": (drawn + smooth) / 2,
        "bicubic where searches disagree": local * drawn + (1 - local) * smooth,
        "bicubic, share by what each explains": fit * drawn + (1 - fit) * smooth,
        "bicubic, share by pixels left out": share * drawn + (1 - share) * smooth,
    }


def _without(case: Case, prior: LoadedPrior, seed: int, left: Any) -> Image:
    """Draw an enlarged picture with measured pixels left out."""
    run = _open(case, prior, seed)
    step: Any = None
    side = case.truth.shape[0]
    for step in search_measurement(  # noqa: B007
        case.measured.reshape(*left.shape, -1).astype(np.float32),
        (~left).astype(np.float32),
        Window(0, 0, side),
        prior,
        run.config,
        operator=Reduction(case.factor),
        rng=seeded(seed, 0, 0),
        device=torch.device("cpu"),
    ):
        pass
    return _shaped(case, drawings_of(step.image)).mean(0)


_MIXES: dict[str, Callable[[Case, LoadedPrior, int], Results]] = {
    "gaussian": _noisy_mixes,
    "poisson": _noisy_mixes,
    "missing": _filling_mixes,
    "hole": _filling_mixes,
    "x4": _enlarging_mixes,
    "invert": lambda case, prior, seed: {BASE: _default(case, prior, seed)},
}


def _bases(rows: list[dict[str, Any]]) -> Iterator[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """Pair each row of an idea with that of the default on the same picture."""
    known = {(r["domain"], r["task"], r["number"]): r for r in rows if r["idea"] == BASE}
    few = {(r["domain"], r["task"], r["number"]): r for r in rows if r["idea"] == _FEW}
    for row in rows:
        at = (row["domain"], row["task"], row["number"])
        base = few.get(at) if row["idea"].endswith(" searches") else known.get(at)
        if base is not None and row["idea"] != base["idea"]:
            yield (row["task"], row["idea"], row["domain"]), row, base


def write_page(rows: list[dict[str, Any]], path: Path) -> None:
    """Write what each idea gained, task by task."""
    pairs: dict[Any, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for key, row, base in _bases(rows):
        pairs.setdefault(key, []).append((row, base))
    lines = [_HEADER]
    for task in dict.fromkeys(key[0] for key in pairs):
        lines += [f"\n## {task}\n", _COLUMNS]
        for (one, idea, domain), both in pairs.items():
            if one == task:
                cells = [_gain(both, name, digits) for name, digits in _FIGURES]
                cost = np.median([a["seconds"] for a, _ in both])
                mean = np.mean([a["psnr"] for a, _ in both])
                lines.append(
                    f"| {idea} | {domain} | {len(both)} | {mean:.2f} | {' | '.join(cells)} "
                    f"| {cost:.1f} |"
                )
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


_FIGURES = (("psnr", 2), ("ssim", 3), ("deep", 4))
_COLUMNS = (
    "| idea | domain | n | PSNR | gain, dB | gain in SSIM | deep distance | seconds |\n"
    "|---|---|---|---|---|---|---|---|"
)
_HEADER = """# Ideas that were tried

What was tried where [an aim](benchmarks.md#aims) was missed: `make bench-ideas` measures what is
not measured yet, and writes this page. Gains are those over the default (of denoising: over the
drawing alone) on the same pictures, mean ± standard error; a deep distance that falls is better.
Seconds are those of all that one job searched and tried. Pictures, damage and figures are those
of [the benchmarks](benchmarks.md), quality balanced. One or two pictures (n) are a first look, no
proof."""


def _gain(both: Sequence[tuple[dict[str, Any], dict[str, Any]]], name: str, digits: int) -> str:
    gains = np.array([row[name] - base[name] for row, base in both])
    error = f" ± {gains.std(ddof=1) / np.sqrt(len(gains)):.{digits}f}" if len(gains) > 1 else ""
    return f"{gains.mean():+.{digits}f}{error}"


def main() -> None:
    """Measure what is left, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    parser.add_argument("--vgg", type=Path, help="vgg_normalised_conv3_1.pth")
    parser.add_argument("--work", type=Path, default=Path(".bench/ideas"), help="kept rows")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--tasks", nargs="+", help="some of them only")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="measure nothing; write the page")
    options = parser.parse_args()
    if not options.report:
        vgg = options.vgg if options.vgg is not None and options.vgg.is_file() else None
        hashes = {d: load_prior(find_prior(d)).sha256[:12] for d in DOMAINS}
        jobs = [
            {**job, "data": str(options.data), "vgg": None if vgg is None else str(vgg)}
            for _, job in sorted(plan(hashes), key=lambda pair: pair[0])
            if not options.tasks or job["task"] in options.tasks
        ]
        left = run_jobs(
            jobs, measure, options.work, processes=options.processes, minutes=options.minutes
        )
        if left:
            print(f"{left} jobs are left: run it again")
    write_page(read_rows(options.work), options.docs / "benchmarks-ideas.md")


if __name__ == "__main__":
    main()
