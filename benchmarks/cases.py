"""One task on one picture: the damage, our result, other methods' results, the figures."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from domains import Picture, pictures
from numpy.typing import NDArray
from rivals import (
    DENOISERS,
    PEAK,
    back_projected,
    bicubic,
    biharmonic,
    calibrated,
    denoised,
)

from napari_mganprior.files import write_atomically
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.restore import (
    Colorization,
    Denoising,
    Inpainting,
    NoiseConfig,
    Reconstruction,
    SuperResolution,
)
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.colorization import luma
from napari_mganprior.restore.super_resolution import reduced

__all__ = ["OURS", "SIGMA", "SINGLE", "TASKS", "Case", "figures", "make_case", "ours", "rivals"]

Image = NDArray[np.floating]
TASKS = ("invert", "hole", "missing", "gaussian", "poisson", "x4", "x8", "colorize")
OURS = "multi-code"
SINGLE = "single-code"
SIGMA = 2 * 25 / 255  # in the generator's units, whose range is 2
_CALIBRATION = 4  # training pictures


@dataclass(frozen=True)
class Case:
    """A damaged picture.

    Attributes
    ----------
    task : str
        One of `TASKS`.
    truth : array
        In [-1, 1].
    measured : array
        What a method is given: in [-1, 1], or photon counts.
    mask : array of bool or None
        Pixels that are missing.
    """

    task: str
    truth: Image
    measured: Image
    mask: NDArray[np.bool_] | None = None

    @property
    def factor(self) -> int:
        """Of super-resolution; else 1."""
        return int(self.task[1:]) if self.task in ("x4", "x8") else 1

    @property
    def sigma(self) -> float:
        """Of the noise; that of the Anscombe transform for photons."""
        return 1.0 if self.task == "poisson" else SIGMA

    def shown(self) -> Image:
        """Return what was measured as a picture of the truth's shape, in [-1, 1]."""
        if self.task == "poisson":
            return self.measured / PEAK * 2 - 1
        if self.factor > 1:
            return self.measured.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        if self.task == "colorize":
            return np.repeat(self.measured[..., None], 3, axis=-1)
        if self.mask is not None:
            hidden = self.mask if self.truth.ndim == 2 else self.mask[..., None]
            return np.where(hidden, 1.0, self.measured)
        return self.measured


def make_case(task: str, picture: Picture, seed: int) -> Case:
    """Damage a picture; the same seed gives the same damage."""
    truth = picture.truth.astype(np.float64)
    rng = np.random.default_rng([seed, TASKS.index(task)])
    height, width = truth.shape[:2]
    if task == "hole":  # a quarter of the side wide, as in the paper
        mask = np.zeros((height, width), bool)
        mask[3 * height // 8 : 5 * height // 8, 3 * width // 8 : 5 * width // 8] = True
        return Case(task, truth, truth, mask)
    if task == "missing":
        return Case(task, truth, truth, rng.random((height, width)) < 0.8)
    if task == "gaussian":
        return Case(task, truth, truth + rng.normal(0, SIGMA, truth.shape))
    if task == "poisson":
        return Case(task, truth, rng.poisson((truth + 1) / 2 * PEAK).astype(np.float64))
    if task in ("x4", "x8"):
        return Case(task, truth, reduced(truth, int(task[1:])))
    if task == "colorize":
        return Case(task, truth, luma(truth))
    return Case(task, truth, truth)


def _open(case: Case, prior: LoadedPrior, **options: Any) -> WindowTask:
    given, options = case.measured, {"device": "cpu", **options}
    if case.mask is not None:
        return Inpainting(given, case.mask, prior, **options)
    if case.task == "gaussian":
        return Denoising(given, prior, noise=NoiseConfig(level=SIGMA), **options)
    if case.task == "poisson":
        known = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.0)
        return Denoising(given, prior, noise=known, **options)
    if case.factor > 1:
        return SuperResolution(given, prior, factor=case.factor, **options)
    if case.task == "colorize":
        return Colorization(given, prior, **options)
    return Reconstruction(given, prior, **options)


