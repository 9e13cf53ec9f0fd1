"""Tell a file's format by its first bytes, and read it with the reader for that."""

import contextlib
import json
import mmap
import struct
import zlib
from pathlib import Path
from typing import Any

from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.base import Foreign, Limits
from napari_mganprior.imports.readers.archives import Archive
from napari_mganprior.imports.readers.hdf5 import HDF5_MAGIC
from napari_mganprior.imports.readers.keras_files import read_keras
from napari_mganprior.imports.readers.network_pickles import read_network_pickle
from napari_mganprior.imports.readers.numpy_files import is_numpy_archive, read_npz
from napari_mganprior.imports.readers.pickles import PickleReader
from napari_mganprior.imports.readers.refusal import UNSAFE, refusal
from napari_mganprior.imports.readers.safetensors_files import (
    looks_like_safetensors,
    read_safetensors,
)
from napari_mganprior.imports.readers.torch_files import (
    LEGACY_MAGIC,
    is_torch_archive,
    read_torch,
    read_torch_zip,
)

__all__ = ["open_foreign"]

_WANTED = "weights in a torch file (.pt, .pth, .bin), a .pkl, .safetensors, .npz or Keras .h5 file"
_NOT_THE_FILE = {  # what is often saved in the place of a file
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML page",
    b"version https://git-lfs": "a pointer of git LFS",
}
_PICKLE_ENDINGS = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt"}
# of the libraries; the fuzzer counts each of these as a fault of ours all the same
_UNFORESEEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_LARGEST_CONFIG = 1024**2  # bytes


def open_foreign(path: Path, *, limits: Limits | None = None) -> Foreign:
    """Read somebody else's file without running anything in it.

    Parameters
    ----------
    path : Path
        The file. Its ending says nothing; its first bytes do.
    limits : Limits, optional
        What it may ask for; `Limits` as they are if left out.

    Returns
    -------
    Foreign
        Tensors and facts. Uncompressed float32 tensors are views of the file, which must stay as
        it is while they live.

    Raises
    ------
    ImportRefused
        On one line, whatever is wrong with the file.
    """
    limits = limits or Limits()
    source = path.name
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > limits.file_bytes:
                raise refusal(
                    source,
                    f"has {size} bytes",
                    wanted=f"{limits.file_bytes} bytes at most",
                    todo="Ask its author for the generator alone.",
                )
            if size < 16:
                raise refusal(source, f"has {size} bytes", wanted=_WANTED)
            # a private copy: tensors may be written to, the file never is
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        foreign = _read(path, data, source, limits)
    except OSError as error:
        raise refusal(
            source,
            f"could not be read ({error.strerror or error})",
            wanted="a readable file",
            todo="Check the path.",
        ) from error
    except (RecursionError, MemoryError) as error:
        raise refusal(
            source, "nests too deep or needs too much memory", wanted=_WANTED, todo=UNSAFE
        ) from error
    except _UNFORESEEN as error:
        if isinstance(error, ImportRefused):
            raise
        raise refusal(
            source,
            f"is damaged in an unforeseen way ({type(error).__name__})",
            wanted=_WANTED,
        ) from error
    if not foreign.tensors:
        raise refusal(
            source,
            "holds no tensors",
            wanted=_WANTED,
            todo="Choose the file with the network's weights.",
        )
    config = _config_beside(path)
    if config is not None:
        foreign.meta.setdefault("config", config)
    return foreign


def _read(path: Path, data: memoryview, source: str, limits: Limits) -> Foreign:
    head = bytes(data[:8])
    start = bytes(data[:200]).lstrip().lower()
    for beginning, what in _NOT_THE_FILE.items():
        if start.startswith(beginning):
            raise refusal(
                source, f"is {what}", wanted=_WANTED, todo="Download the file itself, as a whole."
            )
    if head == HDF5_MAGIC:
        return read_keras(data, source=source, limits=limits)
    if head[:4] == b"PK\x03\x04":
        return _read_archive(data, source, limits)
    if head[:1] == b"\x80" and not looks_like_safetensors(data):
        if _is_legacy(data, source, limits):
            return read_torch(data, source=source, limits=limits)
        return read_network_pickle(data, source=source, limits=limits)
    if looks_like_safetensors(data):
        return read_safetensors(data, source=source, limits=limits)
    if path.suffix.lower() in _PICKLE_ENDINGS:  # protocols 0 and 1 begin with anything
        return read_network_pickle(data, source=source, limits=limits)
    raise refusal(source, "is of no format that is known here", wanted=_WANTED)


def _read_archive(data: memoryview, source: str, limits: Limits) -> Foreign:
    archive = Archive(data, source=source, limits=limits)
    if is_torch_archive(archive):
        return read_torch_zip(archive, source=source, limits=limits, held=len(data))
    if is_numpy_archive(archive):
        return read_npz(archive, source=source, limits=limits, held=len(data))
    todo = "Unpack it, and choose the file with the network's weights."
    if any(name.endswith("weights.h5") for name in archive.names()):
        todo = "Save the model once more from Keras, under a name that ends in .h5."
    raise refusal(source, "is a zip archive of something else", wanted=_WANTED, todo=todo)


def _is_legacy(data: memoryview, source: str, limits: Limits) -> bool:
    """Tell whether the first pickle is the number that torch began its files with."""
    try:
        return bool(PickleReader(data[:64], source=source, limits=limits).read() == LEGACY_MAGIC)
    except ImportRefused:
        return False


def _config_beside(path: Path) -> Any:
    """Return the ``config.json`` that belongs to ``pytorch_model.bin``, if there is one."""
    names = ["config.json"]
    for ending in ("pytorch_model.bin", "model.safetensors"):
        if path.name.endswith(f"-{ending}"):
            names.insert(0, f"{path.name.removesuffix(ending)}config.json")
    for name in names:
        beside = path.with_name(name)
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if beside.is_file() and beside.stat().st_size <= _LARGEST_CONFIG:
                return json.loads(beside.read_text("utf-8"))
    return None
