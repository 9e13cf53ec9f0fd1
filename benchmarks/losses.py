"""What the loss is worth: feature distances and the likelihood of photon noise, on held-out crops.

``make bench-losses`` prints PSNR over the restored pixels and a deep distance, mean and standard
error, for every loss, and how much each differs from the mean square on the same crops.
``--head FILE`` adds a normalised VGG-19 up to relu3_1 (six convolutions, reflected at the edges);
``--features vgg16`` compares by VGG16, where `fetch_weights` has brought it.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from scenes import Scene, damage, scenes
from torch import Tensor, nn

from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import preset
from napari_mganprior.metrics import psnr_in
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import (
    Denoising,
    Inpainting,
    NoiseConfig,
    Reconstruction,
    SuperResolution,
)
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.comparing import deep_distance
from napari_mganprior.restore.super_resolution import reduced

TASKS = ("invert", "disc", "missing", "x4", "gaussian", "poisson")
WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1)
SIGMA, PEAK = 25 / 255, 10


class NormalisedHead(nn.Module):
    """VGG-19 up to relu3_1, weights scaled so that every channel is 1 on average.

    Parameters
    ----------
    path : Path
        A torch file with ``0``, ``2``, ``5``, ``9``, ``12``, ``16`` as names of convolutions.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.weights: Mapping[str, Tensor] = torch.load(path, weights_only=True)

    def features(self, x: Tensor, n_maps: int) -> list[Tensor]:
        """Return relu2_1 and relu3_1, at 1/2 and 1/4 of the size."""
        h = (x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x) * 0.5 + 0.5
        maps = []
        for name in ("0", "2", "5", "9", "12", "16"):
            weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
            if name in ("9", "16"):
                h = F.max_pool2d(h, 2)
            side = weight.shape[-1] // 2
            h = F.conv2d(F.pad(h, (side,) * 4, mode="reflect") if side else h, weight, bias)
            h = h if name == "0" else F.relu(h)
            if name in ("9", "16"):
                maps.append(h)
        return maps[:n_maps]


def make(task: str, scene: Scene, number: int, prior: LoadedPrior, **changes: object) -> WindowTask:
    """Open a task on a crop, with some settings changed."""
    rng = np.random.default_rng([7, number])
    truth = scene.truth
    config = preset("fast", prior.generator.cuts)
    kind = Reconstruction
    options: dict[str, object] = {}
    if task in ("disc", "missing"):
        kind, options["mask"] = Inpainting, damage(task, truth, seed=number)
    elif task == "x4":
        kind, truth = SuperResolution, reduced(truth, 4)
        options["factor"] = 4
        config = replace(config, n_steps=2 * config.n_steps)
    elif task == "gaussian":
        kind = Denoising
        truth = truth + 2 * SIGMA * rng.standard_normal(truth.shape)
        options["noise"] = NoiseConfig(level=2 * SIGMA)
    elif task == "poisson":
        kind = Denoising
        truth = rng.poisson((truth + 1) / 2 * PEAK).astype(np.float64)
        options["noise"] = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.0)
    if kind is Denoising:
        config = replace(config, n_steps=2 * config.n_steps, held_out=0.0)
    mask = options.pop("mask", None)
    config = replace(config, **changes)
    pictures = (truth,) if mask is None else (truth, mask)
    return kind(*pictures, prior, config=config, device="cpu", **options)


def measured(task: str, run: WindowTask, scene: Scene, number: int, prior: LoadedPrior) -> NDArray:
    """Carry out a task; returns PSNR and deep distance."""
    for _ in run:
        pass
    image = np.asarray(run.result().image, np.float64)
    if task == "poisson":
        image = image / PEAK * 2 - 1
    mask = np.ones(image.shape, bool)
    if task in ("disc", "missing"):
        mask = damage(task, scene.truth, seed=number)
    deep = deep_distance(scene.truth, image, prior, value_range=(-1, 1))
    return np.array([psnr_in(mask, scene.truth, image, data_range=2.0), deep])


def losses(task: str, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Return the losses to be tried, by name; the first is the mean square."""
    tried: dict[str, dict[str, object]] = {"mean square": {}}
    if task == "poisson":
        tried["likelihood"] = {"data_term": "poisson-gaussian"}
    for weight in options.weights:
        if weight:
            changes = {"feature_weight": weight, "features": options.features}
            tried[f"+ {weight:g} x features"] = changes
    return tried


def main() -> None:
    """Print a table a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--weights", nargs="+", type=float, default=WEIGHTS)
    parser.add_argument("--features", choices=("discriminator", "vgg16"), default="discriminator")
    parser.add_argument("--head", type=Path, help="a VGG-19 head that compares in its place")
    options = parser.parse_args()
    prior = load_prior(find_prior("nuclei"))
    judge = prior
    if options.head is not None:
        prior = replace(prior, discriminator=NormalisedHead(options.head))
    crops = scenes(options.data, size=prior.generator.resolution)[: options.images]
    show: Callable[[NDArray], str] = lambda x: (  # noqa: E731
        f"{x.mean():8.4f} +- {x.std(ddof=1) / np.sqrt(len(x)):.4f}"
    )
    for task in options.tasks:
        print(f"\n{task}: {len(crops)} crops; PSNR (dB), deep distance, and their gains")
        base = None
        for name, changes in losses(task, options).items():
            rows = np.array(
                [
                    measured(task, make(task, crop, number, prior, **changes), crop, number, judge)
                    for number, crop in enumerate(crops)
                ]
            )
            base = rows if base is None else base
            gain = rows - base
            cells = [show(column) for column in (*rows.T, *gain.T)]
            print(f"{name:22}" + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
