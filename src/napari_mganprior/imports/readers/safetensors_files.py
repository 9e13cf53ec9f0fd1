"""Files of the safetensors library: a table of contents as JSON, then numbers."""

import json
from typing import Any

from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.arrays import Budget, tensor_from
from napari_mganprior.imports.readers.refusal import refusal, shown

__all__ = ["looks_like_safetensors", "read_safetensors"]

_LARGEST_HEADER = 16 * 1024**2
_KINDS = {
    "F16": "f2",
    "F32": "f4",
    "F64": "f8",
    "BF16": "bf",
    "I8": "i1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
    "U8": "u1",
    "BOOL": "b1",
}
_WANTED = "a whole .safetensors file"


def looks_like_safetensors(data: memoryview) -> bool:
    """Tell from the first bytes whether this can be such a file."""
    if len(data) <= 8 or bytes(data[8:9]) != b"{":
        return False
    # the header's length may begin like a pickle, but no pickle is as long as it would say
    return data[0] != 0x80 or int.from_bytes(data[:8], "little") <= len(data) - 8


def read_safetensors(data: memoryview, *, source: str, limits: Limits) -> Foreign:
    """Read such a file.

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
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(_LARGEST_HEADER, len(data) - 8):
        raise refusal(source, "is truncated, or no .safetensors file", wanted=_WANTED)
    try:
        table = json.loads(str(data[8 : 8 + length], "utf-8"))
    except (ValueError, RecursionError) as error:
        raise refusal(source, "has a damaged table of contents", wanted=_WANTED) from error
    if not isinstance(table, dict):
        raise refusal(source, "has a damaged table of contents", wanted=_WANTED)
    body = data[8 + length :]
    budget = Budget(source, limits, len(data))
    strings = table.pop("__metadata__", None)
    tensors = {}
    for name, entry in table.items():
        kind, shape, (start, end) = _entry(entry, source, name, len(body))
        tensors[name] = tensor_from(
            body[start:end], kind, shape, name=name, budget=budget, exact=True
        )
    meta = {"metadata": strings} if isinstance(strings, dict) else {}
    return Foreign("safetensors", tensors, meta, source)


def _entry(entry: Any, source: str, name: str, size: int) -> tuple[str, Any, tuple[int, int]]:
    entry = entry if isinstance(entry, dict) else {}
    kind, place = _KINDS.get(str(entry.get("dtype")), ""), entry.get("data_offsets")
    if (
        not kind
        or not isinstance(place, list)
        or len(place) != 2
        or any(type(x) is not int for x in place)
        or not 0 <= place[0] <= place[1] <= size
    ):
        raise refusal(
            source, f"describes {shown(name)} in a way that does not fit it", wanted=_WANTED
        )
    return kind, entry.get("shape"), (place[0], place[1])
