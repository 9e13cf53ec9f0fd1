"""Files that are meant to do harm do none, and each gets a one-line reason.

They are opened by ``benchmarks/guarded.py`` in a process of its own, in which Python's audit hook
stops and counts every program started, module imported, code executed, class unpickled and file
written, and which may take 1 GiB more than it had.
"""

import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_mganprior.imports.base import Limits

GUARDED = Path(__file__).parents[2] / "benchmarks" / "guarded.py"
MEMORY = 1024**3  # bytes
SECONDS = 30.0  # for the slowest file, on a busy machine

Make = Callable[[str], bytes]
HOSTILE: dict[str, tuple[str, Make]] = {}
"""What the reason says, and a function from the canary's path to the file's bytes."""


def hostile(name: str, reason: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        HOSTILE[name] = (reason, make)
        return make

    return add


class Calling:
    """Pickles itself as a call of something."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def text(value: str) -> bytes:
    """Write text as a pickle does."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def torch_zip(index: bytes, **members: bytes) -> bytes:
    """Pack a pickle as torch does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", index)
        for name, data in members.items():
            archive.writestr(f"archive/data/{name.removeprefix('n')}", data)
    return buffer.getvalue()


def tensor(size: bytes, stride: bytes = b"\x85K\x01", numel: bytes = b"K\x02") -> bytes:
    """Write a tensor of storage "0" as torch does; the size is a pickle's tuple."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + numel
    del stride
    return b"ctorch._utils\n_rebuild_tensor_v2\n((" + storage[1:] + b"tQK\x00" + size


def claiming(size: str, stride: str, *, numel: int = 2) -> bytes:
    """Write a torch file whose tensor claims a size of the two numbers stored for it."""

    class Storage:
        pass

    index = (
        b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
        + f"I{numel}\n".encode() + b"tQK\x00" + numbers(size) + numbers(stride) + b"\x89NtRs."
    )  # fmt: skip
    return torch_zip(index, n0=struct.pack("<2f", 1, 2))


def numbers(values: str) -> bytes:
    return b"(" + b"".join(f"I{value}\n".encode() for value in values.split()) + b"t"


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


@hostile("records.pkl", "unfolds to more than|too many instructions")
def _(canary: str) -> bytes:
    return b"\x80\x02cx\ny\nq\x00(" + b"h\x00)R" * 600_000 + b"t."


# claims

CLAIM = "claims|absurd shape"


@hostile("elements-storage.pt", CLAIM)
def _(canary: str) -> bytes:
    return claiming(str(2**40), "1", numel=2**40)


@hostile("elements-view.pt", CLAIM)
def _(canary: str) -> bytes:
    return claiming(str(2**40), "1")


@hostile("elements-stride.pt", CLAIM)
def _(canary: str) -> bytes:
    """Claim 2**40 numbers that all are the same one."""
    return claiming(f"{2**20} {2**20}", "0 0")


@hostile("elements-negative.pt", CLAIM)
def _(canary: str) -> bytes:
    return claiming("-1 -2", "1 1")


@hostile("elements-axes.pt", CLAIM)
def _(canary: str) -> bytes:
    return claiming("1 " * 1000, "1 " * 1000)


@hostile("elements-none.pt", CLAIM)
def _(canary: str) -> bytes:
    return claiming(f"0 {2**62}", "1 1")


@hostile("elements-numpy.pkl", CLAIM)
def _(canary: str) -> bytes:
    data = pickle.dumps({"w": np.ones(3, "f4")}, protocol=2)
    assert data.count(b"K\x03\x85") == 1
    return data.replace(b"K\x03\x85", b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85")


@hostile("elements-shared.pt", "claims far more numbers than it holds")
def _(canary: str) -> bytes:
    """Let 2,000 tensors of two bytes a number share one storage, to be widened each by itself."""
    half = torch.zeros(20_000, dtype=torch.half)
    buffer = io.BytesIO()
    torch.save({f"w{i}": half.view(20_000) for i in range(2_000)}, buffer)
    return buffer.getvalue()


@hostile("elements-legacy.pt", "ends before its tensors do")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3)}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    place = data.rindex(struct.pack("<q3f", 3, 1, 1, 1))
    return data[:place] + struct.pack("<q", 2**40) + data[place + 8 :]


