"""An image that is drawn anew as a whole, window by window, on a grid at least as fine as its own.

Values are in [-1, 1].
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_mganprior.canvas.base import AVERAGE, blend, resized, zoomed
from napari_mganprior.tiling import Window, plan_grid

__all__ = ["Sheet"]


class Sheet:
    """Hands out what was measured, and keeps what was drawn.

    Parameters
    ----------
    values : array of float32
        Measured image, (h, w) or (h, w, C).
    weight : array of float
        How much each of its pixels counts, (h, w), 0 or more; 0 where nothing was measured.
    size : int
        Side of a window in the prior's pixels; a multiple of ``factor``.
    zoom : float
        The measured image is resampled by it before it is read, and what was drawn is brought
        back; above 0.
    factor : int
        Drawn pixels along the side of a measured one, 1 or more; with a zoom of 1 only.
    channels : int, optional
        Of what is drawn, where it has others than the measured image.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        weight: NDArray[np.floating],
        *,
        size: int,
        zoom: float = 1.0,
        factor: int = 1,
        channels: int | None = None,
    ) -> None:
        planes = values.reshape(*weight.shape, -1)
        drawn = values.shape[2:] if channels is None else (channels,)
        self._user_shape = tuple(n * factor for n in weight.shape) + drawn
        if zoom != 1:
            planes, measured = zoomed(planes, weight > 0, zoom)
            shares = resize(weight, measured.shape, order=1, mode="edge", preserve_range=True)
            weight = np.where(measured, shares, 0.0)
        self._factor = factor
        self._scaled_shape = tuple(n * factor for n in weight.shape)
        side = size // factor
        pad = [(max(0, side - n) // 2, max(0, side - n + 1) // 2) for n in weight.shape]
        self._corner = (pad[0][0] * factor, pad[1][0] * factor)
        self._values = np.pad(planes, [*pad, (0, 0)])
        self._measured = np.pad(weight, pad)
        rows, columns = (n * factor for n in self._measured.shape)
        self.plan = plan_grid((rows, columns), size=size, step=factor)
        self._total = np.zeros((rows, columns, drawn[0] if drawn else 1))
        self._best = self._total.copy()
        self._spread = np.zeros((rows, columns))
        self._weight = np.zeros((rows, columns))

    def in_order(self) -> Iterator[Window]:
        """Yield the windows in the order of reading."""
        yield from self.plan.windows

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a window's values (s, s, C), s being size / factor, and their weights (s, s)."""
        top, left, side = (n // self._factor for n in (window.top, window.left, window.size))
        here = np.s_[top : top + side, left : left + side]
        return self._values[here].astype(np.float32), self._measured[here].astype(np.float32)

    def erase(self) -> None:
        """Forget what was drawn, to draw anew."""
        for kept in (self._total, self._best, self._spread, self._weight):
            kept[:] = 0

    def fill(self, window: Window, pictures: NDArray[np.float32], best: int = 0) -> None:
        """Blend a window's drawings in, one a restart, (R, size, size, C); ``best`` is a number."""
        blend(self.plan, window, pictures, self._total, self._spread, self._weight)
        self._best[window.slices] += pictures[best] * self.plan.weights[..., None]

    def picture(
        self,
        window: Window | None = None,
        pictures: NDArray[np.float32] | None = None,
        best: int = 0,
        *,
        which: str = AVERAGE,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return what was drawn so far.

        Parameters
        ----------
        window, pictures, best
            A window that is not finished, to be shown too.
        which : {"average", "best"}
            Of each window the mean over its restarts, or its best restart.

        Returns
        -------
        array of float32
            Drawn values, (h * factor, w * factor[, channels]); 0 where nothing was drawn.
        array of float32
            Standard deviation over restarts, (h * factor, w * factor).
        array of bool
            Where windows were drawn, (h * factor, w * factor).
        """
        total = self._total if which == AVERAGE else self._best
        spread, weight = self._spread, self._weight
        if window is not None and pictures is not None:
            total, spread, weight = total.copy(), spread.copy(), weight.copy()
            chosen = None if which == AVERAGE else best
            blend(self.plan, window, pictures, total, spread, weight, chosen=chosen)
        top, left = self._corner
        here = np.s_[top : top + self._scaled_shape[0], left : left + self._scaled_shape[1]]
        share = np.where(weight > 0, weight, 1.0)[here]
        values: NDArray[np.floating] = total[here] / share[..., None]
        deviation: NDArray[np.floating] = spread[here] / share
        drawn = weight[here] > 0
        if self._scaled_shape != self._user_shape[:2]:
            shape = self._user_shape[:2]
            values, deviation = resized(values, shape), resized(deviation, shape)
            drawn = resize(drawn, shape, order=0, mode="edge", anti_aliasing=False)
        return (
            values.reshape(self._user_shape).astype(np.float32),
            np.maximum(deviation, 0.0).astype(np.float32),
            drawn,
        )
