"""Fill the damaged pixels of a real image with what a prior knows.

The image is brought to the prior's range and scale, only windows that touch damage are
computed, and what was measured comes back bit-identical.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.arrays import (
    ValueMap,
    choose_device,
    correlation_length,
    seeded,
)
from napari_mganprior.canvas import Canvas
from napari_mganprior.checks import (
    check_cut,
    check_image,
    check_prior,
    check_zoom,
    checked_mask,
    checked_seed,
)
from napari_mganprior.damage import DamageConfig, grown, in_region, mixing_share
from napari_mganprior.errors import ComputeError, OutOfMemoryError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.inversion.loop import Step
from napari_mganprior.restore.record import write_recipe
from napari_mganprior.restore.result import Restoration, RestoreStep, WindowCodes, sha256_of
from napari_mganprior.restore.search import codes_of, pictures, search_window
from napari_mganprior.tiling import Window

__all__ = ["Inpainting"]


class Inpainting:
    """One inpainting of one 2-D image, to be iterated over.

    Everything is checked when it is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    mask : array
        (H, W); pixels that are not 0 are damaged and will be invented.
    prior : LoadedPrior
        From `load_prior`.
    quality : {"fast", "balanced", "best"}
        How much time to spend.
    config : InversionConfig, optional
        Settings in place of those of a quality.
    seed : int
        Of every random number, 0 or more.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    zoom : float or None
        Factor by which the image is enlarged before it is restored, so that its structures have
        the size that the prior knows; 0.125 .. 8. None estimates it from the image.
    precision : {"auto", "float32", "bfloat16"}, optional
        In place of the settings' own.
    damage : DamageConfig, optional
        How far the mask is grown and feathered, and which region is restored.
    start : Restoration, optional
        A restoration to begin at: its codes are tried as starts where they belong to a window in
        the same place. Where it is of the same image, its pixels stay until a window is better.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import Inpainting, load_prior  # doctest: +SKIP
    >>> run = Inpainting(image, mask, load_prior(path))  # doctest: +SKIP
    >>> for step in run:  # doctest: +SKIP
    ...     print(step.index, step.loss)
    >>> restored = run.result().image  # doctest: +SKIP
    """

    def __init__(
        self,
        image: ArrayLike,
        mask: ArrayLike,
        prior: LoadedPrior,
        *,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        seed: int = 0,
        device: str = "auto",
        zoom: float | None = 1.0,
        precision: str | None = None,
        damage: DamageConfig | None = None,
        start: Restoration | None = None,
    ) -> None:
        self._image = np.array(image, copy=True)
        self._marked = checked_mask(mask, self._image)
        self._extent = DamageConfig() if damage is None else damage
        self._mask = checked_mask(grown(self._marked, self._extent.grow), self._image)
        self._wanted = in_region(self._mask, self._extent.region)
        check_image(self._image, self._mask)
        check_prior(prior, self._image)
        self._quality = quality if config is None else None
        chosen = preset(quality, prior.generator.cuts) if config is None else config
        self._config = chosen if precision is None else replace(chosen, precision=precision)
        check_cut(self._config, prior)
        self._seed = checked_seed(seed)
        self._device = choose_device(device)
        self._prior = prior
        self.zoom = _estimated_zoom(self._image, self._mask, prior) if zoom is None else zoom
        check_zoom(self.zoom, self._image.shape)
        normalisation = prior.card.pixel_normalisation
        self._values = ValueMap.from_percentiles(
            self._image[~self._mask], low=normalisation["low"], high=normalisation["high"]
        )
        self._sha256 = sha256_of(self._image)
        self._start = start
        self._history: list[float] = []
        self._codes: dict[Window, WindowCodes] = {}
        self._complete = False
        self._seconds = 0.0
        self._current: tuple[Window, Step] | None = None
        self._canvas = self._blank_canvas()
        self.n_windows = len(self._canvas.plan.windows)

    def __iter__(self) -> Iterator[RestoreStep]:
        """Restore window after window.

        Yields
        ------
        RestoreStep
            One an evaluation.

        Raises
        ------
        OutOfMemoryError
            If the device has too little memory.
        ComputeError
            If torch fails in another way.
        """
        try:
            yield from self._steps()
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemoryError(
                f"Got too little memory on {self._device} ({_first_line(error)}); wanted room for "
                f"{self._config.n_restarts} restarts of {self._config.n_codes} codes. Choose the "
                "quality 'fast', or the device 'cpu'."
            ) from error
        except RuntimeError as error:
            memory = "alloc" in str(error) and "memory" in str(error)
            raise (OutOfMemoryError if memory else ComputeError)(
                f"Got a failure inside torch on {self._device} ({_first_line(error)}); wanted a "
                "step of the search. Try the device 'cpu', or the quality 'fast'."
            ) from error

    def _blank_canvas(self) -> Canvas:
        # NaN may stand under the damage; it must not reach the resampling
        hidden = self._mask if self._image.ndim == 2 else self._mask[..., None]
        clean = np.where(hidden, self._image[~self._mask].min(), self._image)
        return Canvas(
            self._values.encode(clean),
            self._mask,
            self._wanted,
            zoom=self.zoom,
            size=self._prior.generator.resolution,
            context=self._config.context,
            reach=self._config.reach,
        )

    def _steps(self) -> Iterator[RestoreStep]:
        config = self._config
        started = time.perf_counter()
        if self._history:  # iterated over once more: begin anew
            self._history, self._current, self._canvas = [], None, self._blank_canvas()
            self._codes, self._complete = {}, False
        for number, window in enumerate(self._canvas.in_order()):
            for step in self._search(window):
                self._history.append(step.loss)
                self._current = (window, step)
                self._seconds = time.perf_counter() - started
                yield RestoreStep(
                    index=number * config.n_steps + step.index,
                    n_steps=self.n_windows * config.n_steps,
                    loss=step.loss,
                    window=number + 1,
                    n_windows=self.n_windows,
                )
            if self._current is not None:
                self._codes[window] = codes_of(self._canvas, window, self._current[1], self._config)
                self._canvas.fill(window, pictures(self._current[1].image))
                self._current = None
        self._complete = True

    def _search(self, window: Window) -> Iterator[Step]:
        return search_window(
            self._canvas,
            window,
            self._prior,
            self._config,
            rng=seeded(self._seed, window.top, window.left),
            device=self._device,
            start=() if self._start is None else self._start.codes,
        )

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; same shape and dtype as the image.

        The window under way is shown as it was drawn, so that a preview costs little.
        """
        picture, _, filled = self._picture(rough=True)
        return self._composed(picture, self._wanted & filled)[0]

    def result(self) -> Restoration:
        """Return the best restoration so far; complete after the last step.

        Windows not reached yet keep the values they had.

        Raises
        ------
        ComputeError
            If not a single step was made.
        """
        if not self._history:
            raise ComputeError(
                "Got no step to keep; wanted at least one. Let the run make a step first."
            )
        picture, spread, filled = self._picture()
        unit = (self._values.high - self._values.low) / 2  # user's units for one of ours
        image, invented = self._composed(picture, self._wanted & filled)
        deviation = np.where(self._wanted & filled, spread * unit, 0.0)
        earlier = self._earlier()
        if earlier is not None:
            deviation = np.where(filled, deviation, earlier.uncertainty)
        codes = dict(self._codes)
        if self._current is not None:
            window, step = self._current
            codes[window] = codes_of(self._canvas, window, step, self._config)
        return Restoration(
            image=image,
            invented=invented,
            uncertainty=np.where(invented, deviation, 0.0).astype(np.float32),
            history=tuple(self._history),
            recipe=self._recipe(image),
            residual=self._residual(),
            codes=self._with_earlier(codes.values()),
        )

    def _picture(
        self, *, rough: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        if self._current is None:
            return self._canvas.picture()
        window, step = self._current
        return self._canvas.picture(window, pictures(step.image), rough=rough)

    def _residual(self) -> NDArray[np.float32]:
        if self._current is None:
            drawn, covered = self._canvas.drawing()
        else:
            window, step = self._current
            drawn, covered = self._canvas.drawing(window, pictures(step.image))
        seen = covered & ~self._mask
        seen = seen if self._image.ndim == 2 else seen[..., None]
        measured = np.where(seen, self._image, 0.0)
        return np.where(seen, self._values.decode(drawn) - measured, 0.0).astype(np.float32)

    def _composed(
        self, picture: NDArray[np.float32], filled: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Bring filled pixels to the user's values; all others stay what they were.

        Returns the image and where it is invented.
        """
        measured = self._image[~self._mask]
        values = np.clip(self._values.decode(picture), float(measured.min()), float(measured.max()))
        share = mixing_share(self._marked, self._extent)
        if share is not None:
            share = share if self._image.ndim == 2 else share[..., None]
            # what was grown over may still hold NaN, which nothing can be mixed with
            usable = (share < 1) & np.isfinite(self._image)
            original = np.where(usable, self._image, 0.0)
            values = np.where(usable, share * values + (1 - share) * original, values)
        if self._image.dtype.kind in "iu":
            values = np.rint(values)
        restored = self._image.copy()
        invented = filled
        earlier = self._earlier()
        if earlier is not None:
            invented = filled | (earlier.invented & self._wanted)
            restored[invented] = earlier.image[invented]
        restored[filled] = values[filled].astype(self._image.dtype)
        return restored, invented

    def _earlier(self) -> Restoration | None:
        """Return what the run goes on from, if that is a restoration of the same image."""
        start = self._start
        if start is None or start.image.shape != self._image.shape:
            return None
        same = start.recipe.get("image", {}).get("sha256") == self._sha256
        return start if same and start.invented.shape == self._wanted.shape else None

    def _with_earlier(self, codes: Iterable[WindowCodes]) -> tuple[WindowCodes, ...]:
        """Add the codes of windows that a continued run has not reached again."""
        found = {(c.top, c.left): c for c in codes}
        earlier = self._earlier()
        known = {} if earlier is None else {(c.top, c.left): c for c in earlier.codes}
        return tuple({**known, **found}.values())

    def _recipe(self, result: NDArray[Any]) -> dict[str, Any]:
        sessions = {"evaluations": len(self._history), "complete": self._complete}
        earlier = self._earlier()
        before = [] if earlier is None else earlier.recipe.get("sessions", [])
        return write_recipe(
            prior=self._prior,
            config=self._config,
            quality=self._quality,
            seed=self._seed,
            zoom=self.zoom,
            device=self._device,
            damage=self._extent,
            image={
                # not "shape": tifffile takes a description with that word for its own
                "dimensions": list(self._image.shape),
                "dtype": str(self._image.dtype),
                "sha256": self._sha256,
            },
            mask=self._marked,
            n_windows=self.n_windows,
            sessions=[*before, sessions],
            seconds=self._seconds,
            result=result,
        )


def _estimated_zoom(image: NDArray[Any], damage: NDArray[np.bool_], prior: LoadedPrior) -> float:
    """Compare how coarse the image is with what the prior was trained on.

    Within the range of the training images (10th to 90th percentile) nothing is changed;
    outside, the image is brought to the nearer end of that range.
    """
    known = prior.card.training.get("image_correlation_length", {})
    length = correlation_length(image, damage)
    if not {"p10", "p90"} <= known.keys() or not np.isfinite(length) or length <= 0:
        return 1.0
    wanted = float(np.clip(length, known["p10"], known["p90"]))
    return float(np.clip(wanted / length, 0.25, 4.0))


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
