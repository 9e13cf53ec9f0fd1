"""Read pickles without obeying them.

A pickle is a program for a stack machine; Python's own machine imports what the program names and
calls it. This one does neither: it knows no import and makes no call. A name becomes a `Global`, a
call becomes a `Record` that says what would have been called with what, and a reference to data
outside the pickle becomes a `Persistent`. Only numbers, text, bytes, lists, tuples and tables are
built.

The instructions are those of Python's ``pickletools``, protocols 0 to 5.
"""

import struct
from collections.abc import Callable
from typing import Any

from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.records import Global, Persistent, Record, is_dangerous
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal, shown

__all__ = ["PickleReader"]

_LONGEST_LINE = 64 * 1024  # bytes, of an instruction written as text
_LONGEST_NUMBER = 1024  # bytes
_LONGEST_TEXT = 16 * 1024**2  # bytes of one text
_MOST_TEXT = 128 * 1024**2  # bytes of all text
_LARGEST_KEY = 2**60  # whole numbers above it can be chosen so that a table's hashes collide
_LARGEST_PLACE = 2**32  # of what is remembered
_HIGHEST_PROTOCOL = 5


class _OddKey:
    """A table's key of a kind that is never looked up; it is not hashed by its value."""

    __slots__ = ()


class _Mark:
    __slots__ = ()


_MARK = _Mark()


