"""Find images in OME-Zarr folders, versions 0.4 and 0.5, and in plain Zarr arrays.

The largest level of every image is used, under the axes that the metadata name. Chunks are read
when they are needed. Reading goes through `zarr`, which is an optional dependency.

OME-NGFF: Moore et al., Histochemistry and Cell Biology, 2023,
https://doi.org/10.1007/s00418-023-02209-1.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.pictures import (
    Channels,
    Picture,
    UnusableImageError,
    array_pictures,
)

__all__ = ["is_zarr", "zarr_pictures"]

_MARKS = (".zarray", ".zgroup", "zarr.json")  # a file every Zarr folder has
_DEPTH = 4  # plate, row, column, field
_MOST_IMAGES = 20_000


def is_zarr(path: Path) -> bool:
    """Say whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def zarr_pictures(path: Path, name: str, channels: Channels) -> list[Picture]:
    """Find the planes of all images in a Zarr folder; labels are left out.

    Parameters
    ----------
    path : Path
        The folder.
    name : str
        For people, and what the planes are held out with.
    channels : "grey", "each" or tuple of int, optional
        Which channels to use.

    Raises
    ------
    TrainingError
        If `zarr` is not installed, or there are several channels and none was chosen.
    UnusableImageError
        If it cannot be read, or holds no image.
    """
    try:
        import zarr
    except ImportError as error:
        raise TrainingError(
            f"Got the Zarr folder {name}, but the package zarr is not installed; wanted it. "
            "Install it with: pip install 'napari-mganprior[zarr]'."
        ) from error
    pictures: list[Picture] = []
    try:
        opened = zarr.open(path, mode="r")
        for label, array, axes in _images(opened, name, _DEPTH):
            pictures += array_pictures(label, array, axes=axes, channels=channels)
            if len(pictures) > _MOST_IMAGES:
                break
    except TrainingError:
        raise
    except Exception as error:  # zarr and its codecs raise whatever they meet
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnusableImageError(f"could not be read: {text}") from error
    if not pictures:
        raise UnusableImageError("a Zarr folder without images")
    return pictures


def _images(node: Any, label: str, depth: int) -> Iterator[tuple[str, Any, str]]:
    """Yield name, largest level and axes of the images in a group, fields of plates included."""
    if hasattr(node, "shape"):  # an array without anything that describes it
        yield label, node, ""
        return
    attributes: Mapping[str, Any] = dict(node.attrs)
    described = attributes.get("ome", attributes).get("multiscales")
    if described:
        for image in described:
            axes = [axis if isinstance(axis, str) else axis["name"] for axis in image["axes"]]
            letters = "".join(a.upper() if a in ("y", "x", "c") else "Z" for a in axes)
            yield label, node[image["datasets"][0]["path"]], letters
    elif depth:
        for key, child in sorted(node.members(), key=lambda member: str(member[0])):
            if key != "labels":
                yield from _images(child, f"{label}/{key}", depth - 1)
