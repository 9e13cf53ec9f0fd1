"""Where to cut windows out of an image, and how to lay them back: integers and weights only."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["TilePlan", "Window", "plan_grid", "plan_tiles"]

_MOST_GROUPED = 1_000  # grouping compares every piece with every group


@dataclass(frozen=True, slots=True)
class Window:
    """A square part of an image.

    Attributes
    ----------
    top, left : int
        Its first row and column.
    size : int
        Its side in pixels.
    """

    top: int
    left: int
    size: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array (H, W, ...) with."""
        return (
            slice(self.top, self.top + self.size),
            slice(self.left, self.left + self.size),
        )


@dataclass(frozen=True)
class TilePlan:
    """Windows that cover all damage of an image.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the image the windows lie in, at least one window's size.
    windows : tuple of Window
        In the order of reading; every damaged pixel lies in at least one.
    overlap : int
        Width in pixels over which the weight of a window falls towards its edge.
    """

    shape: tuple[int, int]
    windows: tuple[Window, ...]
    overlap: int

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weight of a window's pixels when windows are blended, (size, size), above 0."""
        size = self.windows[0].size
        edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
        ramp = np.minimum(1.0, edge / max(self.overlap, 1))
        # squared: what two windows know least about, their rims, counts least
        return np.asarray(np.outer(ramp, ramp) ** 2)

    def overlapping(self, window: Window) -> Iterator[int]:
        """Yield the numbers of the windows that share a pixel with a window."""
        for number, other in enumerate(self.windows):
            if (
                abs(other.top - window.top) < window.size
                and abs(other.left - window.left) < window.size
            ):
                yield number


def plan_tiles(
    mask: NDArray[np.bool_], *, size: int, margin: int | None = None, overlap: int | None = None
) -> TilePlan:
    """Cover the damage of an image with as few windows as simple rules allow.

    A piece of damage that fits gets a window centred on it, so that it is seen with what
    surrounds it; small neighbours share a window; larger pieces get a grid of overlapping
    windows, of which those without damage are left out.

    Parameters
    ----------
    mask : array of bool
        Damage, (H, W), both at least ``size``.
    size : int
        Side of a window in pixels.
    margin : int, optional
        Undamaged rim wanted around a piece of damage; an eighth of the size if left out.
    overlap : int, optional
        Overlap of neighbouring windows of a grid; a quarter of the size if left out.

    Returns
    -------
    TilePlan
        Without windows where nothing is damaged.

    Raises
    ------
    ValueError
        If the image is smaller than a window, or margin and overlap leave no room.
    """
    margin = size // 8 if margin is None else margin
    overlap = size // 4 if overlap is None else overlap
    if min(mask.shape) < size or 2 * margin >= size or not 0 <= overlap < size:
        raise ValueError(f"no window of {size} px fits: {mask.shape=}, {margin=}, {overlap=}")
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    inner = size - 2 * margin
    small: list[tuple[slice, ...]] = []
    corners: set[tuple[int, int]] = set()
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if all(s.stop - s.start <= inner for s in box):
            small.append(box)
        else:
            corners |= _grid(labels == number, box, size, margin, overlap)
    covered = np.zeros(mask.shape, dtype=bool)
    for top, left in corners:
        covered[_inside(top, left, size, margin, mask.shape)] = True
    corners |= _shared([b for b in small if not covered[b].all()], mask, size, margin, overlap)
    windows = tuple(Window(top, left, size) for top, left in sorted(corners))
    return TilePlan((mask.shape[0], mask.shape[1]), windows, overlap)


