"""Keras models in HDF5 (``.h5``), through h5py, which comes with ``napari-mganprior[import]``.

An HDF5 file can point into other files and ask for filters from plug-ins; both are refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.arrays import Budget, item_bytes, tensor_from
from napari_mganprior.imports.readers.refusal import DAMAGED, UNSAFE, refusal, shown

if TYPE_CHECKING:
    import h5py

__all__ = ["HDF5_MAGIC", "read_keras"]

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_WANTED = "a whole Keras file with its weights inside"
_WEIGHTS = "model_weights"
_NAMES = "layer_names"
_FACTS = ("model_config", "keras_version", "backend")
_LONGEST_FACT = 16 * 1024**2  # bytes
_SLACK = 1024**2  # bytes that a packed array may grow to
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, checksum, lzf: all inside h5py


def read_keras(path: Path, *, source: str, limits: Limits) -> Foreign:
    """Read a Keras model's weights and description.

    Parameters
    ----------
    path : Path
        The file.
    source : str
        Its name, for messages.
    limits : Limits
        What is allowed.

    Raises
    ------
    ImportRefused
        If h5py is not installed, or the file is damaged, points elsewhere, or claims what it does
        not hold.
    """
    try:
        import h5py
    except ImportError as error:
        raise refusal(
            source,
            "is a Keras file",
            wanted="the library h5py to read it with",
            todo="Install it: pip install 'napari-mganprior[import]'.",
        ) from error
    try:
        with h5py.File(path, "r") as file:
            meta = {name: fact for name in _FACTS if (fact := _fact(file, name, source))}
            held = int(limits.ratio * path.stat().st_size) + _SLACK
            budget = Budget(source, limits, held)
            tensors = dict(_tensors(file, budget, source, limits))
            # only now is it known that no group lies in another file
            if names := _layer_names(file.get(_WEIGHTS, file), source):
                meta["layer_names"] = names
    # h5py passes on whatever goes wrong in the C library under many names
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        if isinstance(error, ImportRefused):
            raise
        raise refusal(source, f"is damaged ({shown(str(error), 120)})", wanted=_WANTED) from error
    return Foreign("keras-h5", tensors, meta, source)


def _tensors(
    file: "h5py.File", budget: Budget, source: str, limits: Limits
) -> Iterator[tuple[str, Tensor]]:
    for name, dataset in _datasets(file, source, limits):
        short = name.removeprefix(f"{_WEIGHTS}/").replace("/", ".")
        tensor = _tensor(dataset, short, budget, source, limits)
        if tensor is not None:
            yield short, tensor


def _datasets(
    file: "h5py.File", source: str, limits: Limits
) -> Iterator[tuple[str, "h5py.Dataset"]]:
    """Yield the arrays by path; every object once, by plain links alone."""
    import h5py

    seen: set[Any] = set()
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while waiting:
        path, group, depth = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            inside = f"{path}/{name}" if path else name
            if not isinstance(link, h5py.HardLink):
                raise refusal(
                    source, f"points elsewhere at {shown(inside)}", wanted=_WANTED, todo=UNSAFE
                )
            found = group[name]
            where = h5py.h5o.get_info(found.id).addr
            if where in seen:
                continue
            seen.add(where)
            if len(seen) > limits.members or depth > limits.depth:
                raise refusal(source, "holds too many groups", wanted=_WANTED, todo=UNSAFE)
            if isinstance(found, h5py.Group):
                waiting.append((inside, found, depth + 1))
            elif isinstance(found, h5py.Dataset):
                yield inside, found


def _tensor(
    dataset: "h5py.Dataset", name: str, budget: Budget, source: str, limits: Limits
) -> Tensor | None:
    kind = f"{dataset.dtype.kind}{dataset.dtype.itemsize}"
    if dataset.shape is None or not item_bytes(kind):
        return None  # text, and what else lies beside the weights
    plan = dataset.id.get_create_plist()
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if dataset.is_virtual or dataset.external or not filters <= _FILTERS:
        raise refusal(
            source, f"keeps {shown(name)} elsewhere or oddly packed", wanted=_WANTED, todo=UNSAFE
        )
    stored = dataset.id.get_storage_size()
    most = limits.ratio * stored + _SLACK if filters & {1, 32000} else stored
    wanted = int(dataset.size) * dataset.dtype.itemsize
    if wanted > most or (wanted and not stored):
        raise refusal(
            source,
            f"claims {wanted} bytes for {shown(name)}, with {stored} stored",
            wanted=_WANTED,
            todo=UNSAFE,
        )
    array = np.ascontiguousarray(dataset[()], dtype=dataset.dtype.newbyteorder("<"))
    data = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    return tensor_from(data, kind, list(dataset.shape), name=name, budget=budget)


def _layer_names(group: "h5py.Group", source: str) -> list[str]:
    """Return the layers' names in the model's order, which groups do not keep."""
    if _NAMES not in group.attrs:
        return []
    identifier = group.attrs.get_id(_NAMES)
    if len(identifier.shape) != 1 or identifier.get_storage_size() > _LONGEST_FACT:
        raise refusal(source, f"has odd {_NAMES}", wanted=_WANTED)
    values = (
        v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in group.attrs[_NAMES]
    )
    return [value for value in values if isinstance(value, str) and value.isprintable()]


def _fact(file: "h5py.File", name: str, source: str) -> Any:
    """Return an attribute of the file that is text, read as JSON where it is some."""
    import h5py

    if name not in file.attrs:
        return None
    identifier = file.attrs.get_id(name)
    text = h5py.check_string_dtype(identifier.dtype)
    if text is None or identifier.shape != () or identifier.get_storage_size() > _LONGEST_FACT:
        raise refusal(source, f"has an odd {name}", wanted=_WANTED, todo=DAMAGED)
    value = file.attrs[name]
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
