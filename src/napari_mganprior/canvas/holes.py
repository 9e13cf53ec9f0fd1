"""An image with holes: read window by window, filled window by window.

Numpy only. Values are in [-1, 1]; everything happens at the prior's scale, in an image padded
to at least one window.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.restoration import inpaint_biharmonic
from skimage.transform import resize

from napari_mganprior.canvas.base import AVERAGE, blend, resized, zoomed
from napari_mganprior.tiling import Window, plan_tiles

__all__ = ["Canvas", "corrected"]

_TRUST_IN_RESTORED = 0.2  # weight of a pixel that an overlapping window has filled
_FAR = 0.1  # weight of measured pixels far from any damage, where they are weighed at all


class Canvas:
    """Holds what was measured and what has been filled in so far.

    Parameters
    ----------
    values : array of float32
        Image in [-1, 1], (H, W) or (H, W, C); what stands at damaged pixels does not matter.
    damage : array of bool
        Pixels that were not measured, (H, W).
    wanted : array of bool, optional
        Those of them that are to be filled, (H, W); all if left out.
    zoom : float
        Enlargement to the prior's scale, above 0.
    size : int
        Side of a window in the prior's pixels.
    context, reach : float
        As in `InversionConfig`, pixels at the prior's scale.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        damage: NDArray[np.bool_],
        wanted: NDArray[np.bool_] | None = None,
        *,
        zoom: float,
        size: int,
        context: float = 0.0,
        reach: float = 0.0,
    ) -> None:
        self._user_shape = values.shape
        self._context, self._reach = context, reach
        planes = values.reshape(*damage.shape, -1)
        measured, kept = ~damage, np.zeros_like(damage)
        if wanted is not None:
            kept = damage & ~wanted
        if zoom != 1:
            planes, measured = zoomed(planes, measured, zoom)
            kept = resize(kept, measured.shape, order=0, mode="edge", anti_aliasing=False)
        self._scaled_shape = measured.shape
        wanted = ~measured & ~kept
        pad = [(max(0, size - n) // 2, max(0, size - n + 1) // 2) for n in measured.shape]
        self._corner = (pad[0][0], pad[1][0])
        self._values = np.pad(planes, [*pad, (0, 0)])
        self._measured = np.pad(measured, pad)  # the padding was not measured either
        self._wanted = np.pad(wanted, pad)
        self.plan = plan_tiles(self._wanted, size=size)
        self._total = np.zeros_like(self._values, dtype=np.float64)
        self._best = self._total.copy()
        self._drawn = np.zeros_like(self._values, dtype=np.float64)
        self._spread = np.zeros(self._measured.shape)
        self._weight = np.zeros(self._measured.shape)

    def in_order(self) -> Iterator[Window]:
        """Yield the windows, always the one of which most is known next.

        So a hole larger than a window is filled from its rim inwards.
        """
        windows = self.plan.windows
        left = set(range(len(windows)))
        known = {number: self._known(window) for number, window in enumerate(windows)}
        while left:
            number = max(left, key=lambda n: (known[n], -n))
            left.remove(number)
            yield windows[number]
            for other in self.plan.overlapping(windows[number]):
                known[other] = self._known(windows[other])

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a window's values (size, size, C) and their weights (size, size).

        The weight is up to 1 where a pixel was measured, less the further it lies from the
        damage; small where another window has filled it; else 0.
        """
        here = window.slices
        filled = self._weight[here] > 0
        guess = self._total[here] / np.where(filled, self._weight[here], 1.0)[..., None]
        measured = self._measured[here]
        values = np.where(measured[..., None], self._values[here], guess)
        weight = np.where(measured, 1.0, np.where(filled, _TRUST_IN_RESTORED, 0.0))
        if self._context > 0:
            near = np.exp(-distance_transform_edt(~self._wanted[here]) / self._context)
            weight = weight * (_FAR + (1 - _FAR) * near)
        return values.astype(np.float32), weight.astype(np.float32)

    def depth(self, window: Window) -> float:
        """Largest distance of a damaged pixel of a window from a measured one, in pixels."""
        here = window.slices
        depth = distance_transform_edt(~self._measured[here])
        return float(depth[self._wanted[here]].max(initial=0.0))

    def fill(self, window: Window, pictures: NDArray[np.float32], best: int = 0) -> None:
        """Blend a window's restorations in.

        Parameters
        ----------
        window : Window
            One of the plan's.
        pictures : array of float32
            One a restart, (R, size, size, C).
        best : int
            Number of the restart that explains best what was measured.
        """
        finished = corrected(
            pictures,
            self._values[window.slices],
            self._measured[window.slices],
            reach=self._reach,
        )
        blend(self.plan, window, finished, self._total, self._spread, self._weight)
        self._best[window.slices] += finished[best] * self.plan.weights[..., None]
        self._drawn[window.slices] += pictures.mean(axis=0) * self.plan.weights[..., None]

    def picture(
        self,
        window: Window | None = None,
        pictures: NDArray[np.float32] | None = None,
        best: int = 0,
        *,
        which: str = AVERAGE,
        rough: bool = False,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return the image so far, its uncertainty, and where it is filled in.

        Parameters
        ----------
        window, pictures, best
            A window that is not finished, to be shown too.
        which : {"average", "best"}
            Of each window the mean over its restarts, or its best restart.
        rough : bool
            Show the unfinished window as it was drawn, without bringing it to its surroundings,
            which takes longer than an evaluation.

        Returns
        -------
        array of float32
            Values in the shape given at first; without meaning where nothing is filled in.
        array of float32
            Standard deviation over restarts, (H, W).
        array of bool
            Where windows have filled in something, (H, W).
        """
        total = self._total if which == AVERAGE else self._best
        spread, weight = self._spread, self._weight
        if window is not None and pictures is not None:
            total, spread, weight = total.copy(), spread.copy(), weight.copy()
            if not rough:
                here = window.slices
                pictures = corrected(
                    pictures, self._values[here], self._measured[here], reach=self._reach
                )
            chosen = None if which == AVERAGE else best
            blend(self.plan, window, pictures, total, spread, weight, chosen=chosen)
        share = np.where(weight > 0, weight, 1.0)
        top, left = self._corner
        here = np.s_[top : top + self._scaled_shape[0], left : left + self._scaled_shape[1]]
        # the measured pixels around a hole belong into the resampling of its rim
        measured = self._measured[here]
        values = np.where(measured[..., None], self._values[here], (total / share[..., None])[here])
        deviation = np.where(measured, 0.0, (spread / share)[here])
        filled = measured | (weight[here] > 0)
        if self._scaled_shape != self._user_shape[:2]:
            shape = self._user_shape[:2]
            values, deviation = resized(values, shape), resized(deviation, shape)
            filled = resize(filled, shape, order=0, mode="edge", anti_aliasing=False)
        return (
            values.reshape(self._user_shape).astype(np.float32),
            np.maximum(deviation, 0.0).astype(np.float32),
            filled,
        )

    def drawing(
        self, window: Window | None = None, pictures: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return what the prior drew, before anything was done to it, and where it drew.

        Parameters
        ----------
        window, pictures
            A window that is not finished, to be shown too.

        Returns
        -------
        array of float32
            Mean over restarts in the shape given at first; 0 where nothing was drawn.
        array of bool
            Where windows were drawn, (H, W).
        """
        total, weight = self._drawn, self._weight
        if window is not None and pictures is not None:
            total, weight = total.copy(), weight.copy()
            total[window.slices] += pictures.mean(axis=0) * self.plan.weights[..., None]
            weight[window.slices] += self.plan.weights
        top, left = self._corner
        here = np.s_[top : top + self._scaled_shape[0], left : left + self._scaled_shape[1]]
        drawn: NDArray[np.floating] = (total / np.where(weight > 0, weight, 1.0)[..., None])[here]
        covered = weight[here] > 0
        if self._scaled_shape != self._user_shape[:2]:
            shape = self._user_shape[:2]
            drawn = resized(drawn, shape)
            covered = resize(covered, shape, order=0, mode="edge", anti_aliasing=False)
        return drawn.reshape(self._user_shape).astype(np.float32), covered

    def _known(self, window: Window) -> float:
        here = window.slices
        return float(np.sum(self._measured[here] | (self._weight[here] > 0)))


def corrected(
    pictures: NDArray[np.float32],
    values: NDArray[np.float32],
    measured: NDArray[np.bool_],
    *,
    reach: float = 0.0,
) -> NDArray[np.float32]:
    """Let drawings continue what was measured around a hole.

    What a drawing lacks at the measured pixels is interpolated into the holes by the
    biharmonic equation and added, so that there is no step at the rim. Known in geostatistics
    as regression kriging: a model for the trend, interpolation for its residuals (Hengl,
    Heuvelink, Stein, 2004, https://doi.org/10.1016/j.geoderma.2003.08.018). Close to measured
    pixels, where interpolation knows more than the prior, it also takes a share of the trend:
    1 / (1 + (d / reach)**2) at the distance d.

    Parameters
    ----------
    pictures : array of float32
        Drawings, (R, H, W, C).
    values : array of float32
        Measured values, (H, W, C).
    measured : array of bool
        Where they were measured, (H, W).
    reach : float
        Distance in pixels at which interpolation's share has fallen to a half; 0 for none.

    Returns
    -------
    array of float32
        (R, H, W, C); equal to ``values`` at the measured pixels.
    """
    if not measured.any() or measured.all():
        return np.where(measured[..., None], values, pictures)
    # an empty drawing lacks everything: what is interpolated for it is plain interpolation
    drawn = np.concatenate([pictures, np.zeros_like(pictures[:1])])
    lacking = np.where(measured[..., None], values - drawn, 0.0)
    # drawings as channels: one matrix serves them all
    channels = np.moveaxis(lacking, 0, 2).reshape(*measured.shape, -1).astype(np.float64)
    smooth = inpaint_biharmonic(channels, ~measured, channel_axis=-1)
    smooth = np.moveaxis(smooth.reshape(*measured.shape, *drawn.shape[::3]), 2, 0)
    continued, interpolated = pictures + smooth[:-1], smooth[-1]
    squared = distance_transform_edt(~measured)[..., None] ** 2
    share = squared / (squared + reach**2) if reach > 0 else 1.0
    return np.asarray(share * continued + (1 - share) * interpolated, dtype=np.float32)
