"""The border between arrays and disk: images and masks in, images out, nothing half-written.

PNG and TIFF, 8 and 16 bit and floating point (TIFF only), grey and RGB. The size of a pixel
survives, and a result's recipe travels inside its file. The libraries that know the formats are
imported when first needed, so that importing this room costs nothing.
"""

from napari_mganprior.files.atomic import write_atomically
from napari_mganprior.files.base import ImageFile
from napari_mganprior.files.images import (
    check_not_input,
    check_output,
    read_image,
    read_mask,
    read_stack,
    write_image,
)

__all__ = [
    "ImageFile",
    "check_not_input",
    "check_output",
    "read_image",
    "read_mask",
    "read_stack",
    "write_atomically",
    "write_image",
]
