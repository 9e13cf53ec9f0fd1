"""Noise, and pixels known to be bad: y = x + noise, bad pixels dropped."""

from torch import Tensor

from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.inpainting import Inpainting

__all__ = ["Denoising"]


class Denoising(Operator):
    """The identity, except at pixels known to be bad, which read 0.

    The noise is no part of what the operator does to an image; it decides when to stop
    (discrepancy principle), and how much a pixel counts.

    Parameters
    ----------
    good : Tensor, optional
        1 (or True) where the camera pixel works, (1 or B, 1, H, W); None if all work.
    noise : tuple of float, optional
        Slope, constant and least value of the noise's variance over the signal, in the images'
        units: ``max(slope * x + constant, least)``, least above 0. None where nothing is known.
    """

    def __init__(
        self, good: Tensor | None = None, noise: tuple[float, float, float] | None = None
    ) -> None:
        super().__init__()
        self.noise = noise
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

    def noise_variance(self, measured: Tensor) -> Tensor:
        """Variance of the noise, the larger the brighter."""
        if self.noise is None:
            return super().noise_variance(measured)
        slope, constant, least = self.noise
        return (slope * measured + constant).clamp_min(least)

    def select(self, index: Tensor) -> "Denoising":
        """Return the operator for some samples."""
        if self.masking is None:
            return self
        return Denoising(self.masking.select(index).measured, self.noise)
