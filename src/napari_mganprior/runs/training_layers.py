"""Copies of layers, so that a training run can go on when the viewer is gone.

A layer becomes a file ``NUMBER.npy`` that is read in parts; ``layers.json``, written last, says
what they are. Importing this imports no torch.
"""

import json
import shutil
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import StorageError, TrainingError
from napari_mganprior.files import write_atomically

__all__ = ["SourceLayer", "copy_layers", "count_pictures", "open_copies"]

_MOST_BYTES = 2 * 2**30
_LIST = "layers.json"


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

    @property
    def plane_bytes(self) -> int:
        """Bytes of the copy of one plane."""
        return prod(self.sides) * (3 if self.rgb else 1) * self.stored.itemsize

    @property
    def stored(self) -> np.dtype:
        """Type of the numbers of the copy."""
        dtype = np.dtype(self.data.dtype)
        return np.dtype(np.uint8) if dtype.kind == "b" else dtype

    def plane(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Read one picture, without its transparency; this may compute for long."""
        pixels = np.asarray(self.data[index])
        return pixels[..., :3] if self.rgb else pixels


def count_pictures(layers: Sequence[SourceLayer], resolution: int) -> int:
    """Return how many pictures there are to learn from; nothing is read.

    Large ones count as the pieces of twice a crop's side that they could be cut into, as in
    `training.sources`.

    Examples
    --------
    >>> large = SourceLayer("large", np.zeros((512, 256)))
    >>> count_pictures([large], 64), count_pictures([large], 128)
    (8, 2)
    """
    planes = [(prod(layer.planes), layer.sides) for layer in layers]
    pieces = sum(n * prod(side // (2 * resolution) for side in sides) for n, sides in planes)
    return max(sum(n for n, _ in planes), pieces)


def copy_layers(
    folder: Path, layers: Sequence[SourceLayer], most_bytes: int = _MOST_BYTES
) -> Generator[tuple[int, int]]:
    """Write the planes of layers into a folder.

    Where there is more than fits, planes are taken at even distances.

    Parameters
    ----------
    folder : Path
        Made, or emptied.
    layers : sequence of SourceLayer
        What to copy.
    most_bytes : int
        Size of all copies.

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
    n_planes, done, complete = sum(map(len, chosen)), 0, False
    listed = []
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, (layer, indices) in enumerate(zip(layers, chosen, strict=True)):
            if not indices:
                continue
            shape = (len(indices), *layer.sides, *((3,) if layer.rgb else ()))
            listed.append({"name": layer.name, "file": f"{number}.npy", "rgb": layer.rgb})
            with (folder / f"{number}.npy").open("wb") as file:
                np.lib.format.write_array_header_1_0(file, _header(shape, layer.stored))
                for index in indices:
                    file.write(_read(layer, index).astype(layer.stored).tobytes())
                    done += 1
                    yield done, n_planes
        write_atomically(folder / _LIST, json.dumps(listed).encode())
        complete = True
    except OSError as error:
        raise StorageError(
            f"Could not write into {folder} ({error.strerror or error}); wanted room for a copy "
            "of the layers. Free some space, or choose fewer layers."
        ) from error
    finally:
        if not complete:
            with suppress(OSError):
                shutil.rmtree(folder)


def open_copies(folder: Path) -> list[SourceLayer]:
    """Return what `copy_layers` wrote; the pixels stay on the disk until they are used.

    Raises
    ------
    TrainingError
        If it is missing or damaged.
    """
    try:
        return [
            SourceLayer(
                name=str(entry["name"]),
                data=np.load(folder / Path(entry["file"]).name, mmap_mode="r", allow_pickle=False),
                rgb=bool(entry["rgb"]),
            )
            for entry in json.loads((folder / _LIST).read_bytes())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"Could not read the copies of the layers in {folder} ({error}); wanted those that the "
            "run made. Discard the run, and start it again."
        ) from error


def _choose(layers: Sequence[SourceLayer], most_bytes: int) -> list[list[tuple[int, ...]]]:
    """Return the indices of the planes to copy, layer by layer."""
    every = [list(np.ndindex(layer.planes)) for layer in layers]
    total = sum(
        layer.plane_bytes * len(indices) for layer, indices in zip(layers, every, strict=True)
    )
    if total <= most_bytes:
        return every
    share = most_bytes / total
    kept = [max(1, int(len(indices) * share)) if indices else 0 for indices in every]
    return [
        [indices[i * len(indices) // n] for i in range(n)]
        for indices, n in zip(every, kept, strict=True)
    ]


def _read(layer: SourceLayer, index: tuple[int, ...]) -> NDArray[Any]:
    try:
        return layer.plane(index)
    except Exception as error:  # a lazy layer may raise whatever its reader raises
        raise TrainingError(
            f"Could not read the layer '{layer.name}' ({error}); wanted its pixels. Choose other "
            "layers, or save it as a file and choose that."
        ) from error


def _header(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    descr = np.lib.format.dtype_to_descr(dtype)
    return {"descr": descr, "fortran_order": False, "shape": shape}
