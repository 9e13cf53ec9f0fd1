"""Read HDF5 files as Keras writes them, without the HDF5 library.

That library follows a damaged file into endless loops and beyond its memory. This reader knows the
part of the format that h5py uses unless told otherwise: superblock 0 and 1, groups as symbol
tables, arrays in one piece or in chunks, packed with deflate and shuffle. Links to other files,
virtual arrays and filters from plug-ins are not in that part.

The format is the "HDF5 File Format Specification Version 3.0" of The HDF Group; roman numerals
below are its sections.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.hdf5_messages import (
    CHECKSUM,
    DEFLATE,
    Attribute,
    Dataset,
    Group,
    Messages,
)
from napari_mganprior.imports.readers.refusal import UNSAFE, shown

__all__ = ["HDF5_MAGIC", "Hdf5File"]

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 2**64 - 1
_SLACK = 1024**2  # bytes that anything may grow to when unpacked
_SPACE, _TYPE, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _MORE, _TABLE = (
    0x01, 0x03, 0x07, 0x08, 0x0B, 0x0C, 0x10, 0x11,
)  # fmt: skip
_LINKS, _LINK = 0x02, 0x06
_WORDS = (_LINKS, _LINK, _SPACE, _TYPE, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _TABLE)
_SHARED = 2


class Hdf5File(Messages):
    """An HDF5 file in memory.

    Parameters
    ----------
    data : memoryview
        The file's bytes, (n,).
    source : str
        Its name, for messages.
    limits : Limits
        ``members``, ``depth`` and ``ratio`` are used.

    Raises
    ------
    ImportRefused
        Here and in every method: if the file is damaged, truncated, of a form that is not known
        here, or claims what it does not hold.
    """

    def __init__(self, data: memoryview, *, source: str, limits: Limits) -> None:
        super().__init__(data, source=source, limits=limits)
        version, offsets, lengths = data[8], data[13], data[14]
        if version not in (0, 1) or (offsets, lengths) != (8, 8):
            raise self.newer()
        start = 24 if version == 0 else 28
        base, _, end, _, _, self.root = self.unpack("<6Q", start)
        if base != 0 or end > len(data):
            raise self.wrong("is truncated")

    def datasets(self) -> Iterator[tuple[str, Dataset]]:
        """Yield the arrays by path, in the order of their names; every object once."""
        seen: set[int] = set()
        waiting = [("", self.root, 0)]
        while waiting:
            path, place, depth = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > self.limits.members or depth > self.limits.depth:
                raise self.wrong("holds too many groups and arrays", UNSAFE)
            found = self.object_at(place)
            if isinstance(found, Dataset):
                yield path, found
            elif found is not None:
                inside = [
                    (f"{path}/{name}" if path else name, at, depth + 1)
                    for name, at in self.members(found)
                ]
                waiting.extend(reversed(inside))

    def group(self, *names: str) -> Group | None:
        """Return a group by its path; None if there is none."""
        found = self.object_at(self.root)
        for name in names:
            place = dict(self.members(found)).get(name) if isinstance(found, Group) else None
            found = None if place is None else self.object_at(place)
        return found if isinstance(found, Group) else None

    def members(self, group: Group) -> Iterator[tuple[str, int]]:
        """Yield names and places of what is in a group (III.A.1, III.B, III.C)."""
        signature, _, size, _, names = self.unpack("<4s4sQQQ", group.heap)
        if signature != b"HEAP":
            raise self.wrong("has a damaged list of names")
        heap = self.bytes_at(names, size)
        for node in self.leaves(group.tree, kind=0, key_size=8):
            signature, _, n = self.unpack("<4sHH", node[1])
            if signature != b"SNOD":
                raise self.wrong("has a damaged list of members")
            for index in range(n):
                offset, place, cache, _ = self.unpack("<QQLL", node[1] + 8 + 40 * index)
                name = bytes(heap[offset : offset + 1024]).partition(b"\0")[0]
                if cache == 2:
                    raise self.wrong(f"points elsewhere at {shown(name)}", UNSAFE)
                text = name.decode("utf-8", "replace")
                if not text or "/" in text or not text.isprintable():
                    raise self.wrong(f"has a member with the odd name {shown(text)}", UNSAFE)
                yield text, place

    def leaves(self, tree: int, *, kind: int, key_size: int) -> Iterator[tuple[memoryview, int]]:
        """Yield keys and children at the bottom of a tree (III.A.1)."""
        seen: set[int] = set()
        waiting = [tree]
        while waiting:
            place = waiting.pop()
            signature, found, level, n, _, _ = self.unpack("<4sBBHQQ", place)
            if signature != b"TREE" or found != kind or place in seen:
                raise self.wrong("has a damaged tree")
            seen.add(place)
            pairs = []
            for index in range(n):
                at = place + 24 + index * (key_size + 8)
                (child,) = self.unpack("<Q", at + key_size)
                pairs.append((self.bytes_at(at, key_size), child))
            if level:
                waiting.extend(child for _, child in reversed(pairs))
            else:
                yield from pairs

    def object_at(self, place: int) -> Group | Dataset | None:
        """Read an object's header (IV.A.1.a); None if it is neither a group nor an array."""
        found: dict[int, memoryview] = {}
        attributes: dict[str, Attribute] = {}
        for kind, body in self.messages(place):
            if kind == _ATTRIBUTE:
                named = self.attribute(body)
                if named is not None:
                    attributes[named[0]] = named[1]
            elif kind in _WORDS:
                found.setdefault(kind, body)
        if _LINK in found or _LINKS in found:
            raise self.newer()
        if _EXTERNAL in found:
            raise self.wrong("keeps numbers in another file", UNSAFE)
        if _TABLE in found:
            tree, heap = self.parse("<QQ", found[_TABLE])
            return Group(attributes, tree, heap)
        if _LAYOUT in found and _TYPE in found and _SPACE in found:
            kind_of, item = self.type_of(found[_TYPE])
            filters = self.filters_of(found[_FILTERS]) if _FILTERS in found else ()
            return Dataset(kind_of, item, self.shape_of(found[_SPACE]), found[_LAYOUT], filters)
        return None

    def messages(self, place: int) -> Iterator[tuple[int, memoryview]]:
        """Yield the messages of a header, from all its blocks."""
        if bytes(self.bytes_at(place, 4)) == b"OHDR":
            raise self.newer()
        version, _, n_messages, _, size = self.unpack("<BBHLL", place)
        if version != 1:
            raise self.wrong("has a damaged header")
        blocks = [(place + 16, size)]
        seen = {place + 16}
        for start, length in blocks:  # grows while it is read
            at, end = start, start + length
            while at + 8 <= end and n_messages > 0:
                kind, size, flags = self.unpack("<HHB", at)
                body = self.bytes_at(at + 8, size)
                at += 8 + size
                n_messages -= 1
                if flags & _SHARED and kind in _WORDS:
                    raise self.wrong("shares parts between arrays, which is not known here")
                if kind == _MORE:
                    block = self.parse("<QQ", body)
                    if block[0] in seen:
                        raise self.wrong("has a header that leads into itself")
                    seen.add(block[0])
                    blocks.append((block[0], block[1]))
                else:
                    yield kind, body

    def read(self, dataset: Dataset, name: str) -> memoryview:
        """Return an array's bytes, in C order."""
        version, family = self.parse("<BB", dataset.layout)
        wanted = math.prod(dataset.shape) * dataset.item
        if version != 3:
            raise self.wrong(f"keeps {shown(name)} in a form of HDF5 that is not known here")
        if not wanted:
            return memoryview(b"")
        if family == 2:
            return self.chunks(dataset, name, wanted)
        if family == 0:
            (size,) = self.parse("<H", dataset.layout, 2)
            data = dataset.layout[4 : 4 + size]
        elif family == 1:
            place, size = self.parse("<QQ", dataset.layout, 2)
            data = memoryview(b"") if place == _NOWHERE else self.bytes_at(place, size)
        else:
            raise self.wrong(f"keeps {shown(name)} elsewhere", UNSAFE)
        if len(data) != wanted or dataset.filters:
            raise self.wrong(f"claims {wanted} bytes for {shown(name)}, with {len(data)} stored")
        return data

    def chunks(self, dataset: Dataset, name: str, wanted: int) -> memoryview:
        """Put an array together from its pieces (III.A.1, IV.A.2.i)."""
        rank = len(dataset.shape)
        n, tree = self.parse("<BQ", dataset.layout, 2)
        piece = self.parse(f"<{n}L", dataset.layout, 11)[:-1]
        if n != rank + 1 or not all(piece) or tree == _NOWHERE:
            raise self.wrong(f"has {shown(name)} in damaged pieces")
        found = list(self.leaves(tree, kind=1, key_size=8 + 8 * n))
        packed = [(*struct.unpack_from(f"<LL{rank}Q", key), place) for key, place in found]
        stored = sum(size for size, *_ in packed)
        piece_bytes = math.prod(piece) * dataset.item
        covered = math.prod(math.ceil(a / b) for a, b in zip(dataset.shape, piece, strict=True))
        most = self.limits.ratio * min(stored, len(self.data)) + _SLACK
        if len(packed) != covered or max(wanted, covered * piece_bytes) > most:
            raise self.wrong(
                f"claims {wanted} bytes for {shown(name)}, with {stored} stored in "
                f"{len(packed)} pieces",
                UNSAFE,
            )
        whole = bytearray(wanted)
        for size, skipped, *rest in packed:
            *corner, place = rest
            data = self.unpacked(self.bytes_at(place, size), dataset, piece_bytes, skipped)
            if len(data) != piece_bytes or any(a % b for a, b in zip(corner, piece, strict=True)):
                raise self.wrong(f"has {shown(name)} in damaged pieces")
            _paste(whole, dataset, data, piece, corner)
        return memoryview(whole)

    def unpacked(
        self, data: memoryview, dataset: Dataset, most: int, skipped: int
    ) -> bytes | memoryview:
        """Undo the filters, the last first."""
        out: bytes | memoryview = data
        for index in reversed(range(len(dataset.filters))):
            if skipped >> index & 1:
                continue
            number = dataset.filters[index]
            if number == CHECKSUM:
                out = out[:-4]
            elif number == DEFLATE:
                try:
                    out = zlib.decompressobj().decompress(out, most + 8)
                except zlib.error as error:
                    raise self.wrong(f"has a damaged array ({error})") from error
            elif len(out) % dataset.item == 0:
                # all first bytes stand first, then all second ones, ..
                out = np.frombuffer(out, np.uint8).reshape(dataset.item, -1).T.tobytes()
        return out

    def text(self, attribute: Attribute) -> list[str]:
        """Return the texts of a fact, nothing if it holds none (III.E for those of any length)."""
        n = math.prod(attribute.shape)
        if attribute.kind not in ("text", "vlen") or n * attribute.item > len(attribute.data):
            return []
        texts = []
        for index in range(n):
            item = attribute.data[index * attribute.item : (index + 1) * attribute.item]
            raw = bytes(item) if attribute.kind == "text" else self.heap_object(item)
            texts.append(raw.rstrip(b"\0").decode("utf-8", "replace"))
        return texts

    def heap_object(self, item: memoryview) -> bytes:
        """Return an object of a global heap."""
        length, place, wanted = self.parse("<LQL", item)
        signature, _, size = self.unpack("<4s4sQ", place)
        if signature != b"GCOL":
            raise self.wrong("has a damaged text")
        at = place + 16
        while at + 16 <= place + size:
            index, _, _, held = self.unpack("<HHLQ", at)
            if index == wanted:
                return bytes(self.bytes_at(at + 16, min(length, held)))
            if index == 0:
                break
            at += 16 + math.ceil(held / 8) * 8
        raise self.wrong("has a damaged text")


def _paste(
    whole: bytearray,
    dataset: Dataset,
    data: bytes | memoryview,
    piece: tuple[int, ...],
    corner: list[int],
) -> None:
    """Copy a piece to its place, cutting off what lies outside the array; row by row."""
    shape, item = dataset.shape, dataset.item
    inside = [min(p, s - c) for p, s, c in zip(piece, shape, corner, strict=True)]
    if min(inside) <= 0:
        return
    row = inside[-1] * item
    for index in itertools.product(*(range(n) for n in inside[:-1])):
        source = target = 0
        for axis, position in enumerate((*index, 0)):
            source = source * piece[axis] + position
            target = target * shape[axis] + corner[axis] + position
        whole[target * item : target * item + row] = data[source * item : source * item + row]
