"""The paper's layer study: the same image and task at every cut and with several codes.

Gu, Shen, Zhou, CVPR 2020, https://doi.org/10.1109/CVPR42600.2020.00308, section 4.5.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.analysis.config import DAMAGES, StudyConfig
from napari_mganprior.analysis.outcome import AnalysisStep, Study, StudyRow
from napari_mganprior.analysis.parts import Region, cut_part
from napari_mganprior.analysis.trials import as_given, make_trial
from napari_mganprior.checks import check_cut, check_image, checked_mask, checked_seed
from napari_mganprior.errors import ComputeError, ImageError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.restore import (
    Colorization,
    Denoising,
    Inpainting,
    NoiseConfig,
    Reconstruction,
    Restoration,
    SuperResolution,
)
from napari_mganprior.restore.base import WindowTask

__all__ = ["LayerStudy"]

_HELD_OUT = {"inpaint": 0.05, "missing": 0.05}
_HELD_OUT_BLIND = 0.1  # without a truth there is nothing else to compare by


class LayerStudy:
    """One study of one 2-D image, to be iterated over; it may be abandoned after any step.

    Everything is checked when it is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range; in a
        trial the truth, else what was measured.
    prior : LoadedPrior
        From `load_prior`.
    config : StudyConfig, optional
        What is tried.
    mask : array, optional
        (H, W); pixels that are not 0 are damaged. Not for a trial.
    truth : array, optional
        What the results are compared with; not for a trial, whose truth is the image.
    region : tuple of int or str
        (top, left, bottom, right), the part that is studied; "middle" is one drawing of the
        prior from the image's middle, "whole" all of it.
    seed : int
        Of the trial's damage and of the searches; each cut and number of codes begins anew.
    device : str
        As for `inpaint`.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import LayerStudy, StudyConfig, load_prior  # doctest: +SKIP
    >>> study = LayerStudy(image, load_prior(path), StudyConfig(task="missing"))  # doctest: +SKIP
    >>> for step in study:  # doctest: +SKIP
    ...     print(step.doing, step.loss)
    >>> study.result().best  # doctest: +SKIP
    """

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        config: StudyConfig | None = None,
        *,
        mask: ArrayLike | None = None,
        truth: ArrayLike | None = None,
        region: Region = "middle",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self._prior, self._device = prior, device
        self._seed = checked_seed(seed)
        self.config = StudyConfig() if config is None else config
        picture = np.array(image, copy=True)
        if picture.ndim not in (2, 3):
            check_image(picture)
        damage = None
        if mask is not None and not self.config.trial:
            damage = checked_mask(mask, picture, may_be_empty=True)
        scale = self.config.factor if self.config.task == "super-resolve" else 1
        small = 1 if self.config.trial else scale
        # an image that is enlarged has 16 px a side at least
        side = max(prior.generator.resolution, 16 * scale) // small
        part = cut_part(picture.shape, region, side, scale // small)
        self._corner = (part[0].start, part[1].start)
        piece = picture[part]
        check_image(piece, None if damage is None else damage[part])
        if self.config.trial:
            self._trial = make_trial(piece, self.config, self._seed)
        else:
            known = None if truth is None else _cut_truth(np.asarray(truth), picture, part, scale)
            cut = None if damage is None else damage[part]
            self._trial = as_given(piece, self.config, cut, known)
        last = prior.generator.n_layers
        self.cuts = self.config.cuts or tuple(range(1, last + 1))
        for cut_at in self.cuts:
            check_cut(self.config.search(cut_at, 1), prior)
        # one of each is made now, so that what cannot be done is refused now
        first = self._open(self.cuts[0], self.config.codes[0])
        self._per_run = first.n_windows * self.config.n_steps
        self._first: WindowTask | None = first
        self._task: WindowTask | None = None
        self._begin()

    @property
    def combinations(self) -> list[tuple[int, int]]:
        """Cuts and numbers of codes, in the order they are tried."""
        return [(cut, n) for cut in self.cuts for n in self.config.codes]

    def __iter__(self) -> Iterator[AnalysisStep]:
        """Try one combination after the other.

        Yields
        ------
        AnalysisStep
            One an evaluation.

        Raises
        ------
        OutOfMemoryError, ComputeError
            As from the tasks themselves.
        """
        self._begin()
        total = len(self.combinations)
        n_steps = total * self._per_run
        for number, (cut, n_codes) in enumerate(self.combinations):
            task, self._first = self._first or self._open(cut, n_codes), None
            self._task = task
            self._now, self._losses = (cut, n_codes), {}
            self._started, self._evaluations = time.perf_counter(), 0
            doing = f"cut {cut}, {n_codes} code{'s' if n_codes > 1 else ''}"
            before = number * self._per_run
            for step in task:
                self._evaluations += 1
                self._losses[step.window] = step.loss
                yield AnalysisStep(
                    # the last one is told together with its figures
                    index=before + min(step.index, self._per_run - 1),
                    n_steps=n_steps,
                    loss=step.loss,
                    window=number + 1,
                    n_windows=total,
                    doing=doing,
                )
            row, self._pictures[cut, n_codes] = self._measured()
            self._rows.append(row)
            self._task = None
            yield AnalysisStep(
                index=before + self._per_run,
                n_steps=n_steps,
                loss=step.loss,
                window=number + 1,
                n_windows=total,
                doing=doing,
                row=row,
            )

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far of the combination under way."""
        if self._task is not None:
            return self._task.preview()
        if self._pictures:
            return list(self._pictures.values())[-1]
        return self._trial.measured

    def result(self) -> Study:
        """Return the combinations finished so far; if there is none, the one under way.

        Raises
        ------
        ComputeError
            If not a single step was made.
        """
        rows, pictures = tuple(self._rows), dict(self._pictures)
        if not rows and self._task is not None and self._evaluations:
            row, pictures[self._now] = self._measured()
            rows = (row,)
        if not rows:
            raise ComputeError(
                "Got no step to keep; wanted at least one. Let the study make a step first."
            )
        like = next(iter(pictures.values()))
        stack = np.zeros((len(self.cuts), len(self.config.codes), *like.shape), like.dtype)
        for (cut, n_codes), picture in pictures.items():
            stack[self.cuts.index(cut), self.config.codes.index(n_codes)] = picture
        return Study(
            rows=rows,
            stack=stack,
            cuts=self.cuts,
            codes=self.config.codes,
            measured=self._trial.measured,
            mask=self._trial.mask,
            truth=self._trial.truth,
            corner=self._corner,
            recipe=self._recipe(),
        )

    def _begin(self) -> None:
        self._rows: list[StudyRow] = []
        self._pictures: dict[tuple[int, int], NDArray[Any]] = {}
        self._task = None
        self._evaluations = 0

    def _open(self, cut: int, n_codes: int) -> WindowTask:
        held_out = _HELD_OUT.get(self.config.task, 0.0)
        if self._trial.truth is None:
            held_out = _HELD_OUT_BLIND
        options: dict[str, Any] = {
            "config": self.config.search(cut, n_codes, held_out=held_out),
            "seed": self._seed,
            "device": self._device,
        }
        measured, mask, prior = self._trial.measured, self._trial.mask, self._prior
        if self.config.task in ("inpaint", "missing"):
            assert mask is not None
            return Inpainting(measured, mask, prior, **options)
        if self.config.task == "denoise":
            noise = NoiseConfig(level=self._trial.level)
            # what is studied is the prior: what is added to its drawing is not its merit
            return Denoising(measured, prior, noise=noise, mask=mask, drawing_only=True, **options)
        if self.config.task == "super-resolve":
            return SuperResolution(
                measured, prior, factor=self.config.factor, drawing_only=True, **options
            )
        if self.config.task == "colorize":
            return Colorization(measured, prior, **options)
        return Reconstruction(measured, prior, **options)

    def _measured(self) -> tuple[StudyRow, NDArray[Any]]:
        """Take the figures and the picture of the combination under way."""
        assert self._task is not None
        cut, n_codes = self._now
        restoration = self._task.result()
        seconds = time.perf_counter() - self._started
        channels, size, _ = self._prior.generator.feature_shape(cut)
        trial, psnr, ssim = self._trial, None, None
        if trial.truth is not None:
            where, span = trial.where(self.config.task), trial.data_range()
            truth = trial.truth.astype(np.float64)
            image = restoration.image.astype(np.float64)
            psnr = psnr_in(where, truth, image, data_range=span)
            ssim = ssim_in(where, truth, image, data_range=span)
        row = StudyRow(
            cut=cut,
            map_size=size,
            channels=channels,
            n_codes=n_codes,
            psnr=psnr,
            ssim=ssim,
            held_out=self._held_out(restoration),
            residual=_rms(restoration.residual, trial.mask),
            spread=_mean_spread(restoration),
            evaluations=self._evaluations,
            seconds=round(seconds, 3),
        )
        return row, restoration.image

    def _held_out(self, restoration: Restoration) -> float | None:
        if restoration.recipe["config"]["held_out"] == 0 or not self._losses:
            return None
        assert self._task is not None
        return float(np.sqrt(np.mean(list(self._losses.values()))) * self._task.unit)

    def _recipe(self) -> dict[str, Any]:
        from napari_mganprior import __version__

        return {
            "task": "analyse-study",
            "config": self.config.to_dict(),
            "damage": DAMAGES[self.config.task] if self.config.trial else "as given",
            "prior": {"name": self._prior.card.name, "sha256": self._prior.sha256},
            "seed": self._seed,
            "device": self._device,
            "corner": list(self._corner),
            "complete": len(self._rows) == len(self.combinations),
            "version": __version__,
        }


def _cut_truth(
    truth: NDArray[Any], image: NDArray[Any], part: tuple[slice, slice], factor: int
) -> NDArray[Any]:
    """Cut the truth of a part out of the whole image's."""
    wanted = tuple(n * factor for n in image.shape[:2])
    if truth.shape[:2] != wanted:
        raise ImageError(
            f"Got a truth of shape {truth.shape} for an image of shape {image.shape}; wanted "
            f"{wanted[0]}x{wanted[1]} pixels. Choose another truth, or leave it out."
        )
    rows, columns = (slice(s.start * factor, s.stop * factor) for s in part)
    return truth[rows, columns]


def _rms(residual: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> float:
    measured = residual if mask is None or mask.shape != residual.shape[:2] else residual[~mask]
    return float(np.sqrt(np.mean(np.square(measured, dtype=np.float64))))


def _mean_spread(restoration: Restoration) -> float:
    drawn = restoration.uncertainty > 0
    return float(restoration.uncertainty[drawn].mean()) if drawn.any() else 0.0
