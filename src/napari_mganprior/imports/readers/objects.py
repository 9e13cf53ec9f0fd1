"""What the records of a pickle mean: tensors, arrays, networks, tables.

The short list of harmless classes stands here. Each is known by its name alone and built by our own
code; whatever has another name stays a record and is looked through for tensors.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.imports.base import Limits
from napari_mganprior.imports.readers.arrays import Budget, item_bytes, tensor_from
from napari_mganprior.imports.readers.records import Global, Record
from napari_mganprior.imports.readers.refusal import UNSAFE

__all__ = ["Flattened", "Storage", "flatten", "storage_kind"]

Storage = tuple[memoryview, str]
"""Bytes, and the kind of number they hold."""

_STORAGES = {
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "DoubleStorage": "f8",
    "BFloat16Storage": "bf",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
_TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
_WRAPPED = {  # a tensor as the first argument
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
}
_SUBCLASSED = "torch._tensor._rebuild_from_type_v2"
_NUMPY = ("numpy.core.", "numpy._core.")
_PERSISTENT = "persistence._reconstruct_persistent_obj"
_BYTES = ("_codecs.encode", "builtins.bytes", "builtins.bytearray")
_LONGEST_NAME = 400
_LONGEST_TEXT = 4_096
_LONGEST_LIST = 1_000
_PLAIN_DEPTH = 8
_LARGEST = 2**63
_MOST_WRAPPINGS = 8
_NOTHING = object()


def storage_kind(maker: Any) -> str:
    """Return the kind of number of a torch storage class; empty if it is none we know."""
    if not isinstance(maker, Global) or maker.module not in ("torch", "torch.cuda"):
        return ""
    return _STORAGES.get(maker.name, "")


class Flattened:
    """Tensors and facts of a value, by dotted name.

    Attributes
    ----------
    tensors : dict of Tensor
        float32.
    meta : dict
        JSON-like; ``"modules"`` tells of networks.
    has_tensorflow : bool
        Whether a TensorFlow network was among them.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.meta: dict[str, Any] = {}
        self.has_tensorflow = False


def flatten(
    root: Any, storage_of: Callable[[Any], Storage], *, budget: Budget, limits: Limits
) -> Flattened:
    """Find the tensors of a value read from a pickle.

    Parameters
    ----------
    root : object
        As `PickleReader.read` returned it.
    storage_of : callable
        Fetches the bytes behind a storage, a `Persistent` or a `Record`; refuses what is none.
    budget : Budget
        Charged with every tensor.
    limits : Limits
        ``entries`` and ``depth`` are used.
    """
    walk = _Walk(storage_of, budget, limits)
    walk.visit(_roots(root), "", 0)
    return walk.found


