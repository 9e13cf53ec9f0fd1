"""From the damage somebody marked to the pixels a run may change, and how it mixes at their rim.

Numpy and scipy only. A mask is True where an image is damaged.
"""

import base64
import binascii
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MaskError, SettingsError

__all__ = ["DamageConfig", "grown", "in_region", "mixing_share", "pack_mask", "unpack_mask"]

_FARTHEST = 1_000  # px
_LARGEST_PACKED = 1 << 34  # pixels; more than any mask that fits into memory


@dataclass(frozen=True, kw_only=True, slots=True)
class DamageConfig:
    """What becomes of the damage that was marked; checked when made, stored with every result.

    Attributes
    ----------
    grow : int
        The damage is enlarged by so many pixels on every side, 0 .. 1000.
    feather : int
        Over the outermost so many pixels of what was grown, the restored image passes gradually
        into the measured one, 0 .. `grow`. Pixels that were marked are always replaced whole.
    region : tuple of int or None
        (top, left, bottom, right) in pixels, bottom and right not included: only damage inside is
        restored; damage outside stays, and is not taken for measured either.
    """

    grow: int = 0
    feather: int = 0
    region: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range.
        """
        for name in ("grow", "feather"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise SettingsError(
                    f"Got {name} = {value!r}; wanted a whole number of pixels. Correct it."
                )
        if not 0 <= self.grow <= _FARTHEST:
            raise SettingsError(
                f"Got grow = {self.grow}; wanted 0 to {_FARTHEST} pixels. Choose a number between."
            )
        if not 0 <= self.feather <= self.grow:
            raise SettingsError(
                f"Got feather = {self.feather} with grow = {self.grow}; wanted 0 to {self.grow}, "
                "since only the pixels that were grown are mixed. Grow the damage more, or feather "
                "less."
            )
        if self.region is None:
            return
        region = tuple(self.region)
        whole = all(type(n) is int for n in region)
        if len(region) != 4 or not whole:
            raise SettingsError(
                f"Got the region {self.region!r}; wanted four whole numbers: top, left, bottom, "
                "right. Correct it, or leave it out."
            )
        top, left, bottom, right = region
        if not (0 <= top < bottom and 0 <= left < right):
            raise SettingsError(
                f"Got the region {region}; wanted 0 <= top < bottom and 0 <= left < right. Draw "
                "it again, or leave it out."
            )
        object.__setattr__(self, "region", region)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return {**asdict(self), "region": None if self.region is None else list(self.region)}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "DamageConfig":
        """Read settings that `to_dict` wrote.

        Raises
        ------
        SettingsError
            If a name is unknown or a number out of range.
        """
        unknown = sorted(raw.keys() - {"grow", "feather", "region"})
        if unknown:
            raise SettingsError(
                f"Got unknown settings {unknown} for the damage; wanted only grow, feather and "
                "region. Remove them, or update napari-mganprior."
            )
        region = raw.get("region")
        return cls(**{**raw, "region": None if region is None else tuple(region)})


def grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Enlarge damage by a distance.

    Parameters
    ----------
    mask : array of bool
        (H, W).
    pixels : int
        Every pixel no further than this from a damaged one becomes damaged.

    Returns
    -------
    array of bool
        (H, W).
    """
    if pixels == 0 or not mask.any():
        return mask
    return _distance_from(mask) <= pixels


def mixing_share(mask: NDArray[np.bool_], config: DamageConfig) -> NDArray[np.float64] | None:
    """Share of the restored image in the result, pixel by pixel.

    Parameters
    ----------
    mask : array of bool
        Damage as it was marked, (H, W).
    config : DamageConfig
        How far it is grown and feathered.

    Returns
    -------
    array of float64 or None
        (H, W): 1 where the damage was marked, falling to 1 / (feather + 1) at the rim of what was
        grown, 0 outside; None without feather, where nothing is mixed.
    """
    if config.feather == 0:
        return None
    outside = config.grow + 1 - _distance_from(mask)
    return np.clip(outside / (config.feather + 1), 0.0, 1.0)


def in_region(
    mask: NDArray[np.bool_], region: tuple[int, int, int, int] | None
) -> NDArray[np.bool_]:
    """Leave out the damage outside a region.

    Parameters
    ----------
    mask : array of bool
        (H, W).
    region : tuple of int or None
        As in `DamageConfig`; None is the whole image.

    Raises
    ------
    MaskError
        If no damage is left.
    """
    if region is None:
        return mask
    top, left, bottom, right = region
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = mask[top:bottom, left:right]
    if not inside.any():
        raise MaskError(
            f"Got no damage inside the region (rows {top} to {bottom}, columns {left} to {right}); "
            "wanted some. Draw the region over the damage, or restore the whole image."
        )
    return inside


def pack_mask(mask: NDArray[np.bool_]) -> str:
    """Write a mask as text: its bits, compressed, in base 64."""
    bits = np.packbits(np.ascontiguousarray(mask, dtype=bool).ravel())
    return base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode("ascii")


def unpack_mask(text: str, dimensions: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read what `pack_mask` wrote.

    Parameters
    ----------
    text : str
        The packed mask.
    dimensions : tuple of int
        Its shape.

    Raises
    ------
    MaskError
        If the text is damaged, or of another size.
    """
    size = int(np.prod(dimensions, dtype=np.int64))
    try:
        if min(dimensions, default=0) < 1 or size > _LARGEST_PACKED:
            raise ValueError(f"no mask has the dimensions {dimensions}")
        packed = base64.b64decode(text, validate=True)
        unpacker = zlib.decompressobj()
        # bounded: a text from a stranger must not unpack to more than the mask it claims to be
        bits = unpacker.decompress(packed, -(-size // 8))
        if unpacker.unconsumed_tail or len(bits) != -(-size // 8):
            raise ValueError(f"{len(bits)} bytes for {size} pixels")
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        raise MaskError(
            f"Got a recipe whose mask is damaged ({error}); wanted one bit for each of "
            f"{size} pixels. Copy the recipe again, or give the mask as a file (--mask)."
        ) from error
    flags = np.unpackbits(np.frombuffer(bits, np.uint8), count=size)
    return flags.reshape(dimensions).astype(bool)


def _distance_from(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    from scipy.ndimage import distance_transform_edt

    distance: NDArray[np.float64] = distance_transform_edt(~mask)
    return distance
