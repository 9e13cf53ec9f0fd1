"""Find images in files: TIFF, PNG, JPEG, .npy, and .npz or zip archives of these.

Opening reads headers only. Pixels are read when they are needed, a plane at a time; of a few files
used last the opened form is kept. Sizes are checked before anything is decoded, so that a file
that unpacks to more than memory holds is left out instead.
"""

import io
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, TrainingError
from napari_mganprior.files.png import decode_png
from napari_mganprior.training.pictures import (
    Channels,
    Picture,
    UnusableImageError,
    array_pictures,
)

__all__ = ["ARCHIVES", "IMAGES", "Opened", "archive_members", "file_pictures", "member_pictures"]

IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy")
"""Endings of files that hold an image."""

ARCHIVES = (".zip", ".npz")
"""Endings of files that hold many."""

_LARGEST = 2**30  # bytes that one plane, or one file of an archive, may unpack to
_MOST_MEMBERS = 1_000_000
_KEPT_OPEN = 4
_HEAD = 33  # bytes: signature and first chunk of a PNG

Opener = Callable[[], BinaryIO]


class Opened:
    """Keeps the files used last open; closes those it lets go of."""

    def __init__(self, most: int = _KEPT_OPEN) -> None:
        self._most = most
        self._held: OrderedDict[str, Any] = OrderedDict()
        self.lock = RLock()  # the libraries' files cannot be read by two threads at once

    def get(self, key: str, opener: Callable[[], Any]) -> Any:
        """Return what the opener made, now or some time ago."""
        with self.lock:
            if key not in self._held:
                while len(self._held) >= self._most:
                    self._close(self._held.popitem(last=False)[1])
                self._held[key] = opener()
            self._held.move_to_end(key)
            return self._held[key]

    def close(self) -> None:
        """Close everything; it is opened again when needed."""
        with self.lock:
            while self._held:
                self._close(self._held.popitem()[1])

    @staticmethod
    def _close(item: Any) -> None:
        if hasattr(item, "close"):
            item.close()


def file_pictures(path: Path, name: str, channels: Channels, opened: Opened) -> list[Picture]:
    """Find the planes of an image file.

    Parameters
    ----------
    path : Path
        The file; its ending says what it is.
    name : str
        For people, the same on every machine.
    channels : "grey", "each" or tuple of int, optional
        Which channels to use.
    opened : Opened
        Keeps files open between two planes.

    Raises
    ------
    UnusableImageError
        If it cannot be read.
    TrainingError
        If it has several channels and none was chosen.
    """
    return _pictures(lambda: path.open("rb"), name, channels, opened, path=path)


def archive_members(path: Path, opened: Opened) -> Iterator[tuple[str, int]]:
    """Yield the names of the images in a zip or .npz, sorted, and the bytes they unpack to.

    Raises
    ------
    UnusableImageError
        If it is no readable archive.
    """
    try:
        entries = _archive(path, opened).infolist()
    except Exception as error:  # zipfile raises whatever it meets in damaged files
        raise UnusableImageError(f"no readable archive: {error}") from error
    if len(entries) > _MOST_MEMBERS:
        raise UnusableImageError(f"{len(entries)} files in it, more than {_MOST_MEMBERS:,}")
    for entry in sorted(entries, key=lambda entry: entry.filename):
        hidden = Path(entry.filename).name.startswith(".") or "__MACOSX/" in entry.filename
        if not (entry.is_dir() or hidden):
            yield entry.filename, entry.file_size


def member_pictures(
    path: Path, member: str, name: str, channels: Channels, opened: Opened
) -> list[Picture]:
    """Find the planes of an image in a zip or .npz; as `file_pictures`."""

    def unpack() -> BinaryIO:
        with opened.lock:
            archive = _archive(path, opened)
            size = archive.getinfo(member).file_size
            if size > _LARGEST:
                raise UnusableImageError(f"unpacks to {size:,} bytes, more than {_LARGEST:,}")
            with archive.open(member) as stream:
                data = stream.read(size + 1)
        if len(data) != size:
            raise UnusableImageError("unpacks to more than it says")
        return io.BytesIO(data)

    return _pictures(unpack, name, channels, opened, path=None)


