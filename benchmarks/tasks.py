"""Denoising and super-resolution on held-out images against classical methods.

``make bench-tasks`` prints a table for every task, PSNR and SSIM over the whole crop, mean and
standard error, and writes the same as CSV. Every denoiser is told the noise level; the classical
ones see photon noise through the Anscombe transform. Wavelets need PyWavelets, which is no
dependency: without it that row is left out, and this is said.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scenes import Scene, scenes
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet
from skimage.transform import resize

from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import Denoising, NoiseConfig, SuperResolution
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.super_resolution import reduced

Picture = NDArray[np.floating]
KINDS = ("gaussian", "poisson", "x4", "x8")
SIGMA = 25 / 255  # of the range from darkest to brightest
PEAK = 10  # photons at the brightest
STRENGTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)


def ours(task: WindowTask) -> Picture:
    """Carry a task out."""
    for _ in task:
        pass
    return task.result().image


def nl_means(y: Picture, sigma: float) -> Picture:
    """Non-local means with the settings that scikit-image recommends for a known level."""
    return denoise_nl_means(
        y, h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=False
    )


def total_variation(y: Picture, sigma: float) -> Picture:
    """Total variation, Chambolle's algorithm; there is no rule for the weight."""
    return denoise_tv_chambolle(y, weight=sigma, max_num_iter=500)


def wavelet(y: Picture, sigma: float) -> Picture:
    """Wavelet thresholds by BayesShrink."""
    return denoise_wavelet(y, sigma=sigma, method="BayesShrink")


CLASSICAL: dict[str, Callable[[Picture, float], Picture]] = {
    "non-local means": nl_means,
    "total variation": total_variation,
    **({"wavelet, BayesShrink": wavelet} if find_spec("pywt") else {}),
}


def stabilised(
    method: Callable[[Picture, float], Picture], counts: Picture, sigma: float
) -> Picture:
    """Denoise photon counts where their noise is alike everywhere: after Anscombe's transform.

    The result is in [-1, 1].

    Back by the closed form of the exact unbiased inverse, Mäkitalo, Foi, 2011,
    https://doi.org/10.1109/TIP.2011.2121085.
    """
    d = np.maximum(method(2 * np.sqrt(counts + 3 / 8), sigma), 2 * np.sqrt(3 / 8))
    root = np.sqrt(3 / 2)
    back = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return np.maximum(back, 0.0) / PEAK * 2 - 1


def classical(
    y: Picture, sigma: float, truth: Picture, wrap: Callable[..., Picture]
) -> Iterator[tuple[str, Picture]]:
    """Yield what classical methods make of an image, told its level; and at their very best.

    "Best strength" is chosen for every image by the truth, which nobody has: more than fair.
    """
    for name, method in CLASSICAL.items():
        tries = [wrap(method, y, sigma * strength) for strength in STRENGTHS]
        if method is not total_variation:
            yield name, tries[STRENGTHS.index(1.0)]
        yield f"{name}, best strength", min(tries, key=lambda x: float(np.mean((x - truth) ** 2)))


def restorations(
    kind: str, scene: Scene, number: int, prior: LoadedPrior, options: argparse.Namespace
) -> Iterator[tuple[str, Picture]]:
    """Yield methods and what they make of one crop, in [-1, 1]."""
    keywords = {"quality": options.quality, "seed": number, "device": options.device}
    rng = np.random.default_rng([number, KINDS.index(kind)])
    truth = scene.truth.astype(np.float64)
    if kind == "gaussian":
        sigma = 2 * SIGMA
        y = truth + rng.normal(0, sigma, truth.shape)
        yield "ours", ours(Denoising(y, prior, noise=NoiseConfig(level=sigma), **keywords))
        yield "ours, level measured", ours(Denoising(y, prior, **keywords))
        yield from classical(y, sigma, truth, lambda method, *given: method(*given))
        yield "the noisy image", y
    elif kind == "poisson":
        counts = rng.poisson((truth + 1) / 2 * PEAK).astype(np.float64)
        known = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.0)
        measured = NoiseConfig(model="poisson")
        yield "ours", ours(Denoising(counts, prior, noise=known, **keywords)) / PEAK * 2 - 1
        yield (
            "ours, level measured",
            ours(Denoising(counts, prior, noise=measured, **keywords)) / PEAK * 2 - 1,
        )
        yield from classical(counts, 1.0, truth, stabilised)
        yield "the noisy image", counts / PEAK * 2 - 1
    else:
        factor = int(kind[1:])
        y = reduced(truth, factor)
        yield "ours", ours(SuperResolution(y, prior, factor=factor, **keywords))
        yield "bicubic", resize(y, truth.shape, order=3, mode="symmetric")
        yield "nearest", np.kron(y, np.ones((factor, factor)))


def table(kind: str, rows: list[dict[str, object]]) -> str:
    """Write the mean and the standard error of every method."""
    lines = [f"\n{kind}\n| method | images | PSNR dB | SSIM | seconds |", "|---|---|---|---|---|"]
    for method in dict.fromkeys(str(r["method"]) for r in rows):
        mine = [r for r in rows if r["method"] == method]
        told = []
        for name in ("psnr", "ssim"):
            values = np.array([r[name] for r in mine], float)
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            told.append(f"{values.mean():.{2 if name == 'psnr' else 3}f} ± {error:.3f}")
        spent = [float(str(r["seconds"])) for r in mine if r["seconds"] != ""]
        seconds = f"{np.median(spent):.1f}" if spent else ""
        lines.append(f"| {method} | {len(mine)} | {' | '.join(told)} | {seconds} |")
    return "\n".join(lines)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="an .npz of held-out images")
    parser.add_argument("--prior", default="nuclei", help="name or file")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--images", type=int, default=27)
    parser.add_argument("--out", type=Path, default=Path(".bench"))
    options = parser.parse_args()
    prior = load_prior(find_prior(options.prior))
    print(f"prior {prior.card.name} {prior.sha256}, quality {options.quality}")
    if "wavelet, BayesShrink" not in CLASSICAL:
        print("PyWavelets is not installed: no row for wavelets")
    options.out.mkdir(exist_ok=True)
    everything: list[dict[str, object]] = []
    for kind in options.kinds:
        rows: list[dict[str, object]] = []
        factor = int(kind[1:]) if kind[1:].isdigit() else 1
        # no image of fewer than 16 px is enlarged
        cases = scenes(options.data, size=max(prior.generator.resolution, 16 * factor))
        cases = [cases[int(n)] for n in np.linspace(0, len(cases) - 1, options.images).round()]
        for number, scene in enumerate(cases):
            started = time.perf_counter()
            for method, picture in restorations(kind, scene, number, prior, options):
                seconds = time.perf_counter() - started
                whole = np.ones(scene.truth.shape, bool)
                shown = np.clip(picture, -1, 1)  # truth lies in this range; nobody shows more
                rows.append(
                    {
                        "kind": kind,
                        "image": scene.name,
                        "method": method,
                        "psnr": psnr_in(whole, scene.truth, shown, data_range=2),
                        "ssim": ssim_in(whole, scene.truth, shown, data_range=2),
                        # the others' several tries are made at once
                        "seconds": round(seconds, 2) if method.startswith("ours") else "",
                    }
                )
                started = time.perf_counter()
        print(table(kind, rows), flush=True)
        everything += rows
    with (options.out / "tasks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(everything[0]))
        writer.writeheader()
        writer.writerows(everything)


if __name__ == "__main__":
    main()
