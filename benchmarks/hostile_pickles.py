"""Pickles that are meant to do harm: calls, recursion, and a few bytes that unfold to many.

Each obeys Python's rules; opened with ``pickle.load`` the calls among them are made.
"""

import io
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable

import numpy as np
import torch

__all__ = ["HOSTILE", "Make", "hostile", "text", "torch_zip"]

Make = Callable[[str], bytes]
HOSTILE: dict[str, tuple[str, Make]] = {}
"""By name: what the reason says ("|" between words of which one will do), and a function from the
path of a file that harmful ones write to the bytes of the hostile file."""


def hostile(name: str, reason: str) -> Callable[[Make], Make]:
    """Enter a function into `HOSTILE`."""

    def add(make: Make) -> Make:
        HOSTILE[name] = (reason, make)
        return make

    return add


class Calling:
    """Pickles itself as a call of something."""

    def __init__(self, function: Callable, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def text(value: str) -> bytes:
    """Write text as a pickle does."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def torch_zip(index: bytes, **members: bytes) -> bytes:
    """Pack a pickle as torch does; a member's name has an "n" in front."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data.pkl", index)
        for name, data in members.items():
            archive.writestr(f"archive/data/{name.removeprefix('n')}", data)
    return buffer.getvalue()


# calls

NAMED = "could run a program where it is opened"
for protocol in range(6):

    @hostile(f"os-system-{protocol}.pkl", NAMED)
    def _(canary: str, protocol: int = protocol) -> bytes:
        return pickle.dumps({"w": Calling(os.system, f"touch {canary}")}, protocol=protocol)


@hostile("subprocess.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps(Calling(subprocess.check_output, ["touch", canary]))


@hostile("popen.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps(Calling(subprocess.Popen, ["touch", canary]))


@hostile("exec.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps(Calling(exec, f"open({canary!r}, 'w')"))


@hostile("eval.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps(Calling(eval, f"open({canary!r}, 'w')"))


@hostile("open.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps([Calling(open, canary, "w"), np.ones(3)])


@hostile("import.pkl", NAMED)
def _(canary: str) -> bytes:
    return pickle.dumps(Calling(__import__, "os"))


for module, name in (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("__builtin__", "execfile"),
    ("runpy", "_run_code"),
    ("importlib", "import_module"),
    ("webbrowser", "open"),
    ("ctypes", "CDLL"),
    ("torch.serialization", "load"),
    ("numpy", "f2py.os.system"),
):

    @hostile(f"named-{module}-{name}.pkl", NAMED)
    def _(canary: str, module: str = module, name: str = name) -> bytes:
        call = text(f"touch {canary}") + b"\x85R"
        return b"\x80\x04" + text(module) + text(name) + b"\x93" + call + b"."


@hostile("instance.pkl", NAMED)
def _(canary: str) -> bytes:
    return b"(S'touch " + canary.encode() + b"'\nios\nsystem\n."


@hostile("object.pkl", NAMED)
def _(canary: str) -> bytes:
    return b"(cos\nsystem\nS'touch " + canary.encode() + b"'\no."


@hostile("new-object.pkl", NAMED)
def _(canary: str) -> bytes:
    return b"\x80\x02csubprocess\nPopen\n(" + text("touch") + text(canary) + b"l\x85\x81."


@hostile("setstate.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    """Give a record a state that an object's __setstate__ would run."""
    return (
        b"\x80\x02cpip_like.module\nLoader\n)\x81}" + text("command") + text(f"touch {canary}")
        + b"sb."
    )  # fmt: skip


@hostile("build-on-table.pkl", "sets the state of something that has none")
def _(canary: str) -> bytes:
    return b"\x80\x02}}" + text("__class__") + text("os") + b"sb."


@hostile("reduce-on-text.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    return b"\x80\x02" + text("os.system") + text(f"touch {canary}") + b"\x85R."


@hostile("getattr-chain.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    """Reach for a function through harmless names."""
    return (
        b"\x80\x02cbuiltins\ngetattr\n(ctorch\nnn\n" + text("modules") + b"tR"
        + text(f"touch {canary}") + b"\x85R."
    )  # fmt: skip


@hostile("extension.pkl", "unknown or unsafe pickle instruction 0x82")
def _(canary: str) -> bytes:
    return b"\x80\x02\x82\x01." + bytes(20)


@hostile("out-of-band.pkl", "unknown or unsafe pickle instruction 0x97")
def _(canary: str) -> bytes:
    return b"\x80\x05\x97." + bytes(20)


@hostile("in-torch.pt", NAMED)
def _(canary: str) -> bytes:
    return torch_zip(pickle.dumps({"w": Calling(os.system, f"touch {canary}")}))


@hostile("in-legacy.pt", NAMED)
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    torch.save(
        {"w": torch.ones(2), "x": Calling(os.system, f"touch {canary}")},
        buffer,
        _use_new_zipfile_serialization=False,
    )
    return buffer.getvalue()


@hostile("in-legacy-list.pt", NAMED)
def _(canary: str) -> bytes:
    """Hide the call in the last pickle, the list of storages."""
    start = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {}, {}))
    return start + pickle.dumps(Calling(os.system, f"touch {canary}"), 2)


@hostile("in-storage.pkl", NAMED)
def _(canary: str) -> bytes:
    """Hide the call in the torch file that stands for a storage inside a pickle."""
    inner = pickle.dumps(Calling(os.system, f"touch {canary}"), 2)
    return (
        b"\x80\x03}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner
        + b"\x85RK\x00K\x01\x85K\x01\x85\x89NtRs."
    )  # fmt: skip


@hostile("in-npz.npz", "an array 'evil'")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, evil=np.array([Calling(os.system, f"touch {canary}")], dtype=object))
    return buffer.getvalue()


# recursion, depth, width


@hostile("in-itself.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    table: dict = {}
    table["self"] = [table, (table,)]
    return pickle.dumps(table)


@hostile("record-in-itself.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    return b"\x80\x02cthing\nThing\n]q\x00\x81q\x01h\x00h\x01a0h\x01}" + text("x") + b"h\x01sb."


for kind, opening, closing in (
    ("lists", b"]", b"a"),
    ("tuples", b")", b"\x85"),
    ("tables", b"}K\x00", b"s"),
    ("calls", b"cx\ny\n", b"\x85R"),
    ("persistent", b"N", b"Q"),
):

    @hostile(f"deep-{kind}.pkl", "nests|holds no tensors")
    def _(canary: str, opening: bytes = opening, closing: bytes = closing) -> bytes:
        n = 200_000
        if opening != b")" and opening != b"N":
            return b"\x80\x02" + opening * n + b"N" + closing * n + b"."
        return b"\x80\x02" + opening + closing * n + b"."


@hostile("deep-networks.pkl", "nests|no tensors")
def _(canary: str) -> bytes:
    """Wrap NVIDIA's states in each other, which are unfolded in one go."""
    n = 100_000
    name = b"cpersistence\n_reconstruct_persistent_obj\n"
    return b"\x80\x02" + name * n + b"N" + b"\x85R" * n + b"."


@hostile("deep-marks.pkl", "ends in the middle")
def _(canary: str) -> bytes:
    return b"\x80\x02" + b"(" * 1_000_000


@hostile("deep-json.safetensors", "damaged table of contents")
def _(canary: str) -> bytes:
    header = b'{"a":' * 100_000
    return struct.pack("<Q", len(header)) + header


@hostile("laughs.pkl", "unfolds to more than")
def _(canary: str) -> bytes:
    """Double a list forty times by reference."""
    body = b"]q\x00K\x01a0"
    for i in range(1, 41):
        body += b"]q" + bytes([i]) + (b"h" + bytes([i - 1]) + b"a") * 2 + b"0"
    return b"\x80\x02" + body + b"h\x28."


@hostile("wide-laughs.pkl", "unfolds to more than")
def _(canary: str) -> bytes:
    """Refer to a list of 100,000 numbers 100,000 times, from attributes of a network."""
    n = 100_000
    module = b"cx\nModule\n)\x81}(" + text("_parameters") + b"}" + text("_modules") + b"}"
    wide = text("wide") + b"(" + b"K\x01" * n + b"tub"
    return b"\x80\x02(" + module + wide + b"q\x00" + b"h\x00" * n + b"t."


@hostile("colliding.pkl", "holds no tensors")
def _(canary: str) -> bytes:
    """Fill a table with whole numbers whose hashes are the same."""
    keys = b"".join(
        b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(200_000)
    )
    return b"\x80\x02}(" + keys + b"u."


@hostile("long-names.pkl", "a name of more than 400 letters")
def _(canary: str) -> bytes:
    name = text("a" * 1_000_000)
    return b"\x80\x02" + (b"}" + name) * 40 + b"N" + b"s" * 40 + b"."


@hostile("instructions.pkl", "too many instructions")
def _(canary: str) -> bytes:
    return b"\x80\x02" + b"]0" * 2_000_000 + b"."


@hostile("records.pkl", "unfolds to more than")
def _(canary: str) -> bytes:
    return b"\x80\x02cx\ny\nq\x00(" + b"h\x00)R" * 250_000 + b"t."