class _Walk:
    def __init__(
        self, storage_of: Callable[[Any], Storage], budget: Budget, limits: Limits
    ) -> None:
        self.storage_of = storage_of
        self.budget = budget
        self.limits = limits
        self.entries_left = limits.entries
        self.found = Flattened()
        self.made: dict[int, Tensor] = {}
        self.open: set[int] = set()

    def visit(self, value: Any, path: str, depth: int) -> None:
        self.spend()
        if len(path) > _LONGEST_NAME:
            raise self.budget.wrong(f"has a name of more than {_LONGEST_NAME} letters", UNSAFE)
        if depth > self.limits.depth:
            raise self.budget.wrong(f"nests tables more than {self.limits.depth} deep", UNSAFE)
        tensor = self.tensor(value, path)
        if tensor is not None:
            if path in self.found.tensors:
                raise self.budget.wrong(f"has two tensors named {path!a}")
            self.found.tensors[path] = tensor
            return
        plain = self.plain(value, flat=True)
        if plain is not _NOTHING:
            if path.isprintable():
                self.found.meta[path] = plain
            return
        if id(value) in self.open:  # a value inside itself has nothing new to say
            return
        self.open.add(id(value))
        for name, child in self.children(value, path):
            self.visit(child, f"{path}.{name}" if path else name, depth + 1)
        self.open.discard(id(value))

    def spend(self, n: int = 1) -> None:
        self.entries_left -= n
        if self.entries_left < 0:
            raise self.budget.wrong(f"unfolds to more than {self.limits.entries} values", UNSAFE)

    def children(self, value: Any, path: str) -> list[tuple[str, Any]]:
        state = _state(value)
        self.spend(len(state or ()))
        if state is not None and "_parameters" in state and "_modules" in state:
            self.describe(path, _class(value), _attributes(state))
            parts = (_table(state.get(key)) for key in ("_parameters", "_buffers", "_modules"))
            return [(name, child) for part in parts for name, child in part if child is not None]
        if state is not None and "variables" in state and "static_kwargs" in state:
            self.found.has_tensorflow = True
            keys = ("static_kwargs", "build_func_name", "name", "version")
            facts = self.plain({key: state.get(key) for key in keys})
            self.describe(path, _class(value), facts, known=True)
            variables = _pairs(state["variables"])
            for name, child in variables:  # a single number is a variable like all others
                number = self.number(child) if isinstance(child, Record) else _NOTHING
                if isinstance(number, int | float):
                    full = f"{path}.{name}" if path else name
                    self.budget.charge(full, 1, 1)
                    self.found.tensors[full] = torch.tensor(float(number))
            return [*variables, *_table(state.get("components"))]
        return _table(value)

    def describe(self, path: str, name: str, facts: Any, *, known: bool = False) -> None:
        modules = self.found.meta.setdefault("modules", {})
        if not isinstance(modules, dict) or not path.isprintable():
            return
        if known:
            modules[path] = {"class": name, **facts}
        else:
            attributes = {key: self.plain(value) for key, value in facts.items()}
            modules[path] = {
                "class": name,
                "attributes": {k: v for k, v in attributes.items() if v is not _NOTHING},
            }

    def plain(self, value: Any, *, flat: bool = False, depth: int = 0) -> Any:
        """Return a JSON-like copy, or `_NOTHING`; tables are left to `visit` if ``flat``."""
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if abs(value) < _LARGEST else _NOTHING
        if isinstance(value, str):
            return value if len(value) <= _LONGEST_TEXT else _NOTHING
        if isinstance(value, Record):
            number = self.number(value)
            if number is not _NOTHING:
                return number
            if value.path == "torch.Size" and isinstance(value.args, tuple) and value.args:
                value = value.args[0]
        if depth > _PLAIN_DEPTH:
            return _NOTHING
        if isinstance(value, list | tuple):
            if len(value) > _LONGEST_LIST or (flat and not value):
                return _NOTHING
            copies = [self.plain(part, flat=flat, depth=depth + 1) for part in self.each(value)]
            return _NOTHING if any(part is _NOTHING for part in copies) else copies
        if flat or not isinstance(value, dict | Record):
            return _NOTHING
        parts = _table(value)
        self.spend(len(parts))
        table = {name: self.plain(part, depth=depth + 1) for name, part in parts}
        return {name: part for name, part in table.items() if part is not _NOTHING}

    def each(self, values: Any) -> Any:
        for value in values:
            self.spend()
            yield value

    def number(self, record: Record) -> Any:
        """Return the value of a numpy scalar."""
        if not _is_numpy(record, "multiarray.scalar") or len(record.args) != 2:
            return _NOTHING
        kind = _numpy_kind(record.args[0])
        data = _data(record.args[1])
        if not item_bytes(kind) or data is None or len(data) != item_bytes(kind):
            return _NOTHING
        return tensor_from(data, kind, (), name="a number", budget=self.budget).item()

    def tensor(self, value: Any, name: str) -> Tensor | None:
        """Build a tensor from its record; None if it is none."""
        if not isinstance(value, Record):
            return None
        if id(value) not in self.made:
            tensor = self.build(value, name)
            if tensor is None:
                return None
            self.made[id(value)] = tensor
        return self.made[id(value)]

    def build(self, record: Record, name: str) -> Tensor | None:
        for _ in range(_MOST_WRAPPINGS):
            args = record.args
            if not isinstance(args, tuple) or not args:
                return None
            if record.path in _TENSORS:
                return self.torch_tensor(args, name)
            if record.path == _SUBCLASSED and len(args) >= 3:
                record = Record(args[0], args[2])
            elif record.path in _WRAPPED and isinstance(args[0], Record):
                record = args[0]
            else:
                return self.numpy_array(record, name)
        return None

    def torch_tensor(self, args: tuple, name: str) -> Tensor:
        if len(args) < 3:
            raise self.budget.wrong(f"has an incomplete tensor {name!a}")
        data, kind = self.storage_of(args[0])
        strides = args[3] if len(args) > 3 else None
        return tensor_from(
            data,
            kind,
            _size(args[2]),
            name=name,
            budget=self.budget,
            strides=strides,
            offset=args[1],
        )

    def numpy_array(self, record: Record, name: str) -> Tensor | None:
        if _is_numpy(record, "multiarray._reconstruct"):
            state = record.state
            if not isinstance(state, tuple) or len(state) != 5:
                return None
            _, shape, dtype, fortran, raw = state
        elif _is_numpy(record, "numeric._frombuffer") and len(record.args) == 4:
            raw, dtype, shape, order = record.args
            fortran = order == "F"
        else:
            return None
        kind, data = _numpy_kind(dtype), _data(raw)
        if not item_bytes(kind) or data is None or not isinstance(shape, tuple):
            return None
        if not fortran:
            return tensor_from(data, kind, shape, name=name, budget=self.budget)
        turned = tensor_from(data, kind, shape[::-1], name=name, budget=self.budget)
        return turned.permute(tuple(reversed(range(turned.ndim))))


