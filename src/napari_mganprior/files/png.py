"""PNG, through Pillow."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files.base import METRES, RECIPE_KEY, ImageFile, without_alpha

__all__ = ["decode_png", "encode_png"]


def decode_png(path: Path, data: bytes, error_class: type[MGANPriorError]) -> ImageFile:
    """Read a PNG from its bytes; errors are of the class given."""
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
        array = without_alpha(path, array, error_class)
    return ImageFile(
        array,
        scale=(1 / dpi[1], 1 / dpi[0]) if dpi and min(dpi) > 0 else None,
        unit="inch" if dpi and min(dpi) > 0 else "",
        description=str(info.get(RECIPE_KEY) or info.get("Description") or ""),
        rgb=array.ndim == 3,
    )


def encode_png(array: NDArray[Any], like: ImageFile, text: str) -> bytes:
    """Write an image, with a text under `RECIPE_KEY`, as the bytes of a PNG."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    options: dict[str, Any] = {}
    if like.scale is not None and like.unit in METRES:
        inch = METRES["inch"] / METRES[like.unit]
        options["dpi"] = (inch / like.scale[1], inch / like.scale[0])
    if text:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text(RECIPE_KEY, text)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", **options)
    return buffer.getvalue()
