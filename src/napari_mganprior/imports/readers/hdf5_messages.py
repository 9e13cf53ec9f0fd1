"""The messages that an HDF5 object's header is made of (IV.A.2 of the specification)."""

import math
import struct
from dataclasses import dataclass

from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.refusal import DAMAGED, UNSAFE, refusal

__all__ = ["CHECKSUM", "DEFLATE", "SHUFFLE", "Attribute", "Dataset", "Group", "Messages"]

DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3  # filters
_MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class Attribute:
    """A fact about a group: its type, bytes an item, axes, and bytes."""

    kind: str
    item: int
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Dataset:
    """An array: kind of number, axes, and where its bytes are.

    Attributes
    ----------
    kind : str
        ``"f4"``, ``"i8"``, ``"b1"``; ``"text"`` or ``"other"`` for what is no number.
    item : int
        Bytes a number.
    shape : tuple of int
        As claimed.
    layout : bytes
        The message that says where the bytes are (IV.A.2.i).
    filters : tuple of int
        In the order in which they were applied.
    """

    kind: str
    item: int
    shape: tuple[int, ...]
    layout: memoryview
    filters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A folder: facts, and where its list of members is."""

    attributes: dict[str, Attribute]
    tree: int
    heap: int


class Messages:
    """Reads numbers from a file, and messages.

    Parameters
    ----------
    data, source, limits
        As in `Hdf5File`.
    """

    def __init__(self, data: memoryview, *, source: str, limits: Limits) -> None:
        self.data = data
        self.source = source
        self.limits = limits
        self.visits_left = 20 * limits.members

    def wrong(self, got: str, todo: str = DAMAGED) -> ImportRefused:
        """Make the error for this file."""
        return refusal(self.source, got, wanted="a whole Keras file", todo=todo)

    def newer(self) -> ImportRefused:
        """Make the error for a file with parts that this reader does not know."""
        return self.wrong(
            "is written in a newer form of HDF5",
            "Save it from Keras once more, or with h5py and no libver.",
        )

    def bytes_at(self, place: int, n: int) -> memoryview:
        """Return bytes that must be there."""
        self.visits_left -= 1
        if self.visits_left < 0:
            raise self.wrong("holds too many groups and arrays", UNSAFE)
        if place < 0 or n < 0 or place + n > len(self.data):
            raise self.wrong("points beyond its end")
        return self.data[place : place + n]

    def unpack(self, form: str, place: int) -> tuple:
        """Read numbers."""
        return struct.unpack(form, self.bytes_at(place, struct.calcsize(form)))

    def parse(self, form: str, data: memoryview, start: int = 0) -> tuple:
        """Read numbers from a message."""
        if start + struct.calcsize(form) > len(data):
            raise self.wrong("has a message that is cut short")
        return struct.unpack_from(form, data, start)

    def attribute(self, body: memoryview) -> tuple[str, Attribute] | None:
        """Read a fact (IV.A.2.m)."""
        version, _, n_name, n_type, n_space = self.parse("<BBHHH", body)
        pad = 8 if version == 1 else 1
        place = 9 if version == 3 else 8
        if version not in (1, 2, 3):
            return None
        parts = []
        for size in (n_name, n_type, n_space):
            parts.append(body[place : place + size])
            place += math.ceil(size / pad) * pad
        name = bytes(parts[0]).rstrip(b"\0").decode("utf-8", "replace")
        kind, item = self.type_of(parts[1])
        return name, Attribute(kind, item, self.shape_of(parts[2]), body[place:])

    def shape_of(self, body: memoryview) -> tuple[int, ...]:
        """Read axes (IV.A.2.b)."""
        version, n = self.parse("<BB", body)
        if version not in (1, 2) or n > _MOST_AXES:
            raise self.wrong("has an array of an absurd shape", UNSAFE)
        return self.parse(f"<{n}Q", body, 8 if version == 1 else 4)

    def type_of(self, body: memoryview) -> tuple[str, int]:
        """Read a type (IV.A.2.d): its kind, and bytes an item."""
        first, bits, size = self.parse("<BB2xL", body)
        family = first & 15
        if family == 8:  # an enumeration, which is how h5py writes booleans
            kind, item = self.type_of(body[8:]) if len(body) > 16 else ("other", size)
            return ("b1" if kind == "i1" and item == size else "other"), size
        if family == 9 and bits & 15 == 1:
            return "vlen", size
        if family == 3:
            return "text", size
        if family in (0, 1) and not bits & 1:
            letter = "f" if family == 1 else "i" if bits & 8 else "u"
            return f"{letter}{size}", size
        return "other", size

    def filters_of(self, body: memoryview) -> tuple[int, ...]:
        """Read which filters an array went through (IV.A.2.l)."""
        version, n = self.parse("<BB", body)
        place, filters = (8 if version == 1 else 2), []
        for _ in range(n):
            (number,) = self.parse("<H", body, place)
            named = version == 1 or number >= 256
            n_name, _, n_values = self.parse("<3H", body, place + 2 if named else place)
            if not named:
                n_name = 0
            filters.append(number)
            place += (8 if named else 6) + n_name + 4 * (n_values + (n_values % 2) * (version == 1))
        if version not in (1, 2) or not set(filters) <= {DEFLATE, SHUFFLE, CHECKSUM}:
            raise self.wrong("has an array that is packed in an unknown way", UNSAFE)
        return tuple(filters)
