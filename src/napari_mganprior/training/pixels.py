"""Normalised pixels of many images, 8 bit, of which only so many stay in memory."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import ValueMap
from napari_mganprior.training.pictures import Picture, UnusableImageError, Window, whole

__all__ = ["CACHE_BYTES", "PixelStore"]

CACHE_BYTES = 2**30
"""Decoded images kept in memory unless somebody says otherwise: 1 GiB."""

BLANK = 0.05  # standard deviation in [-1, 1] under which pixels show nothing
_WHOLE = 2048**2  # pixels; larger images are measured on some of them
_TILE = 512  # px, of images of which a part can be read alone
_LARGEST = 16_384**2  # pixels of an image that can only be decoded as a whole
_PROBES, _PROBE = 6, 128  # windows along each side of a large image, and their side in pixels

_Key = tuple[int, int, int]  # image, tile row, tile column


@dataclass(frozen=True, slots=True)
class _Known:
    picture: Picture
    value_map: ValueMap
    blank: bool
    tile: tuple[int, int]  # height and width of the tiles it is read in


class PixelStore:
    """Reads images, normalises each by its own percentiles, and keeps what was used last.

    What it returns does not depend on how much it keeps.

    Parameters
    ----------
    cache_bytes : int
        Room for decoded pixels, a byte a pixel and channel; 0 keeps nothing.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._known: list[_Known] = []
        self._tiles: OrderedDict[_Key, NDArray[np.uint8] | None] = OrderedDict()
        self._room = self._free = cache_bytes
        self._lock = Lock()
        self.n_decoded = 0

    def __len__(self) -> int:
        """How many images are known."""
        return len(self._known)

    def add(self, picture: Picture) -> int:
        """Check an image and measure its percentiles, once.

        Returns
        -------
        int
            Its number in the store.

        Raises
        ------
        UnusableImageError
            If it cannot be read, is too large to be decoded, or has NaN or infinity in it.
        """
        height, width = picture.shape
        large = height * width > _WHOLE
        if large and not picture.windowed and height * width > _LARGEST:
            raise UnusableImageError(f"{height}x{width} px, too large to be decoded at once")
        some = large and picture.windowed
        try:
            values = _probes(picture) if some else picture.read(whole(picture))
        except UnusableImageError:
            raise
        except Exception as error:  # readers raise whatever they meet in damaged files
            raise UnusableImageError(_brief(error)) from error
        if not some and values.shape[:2] != picture.shape:
            raise UnusableImageError(f"{values.shape} pixels where {picture.shape} were promised")
        if not np.isfinite(values).all():
            raise UnusableImageError("NaN or infinity in it")
        step = 1 + int((height * width / _WHOLE) ** 0.5) if large and not some else 1
        value_map = ValueMap.from_percentiles(values[::step, ::step])
        encoded = _encode(values, value_map)
        blank = bool(encoded.astype(np.float32).std() < BLANK * 127.5)
        number = len(self._known)
        tile = (_TILE, _TILE) if picture.windowed else picture.shape
        self._known.append(_Known(picture, value_map, blank, tile))
        if not some:
            for row in range(0, height, tile[0]):
                for column in range(0, width, tile[1]):
                    part = encoded[:, row : row + tile[0], column : column + tile[1]]
                    key = (number, row // tile[0], column // tile[1])
                    self._keep(key, part if part.shape == encoded.shape else part.copy())
        return number

    def is_blank(self, number: int) -> bool:
        """Say whether an image has one grey value, or nearly so."""
        return self._known[number].blank

    def picture(self, number: int) -> Picture:
        """Return what is known of an image."""
        return self._known[number].picture

    def window(
        self, number: int, top: int, left: int, height: int, width: int
    ) -> NDArray[np.uint8] | None:
        """Read a part of an image.

        Parameters
        ----------
        number : int
            As returned by `add`.
        top, left, height, width : int
            Where, in pixels; inside the image.

        Returns
        -------
        ndarray or None
            (C, height, width), 0 to 255 for -1 to 1; None where it can no longer be read, or has
            NaN or infinity in it.
        """
        known = self._known[number]
        rows, columns = known.tile
        first_row, first_column = top // rows, left // columns
        if (top + height - 1) // rows == first_row and (
            left + width - 1
        ) // columns == first_column:
            tile = self._tile((number, first_row, first_column))
            at = top - first_row * rows, left - first_column * columns
            return None if tile is None else tile[:, at[0] : at[0] + height, at[1] : at[1] + width]
        out = np.empty((known.picture.channels, height, width), np.uint8)
        for row in range(first_row, (top + height - 1) // rows + 1):
            for column in range(first_column, (left + width - 1) // columns + 1):
                tile = self._tile((number, row, column))
                if tile is None:
                    return None
                above, before = row * rows, column * columns
                upper, lower = max(top, above), min(top + height, above + tile.shape[1])
                start, end = max(left, before), min(left + width, before + tile.shape[2])
                out[:, upper - top : lower - top, start - left : end - left] = tile[
                    :, upper - above : lower - above, start - before : end - before
                ]
        return out

    def _tile(self, key: _Key) -> NDArray[np.uint8] | None:
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        known = self._known[key[0]]
        (rows, columns), (height, width) = known.tile, known.picture.shape
        window: Window = (
            slice(key[1] * rows, min((key[1] + 1) * rows, height)),
            slice(key[2] * columns, min((key[2] + 1) * columns, width)),
        )
        try:
            values = known.picture.read(window)
        except Exception:  # noqa: BLE001  a file may go away, or a part of it be damaged
            return None  # not kept: a network drive may come back
        tile = _encode(values, known.value_map) if np.isfinite(values).all() else None
        self._keep(key, tile)
        return tile

    def _keep(self, key: _Key, tile: NDArray[np.uint8] | None) -> None:
        with self._lock:
            self.n_decoded += 1
            size = 0 if tile is None else tile.nbytes
            if key in self._tiles or size > self._room:
                return
            while size > self._free:
                _, oldest = self._tiles.popitem(last=False)
                self._free += 0 if oldest is None else oldest.nbytes
            self._tiles[key] = tile
            self._free -= size


def _probes(picture: Picture) -> NDArray[Any]:
    """Read windows spread evenly over a large image, one below the other."""
    parts = []
    for side in picture.shape:
        length = min(_PROBE, side)
        starts = np.linspace(0, side - length, _PROBES).astype(np.int64).tolist()
        parts.append([slice(start, start + length) for start in starts])
    return np.concatenate(
        [picture.read((rows, columns)) for rows in parts[0] for columns in parts[1]]
    )


def _encode(values: NDArray[Any], value_map: ValueMap) -> NDArray[np.uint8]:
    """Map pixels (H, W) or (H, W, C) to bytes (C, H, W), 0 to 255 for -1 to 1.

    Bytes instead of floats: a quarter of the memory, and finer than the data.
    """
    if values.dtype in (np.uint8, np.uint16) and values.size > 65_536:
        levels = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)
        table = _bytes_of(value_map.encode(levels))  # the same numbers, looked up
        encoded = table[values]
    else:
        encoded = _bytes_of(value_map.encode(values))
    planes = encoded[None] if encoded.ndim == 2 else np.moveaxis(encoded, -1, 0)
    return np.ascontiguousarray(planes)


def _bytes_of(encoded: NDArray[np.float32]) -> NDArray[np.uint8]:
    return ((encoded + np.float32(1)) * np.float32(127.5)).round().astype(np.uint8)


def _brief(error: Exception) -> str:
    """Say in a line what a reader met."""
    text = str(error).partition("; wanted")[0].strip() or type(error).__name__
    return " ".join(text.split())[:200]
