"""Ask whether a prior made from 60 images in 30 minutes is better than biharmonic functions.

``make bench-own-prior`` takes a tenth of the nuclei images, trains on them with the shell command
that anybody would use, fills 16-px discs in images that were never seen, and prints the numbers.
"""

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from inpaint import METHODS, ours
from numpy.typing import NDArray
from scenes import Scene, disc_on_edge, scenes
from skimage.restoration import inpaint_biharmonic

from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import preset
from napari_mganprior.metrics import psnr_in, ssim_in

Case = tuple[Scene, NDArray[np.bool_]]
OURS, RIVAL = METHODS[0], METHODS[5]


def few_images(source: Path, path: Path, n: int) -> None:
    """Write ``n`` images of an ``.npz`` file, evenly spread over its sorted keys, to another."""
    with np.load(source, allow_pickle=False) as images:
        keys = sorted(images.files)
        chosen = [keys[int(k)] for k in np.linspace(0, len(keys) - 1, n).round()]
        np.savez(path, **{key: images[key] for key in chosen})


def cases(path: Path, *, size: int, diameter: int, rounds: int) -> list[Case]:
    """Draw ``rounds`` crops and discs from every held-out image."""
    return [
        (
            scene,
            disc_on_edge(
                scene.truth, diameter, np.random.default_rng([1_000 * number + n, diameter])
            ),
        )
        for number in range(rounds)
        for n, scene in enumerate(scenes(path, size=size, seed=number))
    ]


def compare(prior: LoadedPrior, chosen: list[Case], quality: str) -> list[dict[str, object]]:
    """Fill every disc with the prior and with biharmonic functions."""
    config = preset(quality, prior.generator.cuts)
    rows: list[dict[str, object]] = []
    for number, (scene, mask) in enumerate(chosen):
        started = time.perf_counter()
        filled = {OURS: ours(prior, scene, mask, config, number)[OURS]}
        seconds = time.perf_counter() - started
        filled[RIVAL] = inpaint_biharmonic(np.where(mask, 0, scene.truth), mask)
        rows += [
            {
                "case": f"{scene.name} {number}",
                "method": method,
                "ssim": ssim_in(mask, scene.truth, picture, data_range=2),
                "psnr": psnr_in(mask, scene.truth, picture, data_range=2),
                "seconds": round(seconds, 2) if method == OURS else 0.0,
            }
            for method, picture in filled.items()
        ]
    return rows


def summary(rows: list[dict[str, object]]) -> str:
    """Tabulate means, and the paired difference with its standard error."""
    lines = ["| method | discs | SSIM in the disc | PSNR dB |", "|---|---|---|---|"]
    values = {
        (method, key): np.array([float(str(r[key])) for r in rows if r["method"] == method])
        for method in (OURS, RIVAL)
        for key in ("ssim", "psnr")
    }
    for method in (OURS, RIVAL):
        ssim, psnr = values[method, "ssim"], values[method, "psnr"]
        lines.append(f"| {method} | {len(ssim)} | {ssim.mean():.3f} | {psnr.mean():.2f} |")
    for key, unit in (("ssim", "SSIM"), ("psnr", "dB")):
        gain = values[OURS, key] - values[RIVAL, key]
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        lines.append(
            f"ours above biharmonic by {gain.mean():+.3f} ± {error:.3f} {unit}, better on "
            f"{int((gain > 0).sum())} of {len(gain)} discs"
        )
    return "\n".join(lines)


def main() -> int:
    """Train unless that was done, compare, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/test.npz")
    parser.add_argument("--images", type=int, default=60, help="to train on")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--prior", type=Path, help="compare this one instead of training")
    parser.add_argument("--diameter", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2, help="discs an image")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--out", type=Path, default=Path(".bench/own-prior"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.prior
    if path is None:
        images = options.out / "few.npz"
        few_images(options.data / "train.npz", images, options.images)
        command = ["train", str(images), "--name", "few", "--minutes", f"{options.minutes:g}"]
        command += ["-o", str(options.out)]
        print("napari-mganprior", *command, flush=True)
        code = subprocess.call([sys.executable, "-m", "napari_mganprior.cli", *command])
        if code:
            return code
        path = options.out / "few.safetensors"
    prior = load_prior(path)
    chosen = cases(
        options.data / "test.npz",
        size=prior.generator.resolution,
        diameter=options.diameter,
        rounds=options.rounds,
    )
    rows = compare(prior, chosen, options.quality)
    with (options.out / "own_prior.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"prior {prior.card.name} {prior.sha256}, discs of {options.diameter} px")
    print(summary(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