def _archive(path: Path, opened: Opened) -> zipfile.ZipFile:
    archive: zipfile.ZipFile = opened.get(f"archive {path}", lambda: zipfile.ZipFile(path))
    return archive


def _pictures(
    opener: Opener, name: str, channels: Channels, opened: Opened, *, path: Path | None
) -> list[Picture]:
    try:
        with opener() as stream:
            head = stream.read(_HEAD)
        # by what is in it: endings are often wrong
        find = next((find for magic, find in _KINDS if head.startswith(magic)), None)
        if find is None:
            raise UnusableImageError("neither TIFF, PNG, JPEG nor .npy")
        return find(opener, name, channels, opened, path)
    except (TrainingError, MemoryError):
        raise
    except Exception as error:  # the libraries raise whatever they meet in damaged files
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnusableImageError(f"could not be read: {text}") from error


def _npy_pictures(
    opener: Opener, name: str, channels: Channels, opened: Opened, path: Path | None
) -> list[Picture]:
    shape, dtype = _npy_header(opener)
    _check_bytes(int(np.prod(shape[-3:], dtype=np.float64)) * dtype.itemsize if shape else 0)

    def load() -> NDArray[Any]:
        if path is not None:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        with opener() as stream:
            loaded: NDArray[Any] = np.load(stream, allow_pickle=False)
            return loaded

    # a memory map is opened anew each time: thousands of them would use up the open files
    read = load if path is not None else lambda: opened.get(name, load)
    lazy = _Lazy(shape, dtype, read)
    return array_pictures(name, lazy, channels=channels, windowed=path is not None)


def _npy_header(opener: Opener) -> tuple[tuple[int, ...], np.dtype]:
    with opener() as stream:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise UnusableImageError(f".npy of version {version}")
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise UnusableImageError("Python objects instead of numbers")
    return shape, dtype


def _png_pictures(
    opener: Opener, name: str, channels: Channels, opened: Opened, path: Path | None
) -> list[Picture]:
    with opener() as stream:
        head = stream.read(_HEAD)
    if len(head) < _HEAD:
        raise UnusableImageError("a PNG cut off in its header")
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    grey = head[25] in (0, 4)  # palettes become RGB

    def load() -> NDArray[Any]:
        with opener() as stream:
            return decode_png(Path(name), stream.read(), ImageError).array

    return _decoded(name, (height, width), grey, load, channels)


def _jpeg_pictures(
    opener: Opener, name: str, channels: Channels, opened: Opened, path: Path | None
) -> list[Picture]:
    from PIL import Image

    def open_image(stream: BinaryIO) -> Image.Image:
        with warnings.catch_warnings():
            # Pillow's own limit stands at 179 megapixels, and warns from the half of it on
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(stream, formats=("JPEG",))

    with opener() as stream, open_image(stream) as image:
        size, mode = (image.height, image.width), image.mode

    def load() -> NDArray[Any]:
        with opener() as stream, open_image(stream) as image:
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))

    return _decoded(name, size, mode == "L", load, channels)


def _decoded(
    name: str,
    size: tuple[int, int],
    grey: bool,
    load: Callable[[], NDArray[Any]],
    channels: Channels,
) -> list[Picture]:
    """Describe an image that can only be decoded as a whole."""
    _check_bytes(size[0] * size[1] * (1 if grey else 3))
    shape = size if grey else (*size, 3)
    lazy = _Lazy(shape, np.dtype(np.uint8), load)
    return array_pictures(
        name, lazy, axes="YX" if grey else "YXS", channels=channels, windowed=False
    )


def _tiff_pictures(
    opener: Opener, name: str, channels: Channels, opened: Opened, path: Path | None
) -> list[Picture]:
    import tifffile

    def open_tiff() -> tifffile.TiffFile:
        where: Any = opener() if path is None else path
        file = tifffile.TiffFile(where, name=Path(name).name)
        try:
            many = any(one.is_multifile for one in file.series)
        except BaseException:
            file.close()
            raise
        if many:
            # every file of such a set describes all of it: each is read for what it holds itself
            file.close()
            file = tifffile.TiffFile(where, name=Path(name).name, is_ome=False)
        return file

    pictures: list[Picture] = []
    kind: tuple[str, str] | None = None
    with opened.lock:
        series = opened.get(f"tiff {name}", open_tiff).series
        for number, one in enumerate(series):
            # thumbnails and labels of slide scanners are other series of another kind
            if (kind := kind or (one.axes, str(one.dtype))) != (one.axes, str(one.dtype)):
                continue
            label = name if len(series) == 1 else f"{name}:{number}"
            pages = _Pages(one, number, lambda: opened.get(f"tiff {name}", open_tiff), opened.lock)
            pictures += _series_pictures(one, pages, label, channels, path)
    if not pictures:
        raise UnusableImageError("a TIFF without images")
    return [replace(picture, file=name) for picture in pictures]


