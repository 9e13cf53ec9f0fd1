"""The contract of a forward operator."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from napari_mganprior.errors import SettingsError

__all__ = ["Operator"]


class Operator(nn.Module, ABC):
    """A known degradation y = A(x).

    Images and measurements are (B, C, H, W) tensors; images are in [-1, 1]. What an operator
    needs to know (a mask, a kernel) is a buffer, so that ``.to(device)`` moves it.

    Laws, for a linear operator: ``A(a x1 + b x2) == a A(x1) + b A(x2)`` and
    ``<A(x), y> == <x, adjoint(y)>``.
    """

    linear: bool = True
    """Whether `adjoint` exists."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Degrade images (B, C, H, W)."""

    @abstractmethod
    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape (C, H, W) of the measurement of an image of shape (C, H, W).

        Raises
        ------
        ImageError
            If an image of this shape cannot be degraded.
        """

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed operator to measurements; the result has the images' shape."""

    def noise_variance(self, measured: Tensor) -> Tensor:
        """Variance of the noise at pixels of measurements without noise, in squared units of them.

        Parameters
        ----------
        measured : Tensor
            A(x), (B, C, H, W) or another shape with the batch first.

        Raises
        ------
        SettingsError
            If the operator knows nothing of noise.
        """
        raise SettingsError(
            f"Got the data term poisson-gaussian for {type(self).__name__}, which does not say how "
            "noise grows with the signal; wanted denoising with poisson noise. Set data_term to "
            "mse."
        )

    def select(self, index: Tensor) -> "Operator":
        """Return the operator for some samples of a batch, in the order given.

        Parameters
        ----------
        index : Tensor
            Numbers of samples; one may stand there several times.
        """
        return self
