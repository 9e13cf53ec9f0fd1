"""Every method on a few test images of a prior: inversion, a hole, and 80 % of pixels missing.

``make bench-methods`` prints a line for each: dB over the image for inversion, inside the damage
for the others, of the search with the smallest error and of the mean over searches. It is what
the generator draws, without the interpolation that `restore.Inpainting` adds near measured pixels.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_mganprior.arrays import ValueMap, seeded, to_tensor
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import METHODS, InversionConfig
from napari_mganprior.inversion.loop import invert
from napari_mganprior.inversion.methods import methods_for
from napari_mganprior.operators import Inpainting
from napari_mganprior.priors import find_prior

# restarts and evaluations as in 'balanced'; inversion as `Reconstruction` does it
FILLING = InversionConfig(layer=5, n_codes=10, n_steps=60, n_restarts=4)
INVERSION = InversionConfig(layer=7, n_codes=20, n_steps=100, n_restarts=2, held_out=0.0)


def crops(path: Path, prior: LoadedPrior, n: int) -> Tensor:
    """Cut windows out of test images at random, not too flat, (n, C, R, R)."""
    size, rng, found = prior.generator.resolution, np.random.default_rng(0), []
    with np.load(path) as data:
        images = [data[name] for name in sorted(data.files)]
    images = [image for image in images if min(image.shape[:2]) >= size]
    while len(found) < n:
        image = images[rng.integers(len(images))]
        top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        if crop.std() < 12:
            continue
        how = prior.card.pixel_normalisation
        values = ValueMap.from_percentiles(image, low=how["low"], high=how["high"]).encode(crop)
        found.append(to_tensor(values if values.ndim == 3 else values[..., None]))
    return torch.cat(found)


def psnr(x: Tensor, y: Tensor, where: Tensor) -> float:
    """Mean over images of the dB where it counts, values in [-1, 1]."""
    square = (x.clamp(-1, 1) - y).square() * where
    error = square.sum(dim=(1, 2, 3)) / (where.sum(dim=(1, 2, 3)) * y.shape[1])
    return float((10 * torch.log10(4 / error)).mean())


def main() -> None:
    """Read the arguments, search, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="test.npz of the prior's domain")
    parser.add_argument("--prior", default="nuclei")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="all that go, if left out")
    parser.add_argument("--tune", type=int, default=0, metavar="N", help="tune_steps")
    args = parser.parse_args()
    prior = load_prior(find_prior(args.prior))
    y, size = crops(args.data, prior, args.images), prior.generator.resolution
    hole = torch.ones(len(y), 1, size, size)
    hole[..., size * 3 // 8 : size * 5 // 8, size * 3 // 8 : size * 5 // 8] = 0
    scattered = (torch.rand(hole.shape, generator=seeded(5)) > 0.8).float()
    tasks = {
        "inversion": (torch.ones_like(hole), INVERSION),
        "hole": (hole, FILLING),
        "80 % missing": (scattered, replace(FILLING, layer=7)),
    }
    print(f"{'task':14s}{'method':20s}{'best':>7s}{'mean':>7s}{'evaluations':>13s}{'CPU s':>7s}")
    for task, (known, config) in tasks.items():
        where = torch.ones_like(known) if task == "inversion" else 1 - known
        for method in args.methods or methods_for(prior.generator, prior.encoder):
            began = time.process_time()
            for last in invert(
                prior.generator,
                Inpainting(known),
                y * known,
                replace(config, method=method, tune_steps=args.tune),
                rng=seeded(1),
                weight=known,
                encoder=prior.encoder,
            ):
                step = last
            best = step.image[torch.arange(len(y)), step.error.argmin(dim=1)]
            figures = (psnr(best, y, where), psnr(step.image.mean(dim=1), y, where))
            seconds = time.process_time() - began
            print(
                f"{task:14s}{method:20s}{figures[0]:7.2f}{figures[1]:7.2f}{step.index:13d}{seconds:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
