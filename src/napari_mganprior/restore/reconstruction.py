"""Draw an image anew as well as a prior can, to have its codes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.canvas import Sheet
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import PriorError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.denoising import Denoising as Identity
from napari_mganprior.restore.result import Restoration, WindowCodes
from napari_mganprior.restore.sheets import SheetTask
from napari_mganprior.restore.tasks import find_task
from napari_mganprior.tiling import Window

__all__ = ["Reconstruction"]


class Reconstruction(SheetTask):
    """One inversion of one 2-D image, to be iterated over.

    The result is the drawing itself: what the prior makes of the image. Everything is checked
    when it is made; nothing is computed before the first step.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`.
    codes : sequence of WindowCodes
        Codes to begin at, from an earlier restoration or `load_codes`; those that fit are used.
    quality, config, overrides, seed, device, zoom, precision, start, pick
        As for `Inpainting`; a quality takes 20 codes and twice the evaluations here.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do.

    Examples
    --------
    >>> from napari_mganprior import Reconstruction, load_prior, save_codes  # doctest: +SKIP
    >>> prior = load_prior(path)  # doctest: +SKIP
    >>> run = Reconstruction(image, prior)  # doctest: +SKIP
    >>> for step in run:  # doctest: +SKIP
    ...     print(step.index, step.loss)
    >>> save_codes("codes.npz", run.result().codes, prior.sha256)  # doctest: +SKIP
    """

    name = "invert"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
        codes: Sequence[WindowCodes] = (),
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
        wrong = [c.z.shape[2] for c in codes if c.z.shape[2] != prior.generator.code_dim]
        if wrong:
            raise PriorError(
                f"Got codes of {wrong[0]} numbers for the prior {prior.card.name!r}, whose codes "
                f"have {prior.generator.code_dim}; wanted codes of this prior. Choose the prior "
                "they were found with, or begin without codes."
            )
        self._given = tuple(codes)
        nothing = np.zeros(picture.shape[:2], bool)
        super().__init__(
            picture, nothing, nothing, prior, quality=quality, config=config,
            overrides=overrides, seed=seed, device=device, zoom=zoom, precision=precision,
            start=start, pick=pick, extent=DamageConfig(),
        )  # fmt: skip

    def _preset(self, quality: str, prior: LoadedPrior) -> InversionConfig:
        detail = prior.generator.cuts[1]
        config = preset(quality, (detail, detail))
        task = find_task(Reconstruction.name)  # an editing searches as an inversion does
        # nothing is to be guessed: the measured pixels are all there is to choose by
        return replace(
            config,
            n_codes=task.n_codes or config.n_codes,
            n_steps=task.steps * config.n_steps,
            held_out=0.0,
        )

    def _known_codes(self) -> tuple[WindowCodes, ...]:
        return (*self._given, *super()._known_codes())

    def _blank(self) -> Sheet:
        return Sheet(
            self._values.encode(self._image),
            np.ones(self._image.shape[:2]),
            size=self._prior.generator.resolution,
            zoom=self.zoom,
        )

    def _measured_by(
        self, window: Window, values: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[Operator, InversionConfig]:
        return Identity(), self._config

    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        low, high = float(self._image.min()), float(self._image.max())
        values = np.clip(self._values.decode(picture), low, high)
        if self._image.dtype.kind in "iu":
            values = np.rint(values)
        shown = (self._image if before is None else before.image).copy()
        shown[drawn] = values[drawn].astype(self._image.dtype)
        return shown

    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        changed = drawn if self._earlier() is None else np.ones_like(drawn)
        return changed, np.zeros_like(drawn)

    def _residual(self) -> NDArray[np.float32]:
        picture, _, drawn = self._surface.picture(*self._unfinished())
        seen = drawn if self._image.ndim == 2 else drawn[..., None]
        return np.where(seen, self._values.decode(picture) - self._image, 0.0).astype(np.float32)

    def _noted(self) -> dict[str, Any]:
        # codes are too many for a recipe: with some given, it repeats the search without them
        return {"replaces": "every pixel", "codes_given": len(self._given)}