class _Machine:
    """The stack, what is remembered, and the instructions."""

    def __init__(self, data: memoryview, *, source: str, limits: Limits, start: int = 0) -> None:
        self.data = data
        self.source = source
        self.place = start
        self.persistents: list[Persistent] = []
        self.names: set[str] = set()
        self.opcodes_left = limits.opcodes
        self.text_left = _MOST_TEXT
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def wrong(self, got: str, todo: str | None = None) -> Exception:
        wanted = "weights in a well-formed pickle"
        if todo is None:
            return refusal(self.source, f"{got} at byte {self.place}", wanted=wanted)
        return refusal(self.source, got, wanted=wanted, todo=todo)

    # bytes

    def take(self, n: int) -> memoryview:
        end = self.place + n
        if n < 0 or end > len(self.data):
            raise self.wrong("ends in the middle of a pickle")
        taken = self.data[self.place : end]
        self.place = end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        for reach in (64, _LONGEST_LINE):  # nearly all are short
            window = bytes(self.data[self.place : self.place + reach])
            end = window.find(b"\n")
            if end >= 0:
                self.place += end + 1
                self.spend(end)
                return window[:end]
        raise self.wrong("has an endless or too long line in a pickle")

    def text(self, n: int, encoding: str) -> str:
        if n > _LONGEST_TEXT:
            raise self.wrong("holds too much text", UNSAFE)
        self.spend(n)
        return self.decode(bytes(self.take(n)), encoding)

    def spend(self, n: int) -> None:
        self.text_left -= n
        if self.text_left < 0:
            raise self.wrong("holds too much text", UNSAFE)

    def decode(self, raw: bytes, encoding: str) -> str:
        try:
            return raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        except UnicodeError as error:
            raise self.wrong("holds damaged text") from error

    # stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.wrong("takes more from the pickle's stack than is there")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                taken = self.stack[index + 1 :]
                del self.stack[index:]
                return taken
        raise self.wrong("has a group without a beginning in a pickle")

    def remember(self, key: int) -> None:
        if not 0 <= key < _LARGEST_PLACE:
            raise self.wrong("remembers something under an absurd number")
        self.memo[key] = self.top()

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise self.wrong("refers to something that the pickle never held")
        self.push(self.memo[key])

    def text_line(self) -> str:
        return self.decode(self.line(), "utf-8")

    def integer(self, raw: bytes) -> int:
        if len(raw) > _LONGEST_NUMBER:
            raise self.wrong("holds an absurdly long number")
        try:
            return int(raw)
        except ValueError as error:
            raise self.wrong("holds a number that is none") from error

    # composite instructions

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Record):
            if target.items is None:
                target.items = []
            target.items.extend(values)
        else:
            raise self.wrong("appends to something that is no list")

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise self.wrong("has a key without a value")
        target = self.top()
        pairs = zip(values[::2], values[1::2], strict=True)
        if isinstance(target, dict):
            for key, value in pairs:
                target[_key(key)] = value
        elif isinstance(target, Record):
            if target.entries is None:
                target.entries = []
            target.entries.extend(pairs)
        else:
            raise self.wrong("sets an entry of something that is no table")

    def table(self, values: list[Any]) -> None:
        self.push({})
        self.set_items(values)

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if not isinstance(target, Record):
            raise self.wrong("sets the state of something that has none")
        target.state = state

    def call(self, args: Any) -> None:
        self.push(Record(self.pop(), args))

    def make_keyed(self) -> None:
        keywords, args = self.pop(), self.pop()
        self.call((args, keywords))

    def make_marked(self) -> None:
        values = self.pop_mark()
        if not values:
            raise self.wrong("makes an object of no class")
        self.push(Record(values[0], tuple(values[1:])))

    def tuple_of(self, n: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(n)])))

    def long(self, n: int) -> None:
        if n > _LONGEST_NUMBER:
            raise self.wrong("holds an absurdly long number")
        self.push(int.from_bytes(self.take(n), "little", signed=True))

    def named(self, module: Any, name: Any) -> Global:
        if not isinstance(name, str) or not isinstance(module, str):
            raise self.wrong("names a class by something that is no text")
        found = Global(module, name)
        if is_dangerous(found):
            raise self.wrong(
                f"names {shown(found.path)}, which could run a program where it is opened", UNSAFE
            )
        self.names.add(found.path)
        return found

    def stack_name(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(self.named(module, name))

    def instance(self) -> None:
        maker = self.named(self.text_line(), self.text_line())
        self.push(Record(maker, tuple(self.pop_mark())))

    def persistent(self, pid: Any) -> None:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module":
            self.push(pid[1])  # a class, with its source code beside it
            return
        self.persistents.append(Persistent(pid))
        self.push(self.persistents[-1])

    def protocol(self) -> None:
        if self.take(1)[0] > _HIGHEST_PROTOCOL:
            raise self.wrong("is a pickle of an unknown protocol")

    def frame(self) -> None:
        if self.number("<Q") > len(self.data) - self.place:
            raise self.wrong("ends in the middle of a pickle")

    def quoted(self) -> None:
        raw = self.line()
        if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"') or b"\\" in raw:
            raise self.wrong("holds text that is not quoted simply")
        self.push(self.decode(raw[1:-1], "latin-1"))

    def decimal(self) -> None:
        raw = self.line()
        try:
            self.push(float(raw))
        except ValueError as error:
            raise self.wrong("holds a number that is none") from error

    def small_or_bool(self) -> None:
        raw = self.line()
        self.push({b"00": False, b"01": True}[raw] if raw in (b"00", b"01") else self.integer(raw))


def _key(key: Any) -> Any:
    """Let only harmless keys be hashed."""
    if key is None or isinstance(key, str | bool):
        return key
    if isinstance(key, int) and -_LARGEST_KEY < key < _LARGEST_KEY:
        return key
    return _OddKey()


def _set(m: _Machine, name: str, values: list[Any]) -> None:
    record = Record(Global("builtins", name), ())
    record.items = values
    m.push(record)


_STOP = ord(".")
_HANDLERS: dict[int, Callable[[_Machine], Any]] = {
    code[0]: handler
    for code, handler in {
        # plain values
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"I": _Machine.small_or_bool,
        b"L": lambda m: m.push(m.integer(m.line().removesuffix(b"L"))),
        b"J": lambda m: m.push(m.number("<i")),
        b"K": lambda m: m.push(m.number("<B")),
        b"M": lambda m: m.push(m.number("<H")),
        b"\x8a": lambda m: m.long(m.number("<B")),
        b"\x8b": lambda m: m.long(m.number("<I")),
        b"F": _Machine.decimal,
        b"G": lambda m: m.push(m.number(">d")),
        # text and bytes; Python 2 wrote both as strings, which latin-1 keeps as they are
        b"S": _Machine.quoted,
        b"T": lambda m: m.push(m.text(m.number("<I"), "latin-1")),
        b"U": lambda m: m.push(m.text(m.number("<B"), "latin-1")),
        b"V": lambda m: m.push(m.decode(m.line(), "raw-unicode-escape")),
        b"X": lambda m: m.push(m.text(m.number("<I"), "utf-8")),
        b"\x8c": lambda m: m.push(m.text(m.number("<B"), "utf-8")),
        b"\x8d": lambda m: m.push(m.text(m.number("<Q"), "utf-8")),
        b"B": lambda m: m.push(m.take(m.number("<I"))),
        b"C": lambda m: m.push(m.take(m.number("<B"))),
        b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
        b"\x96": lambda m: m.push(m.take(m.number("<Q"))),
        # lists, tuples, tables, sets
        b"]": lambda m: m.push([]),
        b"l": lambda m: m.push(m.pop_mark()),
        b"a": lambda m: m.append([m.pop()]),
        b"e": lambda m: m.append(m.pop_mark()),
        b")": lambda m: m.push(()),
        b"t": lambda m: m.push(tuple(m.pop_mark())),
        b"\x85": lambda m: m.tuple_of(1),
        b"\x86": lambda m: m.tuple_of(2),
        b"\x87": lambda m: m.tuple_of(3),
        b"}": lambda m: m.push({}),
        b"d": lambda m: m.table(m.pop_mark()),
        b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
        b"u": lambda m: m.set_items(m.pop_mark()),
        b"\x8f": lambda m: _set(m, "set", []),
        b"\x90": lambda m: m.append(m.pop_mark()),
        b"\x91": lambda m: _set(m, "frozenset", m.pop_mark()),
        # the stack itself, and what is remembered
        b"(": lambda m: m.push(_MARK),
        b"0": lambda m: m.stack.pop() if m.stack else m.pop(),
        b"1": _Machine.pop_mark,
        b"2": lambda m: m.push(m.top()),
        b"p": lambda m: m.remember(m.integer(m.line())),
        b"q": lambda m: m.remember(m.number("<B")),
        b"r": lambda m: m.remember(m.number("<I")),
        b"\x94": lambda m: m.remember(len(m.memo)),
        b"g": lambda m: m.recall(m.integer(m.line())),
        b"h": lambda m: m.recall(m.number("<B")),
        b"j": lambda m: m.recall(m.number("<I")),
        # what Python would import or call, as records
        b"c": lambda m: m.push(m.named(m.text_line(), m.text_line())),
        b"\x93": _Machine.stack_name,
        b"R": lambda m: m.call(m.pop()),
        b"\x81": lambda m: m.call(m.pop()),
        b"\x92": _Machine.make_keyed,
        b"o": _Machine.make_marked,
        b"i": _Machine.instance,
        b"b": _Machine.build,
        b"P": lambda m: m.persistent(m.text_line()),
        b"Q": lambda m: m.persistent(m.pop()),
        # how the pickle is written
        b"\x80": _Machine.protocol,
        b"\x95": _Machine.frame,
    }.items()
}


class PickleReader(_Machine):
    """A stack machine for the pickles that follow each other in some bytes.

    Parameters
    ----------
    data : memoryview
        Bytes, (n,); ``bytes`` in the values are views of it.
    source : str
        Name of the file, for messages.
    limits : Limits
        ``opcodes`` counts over all the pickles.
    start : int
        Where the first begins.

    Attributes
    ----------
    place : int
        Where the next pickle begins.
    persistents : list of Persistent
        All references so far, in the order in which they were met.
    names : set of str
        Dotted names of all that a pickle wanted imported so far.
    """

    def read(self) -> Any:
        """Return the next pickle's value.

        Raises
        ------
        ImportRefused
            If the pickle is truncated, malformed or too large. Nothing was imported or called.
        """
        self.stack, self.memo = [], {}
        while True:
            code = self.take(1)[0]
            if code == _STOP:
                return self.pop()
            self.opcodes_left -= 1
            if self.opcodes_left < 0:
                raise self.wrong("is a pickle of too many instructions", UNSAFE)
            handler = _HANDLERS.get(code)
            if handler is None:
                raise self.wrong(f"holds the unknown or unsafe pickle instruction {code:#04x}")
            handler(self)
