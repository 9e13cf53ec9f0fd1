"""Let a noisy image say what its drawing lacks: a Wiener filter whose pilot is the drawing.

A drawing knows which structures there are and leaves out detail it cannot draw; the noisy image
has all detail, under noise. Small overlapping blocks are taken apart into cosine waves, and each
wave is taken from the noisy image to the share p**2 / (p**2 + v), p being the wave in the pilot
and v the variance of the noise. That is the second stage of BM3D (Dabov et al., 2007,
https://doi.org/10.1109/TIP.2007.901238, equation 9), without its groups of blocks; what is new is
who makes the pilot.

Numpy and scipy only.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

__all__ = ["filtered", "thresholded"]

_SIDE = 8  # of a block, in pixels
_THRESHOLD = 2.7  # standard deviations, as in BM3D
_AT_ONCE = 1 << 15  # blocks; bounds the memory
_FAR = 2.5e5  # standard deviations of the noise: beyond, float32 rounds noise away

Image = NDArray[np.floating]

# brightness, and two differences of colours: independent noise stays independent
_COLOURS = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
_COLOURS /= np.linalg.norm(_COLOURS, axis=1, keepdims=True)
_WAVES = dct(np.eye(_SIDE), axis=0, norm="ortho")
_EXACT = np.kron(_WAVES, _WAVES).T  # pixels of a block to its waves
_BASIS = _EXACT.astype(np.float32)


def filtered(noisy: Image, pilot: Image, variance: Image) -> NDArray[np.float64]:
    """Filter a noisy image, told by a pilot which waves are there.

    Parameters
    ----------
    noisy : array
        (H, W) or (H, W, 3); finite everywhere.
    pilot : array
        An estimate of the image without noise, of the same shape and units.
    variance : array
        Of the noise at every pixel, of the same shape, in those units squared, above 0.

    Returns
    -------
    array of float64
        Of the same shape.
    """
    return _through_blocks(noisy, pilot, variance)


def thresholded(noisy: Image, variance: Image) -> NDArray[np.float64]:
    """Filter a noisy image by itself: waves that noise alone would hardly make are kept.

    Parameters
    ----------
    noisy, variance
        As for `filtered`.

    Returns
    -------
    array of float64
        Of the same shape.
    """
    return _through_blocks(noisy, None, variance)


def _through_blocks(noisy: Image, pilot: Image | None, variance: Image) -> NDArray[np.float64]:
    shape = noisy.shape
    colours = _COLOURS if noisy.ndim == 3 and shape[2] == 3 else None
    # whatever the units: float32 has to hold squares
    middle, unit = float(noisy.mean()), float(np.sqrt(variance.mean()))
    noisy, variance = (noisy - middle) / unit, variance / unit**2
    pilot = None if pilot is None else (pilot - middle) / unit
    # a pixel far beyond the others would ruin its neighbours in float32
    kind: type[np.floating] = np.float32 if np.abs(noisy).max() < _FAR else np.float64
    y = _planes(noisy, colours).astype(kind)
    v = _planes(variance, None if colours is None else colours**2).astype(kind)
    p = None if pilot is None else _planes(pilot, colours).astype(kind)
    # every pixel lies in as many blocks as any other
    edge = [(0, 0), (_SIDE - 1, _SIDE - 1), (_SIDE - 1, _SIDE - 1)]
    y, v = np.pad(y, edge, mode="symmetric"), np.pad(v, edge, mode="symmetric")
    p = None if p is None else np.pad(p, edge, mode="symmetric")
    total, weight = np.zeros(y.shape), np.zeros(y.shape)
    rows = max(1, _AT_ONCE // y.shape[2])
    for plane in range(len(y)):
        for top in range(0, y.shape[1] - _SIDE + 1, rows):
            here = np.s_[plane, top : top + rows + _SIDE - 1]
            values, share = _blocks(y[here], None if p is None else p[here], v[here])
            _add(total[here], values)
            _add(weight[here], np.broadcast_to(share[..., None], values.shape))
    inner = np.s_[:, _SIDE - 1 : 1 - _SIDE, _SIDE - 1 : 1 - _SIDE]
    found = np.moveaxis((total / weight)[inner], 0, -1)  # (H, W, C)
    found = found if colours is None else found @ colours
    return np.asarray(found.reshape(shape) * unit + middle)


def _blocks(
    y: NDArray[np.floating], p: NDArray[np.floating] | None, v: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Filter all blocks of one plane; returns them (h, w, side**2), weighted, and their weights."""
    basis = _BASIS if y.dtype == np.float32 else _EXACT
    waves, noise = _cut(y) @ basis, _cut(v).mean(axis=-1, keepdims=True)
    if p is None:
        gain = (waves**2 > _THRESHOLD**2 * noise).astype(np.float32)
    else:
        power = (_cut(p) @ basis) ** 2
        gain = power / (power + noise)
    gain[..., 0] = 1  # the mean of a block is known well enough
    # blocks in which less noise is left count more
    weight = 1 / ((gain**2).sum(axis=-1) * noise[..., 0])
    return (waves * gain) @ basis.T * weight[..., None], weight


def _cut(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the block at every pixel, (h, w, side**2)."""
    blocks = np.lib.stride_tricks.sliding_window_view(plane, (_SIDE, _SIDE))
    return blocks.reshape(*blocks.shape[:2], _SIDE**2)


def _add(total: NDArray[np.float64], blocks: NDArray[np.floating]) -> None:
    height, width = blocks.shape[:2]
    for number in range(_SIDE**2):
        row, column = divmod(number, _SIDE)
        total[row : row + height, column : column + width] += blocks[..., number]


def _planes(image: Image, colours: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return channels first, (C, H, W), mixed as ``colours`` say."""
    planes = image.reshape(*image.shape[:2], -1).astype(np.float64)
    if colours is not None:
        planes = planes @ colours.T
    return np.ascontiguousarray(np.moveaxis(planes, -1, 0))
