"""A deep-feature distance between two pictures, smaller is more alike.

VGG-19 up to relu3_1 where its weight file is there, else the inner maps of the prior's own
discriminator; the benchmark's header says which. Feature vectors are brought to length 1, as in
LPIPS (Zhang et al., CVPR 2018, https://doi.org/10.1109/CVPR.2018.00068), but the layers count
alike: no weights were fitted to people's judgements.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["DeepDistance"]

_CONVS = (0, 2, 5, 9, 12, 16)  # as the file numbers them; the first turns RGB into VGG's input
_POOL_BEFORE = (9, 16)
_TAPS = (5, 12, 16)  # relu1_2, relu2_2, relu3_1


class DeepDistance:
    """Measure pictures in [-1, 1].

    Parameters
    ----------
    vgg : Path or None
        The weight file ``vgg_normalised_conv3_1.pth``.
    discriminator : nn.Module or None
        Used where there is no such file.

    Attributes
    ----------
    kind : str
        What measures, for the header.
    """

    def __init__(self, vgg: Path | None, discriminator: nn.Module | None) -> None:
        self._discriminator = discriminator
        self._weights: dict[str, Tensor] | None = None
        self.kind = "none"
        if vgg is not None and vgg.is_file():
            self._weights = torch.load(vgg, map_location="cpu", weights_only=True)
            self.kind = "VGG-19 relu1_2, relu2_2, relu3_1"
        elif discriminator is not None:
            self.kind = "the prior's discriminator, three finest maps"

    @torch.no_grad()
    def __call__(self, one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
        """Return the distance of two pictures (H, W) or (H, W, 3), 0 for the same."""
        pair = torch.from_numpy(np.stack([one, other]).astype(np.float32).clip(-1, 1))
        pair = pair[:, None] if pair.ndim == 3 else pair.movedim(-1, 1)
        if self._weights is not None:
            maps = self._vgg(pair)
        elif self._discriminator is not None:
            maps = [m.float() for m in self._discriminator.features(pair, 3)]
        else:
            return float("nan")
        total = 0.0
        for m in maps:
            unit = m / m.norm(dim=1, keepdim=True).clamp_min(1e-8)
            total += float((unit[0] - unit[1]).square().sum(dim=0).mean())
        return total / len(maps)

    def _vgg(self, x: Tensor) -> list[Tensor]:
        assert self._weights is not None
        x = (x + 1) / 2
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        taps = []
        for number in _CONVS:
            weight, bias = (self._weights[f"{number}.{part}"] for part in ("weight", "bias"))
            if number in _POOL_BEFORE:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            if number == 0:
                x = F.conv2d(x, weight, bias)
                continue
            x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias))
            if number in _TAPS:
                taps.append(x)
        return taps
