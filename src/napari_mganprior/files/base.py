"""What is known of an image in a file, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError

__all__ = ["METRES", "RECIPE_KEY", "ImageFile", "without_alpha"]

RECIPE_KEY = "napari-mganprior"
"""Under which a recipe stands in a PNG's text."""

METRES = {
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
"""Length of the units that image files name."""


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

    def enlarged(self, factor: int) -> "ImageFile":
        """Return what the file says for an image of more pixels of the same scene.

        Parameters
        ----------
        factor : int
            New pixels along the side of an old one, 1 or more.
        """
        if self.scale is None or factor == 1:
            return self
        return replace(self, scale=(self.scale[0] / factor, self.scale[1] / factor))


def without_alpha(
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