def ours(
    case: Case, prior: LoadedPrior, method: str, seed: int, quality: str
) -> tuple[Image, float]:
    """Carry a task out by one of the engine's methods; returns the picture and CPU seconds.

    All but the method is the quality's own for the task: restarts, codes, evaluations, cut.
    """
    task = _open(case, prior, quality=quality, seed=seed)
    config = _with_method(task.config, method)
    if config != task.config:
        task = _open(case, prior, config=config, seed=seed)
    started = time.process_time()
    for _ in task:
        pass
    image = task.result().image
    if case.task == "poisson":
        image = image / PEAK * 2 - 1
    return image, time.process_time() - started


def _with_method(config: InversionConfig, method: str) -> InversionConfig:
    if method == OURS:
        return config
    if method == "multi-code, one restart":
        return replace(config, n_restarts=1)
    if hasattr(config, "method"):
        return replace(config, method=method)
    if method == SINGLE:
        return replace(config, layer=0, fine_layer=0, n_codes=1)
    raise NotImplementedError(f"this version has no method {method!r}")


Rival = Callable[[Case], Image]


def rivals(case: Case, domain: str, data: Path, kept: Path) -> Iterator[tuple[str, Rival]]:
    """Yield the names of the classical methods for a task, and what does each.

    Strengths that were calibrated once are kept in the folder ``kept``.
    """
    if case.mask is not None:
        yield "biharmonic", lambda c: biharmonic(c.measured, c.mask)
    elif case.task in ("gaussian", "poisson"):
        photons = case.task == "poisson"
        for name in DENOISERS:
            strength = _strength(name, case.task, domain, data, kept)
            if name == "non-local means":
                yield (
                    "non-local means, as recommended",
                    lambda c, n=name: denoised(n, c.measured, c.sigma, 1.0, photons=photons),
                )
            yield (
                name,
                lambda c, n=name, s=strength: denoised(n, c.measured, c.sigma, s, photons=photons),
            )
    elif case.factor > 1:
        yield "bicubic", lambda c: bicubic(c.measured, c.factor)
        yield (
            "bicubic, back-projected",
            lambda c: back_projected(bicubic(c.measured, c.factor), c.measured, c.factor),
        )
    if case.task == "colorize":
        yield "grey input", lambda c: c.shown()
    elif case.task != "invert":
        yield "the input", lambda c: c.shown()


def _strength(name: str, task: str, domain: str, data: Path, kept: Path) -> float:
    """Calibrate on training pictures; outside the domains on those of `nuclei`, `histology`."""
    known = {"outside-grey": "nuclei", "outside-rgb": "histology"}.get(domain, domain)
    path = kept / f"{known}_{task}_{name.split(',')[0].replace(' ', '-')}.txt"
    if path.exists() and (text := path.read_text("utf-8")):
        return float(text)
    crops = pictures(known, data, size=64, count=_CALIBRATION, part="train")
    cases = [make_case(task, crop, 1000 + n) for n, crop in enumerate(crops)]
    noisy = [(c.measured, c.truth) for c in cases]
    chosen = calibrated(name, noisy, cases[0].sigma, photons=task == "poisson")
    kept.mkdir(parents=True, exist_ok=True)
    write_atomically(path, str(chosen).encode())
    return chosen


def figures(case: Case, image: Image) -> dict[str, float]:
    """Measure a result: over the hole where there is one, else over the whole picture."""
    shown = np.clip(image, -1, 1)  # truth lies in this range; nobody shows more
    where = case.mask if case.mask is not None else np.ones(case.truth.shape[:2], bool)
    found = {
        "psnr": psnr_in(where, case.truth, shown, data_range=2),
        "ssim": ssim_in(where, case.truth, shown, data_range=2),
    }
    if case.task == "colorize":
        found |= _colour_figures(case.truth, shown)
    return found


def _colour_figures(truth: Image, shown: Image) -> dict[str, float]:
    """PSNR of the chroma (RGB minus luma), and the mean colour difference CIEDE2000."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    def chroma(x: Image) -> Image:
        return x - luma(x)[..., None]

    everywhere = np.ones(truth.shape[:2], bool)
    one, other = (rgb2lab(np.clip((x + 1) / 2, 0, 1)) for x in (truth, shown))
    return {
        "chroma_psnr": psnr_in(everywhere, chroma(truth), chroma(shown), data_range=2),
        "ciede2000": float(deltaE_ciede2000(one, other).mean()),
    }
