"""Fill the damaged pixels of a real image with what a prior knows.

The image is brought to the prior's range and scale, only windows that touch damage are
computed, and what was measured comes back bit-identical.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_mganprior.arrays import (
    ValueMap,
    choose_device,
    correlation_length,
    network_dtype,
    seeded,
    to_tensor,
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
from napari_mganprior.errors import ComputeError, OutOfMemoryError
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.inversion.loop import Step, invert
from napari_mganprior.operators.inpainting import Inpainting as InpaintingOperator
from napari_mganprior.priors import find_prior
from napari_mganprior.tiling import Window

if TYPE_CHECKING:
    from napari.types import ImageData, LabelsData

__all__ = ["Inpainting", "Restoration", "RestoreStep", "inpaint", "search_window"]


@dataclass(frozen=True, slots=True)
class RestoreStep:
    """How far a restoration is.

    Attributes
    ----------
    index, n_steps : int
        Evaluations done and at the most; windows that end early make the index jump.
    loss : float
        Mean squared error of the current window over measured pixels, generator's range.
    window, n_windows : int
        Number of the current window, from 1, and how many there are.
    """

    index: int
    n_steps: int
    loss: float
    window: int
    n_windows: int


@dataclass(frozen=True)
class Restoration:
    """A restored image and everything needed to judge and repeat it.

    Attributes
    ----------
    image : array
        Same shape and dtype as the input; measured pixels are bit-identical.
    invented : array of bool
        Pixels (H, W) that the prior filled.
    uncertainty : array of float32
        Standard deviation over restarts, (H, W), in the image's units; 0 where measured.
    history : tuple of float
        The loss after every evaluation.
    recipe : dict
        JSON-able: task, prior and its sha256, config, seed, zoom, device, versions, hashes.
    """

    image: NDArray[Any]
    invented: NDArray[np.bool_]
    uncertainty: NDArray[np.float32]
    history: tuple[float, ...]
    recipe: dict[str, Any] = field(default_factory=dict)


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
    ) -> None:
        self._image = np.array(image, copy=True)
        self._mask = checked_mask(mask, self._image)
        check_image(self._image, self._mask)
        check_prior(prior, self._image)
        self._config = preset(quality, prior.generator.n_layers) if config is None else config
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
        self._history: list[float] = []
        self._seconds = 0.0
        self._current: tuple[Window, Step] | None = None
        self._canvas = self._blank_canvas()
        self.n_windows = len(self._canvas.plan.windows)

    @property
    def _damage(self) -> NDArray[np.bool_]:
        """The mask, to be broadcast against the image: (H, W) or (H, W, 1)."""
        return self._mask if self._image.ndim == 2 else self._mask[..., None]

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
        clean = np.where(self._damage, self._image[~self._mask].min(), self._image)
        return Canvas(
            self._values.encode(clean),
            self._mask,
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
                self._canvas.fill(window, _pictures(self._current[1].image))
                self._current = None

    def _search(self, window: Window) -> Iterator[Step]:
        return search_window(
            self._canvas,
            window,
            self._prior,
            self._config,
            rng=seeded(self._seed, window.top, window.left),
            device=self._device,
        )

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; same shape and dtype as the image."""
        picture, _, filled = self._picture()
        return self._composed(picture, self._mask & filled)

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
        invented = self._mask & filled
        return Restoration(
            image=self._composed(picture, invented),
            invented=invented,
            uncertainty=np.where(invented, spread * unit, 0.0).astype(np.float32),
            history=tuple(self._history),
            recipe=self._recipe(),
        )

    def _picture(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        if self._current is None:
            return self._canvas.picture()
        window, step = self._current
        return self._canvas.picture(window, _pictures(step.image))

    def _composed(self, picture: NDArray[np.float32], invented: NDArray[np.bool_]) -> NDArray[Any]:
        """Bring invented pixels to the user's values; all others stay what they were."""
        measured = self._image[~self._mask]
        values = np.clip(self._values.decode(picture), float(measured.min()), float(measured.max()))
        if self._image.dtype.kind in "iu":
            values = np.rint(values)
        restored = self._image.copy()
        restored[invented] = values[invented].astype(self._image.dtype)
        return restored

    def _precision(self) -> str:
        dtype = network_dtype(self._config.precision, self._device)
        return str(dtype).removeprefix("torch.")

    def _recipe(self) -> dict[str, Any]:
        return {
            "task": "inpaint",
            "prior": {"name": self._prior.card.name, "sha256": self._prior.sha256},
            # "auto" means something else on another machine: what was used stands here
            "config": {**self._config.to_dict(), "precision": self._precision()},
            "seed": self._seed,
            "zoom": float(self.zoom),
            "device": str(self._device),
            "versions": {
                "napari-mganprior": _version("napari-mganprior"),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
            },
            "image": {
                # not "shape": tifffile takes a description with that word for its own
                "dimensions": list(self._image.shape),
                "dtype": str(self._image.dtype),
                "sha256": _hash(self._image),
            },
            "mask": {"sha256": _hash(self._mask), "damaged_pixels": int(self._mask.sum())},
            "n_windows": self.n_windows,
            "evaluations": len(self._history),
            "seconds": round(self._seconds, 3),
        }


def search_window(
    canvas: Canvas,
    window: Window,
    prior: LoadedPrior,
    config: InversionConfig,
    *,
    rng: torch.Generator,
    device: torch.device,
) -> Iterator[Step]:
    """Search codes that explain one window of an image.

    Parameters
    ----------
    canvas : Canvas
        The image.
    window : Window
        One of its plan's.
    prior : LoadedPrior
        What draws.
    config : InversionConfig
        Settings; thin damage is searched at ``fine_layer``.
    rng : torch.Generator
        On the CPU.
    device : torch.device
        Where the networks run.

    Yields
    ------
    Step
        One an evaluation.
    """
    values, trust = canvas.read(window)
    weight = torch.from_numpy(trust)[None, None].to(device)  # (1, 1, size, size)
    operator = InpaintingOperator((weight > 0).float())
    if canvas.depth(window) <= config.fine_depth:
        config = replace(config, layer=config.fine_layer)
    discriminator = prior.discriminator
    yield from invert(
        prior.generator.to(device),
        operator,
        operator(to_tensor(values).to(device)),
        config,
        rng=rng,
        weight=weight,
        discriminator=None if discriminator is None else discriminator.to(device),
    )


def inpaint(
    image: "ImageData",
    mask: "LabelsData",
    *,
    prior: str | Path = "nuclei",
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
) -> "ImageData":
    """Fill the damaged pixels of an image with what a prior knows.

    Multi-code inversion of a generator, Gu, Shen, Zhou, CVPR 2020,
    https://doi.org/10.1109/CVPR42600.2020.00308.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    mask : array
        (H, W); pixels that are not 0 are damaged.
    prior : str or Path
        Name of an installed prior, or a file.
    quality : {"fast", "balanced", "best"}
        How much time to spend.
    seed : int
        The same seed on the same device gives the same pixels.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    zoom : float or None
        Enlargement before restoring, 0.125 .. 8; None estimates it.

    Returns
    -------
    array
        Same shape and dtype; undamaged pixels are bit-identical. For uncertainty and recipe use
        `Inpainting`.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    run = Inpainting(
        image,
        mask,
        load_prior(find_prior(str(prior))),
        quality=quality,
        seed=seed,
        device=device,
        zoom=zoom,
    )
    for _ in run:
        pass
    return run.result().image


def _pictures(images: Tensor) -> NDArray[np.float32]:
    """Turn the restarts of one image, (1, R, C, H, W), into (R, H, W, C)."""
    return np.moveaxis(images[0].to("cpu", torch.float32).numpy(), 1, -1)


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


def _hash(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
