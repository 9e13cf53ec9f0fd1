"""The border between arrays and disk: images and masks in, images out, nothing half-written.

PNG and TIFF, 8 and 16 bit and floating point (TIFF only), grey and RGB. The size of a pixel
survives, and a result's recipe travels inside its file. The libraries that know the formats are
imported when first needed, so that importing this module costs nothing.
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, MaskError, MGANPriorError, StorageError

__all__ = [
    "ImageFile",
    "check_output",
    "read_image",
    "read_mask",
    "read_stack",
    "write_atomically",
    "write_image",
]

_RECIPE_KEY = "napari-mganprior"  # of the PNG text chunk
_PNG = (".png",)
_TIFF = (".tif", ".tiff")
_METRES = {
    "inch": 0.0254,
    "m": 1.0,
    "cm": 1e-2,
    "mm": 1e-3,
    "um": 1e-6,
    "µm": 1e-6,  # U+00B5, the micro sign
    "μm": 1e-6,  # U+03BC, the Greek letter
    "micron": 1e-6,
    "microns": 1e-6,
    "nm": 1e-9,
}
_IMAGEJ_KEPT = ("unit", "spacing", "min", "max", "xorigin", "yorigin")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image with what its file says about it.

    Attributes
    ----------
    array : ndarray
        (H, W) or (H, W, 3), from `read_stack` with axes before these: uint8, uint16, or floating
        point.
    scale : tuple of float or None
        Height and width of a pixel in `unit`; None if the file does not say.
    unit : str
        ``"inch"``, ``"cm"``, ``"micron"`` and so on, as in the file; empty where only the shape
        of a pixel is known.
    imagej : dict or None
        What ImageJ stored besides: unit, spacing, display range, origin. None for other files.
    inverted : bool
        Whether the TIFF says that 0 is white.
    description : str
        The text in the file; the recipe as JSON where this package wrote it.
    rgb : bool
        Whether the last axis holds colours.
    """

    array: NDArray[Any]
    scale: tuple[float, float] | None = None
    unit: str = ""
    imagej: Mapping[str, Any] | None = None
    inverted: bool = False
    description: str = ""
    rgb: bool = False


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes beside a path and rename them onto it, so that no half file is ever seen.

    Parameters
    ----------
    path : Path
        Where to; folders are made, an existing file is replaced.
    data : bytes
        All of the file.

    Raises
    ------
    StorageError
        If the folder cannot be written to, or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:  # Ctrl-C, too, leaves nothing behind
        # whatever keeps the part from being removed must not hide why it was not written
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f"Could not write {path} ({error.strerror or error}); wanted {len(data)} bytes of "
            "room and permission to write there. Free some space or choose another folder."
        ) from error


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
        data = _encode_png(array, like, text)
    else:
        data = _encode_tiff(array, like, text, planes=planes)
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
            image = _decode_png(path, data, error_class)
        elif data[:2] in (b"II", b"MM"):
            image = _decode_tiff(path, data, error_class, stack=stack)
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


def _without_alpha(
    path: Path, array: NDArray[Any], error_class: type[MGANPriorError]
) -> NDArray[Any]:
    """Drop an opaque alpha channel from (..., 2) or (..., 4), refuse any other."""
    if array.shape[-1] == 3:
        return array
    opaque = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1
    if not (array[..., -1] == opaque).all():
        raise error_class(
            f"Got {path.name} with transparent pixels (an alpha channel); wanted a grey or RGB "
            "image. Remove the transparency (flatten the image)."
        )
    colours = array[..., :-1]
    return np.ascontiguousarray(colours[..., 0] if colours.shape[-1] == 1 else colours)


def _decode_png(path: Path, data: bytes, error_class: type[MGANPriorError]) -> ImageFile:
    from PIL import Image

    depth, colour_type = data[24], data[25]  # of the IHDR chunk, always the first
    if depth == 16 and colour_type != 0:
        raise error_class(
            f"Got {path.name}, a 16-bit PNG with colours or alpha, which would lose its lower 8 "
            "bits; wanted 16-bit grey, or TIFF. Convert it to TIFF."
        )
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        info = dict(image.info)
        pixels: Image.Image = image
        if image.mode in ("P", "PA") or "transparency" in info:
            grey = image.mode in ("1", "L", "I;16", "I")
            clear = "transparency" in info or image.mode == "PA"
            pixels = image.convert(("LA" if clear else "L") if grey else "RGBA" if clear else "RGB")
        array = np.array(pixels)
    if array.dtype == np.int32:  # what Pillow makes of 16-bit grey in some versions
        array = array.astype(np.uint16)
    dpi = info.get("dpi")
    if array.ndim == 3:
        array = _without_alpha(path, array, error_class)
    return ImageFile(
        array,
        scale=(1 / dpi[1], 1 / dpi[0]) if dpi and min(dpi) > 0 else None,
        unit="inch" if dpi and min(dpi) > 0 else "",
        description=str(info.get(_RECIPE_KEY) or info.get("Description") or ""),
        rgb=array.ndim == 3,
    )


