"""The border between numpy and torch: axes, value range, dtype, device.

Arrays outside are (H, W) or (H, W, 3) in the user's own dtype and range; tensors inside are
(B, C, H, W) in [-1, 1]. There is no third range.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mganprior.errors import DeviceError

__all__ = [
    "ValueMap",
    "choose_device",
    "correlation_length",
    "from_tensor",
    "network_dtype",
    "seeded",
    "to_tensor",
]

_TILE = 512  # px; larger images are read in tiles, which bounds memory


@dataclass(frozen=True, slots=True)
class ValueMap:
    """A straight line between the user's pixel values and [-1, 1].

    Attributes
    ----------
    low, high : float
        The user's values that become -1 and 1; ``high > low``.
    """

    low: float
    high: float

    @classmethod
    def from_percentiles(
        cls, values: NDArray[Any], *, low: float = 1.0, high: float = 99.8
    ) -> "ValueMap":
        """Take two percentiles (in per cent) of finite pixel values as the ends of the line.

        Where they coincide, as in a nearly empty image, the extremes serve instead; where those
        coincide too, the line is one unit long.
        """
        bottom, top = np.percentile(values, [low, high]).astype(float)
        if not top > bottom:
            bottom, top = float(values.min()), float(values.max())
        if not top > bottom:
            top = bottom + 1.0
        return cls(bottom, top)

    def encode(self, values: NDArray[Any], *, clip: bool = True) -> NDArray[np.float32]:
        """Map pixel values to [-1, 1], cutting off what lies outside.

        With ``clip=False`` it goes on along the line: noise that was cut off on one side would
        no longer be 0 on average.
        """
        # float64 first: uint16 and large floats would lose their last digits otherwise.
        scaled = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        return (2.0 * (np.clip(scaled, 0.0, 1.0) if clip else scaled) - 1.0).astype(np.float32)

    def decode(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Map [-1, 1] back to pixel values; what lies outside goes on along the line."""
        return self.low + (np.asarray(x, dtype=np.float64) + 1.0) / 2.0 * (self.high - self.low)


def to_tensor(image: NDArray[np.float32]) -> Tensor:
    """Turn (H, W) or (H, W, C) into (1, C, H, W)."""
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]


def from_tensor(x: Tensor) -> NDArray[np.float32]:
    """Turn (C, H, W) into (H, W) for one channel, else (H, W, C)."""
    planes = x.detach().to("cpu", torch.float32).numpy()
    return np.ascontiguousarray(planes[0] if planes.shape[0] == 1 else np.moveaxis(planes, 0, -1))


def seeded(*seeds: int) -> torch.Generator:
    """Make a CPU source of randomness from one or more whole numbers.

    It lives on the CPU so that every device sees the same numbers.
    """
    words = np.random.SeedSequence([s & 0xFFFFFFFF for s in seeds]).generate_state(2, np.uint32)
    rng = torch.Generator()
    rng.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
    return rng


def choose_device(name: str) -> torch.device:
    """Turn a name into a device.

    Parameters
    ----------
    name : str
        ``"auto"`` (the fastest there is), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    DeviceError
        If that device is not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"Got device {name!r}; wanted auto, cpu, cuda, cuda:N or mps. Choose auto."
        ) from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        why = "this torch was built without CUDA" if not torch.version.cuda else "torch sees none"
        hint = f" ({why})" if device.type == "cuda" else ""
        raise DeviceError(
            f"Got device {name!r}, which is not available here{hint}; wanted a device of this "
            "machine. Choose auto or cpu."
        )
    return device


def network_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Choose the numbers networks compute in.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` is bfloat16 where the device has matrix instructions for it, else float32.
    device : torch.device
        Where the networks run.

    Returns
    -------
    torch.dtype
        ``torch.float32`` or ``torch.bfloat16``.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # without tile instructions a CPU emulates bfloat16 and loses time by it
        amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
        fast = device.type == "cpu" and amx is not None and bool(amx())
    return torch.bfloat16 if fast else torch.float32


def correlation_length(image: NDArray[Any], mask: NDArray[Any] | None = None) -> float:
    """Measure how coarse an image is: the radius at which it stops resembling itself.

    That is where the radially averaged autocorrelation, which is 1 at radius 0, falls to 0.5. It
    grows in proportion when the same scene is drawn larger, and does not depend on brightness or
    contrast. Noise shortens it.

    Parameters
    ----------
    image : array
        Pixels (H, W) or (H, W, C); channels are averaged.
    mask : array, optional
        (H, W); where it is not 0 the pixel is damaged and left out, as NaN and infinity are.

    Returns
    -------
    float
        Radius in pixels, at most 256 and half the shorter side; NaN where
        there is nothing to measure: a constant image, fewer than 2 undamaged pixels.
    """
    values = np.asarray(image, dtype=np.float64)
    if values.ndim == 3:
        values = values.mean(axis=2)
    measured = np.isfinite(values)
    if mask is not None:
        measured &= np.asarray(mask) == 0
    reach = min(*values.shape, _TILE) // 2
    known = values[measured]
    if reach < 1 or known.size < 2 or known.min() == known.max():
        return float("nan")
    centred = np.where(measured, values, known.mean()) - known.mean()
    radii, profile = _radial_autocorrelation(centred / np.abs(centred).max(), measured, reach)
    below = np.flatnonzero(profile <= 0.5)
    if below.size == 0:
        return float(radii[-1])
    after = below[0]  # at least 1: the profile starts at 1
    slope = (profile[after] - profile[after - 1]) / (radii[after] - radii[after - 1])
    return float(radii[after] + (0.5 - profile[after]) / slope)


def _radial_autocorrelation(
    centred: NDArray[Any], measured: NDArray[np.bool_], reach: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Average products of pixel pairs over rings one pixel wide; return radii and profile."""
    lags = np.arange(-reach, reach + 1)
    distance = np.hypot(lags[:, None], lags[None, :])
    ring = np.rint(distance).astype(np.intp)
    sums, pairs, radii = np.zeros((3, int(ring.max()) + 1))
    for top in range(0, centred.shape[0], _TILE):
        for left in range(0, centred.shape[1], _TILE):
            here = np.s_[top : top + _TILE, left : left + _TILE]
            # counting the pairs keeps damage and borders from weakening the correlation
            count = np.rint(_lagged_products(measured[here].astype(np.float64), lags))
            sums += np.bincount(ring.ravel(), _lagged_products(centred[here], lags).ravel())
            pairs += np.bincount(ring.ravel(), count.ravel())
            radii += np.bincount(ring.ravel(), (count * distance).ravel())
    seen = np.flatnonzero(pairs[: reach + 1] > 0)  # beyond the reach rings are incomplete
    profile = sums[seen] / pairs[seen]
    return radii[seen] / pairs[seen], profile / profile[0]


def _lagged_products(tile: NDArray[np.float64], lags: NDArray[np.intp]) -> NDArray[np.float64]:
    size = [side + int(lags[-1]) for side in tile.shape]  # zeros, so that nothing wraps around
    power = np.abs(np.fft.rfft2(tile, size)) ** 2
    products: NDArray[np.float64] = np.fft.irfft2(power, size)[np.ix_(lags, lags)]
    return products
