"""Files that are meant to do harm, or are no weights at all; ``hostile_pickles`` has the pickles.

``python hostile_files.py FOLDER`` writes them all. Nothing here is dangerous as long as nobody
opens it with a program that obeys; those that would run something write a file ``canary`` there.
"""

import io
import pickle
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from hostile_pickles import HOSTILE, hostile, text, torch_zip

from napari_mganprior.imports.base import Limits

try:
    import h5py
except ImportError:  # the files in that format are left out
    h5py = None

__all__ = ["HOSTILE", "write_hostile_files"]


def claiming(size: str, stride: str, *, numel: int = 2) -> bytes:
    """Write a torch file whose tensor claims a size of the two numbers stored for it."""
    index = (
        b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
        + f"I{numel}\n".encode() + b"tQK\x00" + numbers(size) + numbers(stride) + b"\x89NtRs."
    )  # fmt: skip
    return torch_zip(index, n0=struct.pack("<2f", 1, 2))


def numbers(values: str) -> bytes:
    return b"(" + b"".join(f"I{value}\n".encode() for value in values.split()) + b"t"


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
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("w", shape=(2**20, 2**20), chunks=(2**10, 2**10), dtype="f4")
        file["w"][0, 0] = 1
    return buffer.getvalue()


@hostile("external.h5", "in another file")
def _(canary: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("w", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)])
    return buffer.getvalue()


@hostile("link.h5", "newer form of HDF5")
def _(canary: str) -> bytes:
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
        with warnings.catch_warnings(action="ignore"):
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


@hostile("no-members.npz", "an empty zip archive")
def _(canary: str) -> bytes:
    return b"PK\x03\x04" + bytes(60) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 64, 0)


@hostile("packed-h5-bomb.h5", "claims")
def _(canary: str) -> bytes:
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

    @hostile(name, {"page.pth": "is a web page", "lfs.pt": "git LFS"}.get(name, "wanted"))
    def _(canary: str, data: bytes = data) -> bytes:
        return data


def write_hostile_files(folder: Path) -> dict[str, Path]:
    """Write them, and return them by name; those that run something would write ``canary``."""
    paths = {}
    for name, (_, make) in HOSTILE.items():
        if h5py is not None or not name.endswith(".h5"):
            paths[name] = folder / name
            paths[name].write_bytes(make(str(folder / "canary")))
    return paths


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    print(f"{len(write_hostile_files(Path(sys.argv[1])))} files in {sys.argv[1]}")
