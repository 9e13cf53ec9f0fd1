"""Noise, and pixels known to be bad: y = x + noise, bad pixels dropped."""

from torch import Tensor

from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.inpainting import Inpainting

__all__ = ["Denoising"]


class Denoising(Operator):
    """The identity, except at pixels known to be bad, which read 0.

    The noise is no part of the operator; it decides when to stop (discrepancy principle).

    Parameters
    ----------
    good : Tensor, optional
        1 (or True) where the camera pixel works, (1 or B, 1, H, W); None if all work.
    """

    def __init__(self, good: Tensor | None = None) -> None:
        super().__init__()
        self.masking = None if good is None else Inpainting(good)

    def forward(self, x: Tensor) -> Tensor:
        """Drop the bad pixels."""
        return x if self.masking is None else self.masking(x)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the image's own shape."""
        return shape if self.masking is None else self.masking.output_shape(shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the operator itself: it is diagonal."""
        return y if self.masking is None else self.masking.adjoint(y)

    def select(self, index: Tensor) -> "Denoising":
        """Return the operator for some samples."""
        return self if self.masking is None else Denoising(self.masking.select(index).measured)