@hostile("elements.npz", CLAIM)
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3, "f4"))
    header = buffer.getvalue().replace(b"(3,), }              ", b"(1099511627776,), }  ")
    assert header != buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", header)
    return buffer.getvalue()


@hostile("elements.safetensors", "does not fit it|claims")
def _(canary: str) -> bytes:
    header = b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,8]}}'
    return struct.pack("<Q", len(header)) + header + bytes(8)


@hostile("elements.h5", "claims")
def _(canary: str) -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("w", shape=(2**20, 2**20), chunks=(2**10, 2**10), dtype="f4")
        file["w"][0, 0] = 1
    return buffer.getvalue()


@hostile("external.h5", "in another file")
def _(canary: str) -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("w", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)])
    return buffer.getvalue()


@hostile("link.h5", "points elsewhere|damaged|holds no tensors")
def _(canary: str) -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["w"] = h5py.ExternalLink("/etc/hostname", "/")
    return buffer.getvalue()


for name, instruction in {
    "bytes": b"\x8e" + struct.pack("<Q", 2**62),
    "text": b"\x8d" + struct.pack("<Q", 2**62),
    "number": b"\x8b" + struct.pack("<I", 2**32 - 1),
    "frame": b"\x95" + struct.pack("<Q", 2**63),
    "array": b"\x96" + struct.pack("<Q", 2**40),
    "line": b"V" + b"a" * 1_000_000,
    "digits": b"I" + b"9" * 60_000 + b"\n",
}.items():

    @hostile(f"long-{name}.pkl", "ends in the middle|too much text|absurd|too long line")
    def _(canary: str, instruction: bytes = instruction) -> bytes:
        return b"\x80\x04" + instruction + bytes(100) + b"."


# archives


def renamed(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr(zipfile.ZipInfo(name), b"x")
    return buffer.getvalue()


for index, name in enumerate(("/etc/passwd", "../../x", "a/../../x", "C:/x", "..\\x", "\\x")):

    @hostile(f"outside-{index}.pt", "leads outside the archive")
    def _(canary: str, name: str = name) -> bytes:
        return renamed(name)


@hostile("odd-name.pt", "odd name")
def _(canary: str) -> bytes:
    return renamed("a\x1b[2Jb")


@hostile("twice.pt", "twice")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", pickle.dumps({"w": 1}))
    return buffer.getvalue()


@hostile("two-indices.pt", "more than once")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("b/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


@hostile("bomb.npz", "would grow from")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(200_000_000))
    return buffer.getvalue()


@hostile("many-bombs.npz", "would grow from")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(200):
            archive.writestr(f"w{i}.npy", bytes(1_000_000))
    return buffer.getvalue()


@hostile("overlap.npz", "overlaps another")
def _(canary: str) -> bytes:
    """Let two members of the list share one body."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"x" * 100)
        archive.writestr("b.npy", b"x" * 100)
    data = bytearray(buffer.getvalue())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)
    return bytes(data)


@hostile("lie.npz", "another size than it claims|would grow")
def _(canary: str) -> bytes:
    """Claim a small size for a member that unpacks to a large one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(100_000_000))
    data = bytearray(buffer.getvalue())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 1000)
    return bytes(data)


@hostile("encrypted.npz", "encrypted or packed oddly")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", b"x")
    data = bytearray(buffer.getvalue())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@hostile("crowd.npz", "more than 20000 members")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(Limits().members + 1):
            archive.writestr(f"{i}.npy", b"")
    return buffer.getvalue()


@hostile("list-size.npz", "outside it|more than|ends too early")
def _(canary: str) -> bytes:
    return b"PK\x03\x04" + bytes(60) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**31, 0, 0)


@hostile("packed-h5-bomb.h5", "claims")
def _(canary: str) -> bytes:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("w", data=np.zeros((4000, 4000), "f4"), compression="gzip")
    return buffer.getvalue()


# what is no such file at all

