"""Which part of an image is analysed."""

from napari_mganprior.errors import SettingsError

__all__ = ["PARTS", "Region", "cut_part"]

PARTS = ("middle", "whole")

Region = tuple[int, int, int, int] | str
"""(top, left, bottom, right) in pixels, bottom and right not included, or one of `PARTS`."""


def cut_part(
    shape: tuple[int, ...], region: Region, side: int, multiple: int = 1
) -> tuple[slice, slice]:
    """Say which rows and columns are meant.

    Parameters
    ----------
    shape : tuple of int
        Of the image, (H, W, ...).
    region : tuple of int or str
        The part; "middle" is a square of ``side``, or as much as there is.
    side : int
        Of one of the prior's drawings, in pixels of the image.
    multiple : int
        Sides are cut down to whole multiples of it.

    Raises
    ------
    SettingsError
        If the region lies outside the image, or is no region.

    Examples
    --------
    >>> cut_part((100, 30), "middle", 64)
    (slice(18, 82, None), slice(0, 30, None))
    """
    height, width = shape[:2]
    if region == "whole":
        top, left, bottom, right = 0, 0, height, width
    elif region == "middle":
        rows, columns = min(side, height), min(side, width)
        top, left = (height - rows) // 2, (width - columns) // 2
        bottom, right = top + rows, left + columns
    elif isinstance(region, str) or [type(n) for n in region] != [int] * 4:
        raise SettingsError(
            f"Got the region {region!r}; wanted middle, whole, or four whole numbers: top, left, "
            "bottom, right. Choose middle."
        )
    else:
        top, left, bottom, right = region
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise SettingsError(
                f"Got the region {region} for an image of {height}x{width} pixels; wanted it "
                "inside, top before bottom and left before right. Draw it again, or choose middle."
            )
    bottom, right = (
        bottom - (bottom - top) % multiple,
        right - (right - left) % multiple,
    )
    return slice(top, bottom), slice(left, right)
