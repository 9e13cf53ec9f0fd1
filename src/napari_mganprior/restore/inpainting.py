"""Fill the damaged pixels of a real image with what a prior knows.

The image is brought to the prior's range and scale, only windows that touch damage are
computed, and what was measured comes back bit-identical.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.canvas import Canvas
from napari_mganprior.checks import checked_mask
from napari_mganprior.damage import DamageConfig, grown, in_region, mixing_share
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import Step
from napari_mganprior.restore.base import Picture, WindowTask, to_pixels, within_reach
from napari_mganprior.restore.result import Restoration
from napari_mganprior.restore.search import cut_for, search_window
from napari_mganprior.tiling import Window

__all__ = ["Inpainting"]


class Inpainting(WindowTask):
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
    overrides : mapping, optional
        Single settings in place of the quality's, by the names they have in `InversionConfig`.
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
    pick : {"average", "best"}
        What the result's image is: the mean over the restarts, or of each window the restart
        that explains best what was measured. Both are in the `Restoration`.

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

    name = "inpaint"
    _surface: Canvas

    def __init__(
        self,
        image: ArrayLike,
        mask: ArrayLike,
        prior: LoadedPrior,
        *,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        zoom: float | None = 1.0,
        precision: str | None = None,
        damage: DamageConfig | None = None,
        start: Restoration | None = None,
        pick: str = "average",
    ) -> None:
        picture = np.array(image, copy=True)
        marked = checked_mask(mask, picture)
        extent = DamageConfig() if damage is None else damage
        missing = checked_mask(grown(marked, extent.grow), picture)
        self._wanted = in_region(missing, extent.region)
        super().__init__(
            picture, marked, missing, prior, quality=quality, config=config,
            overrides=overrides, seed=seed, device=device, zoom=zoom, precision=precision,
            start=start, pick=pick, extent=extent,
        )  # fmt: skip
        # once: previews are composed several times a second
        measured = self._image[~self._mask]
        self._limits = float(measured.min()), float(measured.max())
        self._share = mixing_share(marked, extent)

    def _blank(self) -> Canvas:
        # NaN may stand under the damage; it must not reach the resampling
        hidden = self._mask if self._image.ndim == 2 else self._mask[..., None]
        clean = np.where(hidden, self._image[~self._mask].min(), self._image)
        return Canvas(
            within_reach(self._values.encode(clean, clip=False)),
            self._mask,
            self._wanted,
            zoom=self.zoom,
            size=self._prior.generator.resolution,
            context=self._config.context,
            reach=self._config.reach,
        )

    def _settings(self, window: Window) -> InversionConfig:
        return replace(self._config, layer=cut_for(self._surface, window, self._config))

    def _search(self, window: Window, rng: torch.Generator) -> Iterator[Step]:
        return search_window(
            self._surface,
            window,
            self._prior,
            self._config,
            rng=rng,
            device=self._device,
            start=self._known_codes(),
        )

    def _rough_picture(self) -> Picture:
        return self._surface.picture(*self._unfinished(), which=self._pick, rough=True)

    def _residual(self) -> NDArray[np.float32]:
        drawn, covered = self._surface.drawing(*self._unfinished()[:2])
        seen = covered & ~self._mask
        seen = seen if self._image.ndim == 2 else seen[..., None]
        measured = np.where(seen, self._image, 0.0)
        return np.where(seen, self._values.decode(drawn) - measured, 0.0).astype(np.float32)

    def _composed(
        self, picture: NDArray[np.float32], drawn: NDArray[np.bool_], before: Restoration | None
    ) -> NDArray[Any]:
        values = np.clip(self._values.decode(picture), *self._limits)
        share = self._share
        if share is not None:
            share = share if self._image.ndim == 2 else share[..., None]
            # what was grown over may still hold NaN, which nothing can be mixed with
            usable = (share < 1) & np.isfinite(self._image)
            original = np.where(usable, self._image, 0.0)
            values = np.where(usable, share * values + (1 - share) * original, values)
        restored = self._image.copy()
        if before is not None:
            kept = before.invented & self._wanted
            restored[kept] = before.image[kept]
        filled = self._wanted & drawn
        restored[filled] = to_pixels(values[filled], self._image.dtype)
        return restored

    def _changed(self, drawn: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        earlier = self._earlier()
        invented = self._wanted & drawn
        if earlier is not None:
            invented = invented | (earlier.invented & self._wanted)
        return invented, invented
