"""How many windows a run would search: known from the damage alone, without torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.damage import grown, in_region
from napari_mganprior.inversion.config import QUALITIES, preset
from napari_mganprior.tiling import plan_grid

if TYPE_CHECKING:
    from napari_mganprior.canvas import Canvas

__all__ = ["KINDS", "Windows", "count_grid", "count_windows", "plan_windows"]

KINDS = ("thick", "thin")
"""Damage is searched at one of two cuts of a prior, as deep as it is."""

_LOOKED_AT = 100  # windows whose damage is measured; of more, so many are taken evenly


@dataclass(frozen=True, slots=True)
class Windows:
    """How many windows a run searches.

    Attributes
    ----------
    thick, thin : int
        Those searched at ``layer`` and at ``fine_layer`` of an `InversionConfig`.
    """

    thick: int = 0
    thin: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.thick + self.thin


def plan_windows(
    mask: NDArray[np.bool_],
    *,
    resolution: int,
    zoom: float = 1.0,
    grow: int = 0,
    region: tuple[int, int, int, int] | None = None,
) -> int:
    """Count the windows that a run would search, the same as `Inpainting.n_windows`.

    Parameters
    ----------
    mask : array of bool
        Damage, (H, W), or (P, H, W): the sum over planes.
    resolution : int
        Side of the prior's images in pixels.
    zoom : float
        Enlargement to the prior's scale, above 0.
    grow : int
        Pixels by which the damage is grown, 0 or more.
    region : tuple of int, optional
        (top, left, bottom, right); only damage inside is restored.

    Notes
    -----
    0.2 s for 2048 x 2048 px with 300 spots, up to 5 s where it is enlarged besides: keep it out of
    a window's thread.
    """
    canvases = _canvases(mask, resolution, zoom, grow, region)
    return sum(len(canvas.plan.windows) for canvas in canvases)


def count_windows(
    mask: NDArray[np.bool_],
    *,
    resolution: int,
    zoom: float = 1.0,
    grow: int = 0,
    region: tuple[int, int, int, int] | None = None,
) -> Windows:
    """Count the windows as `plan_windows` does, those of thin damage by themselves.

    Thin damage is searched at another cut of the prior, where an evaluation takes longer. Of more
    than 100 windows of a plane, 100 are looked at.

    Parameters
    ----------
    mask, resolution, zoom, grow, region
        As for `plan_windows`.
    """
    fine_depth = preset(QUALITIES[0]).fine_depth
    thick = thin = 0
    for canvas in _canvases(mask, resolution, zoom, grow, region):
        windows = canvas.plan.windows
        some = windows[:: -(-len(windows) // _LOOKED_AT)] if windows else ()
        share = sum(canvas.depth(window) <= fine_depth for window in some) / max(len(some), 1)
        thin += round(share * len(windows))
        thick += len(windows) - round(share * len(windows))
    return Windows(thick, thin)


def count_grid(
    shape: tuple[int, int], *, resolution: int, zoom: float = 1.0, factor: int = 1
) -> int:
    """Count the windows that cover a whole image, the same as of a `Sheet`.

    Parameters
    ----------
    shape : tuple of int
        Height and width.
    resolution : int
        Side of the prior's images in pixels.
    zoom : float
        Enlargement to the prior's scale, above 0.
    factor : int
        Drawn pixels along the side of a measured one.
    """
    side = max(1, resolution // factor)
    rows, columns = (max(side, round(n * zoom)) * factor for n in shape)
    return len(plan_grid((rows, columns), size=resolution, step=factor).windows)


def _canvases(
    mask: NDArray[np.bool_],
    resolution: int,
    zoom: float,
    grow: int,
    region: tuple[int, int, int, int] | None,
) -> Iterator["Canvas"]:
    """Yield the canvas of every plane with something to restore; it lays the windows."""
    # skimage takes its time, and only a run needs it
    from napari_mganprior.canvas import Canvas

    top, left, bottom, right = region or (0, 0, *mask.shape[-2:])
    for plane in mask[None] if mask.ndim == 2 else mask:
        damage = grown(np.asarray(plane, dtype=bool), grow)
        if damage[top:bottom, left:right].any():
            values = np.zeros(damage.shape, dtype=np.float32)
            yield Canvas(values, damage, in_region(damage, region), zoom=zoom, size=resolution)
