"""What stands in a pickle in the place of whatever Python would import, call or fetch."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Global", "Persistent", "Record", "is_dangerous"]

# Nothing is imported, whatever its name. These have no place in a network's file all the same; a
# file that names one is meant to do harm where it is opened in the usual way.
# fmt: off
_DANGEROUS_MODULES = frozenset((
    "_ctypes", "_pickle", "_posixsubprocess", "asyncio", "bdb", "cPickle", "cProfile",
    "codeop", "ctypes", "distutils", "doctest", "ensurepip", "ftplib", "http", "httplib",
    "idlelib", "imp", "importlib", "linecache", "marshal", "multiprocessing", "nt", "os",
    "pdb", "pickle", "pip", "pkgutil", "platform", "popen2", "posix", "pty", "pydoc",
    "requests", "runpy", "setuptools", "shelve", "shutil", "smtplib", "socket",
    "socketserver", "subprocess", "sys", "telnetlib", "tempfile", "timeit", "urllib",
    "urllib2", "venv", "webbrowser", "zipimport",
))
_DANGEROUS_BUILTINS = frozenset((
    "__build_class__", "__import__", "apply", "breakpoint", "compile", "delattr", "eval",
    "exec", "execfile", "exit", "file", "globals", "input", "locals", "open", "quit",
    "raw_input", "reload", "setattr", "vars",
))
# fmt: on
_DANGEROUS_NAMES = frozenset(
    (
        "io.FileIO",
        "io.open",
        "numpy.load",
        "numpy.testing._private.utils.runstring",
        "torch.hub.load",
        "torch.load",
        "torch.serialization.load",
        "types.CodeType",
        "types.FunctionType",
    )
)


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


def is_dangerous(wanted: Global) -> bool:
    """Tell whether a name belongs to something that runs programs or reaches out.

    >>> is_dangerous(Global("posix", "system"))
    True
    >>> is_dangerous(Global("collections", "OrderedDict"))
    False
    """
    if wanted.module in ("builtins", "__builtin__"):
        return wanted.name.split(".")[0] in _DANGEROUS_BUILTINS
    # a dotted name leads on from the module, as in numpy's f2py.os.system
    parts = {wanted.module.split(".")[0], *wanted.name.split(".")[:-1]}
    return bool(parts & _DANGEROUS_MODULES) or wanted.path in _DANGEROUS_NAMES
