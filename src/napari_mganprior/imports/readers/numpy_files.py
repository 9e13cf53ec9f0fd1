"""Archives of numpy arrays (``.npz``); arrays of objects, which are pickles, are refused."""

import io

import numpy as np

from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.archives import Archive
from napari_mganprior.imports.readers.arrays import Budget, item_bytes, tensor_from
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal, shown

__all__ = ["is_numpy_archive", "read_npz"]

_SUFFIX = ".npy"
_WANTED = "plain arrays of numbers in the .npy format"


def is_numpy_archive(archive: Archive) -> bool:
    """Tell whether a zip archive holds arrays and nothing else."""
    return bool(archive.names()) and all(name.endswith(_SUFFIX) for name in archive.names())


def read_npz(archive: Archive, *, source: str, limits: Limits, held: int) -> Foreign:
    """Read an archive of ``numpy.savez``.

    Parameters
    ----------
    archive : Archive
        The archive, checked.
    source : str
        Name of the file, for messages.
    limits : Limits
        What is allowed.
    held : int
        Size of the file in bytes.

    Raises
    ------
    ImportRefused
        If an array is damaged, of objects, or claims what it does not hold.
    """
    unpacked = sum(archive.size(name) for name in archive.names())
    budget = Budget(source, limits, max(held, unpacked))
    tensors = {}
    for member in archive.names():
        name = member.removesuffix(_SUFFIX)
        shape, kind, fortran, data = _parse(archive.read(member), source, name)
        tensor = tensor_from(
            data, kind, shape[::-1] if fortran else shape, name=name, budget=budget, exact=True
        )
        tensors[name] = tensor.permute(*reversed(range(len(shape)))) if fortran else tensor
    return Foreign("npz", tensors, {}, source)


def _parse(
    data: memoryview, source: str, name: str
) -> tuple[tuple[int, ...], str, bool, memoryview]:
    """Return shape, kind of number, order and the bytes after the header."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version}")
    # the header is Python's notation for a table, which its parser refuses in many ways
    except (ValueError, TypeError, KeyError, SyntaxError, EOFError, OverflowError) as error:
        raise refusal(source, f"has a damaged header in {shown(name)}", wanted=_WANTED) from error
    kind = f"{dtype.kind}{dtype.itemsize}"
    if dtype.hasobject or dtype.byteorder == ">" or not item_bytes(kind):
        raise refusal(
            source,
            f"has an array {shown(name)} of {shown(str(dtype))}",
            wanted=_WANTED,
            todo=UNSAFE,
        )
    return shape, kind, fortran, data[stream.tell() :]
