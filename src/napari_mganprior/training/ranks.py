"""The processes of a run: what one of several has to know of the others."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["Ranks"]


class Ranks:
    """A run in one process: the others that it would have to agree with do not exist.

    A launcher's subclass (`napari_mganprior.training.launch`) speaks to real ones. Every method
    that exchanges something must be called by all of them, in the same order.

    Attributes
    ----------
    rank : int
        Which process this is, 0 .. size - 1; only 0 writes files.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    def shared(self, network: nn.Module) -> Callable[..., Any]:
        """Return the network such that its gradients become the mean over all processes."""
        return network

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes."""
        return values

    def gathered(self, values: Tensor) -> list[Tensor]:
        """Return what each process has, on the CPU."""
        return [values]

    def from_first(self, value: Any) -> Any:
        """Return what process 0 has; of others the value is ignored."""
        return value