def _series_pictures(
    series: Any, pages: "_Pages", label: str, channels: Channels, path: Path | None
) -> list[Picture]:
    import tifffile

    page = series.keyframe
    photometric = tifffile.PHOTOMETRIC(page.photometric).name
    if photometric not in ("MINISWHITE", "MINISBLACK", "RGB", "YCBCR"):
        raise UnusableImageError(f"{photometric} pixels")
    shape, dtype = tuple(series.shape), np.dtype(series.dtype)
    axes = "".join(letter if letter in "YXCS" else "Z" for letter in series.axes)
    if series.dataoffset is not None and path is not None and not page.is_tiled:
        order = np.dtype(series.parent.byteorder + dtype.char)
        offset = int(series.dataoffset)

        def mapped() -> NDArray[Any]:
            array: NDArray[Any] = np.memmap(path, order, "r", offset, shape)
            return array

        lazy = _Lazy(shape, dtype, mapped)
        return array_pictures(label, lazy, axes=axes, channels=channels)
    _check_bytes(int(np.prod(page.shape, dtype=np.float64)) * dtype.itemsize)
    return array_pictures(label, pages, axes=axes, channels=channels, windowed=False)


def _check_bytes(size: int) -> None:
    if size > _LARGEST:
        raise UnusableImageError(f"a plane unpacks to {size:,} bytes, more than {_LARGEST:,}")


class _Lazy:
    """An array known by its shape, read when it is asked for."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype, load: Callable[[], NDArray[Any]]
    ) -> None:
        self.shape, self.dtype, self._load = shape, dtype, load

    def __getitem__(self, key: Any) -> NDArray[Any]:
        array = self._load()
        if array.shape != self.shape:
            raise UnusableImageError(f"shape {array.shape} where {self.shape} was promised")
        part: NDArray[Any] = array[key]
        return part


class _Pages:
    """The pages of a TIFF as an array whose planes are decoded one by one."""

    def __init__(self, series: Any, number: int, file: Callable[[], Any], lock: RLock) -> None:
        self.shape, self.dtype = tuple(series.shape), np.dtype(series.dtype)
        page = tuple(series.keyframe.shape)
        n_inside = len(page)
        # pages hold the last axes; those before them count pages
        self._paged = n_inside <= len(self.shape) and self.shape[-n_inside:] == page
        self._lead = self.shape[: len(self.shape) - n_inside] if self._paged else ()
        self._number, self._file, self._lock = number, file, lock

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        with self._lock:
            series = self._file().series[self._number]
            if not self._paged:
                everything: NDArray[Any] = series.asarray()
                part: NDArray[Any] = everything[key]
                return part
            lead = key[: len(self._lead)]
            spans = [k if isinstance(k, slice) else slice(k, k + 1) for k in lead]
            numbers = np.arange(max(1, int(np.prod(self._lead)))).reshape(self._lead)
            wanted = numbers[tuple(spans)] if self._lead else numbers
            pages = [series.asarray(key=int(n)) for n in wanted.ravel()]
        block = np.stack(pages).reshape(*(wanted.shape if self._lead else ()), *pages[0].shape)
        inner = tuple(0 if not isinstance(k, slice) else slice(None) for k in lead)
        part = block[(*inner, *key[len(self._lead) :])]
        return np.ascontiguousarray(part)


_KINDS: tuple[tuple[bytes, Callable[..., list[Picture]]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png_pictures),
    (b"\xff\xd8\xff", _jpeg_pictures),
    (b"\x93NUMPY", _npy_pictures),
    *((magic, _tiff_pictures) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
