"""Pickles of whole networks: NVIDIA's StyleGANs in torch, the TensorFlow originals, and others.

NVIDIA's files carry the source code of their classes and run it when they are opened in the usual
way; here it is text that nobody reads.
"""

from typing import Any

from napari_mganprior.imports.base import Foreign, Kind, Limits
from napari_mganprior.imports.readers.arrays import Budget
from napari_mganprior.imports.readers.objects import Storage, flatten
from napari_mganprior.imports.readers.pickles import PickleReader
from napari_mganprior.imports.readers.records import Record
from napari_mganprior.imports.readers.refusal import refusal
from napari_mganprior.imports.readers.torch_files import read_legacy_storage

__all__ = ["read_network_pickle"]

_NESTED = "torch.storage._load_from_bytes"
_NVIDIA = "persistence._reconstruct_persistent_obj"


def read_network_pickle(data: memoryview, *, source: str, limits: Limits) -> Foreign:
    """Read a pickle of networks, arrays or tensors.

    Parameters
    ----------
    data : memoryview
        The file's bytes.
    source : str
        Name of the file, for messages.
    limits : Limits
        What is allowed.

    Raises
    ------
    ImportRefused
        If it is damaged, or claims what it does not hold.
    """
    reader = PickleReader(data, source=source, limits=limits)
    root = reader.read()

    def storage_of(value: Any) -> Storage:
        if isinstance(value, Record) and value.path == _NESTED and isinstance(value.args, tuple):
            nested = value.args[0] if value.args else None
            if isinstance(nested, memoryview):
                return read_legacy_storage(nested, source=source, limits=limits)
        raise refusal(
            source,
            "has a tensor whose numbers are elsewhere",
            wanted="a pickle that holds its tensors",
        )

    budget = Budget(source, limits, len(data))
    found = flatten(root, storage_of, budget=budget, limits=limits)
    kind: Kind = "pickle"
    if found.has_tensorflow:
        kind = "tf-pickle"
    elif any(name.endswith(_NVIDIA) for name in reader.names):
        kind = "nvidia-pickle"
    return Foreign(kind, found.tensors, found.meta, source)
