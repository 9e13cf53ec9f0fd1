"""Draw a noisy image anew from what a prior knows, and stop where only noise is left to explain.

The drawing then tells a filter what in the noisy image is no noise (`restore.filtering`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.arrays import ValueMap
from napari_mganprior.canvas import Sheet
from napari_mganprior.checks import checked_mask
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.denoising import Denoising as DenoisingOperator
from napari_mganprior.restore.base import to_pixels
from napari_mganprior.restore.filtering import filtered, thresholded
from napari_mganprior.restore.noise import NoiseConfig, find_bad_pixels, mended, smoothed
from napari_mganprior.restore.result import Restoration
from napari_mganprior.restore.sheets import SheetTask
from napari_mganprior.restore.tasks import find_task
from napari_mganprior.tiling import Window

__all__ = ["Denoising"]

# or the few dark pixels that happen to be surest would decide alone
_FEWEST_PHOTONS = 2.0
_LEAST_PHOTONS = 1.0  # in the likelihood, where the drawing itself says how many there are


class Denoising(SheetTask):
    """One denoising of one 2-D image, to be iterated over.

    Every pixel of the result is an estimate, where the input was a measurement: what the prior
    drew and what the noisy image says besides, noise filtered out. Everything is checked when it
    is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`.
    noise : NoiseConfig, optional
        What the noise is like; Gaussian of a level measured in the image if left out.
    mask : array, optional
        (H, W); pixels that are not 0 are bad (dead, hot), and are invented.
    find_bad : bool
        Add to the mask what `find_bad_pixels` finds.
    drawing_only : bool
        Return what the prior drew, and take nothing from the noisy image.
    quality, config, overrides, seed, device, zoom, precision, start, pick
        As for `Inpainting`; a quality takes twice the evaluations here.

    Attributes
    ----------
    noise : NoiseConfig
        With all its numbers.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import Denoising, load_prior  # doctest: +SKIP
    >>> run = Denoising(image, load_prior(path))  # doctest: +SKIP
    >>> for step in run:  # doctest: +SKIP
    ...     print(step.index, step.loss)
    >>> run.result().image, run.noise.level  # doctest: +SKIP
    """

    name = "denoise"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
        noise: NoiseConfig | None = None,
        mask: ArrayLike | None = None,
        find_bad: bool = False,
        drawing_only: bool = False,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        zoom: float | None = 1.0,
        precision: str | None = None,
        start: Restoration | None = None,
        pick: str = "average",
    ) -> None:
        picture = np.array(image, copy=True)
        if mask is None:
            mask = np.zeros(picture.shape[:2], bool)
        marked = checked_mask(mask, picture, may_be_empty=True)
        bad = marked
        if find_bad and picture.ndim in (2, 3) and picture.dtype.kind in "iuf":
            bad = checked_mask(marked | find_bad_pixels(picture), picture, may_be_empty=True)
        self._find_bad, self._drawing_only = find_bad, bool(drawing_only)
        self._given = NoiseConfig() if noise is None else noise
        self._noise_grows = self._given.model == "poisson"
        super().__init__(
            picture, marked, bad, prior, quality=quality, config=config,
            overrides=overrides, seed=seed, device=device, zoom=zoom, precision=precision,
            start=start, pick=pick, extent=DamageConfig(),
        )  # fmt: skip

    def _preset(self, quality: str, prior: LoadedPrior) -> InversionConfig:
        config = preset(quality, prior.generator.cuts)
        # what is known of the noise says when to stop: no pixels need be held out for that
        term = "poisson-gaussian" if self._noise_grows else "mse"
        steps = find_task(self.name).steps * config.n_steps
        return replace(config, n_steps=steps, held_out=0.0, data_term=term)

    def _value_map(self) -> ValueMap:
        self.noise = self._given.measured(self._image, self._mask)
        # the extremes of a noisy image are those of its noise
        signal = smoothed(self._image, self._mask)
        values = self._percentiles(signal[~self._mask])
        good = ~self._mask

        def variance(photons: float) -> NDArray[np.float64]:
            each = self.noise.variance(signal, photons=photons)
            return np.asarray(each.reshape(*good.shape, -1).mean(axis=-1))

        weights = 1 / variance(_FEWEST_PHOTONS)
        self._weights = np.where(good, weights / weights[good].mean(), 0.0)
        self._everywhere = self.noise.variance(signal, photons=_LEAST_PHOTONS)
        self._itself: NDArray[np.float64] | None = None
        unit = (values.high - values.low) / 2
        # in generator's units
        self._variance = variance(0.0) / unit**2
        level = float(np.sqrt(np.mean(self._variance[good])))
        if level > 1:
            raise SettingsError(
                f"Got noise of {level * unit:.3g} in an image whose values span {2 * unit:.3g}; "
                "wanted less than half of that. Give a smaller level or gain, or average several "
                "images first."
            )
        self._alone = self._variance
        if self._config.data_term != "mse":  # the likelihood weighs every pixel itself
            self._weights = good.astype(np.float64)
            self._alone = variance(0.0) / variance(_LEAST_PHOTONS)
        return values

    def _blank(self) -> Sheet:
        hidden = self._mask if self._image.ndim == 2 else self._mask[..., None]
        clean = np.where(hidden, self._values.low, self._image)
        size = self._prior.generator.resolution

        def sheet(values: NDArray[np.float32]) -> Sheet:
            return Sheet(values, self._weights, size=size, zoom=self.zoom)

        self._share = 1.0
        if self.zoom != 1:  # resampling averages noise away: see what it leaves of a known one
            unit = np.random.default_rng(0).standard_normal(self._weights.shape)
            trial = sheet(unit.astype(np.float32))
            left = [
                values[weight > 0].ravel() for values, weight in map(trial.read, trial.plan.windows)
            ]
            self._share = float(np.concatenate(left).std())
        self._noise = sheet((self._weights * self._alone).astype(np.float32))
        return sheet(self._values.encode(clean, clip=False))

    def _measured_by(
        self, window: Window, values: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[Operator, InversionConfig]:
        known = weight > 0
        config = self._config
        operator = DenoisingOperator(torch.from_numpy(known)[None, None], self._noise_line())
        if known.any():  # the error of the noise alone
            expected = float(self._noise.read(window)[0][known].sum() / weight[known].sum())
            level = float(np.sqrt(max(expected, 0.0)))
            if operator.noise is None:
                level *= self._share
            else:
                middle = torch.tensor(float(values[known].mean()))
                level *= float(operator.noise_variance(middle).sqrt())
            config = replace(config, noise_level=min(level, 2.0))
        return operator, config

    def _noise_line(self) -> tuple[float, float, float] | None:
        """Return the noise's variance over the signal, both in the generator's units."""
        if self._config.data_term == "mse":
            return None
        unit = (self._values.high - self._values.low) / 2
        ends = np.array([self._values.low, self._values.low + unit])  # -1 and 0
        gain, offset, read = self.noise.gain, self.noise.offset, self.noise.read_noise
        assert gain is not None
        assert offset is not None
        assert read is not None
        at, middle = (gain * (ends - offset) + read**2) / unit**2
        least = self.noise.variance(np.array(-np.inf), photons=_LEAST_PHOTONS) / unit**2
        share = self._share**2
        return float(middle - at) * share, float(middle) * share, float(least) * share

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; of the result's shape and dtype.

        It is what the prior draws: the result is filtered besides, which takes longer.
        """
        picture, _, drawn = self._rough_picture()
        return self._placed(self._values.decode(picture), drawn, self._before(self._pick))

    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        values = self._values.decode(picture)
        if not self._drawing_only:
            values = self._with_measured(values, drawn)
        return self._placed(values, drawn, before)

    def _with_measured(
        self, values: NDArray[np.floating], drawn: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Add to what was drawn what the noisy image says besides.

        The filter's pilot is the mean of the drawing, which leaves detail out, and of the image
        filtered by itself, which leaves weak structures out: their faults differ, and their mean
        measured better than either (docs/benchmarks-ideas.md).
        """
        shape = (*drawn.shape, 1) if self._image.ndim == 3 else drawn.shape
        there, bad = drawn.reshape(shape), self._mask.reshape(shape)
        if self._itself is None:  # the same for every picture
            self._itself = thresholded(mended(self._image, self._mask), self._everywhere)
        drawing = np.where(there, values, self._itself)
        noisy = np.where(bad, drawing, self._image)
        found = filtered(noisy, (drawing + self._itself) / 2, self._everywhere)
        return np.where(bad, drawing, found)

    def _placed(
        self, values: NDArray[np.floating], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        """Put values where something was drawn, within what was measured."""
        measured = self._image[~self._mask]
        values = np.clip(values, float(measured.min()), float(measured.max()))
        restored = (self._image if before is None else before.image).copy()
        restored[drawn] = to_pixels(values[drawn], self._image.dtype)
        return restored

    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        earlier = self._earlier()
        invented = self._mask & drawn
        if earlier is None:
            return drawn, invented
        return np.ones_like(drawn), invented | earlier.invented

    def _residual(self) -> NDArray[np.float32]:
        picture, _, drawn = self._surface.picture(*self._unfinished())
        seen = drawn & ~self._mask
        seen = seen if self._image.ndim == 2 else seen[..., None]
        measured = np.where(seen, self._image, 0.0)
        return np.where(seen, self._values.decode(picture) - measured, 0.0).astype(np.float32)

    def _noted(self) -> dict[str, Any]:
        return {
            "replaces": "every pixel",
            "noise": {"given": self._given.to_dict(), "used": self.noise.to_dict()},
            "find_bad": self._find_bad,
            "drawing_only": self._drawing_only,
        }
