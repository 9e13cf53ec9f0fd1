"""What ``torch.save`` wrote: zip archives since torch 1.6, and the form before.

``torch.load(weights_only=True)`` is not used. In torch before 2.6 it can be made to run code
(CVE-2025-32434), it refuses the settings that many checkpoints carry (``argparse.Namespace``),
and it allocates what a file claims. The pickles inside are read by `PickleReader` instead, which
has no way to run anything; the tests hold both to the same tensors.
"""

import struct
from typing import Any

from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.archives import Archive
from napari_mganprior.imports.readers.arrays import Budget, item_bytes
from napari_mganprior.imports.readers.objects import Storage, flatten, storage_kind
from napari_mganprior.imports.readers.pickles import PickleReader
from napari_mganprior.imports.readers.records import Persistent
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal, shown

__all__ = [
    "LEGACY_MAGIC",
    "is_torch_archive",
    "read_legacy_storage",
    "read_torch",
    "read_torch_zip",
]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_INDEX = "data.pkl"
_WANTED = "a checkpoint as torch.save writes it"


def is_torch_archive(archive: Archive) -> bool:
    """Tell whether a zip archive comes from ``torch.save``."""
    return any(name.split("/")[-1] == _INDEX for name in archive.names())


def read_torch_zip(archive: Archive, *, source: str, limits: Limits, held: int) -> Foreign:
    """Read a zip archive of ``torch.save``.

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
        If it is damaged, or claims what it does not hold.
    """
    (index, *more) = [name for name in archive.names() if name.split("/")[-1] == _INDEX]
    if more:
        raise refusal(source, f"holds {_INDEX} more than once", wanted=_WANTED, todo=UNSAFE)
    folder = index.removesuffix(_INDEX)
    order = f"{folder}byteorder"
    if archive.size(order) >= 0 and bytes(archive.read(order)) != b"little":
        raise refusal(source, "has numbers in another byte order", wanted="little-endian numbers")
    reader = PickleReader(archive.read(index), source=source, limits=limits)
    fetched: dict[str, memoryview] = {}

    def storage_of(value: Any) -> Storage:
        key, kind, _ = _reference(value, source)
        if key not in fetched:
            fetched[key] = archive.read(f"{folder}data/{key}")
        return fetched[key], kind

    unpacked = sum(archive.size(name) for name in archive.names())
    found = flatten(
        reader.read(), storage_of, budget=Budget(source, limits, max(held, unpacked)), limits=limits
    )
    return Foreign("torch", found.tensors, found.meta, source)


def read_torch(data: memoryview, *, source: str, limits: Limits) -> Foreign:
    """Read the form of ``torch.save`` before torch 1.6.

    Parameters
    ----------
    data : memoryview
        The file's bytes.
    source, limits
        As in `read_torch_zip`.

    Raises
    ------
    ImportRefused
        If it is damaged, or claims what it does not hold.
    """
    reader = PickleReader(data, source=source, limits=limits)
    root, storages = _legacy(reader)

    def storage_of(value: Any) -> Storage:
        return _legacy_storage(value, storages, source)

    budget = Budget(source, limits, len(data))
    found = flatten(root, storage_of, budget=budget, limits=limits)
    return Foreign("torch-legacy", found.tensors, found.meta, source)


def read_legacy_storage(data: memoryview, *, source: str, limits: Limits) -> Storage:
    """Read a single storage in that form, as it stands inside pickles of whole networks.

    Raises
    ------
    ImportRefused
        If it is anything else.
    """
    root, storages = _legacy(PickleReader(data, source=source, limits=limits))
    return _legacy_storage(root, storages, source)


def _legacy(reader: PickleReader) -> tuple[Any, dict[str, memoryview]]:
    """Return the value and the storages by key."""
    source = reader.source
    if reader.read() != LEGACY_MAGIC or reader.read() != _LEGACY_PROTOCOL:
        raise refusal(source, "does not begin as torch's files do", wanted=_WANTED)
    system = reader.read()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise refusal(source, "has numbers in another byte order", wanted="little-endian numbers")
    root = reader.read()
    kinds: dict[str, str] = {}
    for persistent in reader.persistents:
        key, kind, _ = _reference(persistent, source)
        if kinds.setdefault(key, kind) != kind:
            raise refusal(source, "has a storage of two kinds", wanted=_WANTED, todo=UNSAFE)
    keys = reader.read()
    if not isinstance(keys, list) or any(not isinstance(k, str) or k not in kinds for k in keys):
        raise refusal(source, "has a damaged list of storages", wanted=_WANTED)
    storages: dict[str, memoryview] = {}
    place = reader.place
    for key in keys:
        (n,) = struct.unpack("<q", reader.data[place : place + 8].tobytes().ljust(8, b"\xff"))
        end = place + 8 + n * item_bytes(kinds[key])
        if n < 0 or end > len(reader.data) or key in storages:
            raise refusal(source, "ends before its tensors do", wanted=_WANTED)
        storages[key] = reader.data[place + 8 : end]
        place = end
    return root, storages


def _legacy_storage(value: Any, storages: dict[str, memoryview], source: str) -> Storage:
    key, kind, view = _reference(value, source)
    if key not in storages:
        raise refusal(source, f"lacks the storage {shown(key)}", wanted=_WANTED)
    data = storages[key]
    if view is not None:
        start, n = view
        data = data[start * item_bytes(kind) : (start + n) * item_bytes(kind)]
    return data, kind


def _reference(value: Any, source: str) -> tuple[str, str, tuple[int, int] | None]:
    """Return key, kind of number and piece of the storage that a pickle refers to."""
    pid = value.pid if isinstance(value, Persistent) else None
    if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[2], str):
        kind = storage_kind(pid[1])
        view = pid[5] if len(pid) > 5 else None
        if kind and view is None:
            return pid[2], kind, None
        if kind and isinstance(view, tuple) and len(view) == 3:
            _, start, n = view
            if type(start) is int and type(n) is int and start >= 0 and n >= 0:
                return pid[2], kind, (start, n)
    raise refusal(
        source, "has a tensor whose numbers are of an unknown kind or place", wanted=_WANTED
    )
