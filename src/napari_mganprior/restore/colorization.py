"""Give a grey image colours that a prior knows; its brightness stays what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.canvas import Sheet
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import ImageError, PriorError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.colorization import LUMA
from napari_mganprior.operators.colorization import Colorization as Luma
from napari_mganprior.restore.base import to_pixels
from napari_mganprior.restore.result import Restoration
from napari_mganprior.restore.sheets import SheetTask
from napari_mganprior.tiling import Window

__all__ = ["Colorization", "luma"]


class Colorization(SheetTask):
    """One colorization of one grey image, to be iterated over.

    All colours are invented; the luma of the result is the input. Another seed may give other
    colours. Everything is checked when it is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`, of RGB images.
    quality, config, overrides, seed, device, zoom, precision, start, pick
        As for `Inpainting`.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import Colorization, load_prior  # doctest: +SKIP
    >>> run = Colorization(image, load_prior(path))  # doctest: +SKIP
    >>> for step in run:  # doctest: +SKIP
    ...     print(step.index, step.loss)
    >>> coloured = run.result().image  # doctest: +SKIP
    """

    name = "colorize"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
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
        if picture.ndim == 3 and picture.shape[2] in (3, 4):
            raise ImageError(
                f"Got an image of shape {picture.shape}, which has colours already; wanted a grey "
                "one, (height, width). Convert it to grey, or choose one channel."
            )
        nothing = np.zeros(picture.shape[:2], bool)
        super().__init__(
            picture, nothing, nothing, prior, quality=quality, config=config,
            overrides=overrides, seed=seed, device=device, zoom=zoom, precision=precision,
            start=start, pick=pick, extent=DamageConfig(),
        )  # fmt: skip

    @classmethod
    def untouched(cls, image: NDArray[Any], told: Mapping[str, Any]) -> NDArray[Any]:
        """Return the grey picture in three channels."""
        return np.repeat(image[..., None], 3, axis=-1)

    def _check_prior(self, prior: LoadedPrior) -> None:
        if prior.generator.image_channels != 3:
            raise PriorError(
                f"Got the prior {prior.card.name!r}, which draws grey images, to take colours "
                "from; wanted one of RGB images. Choose another prior."
            )

    def _result_shape(self) -> tuple[int, ...]:
        return (*self._image.shape, 3)

    def _blank(self) -> Sheet:
        return Sheet(
            self._values.encode(self._image, clip=False),
            np.ones(self._image.shape),
            size=self._prior.generator.resolution,
            zoom=self.zoom,
            channels=3,
        )

    def _measured_by(
        self, window: Window, values: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[Operator, InversionConfig]:
        return Luma(), self._config

    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        grey = self._image.astype(np.float64)[..., None]
        colours = self._values.decode(picture)
        chroma = colours - luma(colours)[..., None]
        # where a channel would leave the range, all of them go towards grey, which keeps the luma
        low, high = self._range()
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(chroma > 0, (high - grey) / chroma, (low - grey) / chroma)
        share = np.clip(np.where(chroma == 0, 1.0, room).min(axis=-1, keepdims=True), 0.0, 1.0)
        values = grey + share * chroma
        rest = np.repeat(self._image[..., None], 3, axis=-1) if before is None else before.image
        shown: NDArray[Any] = np.where(drawn[..., None], to_pixels(values, self._image.dtype), rest)
        return shown

    def _range(self) -> tuple[float, float]:
        """Return what values an image of this type may have; floats within 0 and 1 stay there."""
        if self._image.dtype.kind in "iu":
            info = np.iinfo(self._image.dtype)
            return float(info.min), float(info.max)
        low, high = float(self._image.min()), float(self._image.max())
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)

    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        earlier = self._earlier()
        coloured = drawn if earlier is None else drawn | earlier.invented
        return coloured, coloured

    def _residual(self) -> NDArray[np.float32]:
        picture, _, drawn = self._surface.picture(*self._unfinished())
        lacking = luma(self._values.decode(picture)) - self._image
        return np.where(drawn, lacking, 0.0).astype(np.float32)

    def _noted(self) -> dict[str, Any]:
        return {"replaces": "the colour of every pixel"}


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """Brightness of an RGB image (H, W, 3) by ITU-R BT.709, (H, W), in its own units."""
    return np.asarray(np.asarray(image, np.float64) @ np.array(LUMA))
