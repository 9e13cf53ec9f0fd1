"""Archives of numpy arrays (``.npz``); arrays of objects, which are pickles, are refused."""

import re

from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.archives import Archive
from napari_mganprior.imports.readers.arrays import Budget, item_bytes, tensor_from
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal, shown

__all__ = ["is_numpy_archive", "read_npz"]

_SUFFIX = ".npy"
_LARGEST_HEADER = 4_096  # bytes
# Its table is in Python's notation. numpy writes the keys in this order, and asks nobody to run it.
_HEADER = re.compile(
    rb"\x93NUMPY(?:(\x01)\x00(..)|[\x02\x03]\x00(....))\{"
    rb"'descr': '([<>|=][^']{1,20})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), \} *\n",
    re.DOTALL,
)
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
        tensors[name] = tensor.permute(tuple(reversed(range(len(shape))))) if fortran else tensor
    return Foreign("npz", tensors, {}, source)


def _parse(
    data: memoryview, source: str, name: str
) -> tuple[tuple[int, ...], str, bool, memoryview]:
    """Return shape, kind of number, order and the bytes after the header."""
    head = bytes(data[:_LARGEST_HEADER])
    match = _HEADER.match(head)
    if match is None:
        raise refusal(source, f"has a damaged header in {shown(name)}", wanted=_WANTED)
    version, length1, length2, kind, order, shape = match.groups()
    length = int.from_bytes(length1 if version == b"\1" else length2, "little")
    start = 8 + (2 if version == b"\1" else 4) + length
    kind_of = kind.decode("ascii", "replace")
    if not item_bytes(kind_of[1:]) or kind_of[0] == ">":
        raise refusal(
            source,
            f"has an array {shown(name)} of {shown(kind_of)}",
            wanted=_WANTED,
            todo=UNSAFE,
        )
    sizes = tuple(int(size) for size in shape.split(b",") if size.strip())
    return sizes, kind_of[1:], order == b"True", data[start:]
