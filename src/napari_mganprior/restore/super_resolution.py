"""Draw an image of more pixels whose reduction is the image that was measured."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from napari_mganprior.canvas import Sheet
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import ImageError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.super_resolution import SuperResolution as Reduction
from napari_mganprior.restore.base import to_pixels
from napari_mganprior.restore.growth import check_factor, check_size
from napari_mganprior.restore.result import Restoration
from napari_mganprior.restore.sheets import SheetTask
from napari_mganprior.restore.tasks import find_task
from napari_mganprior.tiling import Window

__all__ = ["SuperResolution", "reduced"]

_SMOOTH_ROUNDS = 10
_EXACT_ROUNDS = 20
_NEARBY = 2.0  # measured pixels: standard deviation of what counts as nearby

Kernel = Literal["binning", "bicubic", "gaussian"]


class SuperResolution(SheetTask):
    """One super-resolution of one 2-D image, to be iterated over.

    Every pixel of the result is an estimate; reduced again, they give what was measured.
    Everything is checked when it is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`; it should know structures of the size they have in the result.
    factor : {2, 4, 8, 16}
        Pixels of the result along the side of a measured one.
    kernel : {"binning", "bicubic", "gaussian"}
        How the image is thought to have been made from the larger one, as in
        `operators.SuperResolution`.
    sigma : float
        Of the Gaussian, in pixels of the result.
    drawing_only : bool
        Take the result from what the prior drew alone; otherwise bicubic interpolation has its
        share in it, the larger the better it explains what was measured nearby.
    quality, config, overrides, seed, device, precision, start, pick
        As for `Inpainting`; a quality takes twice the evaluations here.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import SuperResolution, load_prior  # doctest: +SKIP
    >>> run = SuperResolution(image, load_prior(path), factor=4)  # doctest: +SKIP
    >>> for step in run:  # doctest: +SKIP
    ...     print(step.index, step.loss)
    >>> larger = run.result().image  # doctest: +SKIP
    """

    name = "super_resolve"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
        factor: int = 4,
        kernel: Kernel = "binning",
        sigma: float = 1.0,
        drawing_only: bool = False,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str | None = None,
        start: Restoration | None = None,
        pick: str = "average",
    ) -> None:
        picture = np.array(image, copy=True)
        check_factor(factor, prior.generator.resolution, prior.card.name)
        self._reduction = Reduction(factor, kernel=kernel, sigma=sigma)
        self.factor, self._kernel, self._sigma = int(factor), kernel, float(sigma)
        self._drawing_only = bool(drawing_only)
        check_size(picture.shape, self.factor)
        nothing = np.zeros(picture.shape[:2], bool)
        super().__init__(
            picture, nothing, nothing, prior, quality=quality, config=config,
            overrides=overrides, seed=seed, device=device, zoom=1.0, precision=precision,
            start=start, pick=pick, extent=DamageConfig(),
        )  # fmt: skip

    def _preset(self, quality: str, prior: LoadedPrior) -> InversionConfig:
        shapes, detail = prior.generator.cuts
        config = preset(quality, (shapes, detail))
        # the more pixels are wanted for one, the more is left to the prior; and a small image
        # cannot spare pixels to choose by
        task = find_task(self.name)
        layer = detail if task.is_cut_for_detail({"factor": self.factor}) else shapes
        return replace(config, layer=layer, n_steps=task.steps * config.n_steps, held_out=0.0)

    @classmethod
    def untouched(cls, image: NDArray[Any], told: Mapping[str, Any]) -> NDArray[Any]:
        """Return the same picture of more pixels."""
        larger: NDArray[Any] = image.repeat(told["factor"], axis=0).repeat(told["factor"], axis=1)
        return larger

    def _result_shape(self) -> tuple[int, ...]:
        height, width, *colours = self._image.shape
        return (height * self.factor, width * self.factor, *colours)

    def _blank(self) -> Sheet:
        return Sheet(
            self._values.encode(self._image, clip=False),
            np.ones(self._image.shape[:2]),
            size=self._prior.generator.resolution,
            factor=self.factor,
        )

    def _measured_by(
        self, window: Window, values: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[Operator, InversionConfig]:
        return self._reduction, self._config

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; of the result's shape and dtype.

        It agrees with the input less well than the result does, so that it costs little.
        """
        picture, _, drawn = self._rough_picture()
        rough = self._filled(picture, drawn, self._before(self._pick))
        return self._agreeing(rough, smooth=0, exact=1)

    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        return self._agreeing(self._filled(picture, drawn, before))

    def _filled(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[np.float64]:
        there = drawn if self._image.ndim == 2 else drawn[..., None]
        values = self._values.decode(picture)
        if not self._drawing_only:
            share = self._share(values, drawn)
            values = share * values + (1 - share) * self._smooth
        return np.where(there, values, self._smooth if before is None else before.image)

    @cached_property
    def _smooth(self) -> NDArray[np.float64]:
        """Bicubic interpolation of what was measured: the same for every preview."""
        return _enlarged(self._image.astype(np.float64), self._result_shape())

    @cached_property
    def _fault_of_smooth(self) -> NDArray[np.float64]:
        return self._fault(self._smooth)

    def _share(self, values: NDArray[np.floating], drawn: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the share of what was drawn at every pixel, the rest being interpolation.

        Of two estimates whose faults are independent the mean with weights 1 / variance is the
        best. The variances are not known; how far each is nearby, reduced, from what was
        measured, says something of them (docs/method.md has what that is worth).
        """
        seen = drawn[:: self.factor, :: self.factor]  # windows hold whole measured pixels
        ours, theirs = (
            gaussian_filter(np.where(seen, fault, 0.0), _NEARBY, mode="reflect")
            for fault in (self._fault(values), self._fault_of_smooth)
        )
        both = ours + theirs
        share = np.divide(theirs, both, out=np.ones_like(both), where=both > 0)
        larger = resize(share, drawn.shape, order=1, mode="edge", anti_aliasing=False)
        return np.asarray(larger if self._image.ndim == 2 else larger[..., None], np.float64)

    def _fault(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return how far off a picture is at each measured pixel, squared, (H, W)."""
        away = (self._reduced(values) - self._image) ** 2
        return np.asarray(away if away.ndim == 2 else away.mean(axis=-1))

    def _agreeing(
        self,
        values: NDArray[np.float64],
        *,
        smooth: int = _SMOOTH_ROUNDS,
        exact: int = _EXACT_ROUNDS,
    ) -> NDArray[Any]:
        """Change an image as little as it takes to be, reduced, what was measured.

        Back-projection, after Irani and Peleg, 1991,
        https://doi.org/10.1016/1049-9652(91)90045-L: what is missing is enlarged and added,
        smoothly first, then evenly over the square of each measured pixel.
        """
        measured = self._image.astype(np.float64)
        whole = self._image.dtype.kind in "iu"
        low, high = -np.inf, np.inf
        if whole:
            info = np.iinfo(self._image.dtype)
            low, high = float(info.min), float(info.max)
        for number in range(smooth + exact):
            lacking = measured - self._reduced(values)
            if number < smooth or self._kernel != "binning":
                values = values + _enlarged(lacking, values.shape)
            else:
                # pixels that have come to the end of the type's range cannot take their part
                free = np.where(_repeated(lacking, self.factor) < 0, values > low, values < high)
                share = np.maximum(reduced(free, self.factor), 1 / self.factor**2)
                values = values + _repeated(lacking / share, self.factor)
            values = np.clip(values, low, high)
        return to_pixels(values, self._image.dtype)

    def _reduced(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        return reduced(values, self.factor, kernel=self._kernel, sigma=self._sigma)

    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        changed = drawn if self._earlier() is None else np.ones_like(drawn)
        return changed, np.zeros_like(drawn)

    def _residual(self) -> NDArray[np.float32]:
        picture, _, drawn = self._surface.picture(*self._unfinished())
        f = self.factor
        covered = drawn[::f, ::f]  # windows hold whole measured pixels
        covered = covered if self._image.ndim == 2 else covered[..., None]
        lacking = self._reduced(self._values.decode(picture)) - self._image
        return np.where(covered, lacking, 0.0).astype(np.float32)

    def _noted(self) -> dict[str, Any]:
        return {
            "replaces": "every pixel",
            "drawing_only": self._drawing_only,
            "operator": {"factor": self.factor, "kernel": self._kernel, "sigma": self._sigma},
            # in pixels of the image: with these a viewer lays the result upon it
            "layer": {"scale": 1 / self.factor, "translate": -0.5 * (1 - 1 / self.factor)},
        }


def reduced(
    image: NDArray[np.floating], factor: int, *, kernel: Kernel = "binning", sigma: float = 1.0
) -> NDArray[np.float64]:
    """Make a whole image smaller, as `operators.SuperResolution` does a window.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, C), sides that ``factor`` divides.
    factor, kernel, sigma
        As there.

    Returns
    -------
    array of float64
        (H / factor, W / factor) or (H / factor, W / factor, C).
    """
    values = np.asarray(image, np.float64)
    height, width, *colours = values.shape
    if height % factor or width % factor:
        raise ImageError(
            f"Got an image of {height}x{width} px to make {factor} times smaller; wanted sides "
            f"that {factor} divides. Crop it."
        )
    rows, columns = height // factor, width // factor
    if kernel == "bicubic":
        planes = np.moveaxis(values.reshape(height, width, -1), -1, 0)[None]
        small = F.interpolate(
            torch.from_numpy(np.ascontiguousarray(planes)),
            size=(rows, columns),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        )
        return np.moveaxis(small[0].numpy(), 0, -1).reshape(rows, columns, *colours)
    if kernel == "gaussian":
        values = gaussian_filter(values, (sigma, sigma, 0)[: values.ndim], mode="reflect")
    return np.asarray(
        values.reshape(rows, factor, columns, factor, *colours).mean(axis=(1, 3)), np.float64
    )


def _enlarged(image: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(resize(image, shape, order=3, mode="edge", anti_aliasing=False), np.float64)


def _repeated(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
