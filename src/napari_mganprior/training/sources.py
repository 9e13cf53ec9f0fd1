"""Open whatever images somebody has, and keep some of them aside.

    Sources(train, held_out, skipped) = open_sources([folder, "stack.tif", layer], 64)

Every image is read once at the start: what cannot be used is listed before any training, and the
percentiles it is normalised by are measured then. After that as much stays decoded as fits the
cache; the rest is read again when crops are drawn from it.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_mganprior.errors import SettingsError, TrainingError
from napari_mganprior.training.data import (
    CropSource,
    Region,
    check_kinds,
    check_size,
    check_usable,
    whole_region,
)
from napari_mganprior.training.holding import hold_some_out
from napari_mganprior.training.image_files import (
    ARCHIVES,
    IMAGES,
    Opened,
    archive_members,
    file_pictures,
    member_pictures,
)
from napari_mganprior.training.ome_zarr import is_zarr, zarr_pictures
from napari_mganprior.training.pictures import (
    ArrayLike,
    Channels,
    Picture,
    UnusableImageError,
    array_pictures,
    check_channels,
)
from napari_mganprior.training.pixels import CACHE_BYTES, PixelStore

__all__ = ["ArrayInput", "OpeningStep", "Sources", "open_sources", "opening_steps"]


@dataclass(frozen=True, slots=True)
class ArrayInput:
    """An array to train on: a layer of napari, or one in memory.

    Attributes
    ----------
    name : str
        For people, and what its planes are held out by.
    data : array or sequence of arrays
        (..., H, W), or with colours (..., H, W, C): numpy, dask, zarr. Of a multiscale pyramid
        the first level, the largest.
    rgb : bool or None
        Whether the last axis holds colours; None if nobody knows: then 3 or 4 entries are.
    axes : str
        A letter an axis, such as ``"TCYX"``, where they are known.
    """

    name: str
    data: Any
    rgb: bool | None = None
    axes: str = ""


Input = ArrayInput | Path | str
_Entry = tuple[str, "Path | ArrayInput", str]  # name, where, member of an archive


@dataclass(frozen=True, slots=True)
class Sources:
    """What was opened.

    Attributes
    ----------
    train : CropSource
        Crops to learn from.
    held_out : CropSource or None
        Crops of images, or parts of images, that ``train`` never shows; None if none were wanted
        or nothing could be spared.
    skipped : dict of str to str
        What was left out, and why in a few words.
    how : str
        What was held out, in words; empty if nothing was.
    """

    train: CropSource
    held_out: CropSource | None
    skipped: dict[str, str]
    how: str = ""


@dataclass(frozen=True, slots=True)
class OpeningStep:
    """How far opening is.

    Attributes
    ----------
    index, n_steps : int
        Files and arrays read, of so many.
    doing : str
        What is read now.
    n_images : int
        Images found so far that can be used.
    sources : Sources or None
        On the last step, what was opened.
    """

    index: int
    n_steps: int
    doing: str
    n_images: int
    sources: Sources | None = None


def open_sources(
    inputs: Iterable[Input],
    resolution: int,
    *,
    hold_out: float = 0.1,
    held_out: Iterable[Input] = (),
    seed: int = 0,
    channels: Channels = None,
    cache_bytes: int = CACHE_BYTES,
) -> Sources:
    """Open images to train on.

    Parameters
    ----------
    inputs : iterable of Path, str or ArrayInput
        Files, folders (with all folders in them), archives, OME-Zarr folders, arrays.
    resolution : int
        Side of the crops in pixels.
    hold_out : float
        Share of the images kept aside, 0 to 0.5; 0 keeps none.
    held_out : iterable of Path, str or ArrayInput
        Images to measure with instead of some of the inputs.
    seed : int
        Chooses which images are held out.
    channels : "grey", "each" or tuple of int, optional
        Which channels to use, counted from 0, or their brightness; all of grey and RGB images if
        left out.
    cache_bytes : int
        Room for decoded images, a byte a pixel and channel. It changes nothing but speed.

    Returns
    -------
    Sources
        The same for the same images, settings and seed.

    Raises
    ------
    TrainingError
        If the inputs do not exist, hold too little that can be used, mix several kinds of images,
        show nothing, or have channels among which somebody must choose.
    SettingsError
        If a setting is out of range.
    """
    steps = opening_steps(
        inputs,
        resolution,
        hold_out=hold_out,
        held_out=held_out,
        seed=seed,
        channels=channels,
        cache_bytes=cache_bytes,
    )
    sources = deque(steps, maxlen=1).pop().sources
    assert sources is not None
    return sources


def opening_steps(
    inputs: Iterable[Input],
    resolution: int,
    *,
    hold_out: float = 0.1,
    held_out: Iterable[Input] = (),
    seed: int = 0,
    channels: Channels = None,
    cache_bytes: int = CACHE_BYTES,
) -> Iterator[OpeningStep]:
    """Do what `open_sources` does, a step an image, so that it can be shown and stopped."""
    check_channels(channels)
    if not 0 <= hold_out <= 0.5 or resolution < 1 or cache_bytes < 0:
        raise SettingsError(
            f"Got hold_out {hold_out}, resolution {resolution} and cache_bytes {cache_bytes}; "
            "wanted a share from 0 to 0.5, at least 1 px, and room from 0 up. Leave them out to "
            "use the defaults."
        )
    store, opened = PixelStore(cache_bytes), Opened()
    skipped: dict[str, str] = {}
    regions: tuple[list[Region], list[Region]] = ([], [])
    try:
        entries = [list(_entries(group, opened)) for group in (inputs, held_out)]
        n_steps, index = sum(map(len, entries)), 0
        for group, usable in zip(entries, regions, strict=True):
            for entry in group:
                yield OpeningStep(index, n_steps, entry[0], len(store))
                for picture in _found(entry, channels, opened, skipped):
                    try:
                        number = store.add(check_size(picture, resolution))
                    except UnusableImageError as why:
                        skipped[picture.key] = str(why)
                        continue
                    usable.append(whole_region(store, number))
                    yield OpeningStep(index, n_steps, picture.key, len(store))
                index += 1
    finally:
        opened.close()
    sources = _split(store, *regions, resolution, hold_out, seed, skipped)
    yield OpeningStep(n_steps, n_steps, "", len(store), sources)


def _entries(inputs: Iterable[Input], opened: Opened) -> Iterator[_Entry]:
    """Yield everything that may hold images, in an order that is the same everywhere."""
    for item in inputs:
        if isinstance(item, ArrayInput):
            yield item.name, item, ""
            continue
        path = Path(item).expanduser()
        if is_zarr(path):
            yield path.name, path, ""
        elif path.is_dir():
            yield from _in_folder(path)
        elif path.suffix.lower() in ARCHIVES:
            yield from _in_archive(path, opened)
        elif not path.exists():
            raise TrainingError(
                f"Got {path}, which does not exist; wanted images: files, folders or archives. "
                "Check the path."
            )
        else:
            yield path.name, path, ""


def _in_folder(folder: Path) -> Iterator[_Entry]:
    found, others = 0, set()
    for place, folders, files in os.walk(folder):
        here = Path(place)
        for name in list(folders):
            # a run of ours, with pictures of samples in it, is nothing to learn from
            if name.startswith(".") or (here / name / "checkpoint.pt").is_file():
                folders.remove(name)
        for name in sorted(name for name in folders if is_zarr(here / name)):
            folders.remove(name)
            files.append(name)
        folders.sort()
        for name in sorted(files):
            path = here / name
            ending = path.suffix.lower()
            if name.startswith(".") or not (ending in IMAGES or is_zarr(path)):
                others.add(ending or name)
                continue
            found += 1
            yield f"{folder.name}/{path.relative_to(folder).as_posix()}", path, ""
    if not found:
        seen = f"only files ending in {', '.join(sorted(others)[:5])}" if others else "no files"
        raise TrainingError(
            f"Got the folder {folder}, with {seen}; wanted images: "
            f"{', '.join(IMAGES)} or OME-Zarr. Choose another folder, or convert the images."
        )


def _in_archive(path: Path, opened: Opened) -> Iterator[_Entry]:
    found = 0
    try:
        for member, _ in archive_members(path, opened):
            if Path(member).suffix.lower() in IMAGES:
                found += 1
                yield f"{path.name}/{member}", path, member
    except UnusableImageError as why:
        raise TrainingError(
            f"Could not read {path} ({why}); wanted a zip or .npz archive of images. Check the "
            "path, or make the archive again."
        ) from why
    if not found:
        raise TrainingError(
            f"Got the archive {path}, without images; wanted {', '.join(IMAGES)} in it. Choose "
            "another, or convert the images."
        )


def _found(
    entry: _Entry, channels: Channels, opened: Opened, skipped: dict[str, str]
) -> list[Picture]:
    """Find the planes of a file, or list why it cannot be used."""
    name, where, member = entry
    try:
        if isinstance(where, ArrayInput):
            return _of_array(where, channels)
        if member:
            return member_pictures(where, member, name, channels, opened)
        if where.is_dir():
            return zarr_pictures(where, name, channels)
        return file_pictures(where, name, channels, opened)
    except UnusableImageError as why:
        skipped[name] = str(why)
        return []


def _of_array(given: ArrayInput, channels: Channels) -> list[Picture]:
    data = given.data
    if not hasattr(data, "dtype"):  # a pyramid, largest level first
        data = data[0] if len(data) else ()
    if not hasattr(data, "dtype"):
        raise UnusableImageError(f"no array, but a {type(given.data).__name__}")
    array: ArrayLike = data
    return array_pictures(given.name, array, axes=given.axes, rgb=given.rgb, channels=channels)


def _split(
    store: PixelStore,
    regions: list[Region],
    others: list[Region],
    resolution: int,
    hold_out: float,
    seed: int,
    skipped: dict[str, str],
) -> Sources:
    check_usable(store, regions, resolution, skipped)
    kept, aside, how = regions, others, ""
    if others:
        how = f"{len(others)} images of their own"
        check_kinds(store, [*regions, *others])
    elif hold_out:
        kept, aside, how = hold_some_out(store, regions, resolution, hold_out, seed)

    def source(some: list[Region]) -> CropSource:
        return CropSource.of_regions(store, some, resolution, skipped)

    return Sources(source(kept), source(aside) if aside else None, skipped, how)
