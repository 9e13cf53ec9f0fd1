"""What every restoration of one image shares: window after window, then the result and its recipe.

A task is iterated over; it yields a `RestoreStep` an evaluation and may be abandoned after any.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mganprior.arrays import ValueMap, choose_device, correlation_length, seeded
from napari_mganprior.canvas import AVERAGE, BEST
from napari_mganprior.checks import (
    check_cut,
    check_data_term,
    check_image,
    check_prior,
    check_zoom,
    checked_pick,
    checked_seed,
)
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import ComputeError, OutOfMemoryError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, overridden, preset
from napari_mganprior.inversion.loop import Step
from napari_mganprior.restore.record import chained, goes_on, repeats, write_recipe
from napari_mganprior.restore.result import Restoration, RestoreStep, WindowCodes, sha256_of
from napari_mganprior.restore.search import codes_of, pictures
from napari_mganprior.tiling import TilePlan, Window

__all__ = ["Surface", "WindowTask", "to_pixels", "within_reach"]

_REACH = 2.0  # half of the range again on either side

Picture = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


class Surface(Protocol):
    """Where windows are drawn; `canvas.Canvas` and `canvas.Sheet` are two."""

    plan: TilePlan

    def in_order(self) -> Iterator[Window]:
        """Yield the windows in the order they are to be searched in."""

    def fill(self, window: Window, pictures: NDArray[np.float32], best: int = 0) -> None:
        """Take a window's drawings, one a restart, (R, size, size, C), and which is best."""

    def picture(
        self,
        window: Window | None = None,
        pictures: NDArray[np.float32] | None = None,
        best: int = 0,
        *,
        which: str = AVERAGE,
    ) -> Picture:
        """Return values, uncertainty and where something was drawn; an unfinished window too."""