def plan_grid(
    shape: tuple[int, int], *, size: int, step: int = 1, overlap: int | None = None
) -> TilePlan:
    """Cover a whole image with overlapping windows.

    Parameters
    ----------
    shape : tuple of int
        Height and width, multiples of ``step``, both at least ``size``.
    size : int
        Side of a window in pixels, a multiple of ``step``.
    step : int
        Windows begin at multiples of it, 1 or more.
    overlap : int, optional
        Overlap of neighbouring windows, a multiple of ``step``; about a quarter of the size if
        left out.

    Returns
    -------
    TilePlan
        In which every pixel lies in at least one window.

    Raises
    ------
    ValueError
        If the image is smaller than a window, or something is no multiple of ``step``.
    """
    if any(n % step for n in (*shape, size, overlap or 0)):
        raise ValueError(f"no whole steps: {shape=}, {size=}, {step=}, {overlap=}")
    coarse = plan_tiles(
        np.ones((shape[0] // step, shape[1] // step), dtype=bool),
        size=size // step,
        margin=0,
        overlap=None if overlap is None else overlap // step,
    )
    windows = tuple(Window(w.top * step, w.left * step, size) for w in coarse.windows)
    return TilePlan(shape, windows, coarse.overlap * step)


def _shared(
    boxes: list[tuple[slice, ...]],
    mask: NDArray[np.bool_],
    size: int,
    margin: int,
    overlap: int,
) -> set[tuple[int, int]]:
    """Corners of windows for small pieces: one for each group, or a grid if that takes fewer."""
    if not boxes:
        return set()
    pieces = np.zeros_like(mask)
    for box in boxes:
        pieces[box] = mask[box]
    around = (
        slice(min(b[0].start for b in boxes), max(b[0].stop for b in boxes)),
        slice(min(b[1].start for b in boxes), max(b[1].stop for b in boxes)),
    )
    grid = _grid(pieces, around, size, margin, overlap)
    if len(boxes) > _MOST_GROUPED:
        return grid
    centred = {
        (_centred(rows, size, mask.shape[0]), _centred(columns, size, mask.shape[1]))
        for rows, columns in _groups(boxes, size - 2 * margin)
    }
    return centred if len(centred) <= len(grid) else grid


def _centred(extent: slice, size: int, length: int) -> int:
    start = (extent.start + extent.stop - size) // 2
    return int(min(max(start, 0), length - size))


def _inside(
    top: int, left: int, size: int, margin: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Part of a window that its margin surrounds; at the image's border there is no margin."""
    rows = slice(top + margin * (top > 0), top + size - margin * (top + size < shape[0]))
    columns = slice(left + margin * (left > 0), left + size - margin * (left + size < shape[1]))
    return rows, columns


def _groups(boxes: list[tuple[slice, ...]], inner: int) -> list[tuple[slice, slice]]:
    """Join neighbouring boxes as long as what holds them both is no larger than ``inner``."""
    groups: list[tuple[slice, slice]] = []
    for rows, columns in sorted(boxes, key=lambda b: (b[0].start, b[1].start)):
        for number, (r, c) in enumerate(groups):
            joined = (
                slice(min(r.start, rows.start), max(r.stop, rows.stop)),
                slice(min(c.start, columns.start), max(c.stop, columns.stop)),
            )
            if all(s.stop - s.start <= inner for s in joined):
                groups[number] = joined
                break
        else:
            groups.append((rows, columns))
    return groups


def _grid(
    piece: NDArray[np.bool_], box: tuple[slice, ...], size: int, margin: int, overlap: int
) -> set[tuple[int, int]]:
    """Corners of overlapping windows over a box, those that hold none of the piece left out."""
    rows, columns = (
        _starts(extent, size, margin, overlap, length)
        for extent, length in zip(box, piece.shape, strict=True)
    )
    return {
        (top, left)
        for top in rows
        for left in columns
        if piece[top : top + size, left : left + size].any()
    }


def _starts(extent: slice, size: int, margin: int, overlap: int, length: int) -> list[int]:
    first = min(max(extent.start - margin, 0), length - size)
    last = max(min(extent.stop + margin, length) - size, first)
    steps = ceil((last - first) / (size - overlap))
    return (
        [round(first + (last - first) * i / steps) for i in range(steps + 1)]
        if steps
        else [_centred(extent, size, length)]
    )