for name, data in {
    "empty.pt": b"",
    "short.pkl": b"\x80\x04.",
    "text.pt": b"This is a letter, not a network. " * 10,
    "gif.pkl": b"GIF89a" + bytes(200),
    "zeros.safetensors": bytes(1000),
    "noise.bin": zlib.compress(bytes(range(256)) * 10) * 7,
    "page.pth": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>" * 3,
    "lfs.pt": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "magic-zip.pt": b"PK\x03\x04" + bytes(500),
    "magic-h5.h5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "magic-pickle.pkl": b"\x80\x04" + bytes(500),
}.items():

    @hostile(name, "wanted")
    def _(canary: str, data: bytes = data) -> bytes:
        return data


TRUNCATED = [(name, part) for name in (
    "torch", "torch-legacy", "nvidia-pickle", "tf-pickle", "pickle-0", "pickle-2", "pickle-5",
    "safetensors", "npz", "npz-packed", "keras-h5",
) for part in range(5, 100, 5)]  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory, valid_files) -> dict[str, dict]:
    """Write all files, open them in one guarded process, and return what came of each."""
    folder = tmp_path_factory.mktemp("hostile")
    canary = folder / "canary"
    for name, (_, make) in HOSTILE.items():
        if name.endswith(".h5") and "keras-h5" not in valid_files:
            continue
        (folder / name).write_bytes(make(str(canary)))
    for name, path in valid_files.items():
        data = path.read_bytes()
        (folder / f"valid-{name}{path.suffix}").write_bytes(data)
        for part in range(5, 100, 5):
            (folder / f"cut-{name}-{part}{path.suffix}").write_bytes(
                data[: len(data) * part // 100]
            )
    before = sorted(path.name for path in folder.iterdir())
    done = subprocess.run(
        [sys.executable, str(GUARDED), *(str(folder / name) for name in before)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1]}: {done.stderr[-2000:]}"
    assert not canary.exists()
    assert sorted(path.name for path in folder.iterdir()) == before
    return {line["file"].split(".")[0]: line for line in lines if "file" in line}


def check_refused(verdict: dict, reason: str) -> None:
    assert verdict["outcome"] == "refused", verdict
    message = verdict["message"]
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 500
    assert message.startswith("Got ")
    assert "; wanted " in message
    assert any(part in message for part in reason.split("|")), message
    assert verdict["seconds"] < SECONDS
    assert verdict["peak"] < MEMORY


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_does_nothing_and_gets_its_reason(name, verdicts):
    """Law: nothing runs, nothing is written, memory stays under 1 GiB, the reason is one line."""
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    check_refused(verdicts[name.split(".")[0]], HOSTILE[name][0])


@pytest.mark.parametrize(("name", "part"), TRUNCATED)
def test_a_truncated_file_is_refused(name, part, verdicts, valid_files):
    """Law: at every 5 % of every format's length."""
    if name not in valid_files:
        pytest.importorskip("h5py")
    check_refused(verdicts[f"cut-{name}-{part}"], "wanted")


def test_whole_files_pass_the_same_guard(verdicts, valid_files):
    """Law: the guard stops harm, not reading."""
    for name in valid_files:
        assert verdicts[f"valid-{name}"]["outcome"] in ("unknown", "drawn"), verdicts


def test_the_guard_notices_what_runs(tmp_path):
    """Law: a test that could not fail shows nothing: a reader that obeys trips the wire."""
    canary = tmp_path / "canary"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Calling(os.system, f"touch {canary}")))
    program = f"""
import sys
sys.path.insert(0, {str(GUARDED.parent)!r})
import pickle
from pathlib import Path
import guarded
guarded.import_steps = lambda path, **_: [pickle.loads(path.read_bytes())]
print(guarded.try_file(Path(sys.argv[1]), guarded.Tripwire())["outcome"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "evil.pkl")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "tripped"
    assert not canary.exists()


def test_these_files_would_do_harm_elsewhere(tmp_path):
    """Law: Python's own reader obeys them; here, a harmless call in the place of os.system."""
    data = HOSTILE["os-system-4.pkl"][1]("x")
    assert any(op.name == "REDUCE" for op, _, _ in pickletools.genops(data))
