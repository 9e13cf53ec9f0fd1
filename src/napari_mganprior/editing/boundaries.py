"""Boundary files: one direction as a ``.npy`` array 1 x D, the normal of a separating plane.

The format is that of InterFaceGAN, Shen, Gu, Tang, Zhou, CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00926.
"""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.editing.base import Direction
from napari_mganprior.errors import DirectionError, StorageError
from napari_mganprior.files import write_atomically

if TYPE_CHECKING:
    from napari_mganprior.generators.base import SplitGenerator

__all__ = ["read_boundary", "save_boundary"]

_LARGEST = 1 << 20  # numbers


def read_boundary(
    path: str | Path, generator: "SplitGenerator", *, space: str | None = None
) -> Direction:
    """Read a direction from a boundary file.

    Parameters
    ----------
    path : str or Path
        A ``.npy`` file, (1, D) or (D,). Nothing in it is run: pickled objects are refused.
    generator : SplitGenerator
        Whose codes it moves.
    space : {"z", "w"}, optional
        The space it is meant for; where styles are, w, unless only z has codes of its length.

    Raises
    ------
    StorageError
        If the file cannot be read.
    DirectionError
        If it holds something else, or is of another dimension than the generator's codes.
    """
    path = Path(path)
    vector = _read(path)
    lengths = _lengths(generator)
    if space is None:
        fitting = [name for name, length in lengths.items() if length == vector.size]
    else:
        fitting = [space] if lengths.get(space) == vector.size else []
    if not fitting:
        known = " or ".join(f"{length} ({name})" for name, length in lengths.items())
        raise DirectionError(
            f"Got a boundary of {vector.size} numbers in {path.name}; wanted {known}, as codes of "
            "this prior have. Choose a boundary that was made for this prior."
        )
    digest = hashlib.sha256(np.ascontiguousarray(vector, dtype="<f8").tobytes()).hexdigest()
    return Direction(
        name=path.stem,
        vector=vector.astype(np.float32),
        space=fitting[0],
        source={"kind": "boundary", "file": path.name, "sha256": digest},
    )


def save_boundary(path: str | Path, direction: Direction) -> None:
    """Write a direction as a boundary file, (1, D) of float32, whole or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    held = io.BytesIO()
    np.save(held, direction.vector[None], allow_pickle=False)
    write_atomically(Path(path), held.getvalue())


def _lengths(generator: "SplitGenerator") -> dict[str, int]:
    """Lengths of codes in every space a direction may be in, the one preferred first."""
    spaces = dict.fromkeys((generator.direction_space, "z"))
    return {space: generator.in_space(space).code_dim for space in spaces}


def _read(path: Path) -> NDArray[np.float64]:
    try:
        # mapped: a header that promises more than the file holds is found before it is believed
        held = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise StorageError(
            f"Could not read the boundary {path} ({error.strerror or error}); wanted a .npy file. "
            "Check the path."
        ) from error
    except (ValueError, TypeError, SyntaxError, EOFError, MemoryError, OverflowError) as error:
        raise DirectionError(
            f"Got {path.name}, which holds no plain numbers ({error}); wanted a .npy array of "
            "shape (1, D). Pickled objects are not read. Save it with numpy.save as floats."
        ) from error
    if not isinstance(held, np.ndarray):
        held.close()
        raise DirectionError(
            f"Got {path.name}, which holds several arrays; wanted one .npy array of shape (1, D). "
            "Save the boundary alone."
        )
    flat = held.ndim == 1 or (held.ndim == 2 and held.shape[0] == 1)
    if not flat or not 0 < held.size <= _LARGEST or held.dtype.kind not in "iuf":
        raise DirectionError(
            f"Got {path.name} with {held.dtype} of shape {held.shape}; wanted numbers of shape "
            "(1, D), D being the length of a code. Choose a boundary file."
        )
    values = np.array(held, dtype=np.float64).reshape(-1)
    if not np.isfinite(values).all() or not values.any():
        raise DirectionError(
            f"Got {path.name} with numbers that are NaN, infinite or all 0; wanted a direction. "
            "Choose another boundary file."
        )
    return values
