"""TIFF, ImageJ and OME included, through tifffile."""

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files.base import METRES, ImageFile, without_alpha

__all__ = ["decode_tiff", "encode_tiff"]

_IMAGEJ_KEPT = ("unit", "spacing", "min", "max", "xorigin", "yorigin")


def decode_tiff(
    path: Path, data: bytes, error_class: type[MGANPriorError], *, stack: bool
) -> ImageFile:
    """Read a TIFF from its bytes; ``stack`` allows several planes."""
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
                "open the stack in napari, where the current slice is restored. In the shell, "
                "inpaint, denoise and the like take all planes with --planes slices."
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
        array = array[..., 0] if samples == 1 else without_alpha(path, array, error_class)
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


def encode_tiff(array: NDArray[Any], like: ImageFile, text: str, *, planes: bool) -> bytes:
    """Write an image, or planes, with a description, as the bytes of a TIFF."""
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
        to_cm = like.unit in METRES and like.unit != "inch" and "imagej" not in options
        factor = METRES[like.unit] / METRES["cm"] if to_cm else 1.0
        options["resolution"] = (1 / (like.scale[1] * factor), 1 / (like.scale[0] * factor))
        plain_unit = "CENTIMETER" if to_cm else "INCH" if like.unit == "inch" else "NONE"
        options["resolutionunit"] = plain_unit
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.ascontiguousarray(array), software="napari-mganprior", **options)
    return buffer.getvalue()
