"""A small network from an image, with holes, to the code that could have drawn it."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Dense

__all__ = ["Encoder", "filled"]

_SLOPE = 0.2
_FINAL = 4


class Encoder(nn.Module):
    """Convolutions that halve an image down to 4x4, and a dense layer to a code on the sphere.

    After the inference networks of Zhu, Kraehenbuehl, Shechtman, Efros, ECCV 2016,
    https://doi.org/10.1007/978-3-319-46454-1_36, with a mask as one more channel, so that
    holes are known as such.

    Parameters
    ----------
    resolution : int
        Height and width of the images in pixels, 8 or more.
    widths : sequence of int
        Channels after each convolution of stride 2: as many as there are halvings down to 4 px;
        each a multiple of 8.
    code_dim : int
        Length of a code.
    code_radius : float
        Length of the vector that a code is.
    image_channels : int
        1 to 4.

    Raises
    ------
    PriorError
        If these do not fit each other.
    """

    def __init__(
        self,
        *,
        resolution: int,
        widths: Sequence[int],
        code_dim: int,
        code_radius: float,
        image_channels: int,
    ) -> None:
        super().__init__()
        _check_spec(resolution, widths, code_dim, code_radius, image_channels)
        self.resolution, self.widths = resolution, tuple(widths)
        self.code_dim, self.code_radius = code_dim, float(code_radius)
        self.image_channels = image_channels
        sizes = (image_channels + 1, *self.widths)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in self.widths)
        self.last = Dense(self.widths[-1] * _FINAL**2, code_dim)

    @staticmethod
    def widths_for(resolution: int) -> tuple[int, ...]:
        """Choose channels for images of a size: 24, 48, 96, then 128; 0.3-0.5 M weights."""
        n, side = 0, resolution
        while side > _FINAL:
            n, side = n + 1, (side + 1) // 2
        return tuple(min(24 * 2**index, 128) for index in range(max(1, n)))

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "resolution": self.resolution,
            "widths": list(self.widths),
            "code_dim": self.code_dim,
            "code_radius": self.code_radius,
            "image_channels": self.image_channels,
        }

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        with torch.no_grad():
            for layer in self.convolutions:
                assert isinstance(layer, nn.Conv2d)
                gain = sqrt(2 / layer.weight[0].numel())
                layer.weight.normal_(generator=rng).mul_(gain)
                assert layer.bias is not None
                layer.bias.zero_()
            for norm in self.norms:
                assert isinstance(norm, nn.GroupNorm)
                norm.weight.fill_(1.0)
                norm.bias.zero_()
        self.last.initialise(rng, gain=1.0)

    def forward(self, y: Tensor, known: Tensor) -> Tensor:
        """Say which codes drew images.

        Parameters
        ----------
        y : Tensor
            Images, (B, C, R, R), in [-1, 1]; what stands where nothing is known does not matter.
        known : Tensor
            1 where a pixel is known, 0 elsewhere, (B, 1, R, R).

        Returns
        -------
        Tensor
            Codes on their sphere, (B, D).
        """
        x = torch.cat([filled(y, known), known], dim=1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolution(x)), _SLOPE)
        x = F.adaptive_avg_pool2d(x, _FINAL) if x.shape[2] != _FINAL else x
        z: Tensor = self.last(x.flatten(1))
        length: Tensor = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return z * (self.code_radius / length)


def filled(y: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels with the mean of known ones near them: halve until none is unknown.

    The pull-push of Gortler, Grzeszczuk, Szeliski, Cohen, SIGGRAPH 1996,
    https://doi.org/10.1145/237170.237200.

    Parameters
    ----------
    y : Tensor
        Images, (B, C, H, W).
    known : Tensor
        1 where a pixel is known, (B, 1, H, W).

    Returns
    -------
    Tensor
        Images; known pixels as they were, 0 where an image has none.
    """
    kept = torch.where(known > 0, y, 0.0)
    if bool((known > 0).all()) or max(y.shape[2:]) == 1:
        return kept
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(kept, 2, ceil_mode=True, count_include_pad=False)
    coarse = filled(mean / share.clamp_min(1e-6), (share > 0).to(known.dtype))
    near = F.interpolate(coarse, y.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, y, near)


def _check_spec(
    resolution: int, widths: Sequence[int], code_dim: int, radius: float, image_channels: int
) -> None:
    halvings = len(Encoder.widths_for(resolution)) if 8 <= resolution <= 4096 else 0
    if not halvings or len(widths) != halvings or any(w < 8 or w % 8 for w in widths):
        raise PriorError(
            f"Got channel widths {tuple(widths)} for an encoder of {resolution} px images; wanted "
            f"{halvings} multiples of 8, one for each halving from 8 .. 4096 px down to 4. "
            "Correct them."
        )
    if code_dim < 1 or not 0 < radius < 1e6 or image_channels not in (1, 2, 3, 4):
        raise PriorError(
            f"Got codes of {code_dim} numbers and length {radius} and {image_channels} image "
            "channels; wanted positive ones and 1 to 4 channels. Correct them."
        )
