"""Missing pixels: y = mask * x."""

import torch
from torch import Tensor

from napari_mganprior.errors import ImageError, MaskError
from napari_mganprior.operators.base import Operator

__all__ = ["Inpainting"]


class Inpainting(Operator):
    """Only some pixels were measured; the others read 0.

    Parameters
    ----------
    measured : Tensor
        1 (or True) where a pixel was measured, (1 or B, 1, H, W).

    Raises
    ------
    MaskError
        If the mask has another number of dimensions or channels.
    """

    measured: Tensor

    def __init__(self, measured: Tensor) -> None:
        super().__init__()
        if measured.ndim != 4 or measured.shape[1] != 1:
            raise MaskError(
                f"Got a mask of shape {tuple(measured.shape)}; wanted (B, 1, H, W). Add the "
                "missing axes."
            )
        self.register_buffer("measured", measured.to(torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Set what was not measured to 0."""
        return x * self.measured

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the image's own shape."""
        if tuple(shape[1:]) != tuple(self.measured.shape[2:]):
            raise ImageError(
                f"Got images of {shape[1]}x{shape[2]} px for a mask of {self.measured.shape[2]}x"
                f"{self.measured.shape[3]} px; wanted the same size. Crop one of them."
            )
        return shape

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the operator itself: it is diagonal."""
        return y * self.measured

    def select(self, index: Tensor) -> "Inpainting":
        """Return the operator for some samples; a mask shared by all stays shared."""
        return self if self.measured.shape[0] == 1 else Inpainting(self.measured[index])
