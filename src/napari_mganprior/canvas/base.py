"""What every canvas does: resample to the prior's scale and back, blend windows."""

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_mganprior.tiling import TilePlan, Window

__all__ = ["AVERAGE", "BEST", "blend", "resized", "zoomed"]

AVERAGE, BEST = "average", "best"
"""Of each window the mean over restarts, or the restart that explains best what was measured."""

_MEASURED = 0.99  # share of undamaged area from which a resampled pixel counts as measured


def blend(
    plan: TilePlan,
    window: Window,
    pictures: NDArray[np.float32],
    total: NDArray[np.float64],
    spread: NDArray[np.float64],
    weight: NDArray[np.float64],
    *,
    chosen: int | None = None,
) -> None:
    """Add a window's restorations to weighted sums.

    Parameters
    ----------
    plan : TilePlan
        Its weights fall towards a window's edge.
    window : Window
        One of the plan's.
    pictures : array of float32
        One a restart, (R, size, size, C).
    total, spread, weight : array of float64
        Sums of values (H, W, C), of standard deviations (H, W), and of weights (H, W); changed.
    chosen : int, optional
        The restart whose values are taken; their mean if left out.
    """
    here = window.slices
    share = plan.weights
    values = pictures.mean(axis=0) if chosen is None else pictures[chosen]
    total[here] += values * share[..., None]
    spread[here] += pictures.std(axis=0).mean(axis=-1) * share
    weight[here] += share


def resized(planes: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Bring (H, W, ...) to another height and width: cubic when enlarged, averaged when reduced."""
    smaller = shape[0] < planes.shape[0]
    out: NDArray[np.floating] = resize(
        planes,
        (*shape[:2], *planes.shape[2:]),
        order=1 if smaller else 3,
        anti_aliasing=smaller,
        mode="edge",
        preserve_range=True,
    )
    return out


def zoomed(
    planes: NDArray[np.float32], measured: NDArray[np.bool_], zoom: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample so that damaged pixels do not leak into measured ones.

    Parameters
    ----------
    planes : array of float32
        (H, W, C).
    measured : array of bool
        (H, W).
    zoom : float
        Enlargement, above 0.

    Returns
    -------
    array of float32
        The values, (h, w, C), h and w being H and W times the zoom.
    array of bool
        Where nearly all of a pixel's area was measured, (h, w).
    """
    shape = tuple(max(1, round(n * zoom)) for n in measured.shape)
    share = resize(measured.astype(np.float64), shape, order=1, anti_aliasing=zoom < 1, mode="edge")
    known = np.where(measured[..., None], planes, 0.0).astype(np.float64)
    sums = resize(known, (*shape, planes.shape[2]), order=1, anti_aliasing=zoom < 1, mode="edge")
    values = sums / np.maximum(share, 1e-6)[..., None]
    return values.astype(np.float32), share >= _MEASURED
