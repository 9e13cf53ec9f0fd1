"""Copies of layers, so that a training run can go on when the viewer is gone."""

import os
import re
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import StorageError, TrainingError

__all__ = ["SourceLayer", "copy_layers", "count_pictures", "cut_evenly"]

_MOST_BYTES = 2 * 2**30
_ENOUGH = 64  # pictures: where there are fewer, large ones are cut into parts


@dataclass(frozen=True, slots=True, eq=False)
class SourceLayer:
    """The pixels of an image layer; nothing is read before `copy_layers`.

    Attributes
    ----------
    name : str
        Of the layer.
    data : array
        (..., H, W), or (..., H, W, 3 or 4) if ``rgb``; numpy, dask or any other that slices.
    rgb : bool
        Whether the last axis is colour.
    """

    name: str
    data: Any
    rgb: bool = False

    @property
    def planes(self) -> tuple[int, ...]:
        """Lengths of the axes in front of a picture's own."""
        return tuple(map(int, self.data.shape[: -3 if self.rgb else -2]))

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.data.shape[-3:-1] if self.rgb else self.data.shape[-2:]
        return int(height), int(width)

    def plane(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read one picture, without its transparency; this may compute for long."""
        pixels = np.asarray(self.data[index])
        if self.rgb:
            pixels = pixels[..., :3]
        return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def cut_evenly(sides: tuple[int, int], resolution: int, wanted: int) -> tuple[int, int]:
    """Say into how many rows and columns a picture is cut, to get so many parts or fewer.

    No part is smaller than two crops along either side.

    Examples
    --------
    >>> cut_evenly((512, 1024), 64, 8), cut_evenly((100, 100), 64, 8)
    ((2, 3), (1, 1))
    """
    rows, columns = (max(1, side // (2 * resolution)) for side in sides)
    while rows * columns > wanted:
        if rows >= columns:
            rows -= 1
        else:
            columns -= 1
    return rows, columns


def count_pictures(layers: Sequence[SourceLayer], resolution: int) -> int:
    """Return how many pictures `copy_layers` makes of layers if all fit; nothing is read."""
    planes = sum(prod(layer.planes) for layer in layers)
    return sum(prod(layer.planes) * prod(_cut(layer, resolution, planes)) for layer in layers)


def copy_layers(
    path: Path, layers: Sequence[SourceLayer], resolution: int, most_bytes: int = _MOST_BYTES
) -> Generator[tuple[int, int]]:
    """Write the planes of layers into an ``.npz``, one picture a key.

    Where there are few planes, large ones are cut into parts, so that one large picture is
    enough, and some of it can be held out. Where there is more than fits, planes are taken at
    even distances.

    Parameters
    ----------
    path : Path
        The file; it appears when it is complete.
    layers : sequence of SourceLayer
        What to copy.
    resolution : int
        Side of a crop in pixels.
    most_bytes : int
        Size of the file.

    Yields
    ------
    tuple of int
        Planes copied, of how many; stop there, and nothing is left.

    Raises
    ------
    StorageError
        If it cannot be written.
    TrainingError
        If a layer cannot be read.
    """
    chosen = _choose(layers, most_bytes)
    n_planes = sum(prod(layer.planes) for layer in layers)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for number, (at, index) in enumerate(chosen):
                layer = layers[at]
                cut = _cut(layer, resolution, n_planes)
                for piece, pixels in enumerate(_parts(_read(layer, index), cut)):
                    key = "_".join(map(str, (_slug(layer.name), at, *index, piece)))
                    with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, np.ascontiguousarray(pixels))
                yield number + 1, len(chosen)
        os.replace(part, path)  # noqa: PTH105  the one name that says it replaces
    except OSError as error:
        raise StorageError(
            f"Could not write {path} ({error.strerror or error}); wanted room for a copy of the "
            "layers. Free some space, or choose fewer layers."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _choose(layers: Sequence[SourceLayer], most_bytes: int) -> list[tuple[int, tuple[int, ...]]]:
    """Return the layer's number and the index of each plane to copy."""
    every = [(at, index) for at, layer in enumerate(layers) for index in np.ndindex(layer.planes)]
    sizes = [
        prod(layer.sides) * (3 if layer.rgb else 1) * np.dtype(layer.data.dtype).itemsize
        for layer in layers
    ]
    total = sum(sizes[at] for at, _ in every)
    if total <= most_bytes:
        return every
    n = max(1, int(len(every) * most_bytes / total))
    return [every[i * len(every) // n] for i in range(n)]


def _cut(layer: SourceLayer, resolution: int, n_planes: int) -> tuple[int, int]:
    return cut_evenly(layer.sides, resolution, max(1, _ENOUGH // max(1, n_planes)))


def _read(layer: SourceLayer, index: tuple[int, ...]) -> NDArray[Any]:
    try:
        return layer.plane(index)
    except Exception as error:  # a lazy layer may raise whatever its reader raises
        raise TrainingError(
            f"Could not read the layer '{layer.name}' ({error}); wanted its pixels. Choose other "
            "layers, or save it as a file and choose that."
        ) from error


def _parts(pixels: NDArray[Any], cut: tuple[int, int]) -> Iterator[NDArray[Any]]:
    for row in np.array_split(pixels, cut[0], axis=0):
        yield from np.array_split(row, cut[1], axis=1)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:40] or "layer"