def _decode_tiff(
    path: Path, data: bytes, error_class: type[MGANPriorError], *, stack: bool
) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data), name=path.name) as file:
        series, page = file.series[0], file.pages.first
        axes = list(zip(series.axes, series.shape, strict=True))  # a letter may come twice
        lengths = dict(axes)
        planes = len(file.series) * int(np.prod([n for axis, n in axes if axis not in "YXS"]))
        allowed = planes == 1 or (stack and len(file.series) == 1)
        if not allowed or not {"Y", "X"} <= lengths.keys():
            raise error_class(
                f"Got {path.name} with {planes} planes (axes {series.axes}, shape "
                f"{series.shape}); wanted one 2-D image. Save the plane as a file of its own, or "
                "open the stack in napari, where the current slice is restored."
            )
        samples = lengths.get("S", 1)
        photometric = tifffile.PHOTOMETRIC(page.photometric).name
        if photometric not in ("MINISWHITE", "MINISBLACK", "RGB") or samples > 4:
            raise error_class(
                f"Got {path.name} with {samples} {photometric} samples a pixel; wanted "
                "grey or RGB. Convert it."
            )
        array = series.asarray()
        scale, unit, imagej = _tiff_scale(file)
        described = (file.imagej_metadata or {}).get("Info") or page.description
        inverted = photometric == "MINISWHITE"
    order = [series.axes.index(axis) for axis in "YXS" if axis in lengths]
    rest = [i for i in range(array.ndim) if i not in order]
    kept = [array.shape[i] for i in rest if stack and array.shape[i] > 1]
    array = array.transpose(rest + order).reshape(kept + [array.shape[i] for i in order])
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if "S" in lengths:
        array = array[..., 0] if samples == 1 else _without_alpha(path, array, error_class)
    rgb = samples > 2
    return ImageFile(array, scale, unit, imagej, inverted, str(described), rgb)


def _tiff_scale(
    file: Any,
) -> tuple[tuple[float, float] | None, str, dict[str, Any] | None]:
    """Find the size of a pixel where OME, ImageJ or plain TIFF keep it."""
    imagej = None
    if file.imagej_metadata:
        imagej = {k: v for k, v in file.imagej_metadata.items() if k in _IMAGEJ_KEPT}
    if file.is_ome and file.ome_metadata:
        for element in ElementTree.fromstring(file.ome_metadata).iter():
            size = [element.get(f"PhysicalSize{axis}") for axis in "YX"]
            if element.tag.endswith("Pixels") and size[0] and size[1]:
                unit = element.get("PhysicalSizeXUnit", "µm")
                return (float(size[0]), float(size[1])), unit, imagej
    tags = file.pages.first.tags
    resolutions = [tags.valueof(f"{axis}Resolution") for axis in "YX"]
    if not all(r and r[0] > 0 and r[1] > 0 for r in resolutions):
        return None, "", imagej
    height, width = (r[1] / r[0] for r in resolutions)
    unit = {2: "inch", 3: "cm"}.get(int(tags.valueof("ResolutionUnit", 2)), "")
    unit = str((imagej or {}).get("unit") or unit)
    if not unit and height == width == 1:  # what writers put down who know nothing
        return None, "", imagej
    return (height, width), unit, imagej


def _encode_png(array: NDArray[Any], like: ImageFile, text: str) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    options: dict[str, Any] = {}
    if like.scale is not None and like.unit in _METRES:
        inch = _METRES["inch"] / _METRES[like.unit]
        options["dpi"] = (inch / like.scale[1], inch / like.scale[0])
    if text:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text(_RECIPE_KEY, text)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def _encode_tiff(array: NDArray[Any], like: ImageFile, text: str, *, planes: bool) -> bytes:
    import tifffile

    rgb = array.ndim - planes == 3
    grey_kind = "miniswhite" if like.inverted else "minisblack"
    options: dict[str, Any] = {"photometric": "rgb" if rgb else grey_kind, "metadata": None}
    known_to_imagej = array.dtype in (("uint8",) if rgb else ("uint8", "uint16", "float32"))
    for_imagej = known_to_imagej and not (like.inverted and not rgb)
    if for_imagej and (like.imagej is not None or like.unit not in ("", "inch", "cm")):
        unit = "micron" if like.unit in ("µm", "μm", "um") else like.unit
        metadata = {**(like.imagej or {}), **({"unit": unit} if unit else {})}
        axes = {"axes": "ZYXS" if rgb else "ZYX"} if planes else {}
        metadata |= axes | ({"Info": text} if text else {})
        options |= {"imagej": True, "metadata": metadata}
    elif text:
        options["description"] = text
    if like.scale is not None:
        # without ImageJ's free choice of units, every length that has one is told in centimetres
        to_cm = like.unit in _METRES and like.unit != "inch" and "imagej" not in options
        factor = _METRES[like.unit] / _METRES["cm"] if to_cm else 1.0
        options["resolution"] = (1 / (like.scale[1] * factor), 1 / (like.scale[0] * factor))
        plain_unit = "CENTIMETER" if to_cm else "INCH" if like.unit == "inch" else "NONE"
        options["resolutionunit"] = plain_unit
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.ascontiguousarray(array), software="napari-mganprior", **options)
    return buffer.getvalue()