def _roots(root: Any) -> Any:
    """Name the networks of TensorFlow's files, which hold (G, D, Gs) without names."""
    if isinstance(root, list | tuple) and len(root) == 3:
        states = [_state(part) for part in root]
        if all(state is not None and "variables" in state for state in states):
            return dict(zip(("G", "D", "Gs"), root, strict=True))
    return root


def _state(value: Any) -> dict | None:
    """Return the attributes that an object would have had."""
    if not isinstance(value, Record):
        return None
    state = value.state
    if value.path.endswith(_PERSISTENT) and isinstance(value.args, tuple) and value.args:
        state = dict(_table(value.args[0])).get("state")
    if isinstance(state, Record):
        state = dict(_table(state))
    return state if isinstance(state, dict) else None


def _class(value: Record) -> str:
    if value.path.endswith(_PERSISTENT):
        return str(dict(_table(value.args[0])).get("class_name", ""))[:200]
    maker = value.maker
    if isinstance(value.args, tuple) and value.args and isinstance(value.args[0], Global):
        maker = value.args[0]  # copyreg names the class as its first argument
    return maker.name[:200] if isinstance(maker, Global) else ""


def _attributes(state: dict) -> dict[str, Any]:
    """Return what a module's author gave it, without what torch keeps there."""
    own = {"_init_args": "init_args", "_init_kwargs": "init_kwargs"}
    return {
        own.get(key, key): value
        for key, value in state.items()
        if isinstance(key, str) and key.isprintable() and (key in own or key[:1] != "_")
    }


def _table(value: Any) -> list[tuple[str, Any]]:
    """Return the named parts of a table, a list, or the record of one."""
    if isinstance(value, Record):
        if value.entries is not None:
            return _named(value.entries)
        if value.items is not None:
            return _table(value.items)
        first = value.args[0] if isinstance(value.args, tuple) and len(value.args) == 1 else None
        if value.path == "collections.OrderedDict" and isinstance(first, list):
            return _pairs(first)  # as Python 2 wrote it
        state = _state(value)
        return _named(state.items()) if state is not None else []
    if isinstance(value, dict):
        return _named(value.items())
    if isinstance(value, list | tuple):
        return [(str(index), part) for index, part in enumerate(value)]
    return []


def _named(pairs: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in pairs if isinstance(key, str | int)]


def _pairs(values: Any) -> list[tuple[str, Any]]:
    """Return the pairs of a list of (name, value)."""
    if not isinstance(values, list | tuple):
        return []
    return [
        (pair[0], pair[1])
        for pair in values
        if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
    ]


def _size(value: Any) -> Any:
    """Return the numbers of a torch.Size."""
    if isinstance(value, Record) and value.path == "torch.Size" and isinstance(value.args, tuple):
        return value.args[0] if value.args else ()
    return value


def _is_numpy(record: Record, name: str) -> bool:
    return record.path in [start + name for start in _NUMPY] and isinstance(record.args, tuple)


def _numpy_kind(dtype: Any) -> str:
    """Return the kind of number of a numpy dtype's record; empty if it is none we read."""
    if not isinstance(dtype, Record) or dtype.path != "numpy.dtype":
        return ""
    if not isinstance(dtype.args, tuple) or not dtype.args or not isinstance(dtype.args[0], str):
        return ""
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    return dtype.args[0] if order in ("<", "|", "=") else ""


def _data(raw: Any) -> memoryview | None:
    """Return the bytes of an array, which older protocols wrote as text."""
    if isinstance(raw, Record) and raw.path in _BYTES and isinstance(raw.args, tuple) and raw.args:
        raw = raw.args[0]
    if isinstance(raw, str):
        try:
            return memoryview(raw.encode("latin-1"))
        except UnicodeError:
            return None
    return raw if isinstance(raw, memoryview) else None
