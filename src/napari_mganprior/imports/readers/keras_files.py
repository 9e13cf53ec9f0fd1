"""Keras models and their weights in HDF5 (``.h5``)."""

import json
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.arrays import Budget, item_bytes, tensor_from
from napari_mganprior.imports.readers.hdf5 import Hdf5File
from napari_mganprior.imports.readers.hdf5_messages import Dataset, Group

__all__ = ["read_keras"]

_WEIGHTS = "model_weights"
_FACTS = ("model_config", "keras_version", "backend")
_NAMES = "layer_names"
_SLACK = 1024**2  # bytes


def read_keras(data: memoryview, *, source: str, limits: Limits) -> Foreign:
    """Read a Keras model's weights and description.

    Parameters
    ----------
    data : memoryview
        The file's bytes.
    source : str
        Its name, for messages.
    limits : Limits
        What is allowed.

    Raises
    ------
    ImportRefused
        If the file is damaged, of a form that is not known here, points elsewhere, or claims what
        it does not hold.
    """
    file = Hdf5File(data, source=source, limits=limits)
    budget = Budget(source, limits, int(limits.ratio * len(data)) + _SLACK)
    tensors: dict[str, Tensor] = {}
    for path, dataset in file.datasets():
        name = path.removeprefix(f"{_WEIGHTS}/").replace("/", ".")
        if name in tensors:
            raise file.wrong(f"has two arrays named {name!a}")
        if item_bytes(dataset.kind):
            tensors[name] = _tensor(file, dataset, name, budget)
    return Foreign("keras-h5", tensors, dict(_meta(file)), source)


def _tensor(file: Hdf5File, dataset: Dataset, name: str, budget: Budget) -> Tensor:
    held = file.read(dataset, name)
    return tensor_from(held, dataset.kind, dataset.shape, name=name, budget=budget, exact=True)


def _meta(file: Hdf5File) -> Iterator[tuple[str, Any]]:
    """Yield the model's description, and the layers' names in order, which groups do not keep."""
    root = file.group()
    for name in _FACTS:
        texts = _texts(file, root, name)
        if texts:
            yield name, _parsed(texts[0])
    names = _texts(file, file.group(_WEIGHTS) or root, _NAMES)
    if names:
        yield _NAMES, [name for name in names if name.isprintable()]


def _texts(file: Hdf5File, group: Group | None, name: str) -> list[str]:
    if group is None or name not in group.attributes:
        return []
    return file.text(group.attributes[name])


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
