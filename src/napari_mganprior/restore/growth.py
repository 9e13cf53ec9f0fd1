"""How large an enlarged image is, and what it takes: said before a run. No torch."""

from napari_mganprior.errors import SettingsError

__all__ = ["FACTORS", "check_factor", "check_size", "memory_needed"]

FACTORS = (2, 4, 8, 16)
_MOST_PIXELS = 1 << 26
_BYTES = (24, 60)  # a pixel of the result takes at the most, and each of its values besides


def memory_needed(shape: tuple[int, ...], factor: int) -> int:
    """Return the bytes that enlarging an image takes at the most, without the networks.

    Parameters
    ----------
    shape : tuple of int
        (H, W) or (H, W, 3) of the image.
    factor : int
        Pixels of the result along the side of one.
    """
    values = shape[2] if len(shape) > 2 else 1
    return shape[0] * shape[1] * factor**2 * (_BYTES[0] + _BYTES[1] * values)


def check_size(shape: tuple[int, ...], factor: int) -> None:
    """Refuse an enlargement that could not be kept in memory.

    Raises
    ------
    SettingsError
        If the result would have more than 67 million pixels.
    """
    if len(shape) < 2:
        return  # no image at all, which is said elsewhere
    height, width = shape[0] * factor, shape[1] * factor
    if height * width > _MOST_PIXELS:
        gigabytes = memory_needed(shape, factor) / 2**30
        raise SettingsError(
            f"Got a factor of {factor} for an image of {shape[0]}x{shape[1]} pixels: the result "
            f"would have {height}x{width} and take about {gigabytes:.0f} GiB of memory; wanted at "
            f"most {_MOST_PIXELS >> 20} Mi pixels. Choose a smaller factor, or a part of the image."
        )


def check_factor(factor: int, resolution: int, prior: str) -> None:
    """Check that a prior's drawings can be made so many times smaller.

    Raises
    ------
    SettingsError
        If the factor is none that is offered, or too large for the prior.
    """
    if factor not in FACTORS:
        raise SettingsError(
            f"Got a factor of {factor}; wanted one of {', '.join(map(str, FACTORS))}. Choose 4."
        )
    if resolution % factor or resolution < 2 * factor:
        raise SettingsError(
            f"Got a factor of {factor} for the prior {prior!r}, which draws "
            f"{resolution}x{resolution} pixels; wanted at least two measured pixels along a "
            "drawing's side. Choose a smaller factor, or another prior."
        )
