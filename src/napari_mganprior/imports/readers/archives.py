"""Read zip archives without unpacking them anywhere.

The list of members is checked as a whole before any is read: names, sizes, places. The format is
APPNOTE.TXT 6.3.3 of PKWARE, sections 4.3 and 4.5, without encryption, and with "stored" and
"deflated" alone.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.refusal import DAMAGED, UNSAFE, refusal, shown

__all__ = ["Archive"]

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_LONGEST_COMMENT = 65_535
_LONGEST_NAME = 1_000
_ENTRY_BYTES = 1_024  # of the list, a member
_SLACK = 1024**2  # bytes that anything may grow to when unpacked
_STORED, _DEFLATED = 0, 8
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int


class Archive:
    """The members of a zip archive.

    Parameters
    ----------
    data : memoryview
        The file's bytes, (n,).
    source : str
        Its name, for messages.
    limits : Limits
        ``members``, ``ratio`` and ``tensor_bytes`` (all members together) are used.

    Raises
    ------
    ImportRefused
        If the list of members is damaged or could do harm: names that lead out of a folder, names
        that come twice, members that overlap, sizes that no file of this length can hold.
    """

    def __init__(self, data: memoryview, *, source: str, limits: Limits) -> None:
        self._data = data
        self._source = source
        self._members: dict[str, _Member] = {}
        start, size = self._find_list(limits)
        for member in self._list(start, size):
            self._check(member, limits)
            if member.name in self._members:
                raise self._wrong(f"holds {shown(member.name)} twice", UNSAFE)
            if len(self._members) >= limits.members:
                raise self._wrong(f"holds more than {limits.members} members", UNSAFE)
            self._members[member.name] = member
        self._check_places(start)
        total = sum(member.size for member in self._members.values())
        if total > min(limits.tensor_bytes, limits.ratio * len(data) + 16 * _SLACK):
            raise self._wrong(f"would grow from {len(data)} to {total} bytes", UNSAFE)

    def names(self) -> tuple[str, ...]:
        """Return the members' names, in the archive's order."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """Return a member's unpacked size in bytes; -1 if there is none of the name."""
        return self._members[name].size if name in self._members else -1

    def read(self, name: str) -> memoryview:
        """Return a member's bytes; of one that is not compressed a view of the file.

        Raises
        ------
        ImportRefused
            If there is no such member, or it is not what the list says.
        """
        if name not in self._members:
            raise self._wrong(f"lacks the member {shown(name)}")
        member = self._members[name]
        raw = self._raw(member)
        if member.method == _DEFLATED:
            raw = self._inflated(member, raw)
        if zlib.crc32(raw) != member.crc:
            raise self._wrong(f"has a damaged member {shown(name)} (its checksum differs)")
        return raw

    def _raw(self, member: _Member) -> memoryview:
        fields = self._unpack(_LOCAL, member.start)
        signature, method, name_length, extra_length = fields[0], fields[4], fields[-2], fields[-1]
        start = member.start + _LOCAL.size + name_length + extra_length
        raw = self._data[start : start + member.packed]
        if signature != b"PK\x03\x04" or method != member.method or len(raw) != member.packed:
            raise self._wrong(f"has a member {shown(member.name)} that is not where it should be")
        return raw

    def _inflated(self, member: _Member, raw: memoryview) -> memoryview:
        machine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = machine.decompress(raw, member.size + 1)  # one more shows a lie about the size
        except zlib.error as error:
            raise self._wrong(f"has a damaged member {shown(member.name)} ({error})") from error
        if len(data) != member.size:
            raise self._wrong(f"has a member {shown(member.name)} of another size than it claims")
        return memoryview(data)

    def _find_list(self, limits: Limits) -> tuple[int, int]:
        """Return start and size of the list of members."""
        length = len(self._data)
        reach = bytes(self._data[max(0, length - _END.size - _LONGEST_COMMENT) :])
        found = reach.rfind(b"PK\x05\x06")
        if found < 0 or len(reach) - found < _END.size:
            raise self._wrong("is a zip archive without its end")
        place = length - len(reach) + found
        _, disk, *_, size, start, _ = self._unpack(_END, place)
        limit = place
        if start == _FULL32 or size == _FULL32 or disk == _FULL16:
            signature, _, at, _ = self._unpack(_LOCATOR64, place - _LOCATOR64.size)
            fields = self._unpack(_END64, at)
            if signature != b"PK\x06\x07" or fields[0] != b"PK\x06\x06":
                raise self._wrong("is a zip archive with a damaged end")
            size, start = fields[-2:]
            limit = at
        if start + size > limit:
            raise self._wrong("is a zip archive whose list of members lies outside it")
        if size > limits.members * _ENTRY_BYTES:
            raise self._wrong(f"holds more than {limits.members} members", UNSAFE)
        return start, size

    def _list(self, start: int, size: int) -> Iterator[_Member]:
        place, end = start, start + size
        while place < end:
            fields = self._unpack(_ENTRY, place)
            signature, flags, method = fields[0], fields[5], fields[6]
            crc, packed, unpacked, n_name, n_extra, n_comment = fields[9:15]
            offset = fields[-1]
            place += _ENTRY.size
            name = self._name(bytes(self._data[place : place + n_name]))
            extra = bytes(self._data[place + n_name : place + n_name + n_extra])
            place += n_name + n_extra + n_comment
            if signature != b"PK\x01\x02" or place > end:
                raise self._wrong("is a zip archive with a damaged list of members")
            if flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
                raise self._wrong(f"has a member {shown(name)} that is encrypted or packed oddly")
            unpacked, packed, offset = self._wide(extra, unpacked, packed, offset)
            yield _Member(name, method, crc, packed, unpacked, offset)

    def _wide(self, extra: bytes, *values: int) -> list[int]:
        """Put the 64-bit numbers of the extra field 1 in the place of full 32-bit ones."""
        found = list(values)
        if _FULL32 not in found:
            return found
        place = 0
        while place + 4 <= len(extra):
            kind, size = struct.unpack_from("<2H", extra, place)
            body = extra[place + 4 : place + 4 + size]
            place += 4 + size
            if kind != 1:
                continue
            for index, value in enumerate(found):
                if value == _FULL32 and len(body) >= 8:
                    found[index] = int.from_bytes(body[:8], "little")
                    body = body[8:]
        return found

    def _name(self, raw: bytes) -> str:
        try:
            name = raw.decode("utf-8")
        except UnicodeError as error:
            raise self._wrong("has a member with an unreadable name") from error
        if not name.isprintable() or len(name) > _LONGEST_NAME or not name:
            raise self._wrong(f"has a member with the odd name {shown(name)}", UNSAFE)
        parts = name.replace("\\", "/").split("/")
        if name[0] in "/\\" or ".." in parts or ":" in parts[0]:
            raise self._wrong(
                f"has a member {shown(name)} whose name leads outside the archive", UNSAFE
            )
        return name

    def _check(self, member: _Member, limits: Limits) -> None:
        if member.method == _STORED and member.size != member.packed:
            raise self._wrong(f"has a member {shown(member.name)} of another size than it claims")
        if member.size > limits.ratio * member.packed + _SLACK:
            raise self._wrong(
                f"has a member {shown(member.name)} that would grow from {member.packed} to "
                f"{member.size} bytes",
                UNSAFE,
            )

    def _check_places(self, end: int) -> None:
        """Refuse members that share bytes, with which a small file unpacks to a huge one."""
        if not self._members:
            raise self._wrong("is an empty zip archive")
        members = sorted(self._members.values(), key=lambda member: member.start)
        ends = [member.start for member in members[1:]] + [end]
        for member, limit in zip(members, ends, strict=True):
            if member.start + _LOCAL.size + len(member.name) + member.packed > limit:
                raise self._wrong(f"has a member {shown(member.name)} that overlaps another")

    def _unpack(self, form: struct.Struct, place: int) -> tuple:
        if place < 0 or place + form.size > len(self._data):
            raise self._wrong("is a zip archive that ends too early")
        return form.unpack_from(self._data, place)

    def _wrong(self, got: str, todo: str = DAMAGED) -> ImportRefused:
        return refusal(self._source, got, wanted="a whole, plain zip archive", todo=todo)
