"""Images and masks in, images out, in either format."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MaskError, MGANPriorError, StorageError
from napari_mganprior.files.atomic import write_atomically
from napari_mganprior.files.base import ImageFile
from napari_mganprior.files.png import decode_png, encode_png
from napari_mganprior.files.tiff import decode_tiff, encode_tiff

__all__ = [
    "check_not_input",
    "check_output",
    "read_image",
    "read_mask",
    "read_stack",
    "write_image",
]

_PNG = (".png",)
_TIFF = (".tif", ".tiff")


def read_image(path: Path) -> ImageFile:
    """Read one 2-D image.

    Parameters
    ----------
    path : Path
        A PNG or TIFF file. A fully opaque alpha channel is dropped.

    Returns
    -------
    ImageFile
        The pixels as stored, and what the file says about them.

    Raises
    ------
    StorageError
        If there is no such file, or it may not be read.
    ImageError
        If it holds something else than one grey or RGB image of 8 bit, 16 bit or floating point.
    """
    return _of_usable_type(path, _read(path, ImageError))


def _of_usable_type(path: Path, image: ImageFile) -> ImageFile:
    if image.array.dtype not in ("uint8", "uint16", "float16", "float32", "float64"):
        raise ImageError(
            f"Got {path.name} with {image.array.dtype} pixels; wanted uint8, uint16 or floating "
            "point. Convert it to one of those, for example to 16 bit."
        )
    return image


def read_stack(path: Path) -> ImageFile:
    """Read an image with any number of planes.

    Parameters
    ----------
    path : Path
        A PNG or TIFF file.

    Returns
    -------
    ImageFile
        As from `read_image`; the array is (..., H, W) or (..., H, W, 3), with the file's other axes
        in their order in front.

    Raises
    ------
    StorageError, ImageError
        As `read_image`, but for the number of planes.
    """
    return _of_usable_type(path, _read(path, ImageError, stack=True))


def read_mask(path: Path, *, stack: bool = False) -> NDArray[np.bool_]:
    """Read a damage mask.

    Parameters
    ----------
    path : Path
        A PNG or TIFF file of any pixel type.
    stack : bool
        Allow several planes.

    Returns
    -------
    ndarray of bool
        (H, W), or (..., H, W) of a stack; True, damage, wherever the stored value is not 0, in any
        channel.

    Raises
    ------
    StorageError
        If there is no such file, or it may not be read.
    MaskError
        If it holds something else than one grey or RGB image.
    """
    image = _read(path, MaskError, stack=stack)
    damage: NDArray[np.bool_] = image.array != 0
    return np.logical_or.reduce(damage, axis=-1) if image.rgb else damage


def check_output(path: Path, array: NDArray[Any], *, overwrite: bool, planes: bool = False) -> None:
    """Refuse a file that could not be written later, before any time is spent on its contents.

    Parameters
    ----------
    path : Path
        Where the result is wanted.
    array : ndarray
        Any image of the result's shape and dtype.
    overwrite : bool
        Whether an existing file may be replaced.
    planes : bool
        Whether the first axis of the array counts planes.

    Raises
    ------
    StorageError
        If the file exists and may not be replaced, is a folder, or its format cannot hold such
        an image.
    """
    suffix = path.suffix.lower()
    if suffix not in _PNG + _TIFF:
        raise StorageError(
            f"Got the output {path.name}; wanted a name that ends in .png, .tif or .tiff. "
            "Choose one of those."
        )
    if suffix in _PNG and planes:
        raise StorageError(
            f"Got the output {path.name} for several planes, which PNG cannot hold; wanted TIFF. "
            "Choose a name that ends in .tif."
        )
    if suffix in _PNG and array.dtype not in ("uint8", "uint16"):
        raise StorageError(
            f"Got the output {path.name} for {array.dtype} pixels, which PNG cannot hold; wanted "
            "TIFF. Choose a name that ends in .tif."
        )
    if suffix in _PNG and array.dtype == "uint16" and array.ndim == 3:
        raise StorageError(
            f"Got the output {path.name} for 16-bit RGB pixels; PNG is written here with 8 bits a "
            "colour only. Choose a name that ends in .tif."
        )
    if path.is_dir():
        raise StorageError(f"Got the folder {path} as output; wanted a file. Add a file name.")
    if path.exists() and not overwrite:
        raise StorageError(
            f"Got the output {path}, which exists already; wanted a new name. Choose another, or "
            "allow overwriting (--overwrite)."
        )


def check_not_input(output: Path, source: Path) -> None:
    """Refuse to write a result over the image it is made from.

    Raises
    ------
    StorageError
        If both are the same file.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise StorageError(
            f"Got the output {output}, which is the input itself; wanted another file, so that "
            "what was measured is not lost. Choose another name."
        )


def write_image(
    path: Path,
    array: NDArray[Any],
    *,
    like: ImageFile | None = None,
    recipe: Mapping[str, Any] | None = None,
    planes: bool = False,
) -> None:
    """Write an image to a temporary name and rename it.

    Parameters
    ----------
    path : Path
        ``.png``, ``.tif`` or ``.tiff``; an existing file is replaced.
    array : ndarray
        (H, W) or (H, W, 3): uint8, uint16 or, for TIFF, floating point. With ``planes``, for TIFF,
        (P, H, W) or (P, H, W, 3).
    like : ImageFile, optional
        The file whose pixel size and kind the new one takes over.
    recipe : mapping, optional
        JSON-able; stored in the TIFF's description (for ImageJ in its "Info"), or in the PNG's
        text under ``napari-mganprior``.
    planes : bool
        Whether the first axis counts planes.

    Raises
    ------
    StorageError
        If the format cannot hold the image, or the file cannot be written.
    """
    check_output(path, array, overwrite=True, planes=planes)
    like = like or ImageFile(array)
    # tifffile takes JSON with '"shape":' in it for a note of its own; a blank before the colon
    # keeps it from that
    separators = (", ", " : ")
    text = "" if recipe is None else json.dumps(recipe, sort_keys=True, separators=separators)
    if path.suffix.lower() in _PNG:
        data = encode_png(array, like, text)
    else:
        data = encode_tiff(array, like, text, planes=planes)
    write_atomically(path, data)


def _read(path: Path, error_class: type[MGANPriorError], *, stack: bool = False) -> ImageFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"Could not read {path} ({error.strerror or error}); wanted a PNG or TIFF file. "
            "Check the path."
        ) from error
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            image = decode_png(path, data, error_class)
        elif data[:2] in (b"II", b"MM"):
            image = decode_tiff(path, data, error_class, stack=stack)
        else:
            raise error_class(
                f"Got {path.name}, which is neither PNG nor TIFF; wanted one of those. Convert it."
            )
    except MGANPriorError:
        raise
    except Exception as error:  # Pillow and tifffile raise whatever they meet in damaged files
        hint = (
            "Install `imagecodecs`, or save the file without compression"
            if "imagecodecs" in str(error)
            else "The file may be truncated: save it again"
        )
        raise error_class(
            f"Could not decode {path.name} ({error}); wanted a whole PNG or TIFF. {hint}."
        ) from error
    return image
