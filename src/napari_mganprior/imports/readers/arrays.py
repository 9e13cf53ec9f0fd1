"""Turn what a file says about an array into a tensor, once the bytes are really there."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal, shown

__all__ = ["Budget", "item_bytes", "tensor_from"]

_MOST_AXES = 8
_LONGEST_NAME = 400
_LONGEST_AXIS = 2**40
_TYPES: dict[str, torch.dtype] = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "bf": torch.bfloat16,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}


class Budget:
    """Counts what a file claims against what it holds.

    Parameters
    ----------
    source : str
        Name of the file, for messages.
    limits : Limits
        ``tensors`` and ``tensor_bytes`` are used.
    held : int
        Bytes that the file holds, unpacked. Tensors that share bytes may claim twice as many.
    """

    def __init__(self, source: str, limits: Limits, held: int) -> None:
        self.source = source
        self._limits = limits
        self._tensors_left = limits.tensors
        self._stored_left = 2 * held
        self._bytes_left = limits.tensor_bytes

    def wrong(self, got: str, todo: str | None = None) -> ImportRefused:
        """Make the error for a tensor that is not what it claims."""
        wanted = "tensors no larger than the bytes stored for them"
        if todo is None:
            return refusal(self.source, got, wanted=wanted)
        return refusal(self.source, got, wanted=wanted, todo=todo)

    def charge(self, name: str, n_elements: int, item_bytes: int) -> None:
        """Count a tensor.

        Raises
        ------
        ImportRefused
            If its name is no name, or it is one too many.
        """
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise self.wrong(f"has a tensor with the odd name {shown(name)}", UNSAFE)
        self._tensors_left -= 1
        self._stored_left -= n_elements * item_bytes
        self._bytes_left -= n_elements * 4
        if self._tensors_left < 0:
            raise self.wrong(f"holds more than {self._limits.tensors} tensors", UNSAFE)
        if self._bytes_left < 0:
            raise self.wrong(
                f"holds tensors of more than {self._limits.tensor_bytes} bytes together", UNSAFE
            )
        if self._stored_left < 0:
            raise self.wrong("claims far more numbers than it holds", UNSAFE)


def item_bytes(kind: str) -> int:
    """Return how many bytes a number takes; 0 of a kind that no network's weights have."""
    return torch.empty((), dtype=_TYPES[kind]).element_size() if kind in _TYPES else 0


def tensor_from(
    data: memoryview,
    kind: str,
    shape: Sequence[Any],
    *,
    name: str,
    budget: Budget,
    strides: Sequence[Any] | None = None,
    offset: Any = 0,
    exact: bool = False,
) -> Tensor:
    """Make a float32 tensor from bytes.

    Parameters
    ----------
    data : memoryview
        The bytes stored for it, or for the storage it is a part of.
    kind : str
        ``"f4"``, ``"bf"``, ``"i8"``, .., little-endian.
    shape : sequence
        As claimed; may be anything.
    name : str
        For messages.
    budget : Budget
        Charged with it.
    strides : sequence, optional
        In elements, as claimed; those of a contiguous tensor in C order if left out.
    offset : int
        First element, as claimed.
    exact : bool
        Whether the bytes are those of this tensor alone.

    Returns
    -------
    Tensor
        On the CPU; shares memory with ``data`` where these are contiguous float32 already.

    Raises
    ------
    ImportRefused
        If the claims are no sizes, or reach beyond the bytes.
    """
    sizes = _whole(shape, name, budget)
    n = math.prod(sizes)
    steps = _whole(_contiguous(sizes) if strides is None else strides, name, budget)
    (first,) = _whole([offset], name, budget)
    item = item_bytes(kind)
    held = len(data) // item
    reach = first + 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=False))
    fits = n * item == len(data) if exact else n <= held and (not n or reach <= held)
    if len(steps) != len(sizes) or not fits:
        raise budget.wrong(
            f"claims {n} numbers {shown(sizes)} for {shown(name)}, with {held} stored", UNSAFE
        )
    budget.charge(name, n, item)
    if not n:
        return torch.empty(sizes)
    raw = np.frombuffer(data[first * item : reach * item], np.uint8)
    if kind == "b1":  # other bytes than 0 and 1 are no booleans
        return torch.from_numpy(raw != 0).as_strided(sizes, steps).float()
    # torch warns of memory that cannot be written, and wants numbers to begin at their multiples
    if not raw.flags.writeable or raw.ctypes.data % item:
        raw = raw.copy()
    return torch.from_numpy(raw).view(_TYPES[kind]).as_strided(sizes, steps).float()


def _contiguous(sizes: Sequence[int]) -> list[int]:
    return [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]


def _whole(values: Sequence[Any], name: str, budget: Budget) -> tuple[int, ...]:
    """Check that claims are sizes."""
    if not isinstance(values, list | tuple) or len(values) > _MOST_AXES:
        raise budget.wrong(f"claims an absurd shape for {shown(name)}", UNSAFE)
    for value in values:
        if type(value) is not int or not 0 <= value < _LONGEST_AXIS:
            raise budget.wrong(f"claims an absurd shape for {shown(name)}", UNSAFE)
    return tuple(values)
