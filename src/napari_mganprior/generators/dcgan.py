"""The generator of DCGAN: transposed convolutions from a code to an image.

Written from the description in Radford, Metz, Chintala, "Unsupervised Representation Learning
with Deep Convolutional Generative Adversarial Networks", ICLR 2016,
https://doi.org/10.48550/arXiv.1511.06434 (section 3).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["DCGANGenerator"]

_KERNEL = 4


class _Up(nn.Module):
    """A transposed 4x4 convolution; batch normalisation is already part of its weights."""

    def __init__(self, c_in: int, c_out: int, *, stride: int, padding: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_in, c_out, _KERNEL, _KERNEL))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding)


class DCGANGenerator(SplitGenerator):
    """Blocks of a transposed convolution and ReLU; the last convolution and tanh draw the image.

    Block 0 turns the code into a 4x4 map, each following one doubles the size, and so does the
    last convolution. Batch normalisation with stored statistics is folded into the weights.

    Parameters
    ----------
    widths : sequence of int
        Channels at 4, 8, .. resolution / 2 pixels.
    code_dim : int
        Length of a latent code; its numbers were N(0, 1) when it was trained.
    image_channels : int
        1 .. 4.

    Raises
    ------
    PriorError
        If widths or image_channels are out of range.
    """

    architecture = "dcgan"

    def __init__(self, *, widths: Sequence[int], code_dim: int, image_channels: int) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or len(widths) > 12:
            raise PriorError(
                f"Got channel widths {tuple(widths)} for a DCGAN; wanted 1 to 12 positive numbers, "
                "one for each size from 4 px up to half the image's. Correct them."
            )
        if image_channels not in (1, 2, 3, 4):
            raise PriorError(f"Got {image_channels} image channels; wanted 1 to 4. Correct it.")
        self.widths = tuple(int(width) for width in widths)
        self.code_dim, self.image_channels = code_dim, image_channels
        self.n_layers = len(self.widths)
        self.resolution = 4 * 2**self.n_layers
        sizes = (*self.widths, image_channels)
        self.blocks = nn.ModuleList(
            [
                _Up(code_dim, sizes[0], stride=1, padding=0),
                *(_Up(before, after, stride=2, padding=1) for before, after in pairwise(sizes)),
            ]
        )

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "widths": list(self.widths),
            "code_dim": self.code_dim,
            "image_channels": self.image_channels,
        }

    def entry_weight(self) -> Tensor:
        """Return the weights of the first block, (16 C, D): it makes 4x4 positions of a code."""
        weight: Tensor = self.blocks[0].weight  # type: ignore[assignment]
        return weight.flatten(1).T

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l): the code itself at 0, else the output of block ``layer - 1``."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        return self.widths[layer - 1], 2 * 2**layer, 2 * 2**layer

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the first ``layer`` blocks on codes (B, D)."""
        self._check_layer(layer)
        x = z[:, :, None, None]  # (B, D, 1, 1)
        return self.between(Features(x), 0, layer)

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the blocks ``begin`` .. ``end - 1``."""
        self._check_layer(begin)
        self._check_layer(end)
        x = features.map
        for block in self.blocks[begin:end]:
            x = F.relu(block(x))
        return Features(x)

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the remaining blocks and the convolution that draws the image."""
        self._check_layer(layer)
        x = features.map
        for block in self.blocks[layer:-1]:
            x = F.relu(block(x))
        return torch.tanh(self.blocks[-1](x))

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )
