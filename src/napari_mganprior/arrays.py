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

__all__ = ["ValueMap", "choose_device", "from_tensor", "seeded", "to_tensor"]


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

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map pixel values to [-1, 1], cutting off what lies outside."""
        # float64 first: uint16 and large floats would lose their last digits otherwise.
        scaled = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        return (2.0 * np.clip(scaled, 0.0, 1.0) - 1.0).astype(np.float32)

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
