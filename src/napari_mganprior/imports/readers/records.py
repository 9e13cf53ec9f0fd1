"""What stands in a pickle in the place of whatever Python would import, call or fetch."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Global", "Persistent", "Record"]


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the pickle wanted imported.

    Attributes
    ----------
    module, name : str
        ``"collections"``, ``"OrderedDict"``.
    """

    module: str
    name: str

    @property
    def path(self) -> str:
        """Module and name, with a dot between."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """A reference to data outside the pickle.

    Attributes
    ----------
    pid : object
        What the pickle calls it; torch writes ``("storage", type, key, location, size)``.
    """

    pid: Any


class Record:
    """An object that was not made: what would have been called, and with what.

    Attributes
    ----------
    maker : object
        Usually a `Global`.
    args : object
        Usually a tuple.
    state : object
        What would have been handed to ``__setstate__``; None if nothing.
    items : list or None
        What would have been appended.
    entries : list of tuple or None
        What would have been set, key and value.
    """

    __slots__ = ("args", "entries", "items", "maker", "state")

    def __init__(self, maker: Any, args: Any) -> None:
        self.maker = maker
        self.args = args
        self.state: Any = None
        self.items: list[Any] | None = None
        self.entries: list[tuple[Any, Any]] | None = None

    @property
    def path(self) -> str:
        """Dotted name of the maker, empty if it has none."""
        return self.maker.path if isinstance(self.maker, Global) else ""
