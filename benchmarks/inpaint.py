"""Quality inside the hole, on held-out images, against the original and against biharmonic.

``make bench-inpaint`` prints a table for every kind of damage and writes the same as CSV, and a
picture with the best, the median and the worst case of each kind.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from reference import reference_batched
from scenes import MASKS, Scene, damage, scenes
from skimage.restoration import inpaint_biharmonic

from napari_mganprior.arrays import from_tensor, network_dtype, seeded, to_tensor
from napari_mganprior.canvas import Canvas, corrected
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.inversion.loop import Step
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.operators import Inpainting
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import search_window

mpl.use("Agg")
import matplotlib.pyplot as plt

Picture = NDArray[np.float32]
METHODS = (
    "ours, mean of restarts",
    "ours, best restart",
    "ours, the drawing alone",
    "single code",
    "reference",
    "biharmonic",
)


def _canvas(scene: Scene, mask: NDArray[np.bool_], config: InversionConfig) -> Canvas:
    """Put a scene on a canvas of one window, as `restore.Inpainting` does."""
    return Canvas(
        np.where(mask, -1, scene.truth).astype(np.float32),
        mask,
        zoom=1,
        size=scene.truth.shape[0],
        context=config.context,
        reach=config.reach,
    )


def _search(canvas: Canvas, prior: LoadedPrior, config: InversionConfig, seed: int) -> Step:
    (window,) = canvas.plan.windows
    for step in search_window(
        canvas, window, prior, config, rng=seeded(seed), device=torch.device("cpu")
    ):
        last = step
    return last


def ours(
    prior: LoadedPrior, scene: Scene, mask: NDArray[np.bool_], config: InversionConfig, seed: int
) -> dict[str, Picture]:
    """Restore as `restore.Inpainting` does."""
    step = _search(_canvas(scene, mask, config), prior, config, seed)
    drawn = np.moveaxis(step.image[0].float().numpy(), 1, -1)  # (R, H, W, C)
    best = int(step.error[0].argmin())
    restored = corrected(drawn, scene.truth[..., None], ~mask, reach=config.reach)[..., 0]
    return {
        METHODS[0]: restored.mean(axis=0),
        METHODS[1]: restored[best],
        METHODS[2]: drawn[..., 0].mean(axis=0),
    }


def single_code(
    prior: LoadedPrior, scene: Scene, mask: NDArray[np.bool_], n_steps: int, seed: int
) -> Picture:
    """Restore with one code and nothing else, by the same optimiser."""
    config = InversionConfig(
        layer=0,
        fine_layer=0,
        n_codes=1,
        n_restarts=1,
        n_steps=n_steps,
        held_out=0.0,
        context=0.0,
        patience=n_steps,
    )
    step = _search(_canvas(scene, mask, config), prior, config, seed)
    return from_tensor(step.image[0, 0])


def originals(
    prior: LoadedPrior,
    chosen: list[tuple[Scene, NDArray[np.bool_]]],
    config: InversionConfig,
    n_steps: int,
) -> list[Picture]:
    """Run the original's procedure on several scenes at once, with our cut and codes."""
    known = torch.cat([torch.from_numpy(~m)[None, None].float() for _, m in chosen])
    operator = Inpainting(known)
    y = operator(torch.cat([to_tensor(s.truth) for s, _ in chosen]))
    dtype = network_dtype(config.precision, torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        x = reference_batched(
            prior.generator,
            operator,
            y,
            layer=config.layer,
            n_codes=config.n_codes,
            n_steps=n_steps,
            rng=seeded(0),
        )
    return [from_tensor(image.float()) for image in x]


def compare(
    prior: LoadedPrior, cases: list[Scene], kind: str, options: argparse.Namespace
) -> Iterator[tuple[Scene, NDArray[np.bool_], dict[str, Picture], float]]:
    """Yield scene, mask, restorations by method, and our seconds."""
    config = preset(options.quality, prior.generator.cuts)
    if options.config:
        config = replace(config, **dict(_setting(s, config) for s in options.config))
    masks = [damage(kind, s.truth, seed=n) for n, s in enumerate(cases)]
    few = list(zip(cases, masks, strict=True))[:: max(1, len(cases) // max(options.reference, 1))]
    few = few[: options.reference]
    theirs = dict(
        zip(
            [s.name for s, _ in few],
            originals(prior, few, config, options.reference_steps) if few else [],
            strict=True,
        )
    )
    for number, (scene, mask) in enumerate(zip(cases, masks, strict=True)):
        started = time.perf_counter()
        restored = ours(prior, scene, mask, config, number)
        seconds = time.perf_counter() - started
        restored[METHODS[3]] = single_code(prior, scene, mask, config.n_steps, number)
        if scene.name in theirs:
            restored[METHODS[4]] = theirs[scene.name]
        restored[METHODS[5]] = inpaint_biharmonic(np.where(mask, 0, scene.truth), mask)
        yield scene, mask, restored, seconds


def _setting(text: str, config: InversionConfig) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, type(getattr(config, name))(value)


def _table(rows: list[dict[str, object]], kind: str) -> str:
    lines = [
        f"\n{kind}\n| method | images | PSNR dB | SSIM | PSNR on the reference's images |",
        "|---|---|---|---|---|",
    ]
    shared = {r["image"] for r in rows if r["method"] == "reference"}
    for method in METHODS:
        mine = [r for r in rows if r["method"] == method]
        if not mine:
            continue
        psnr = np.array([r["psnr"] for r in mine], float)
        ssim = np.array([r["ssim"] for r in mine], float)
        few = [float(r["psnr"]) for r in mine if r["image"] in shared]  # type: ignore[arg-type]
        error = psnr.std(ddof=1) / np.sqrt(len(psnr)) if len(psnr) > 1 else 0.0
        on_few = f"{np.mean(few):.2f}" if few else ""
        lines.append(
            f"| {method} | {len(mine)} | {psnr.mean():.2f} ± {error:.2f} | {ssim.mean():.3f} | "
            f"{on_few} |"
        )
    wins = _gains(rows)
    lines.append(
        f"ours (mean) above biharmonic by {wins.mean():+.2f} dB on average, on "
        f"{int((wins > 0).sum())} of {len(wins)} images"
    )
    return "\n".join(lines)


def _gains(rows: list[dict[str, object]]) -> NDArray[np.float64]:
    """PSNR of ours minus biharmonic's, image by image."""
    by_method = {
        m: {r["image"]: float(r["psnr"]) for r in rows if r["method"] == m}  # type: ignore[arg-type]
        for m in (METHODS[0], METHODS[5])
    }
    return np.array(
        [by_method[METHODS[0]][i] - by_method[METHODS[5]][i] for i in by_method[METHODS[5]]]
    )


def _figure(
    kept: dict[str, list[tuple[Scene, NDArray[np.bool_], dict[str, Picture]]]], path: Path
) -> None:
    """Draw the best, the median and the worst case of every kind of damage."""
    columns = ("truth", "damaged", METHODS[0], METHODS[1], "biharmonic")
    rows = [(kind, case) for kind, cases in kept.items() for case in cases]
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(1.6 * len(columns), 1.6 * len(rows)), squeeze=False
    )
    for line, (kind, (scene, mask, restored)) in zip(axes, rows, strict=True):
        pictures = [scene.truth, np.where(mask, 1, scene.truth)]
        pictures += [np.where(mask, restored[m], scene.truth) for m in columns[2:]]
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{kind}\n{scene.name[:6]}", fontsize=7)
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=7)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="an .npz of held-out images")
    parser.add_argument("--prior", default="nuclei", help="name or file")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--config", nargs="*", metavar="NAME=VALUE", help="change the quality")
    parser.add_argument("--kinds", nargs="*", default=MASKS, choices=MASKS)
    parser.add_argument("--images", type=int, default=27)
    parser.add_argument("--reference", type=int, default=4, help="images for the slow reference")
    parser.add_argument("--reference-steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=Path(".bench"))
    options = parser.parse_args()
    prior = load_prior(find_prior(options.prior))
    cases = scenes(options.data, size=prior.generator.resolution)
    cases = [cases[int(n)] for n in np.linspace(0, len(cases) - 1, options.images).round()]
    print(f"prior {prior.card.name} {prior.sha256}, quality {options.quality}")
    options.out.mkdir(exist_ok=True)
    everything, kept = [], {}
    for kind in options.kinds:
        rows, results, seconds = [], [], []
        for scene, mask, restored, spent in compare(prior, cases, kind, options):
            seconds.append(spent)
            results.append((scene, mask, restored))
            rows += [
                {
                    "kind": kind,
                    "image": scene.name,
                    "method": method,
                    "psnr": psnr_in(mask, scene.truth, picture, data_range=2),
                    "ssim": ssim_in(mask, scene.truth, picture, data_range=2),
                }
                for method, picture in restored.items()
            ]
        order = np.argsort(_gains(rows))[::-1]
        kept[kind] = [results[order[n]] for n in (0, len(order) // 2, -1)]
        everything += rows
        print(_table(rows, kind))
        print(f"ours: {np.median(seconds):.1f} s an image (median)", flush=True)
    with (options.out / "inpaint.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(everything[0]))
        writer.writeheader()
        writer.writerows(everything)
    _figure(kept, options.out / "inpaint.png")


if __name__ == "__main__":
    main()