class WindowTask(ABC):
    """One restoration of one 2-D image.

    A leaf says how its image is checked, what its surface is, how a window is searched and how
    the image is composed in the end.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3); not changed, and not looked at under the damage.
    marked : array of bool
        The damage as it was marked, (H, W).
    damage : array of bool
        Pixels that were not measured, (H, W).
    prior : LoadedPrior
        What draws.
    quality, config, overrides, seed, device, zoom, precision, start, pick
        As for `Inpainting`.
    extent : DamageConfig
        What became of the mask.
    """

    _noise_grows = False  # with the signal, as a likelihood needs to know

    name: ClassVar[str]
    """Of the task, as recipes call it."""

    def __init__(
        self,
        image: NDArray[Any],
        marked: NDArray[np.bool_],
        damage: NDArray[np.bool_],
        prior: LoadedPrior,
        *,
        quality: str,
        config: InversionConfig | None,
        overrides: Mapping[str, Any] | None,
        seed: int,
        device: str,
        zoom: float | None,
        precision: str | None,
        start: Restoration | None,
        pick: str,
        extent: DamageConfig,
    ) -> None:
        self._image, self._marked, self._mask = image, marked, damage
        self._extent = extent
        check_image(image, damage)
        self._check_prior(prior)
        self._quality = quality if config is None else None
        chosen = self._preset(quality, prior) if config is None else config
        self._overrides = dict(overrides or {})
        chosen = overridden(chosen, self._overrides)
        self._config = chosen if precision is None else replace(chosen, precision=precision)
        check_cut(self._config, prior)
        check_data_term(self._config, self.name, noise_known=self._noise_grows)
        self._seed = checked_seed(seed)
        self._device = choose_device(device)
        self._prior = prior
        self.zoom = _estimated_zoom(image, damage, prior) if zoom is None else zoom
        check_zoom(self.zoom, image.shape)
        self._values = self._value_map()
        self._sha256, self._mask_sha256 = sha256_of(image), sha256_of(marked)
        self._start, self._pick = start, checked_pick(pick)
        self._begin()
        self.n_windows = len(self._surface.plan.windows)

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

    @property
    def config(self) -> InversionConfig:
        """The settings of the search."""
        return self._config

    @property
    def unit(self) -> float:
        """How many of the image's units one of the generator's is."""
        return (self._values.high - self._values.low) / 2

    @classmethod
    def untouched(cls, image: NDArray[Any], told: Mapping[str, Any]) -> NDArray[Any]:
        """Return what a plane of a series is where it is not restored; of the result's shape.

        Parameters
        ----------
        image : array
            (H, W) or (H, W, 3).
        told : mapping
            The task's options.
        """
        return image

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; of the result's shape and dtype.

        The window under way is shown as it was drawn, so that a preview costs little.
        """
        picture, _, drawn = self._rough_picture()
        return self._composed(picture, drawn, self._before(self._pick))

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
        picture, spread, drawn = self._surface.picture(*self._unfinished())
        unit = self.unit
        average = best = self._composed(picture, drawn, self._before(AVERAGE))
        if self._config.n_restarts > 1:
            picture, *_ = self._surface.picture(*self._unfinished(), which=BEST)
            best = self._composed(picture, drawn, self._before(BEST))
        image = average if self._pick == AVERAGE else best
        changed, invented = self._changed(drawn)
        deviation = np.where(drawn, spread * unit, 0.0)
        earlier = self._earlier()
        if earlier is not None:
            deviation = np.where(drawn, deviation, earlier.uncertainty)
        codes = dict(self._codes)
        if self._current is not None:
            window, step = self._current
            codes[window] = codes_of(window, step, self._settings(window))
        recipe = {**self._recipe(image), **self._noted()}
        if earlier is not None and not repeats(earlier.recipe, recipe):
            recipe["repeatable"] = False
        return Restoration(
            image=image,
            invented=invented,
            uncertainty=np.where(changed, deviation, 0.0).astype(np.float32),
            history=tuple(self._history),
            recipe=recipe,
            residual=self._residual(),
            estimated=changed & ~invented,
            average=average,
            best=best,
            codes=self._with_earlier(codes.values()),
        )

    @abstractmethod
    def _blank(self) -> Surface:
        """Make a surface on which nothing is drawn yet."""

    @abstractmethod
    def _search(self, window: Window, rng: torch.Generator) -> Iterator[Step]:
        """Search the codes of one window."""

    @abstractmethod
    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        """Bring what was drawn to the user's values, and the rest to what it was before."""

    @abstractmethod
    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Say which pixels of the result are estimates, and which of them were never measured."""

    @abstractmethod
    def _residual(self) -> NDArray[np.float32]:
        """Subtract what was measured from what was drawn, in the user's units."""

    def _check_prior(self, prior: LoadedPrior) -> None:
        check_prior(prior, self._image)

    def _preset(self, quality: str, prior: LoadedPrior) -> InversionConfig:
        return preset(quality, prior.generator.cuts)

    def _settings(self, window: Window) -> InversionConfig:
        """Return the settings for a window; ``layer`` is where it is cut."""
        return self._config

    def _value_map(self) -> ValueMap:
        return self._percentiles(self._image[~self._mask])

    def _percentiles(self, values: NDArray[Any]) -> ValueMap:
        normalisation = self._prior.card.pixel_normalisation
        return ValueMap.from_percentiles(
            values, low=normalisation["low"], high=normalisation["high"]
        )

    def _rough_picture(self) -> Picture:
        return self._surface.picture(*self._unfinished(), which=self._pick)

    def _before(self, which: str) -> Restoration | None:
        """Return the earlier restoration, its image being the average or the best."""
        earlier = self._earlier()
        if earlier is None:
            return None
        image = earlier.average if which == AVERAGE else earlier.best
        return earlier if image is None else replace(earlier, image=image)

    def _noted(self) -> dict[str, Any]:
        """Return what the recipe says of this task alone."""
        return {}

    def _result_shape(self) -> tuple[int, ...]:
        return self._image.shape

    def _begin(self) -> None:
        self._surface = self._blank()
        self._history: list[float] = []
        self._codes: dict[Window, WindowCodes] = {}
        self._current: tuple[Window, Step] | None = None
        self._complete, self._seconds = False, 0.0

    def _steps(self) -> Iterator[RestoreStep]:
        config = self._config
        started = time.perf_counter()
        if self._history:  # iterated over once more
            self._begin()
        for number, window in enumerate(self._surface.in_order()):
            rng = seeded(self._seed, window.top, window.left)
            for step in self._search(window, rng):
                self._history.append(step.loss)
                self._current = (window, step)
                self._seconds = time.perf_counter() - started
                yield RestoreStep(
                    index=number * config.n_evaluations + step.index,
                    n_steps=self.n_windows * config.n_evaluations,
                    loss=step.loss,
                    window=number + 1,
                    n_windows=self.n_windows,
                )
            if self._current is not None:
                self._codes[window] = codes_of(window, self._current[1], self._settings(window))
                self._surface.fill(window, *_drawings(self._current[1]))
                self._current = None
        self._complete = True

    def _unfinished(self) -> tuple[()] | tuple[Window, NDArray[np.float32], int]:
        """Return the window under way, its drawings and the best of them, where there is one."""
        if self._current is None:
            return ()
        window, step = self._current
        return window, *_drawings(step)

    def _earlier(self) -> Restoration | None:
        """Return what the run goes on from, if that is a restoration of the same image."""
        start = self._start
        if start is None or start.image.shape != self._result_shape():
            return None
        if "image" not in start.recipe:
            return None
        ours = {
            "task": self.name,
            "image": {"sha256": self._sha256},
            "mask": {"sha256": self._mask_sha256},
            "prior": {"sha256": self._prior.sha256},
        }
        return start if goes_on(start.recipe, ours) else None

    def _with_earlier(self, codes: Iterable[WindowCodes]) -> tuple[WindowCodes, ...]:
        """Add the codes of windows that a continued run has not reached again."""
        found = {(c.top, c.left): c for c in codes}
        earlier = self._earlier()
        known = {} if earlier is None else {(c.top, c.left): c for c in earlier.codes}
        return tuple({**known, **found}.values())

    def _known_codes(self) -> tuple[WindowCodes, ...]:
        """Return codes to begin at."""
        return () if self._start is None else self._start.codes

    def _recipe(self, result: NDArray[Any]) -> dict[str, Any]:
        sessions = [{"evaluations": len(self._history), "complete": self._complete}]
        recipe = write_recipe(
            task=self.name,
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
            sessions=sessions,
            seconds=self._seconds,
            result=result,
        )
        if self._pick != AVERAGE:
            recipe["pick"] = self._pick
        if self._overrides:
            recipe["overrides"] = self._overrides
        earlier = self._earlier()
        if earlier is not None:
            recipe["sessions"] = chained(earlier.recipe, recipe)
            recipe["evaluations"] = sum(s["evaluations"] for s in recipe["sessions"])
        elif self._known_codes():
            recipe["repeatable"] = False  # where it began is not in the recipe
        return recipe


def to_pixels(values: NDArray[np.floating], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bring values to a pixel type: whole numbers rounded, and kept within what the type holds.

    Parameters
    ----------
    values : array of float
        In the user's units.
    dtype : dtype
        Any integer or floating-point type.
    """
    if dtype.kind not in "iu":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    low, high = float(info.min), float(info.max)
    if int(high) > info.max:  # 64 bits: the nearest float is one too many
        high = float(np.nextafter(high, 0.0))
    whole: NDArray[Any] = np.clip(np.rint(values), low, high).astype(dtype)
    return whole


def within_reach(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off what lies so far outside [-1, 1] that it is no part of the picture.

    The ends of that range are percentiles: the brightest and darkest pixels lie beyond, and what
    is drawn from cut values misses their contrast. A hot pixel lies much further, and would
    outweigh all others.
    """
    return np.clip(values, -_REACH, _REACH)


def _drawings(step: Step) -> tuple[NDArray[np.float32], int]:
    """Return the drawings of a step, one a restart, and the number of the best."""
    return pictures(step.image), int(step.error[0].argmin())


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
