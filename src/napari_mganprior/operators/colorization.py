"""Lost colour: y = luma(x)."""

import torch
from torch import Tensor

from napari_mganprior.errors import ImageError
from napari_mganprior.operators.base import Operator

__all__ = ["LUMA", "Colorization"]

LUMA = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue (ITU-R BT.709, as in `skimage.color.rgb2gray`); they sum to 1."""


class Colorization(Operator):
    """Only the luma of an RGB image was measured."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(LUMA).reshape(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Turn RGB images (B, 3, H, W) into luma (B, 1, H, W)."""
        self.output_shape((x.shape[1], x.shape[2], x.shape[3]))
        return (x * self.weights).sum(dim=1, keepdim=True)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return (1, H, W)."""
        if shape[0] != 3:
            raise ImageError(
                f"Got images of {shape[0]} channels; wanted 3 (RGB) to take the luma of. Choose "
                "an RGB prior."
            )
        return 1, shape[1], shape[2]

    def adjoint(self, y: Tensor) -> Tensor:
        """Spread luma over the three channels by their weights."""
        return y * self.weights
