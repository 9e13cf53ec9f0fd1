"""The contract of a generator that can be cut in two: x = G(z) = G2(G1(z))."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Features", "SplitGenerator"]


@dataclass(frozen=True, slots=True)
class Features:
    """What a generator's head hands to its tail.

    Attributes
    ----------
    map : Tensor
        Feature maps at the cut, (B, C_l, H_l, W_l).
    styles : Tensor or None
        What the blocks above the cut still need besides the map: the styles of a
        style generator, (B, S, W); None where the map is all there is.
    """

    map: Tensor
    styles: Tensor | None = None


class SplitGenerator(nn.Module, ABC):
    """A generator that can be cut after any of its blocks.

    Law: ``tail(head(z, k), k) == forward(z)`` for every ``k`` in ``0 .. n_layers``.

    Images are (B, image_channels, resolution, resolution) in [-1, 1].
    """

    architecture: str
    """Name under which a checkpoint names this class."""

    code_dim: int
    """Length D of one latent code."""

    image_channels: int
    """1 for grey, 3 for RGB."""

    resolution: int
    """Height and width of the images, in pixels."""

    n_layers: int
    """Number of blocks; cuts are 0 (the code itself) .. n_layers."""

    @property
    def code_radius(self) -> float:
        """Length of a code: that of the codes it was trained on, sqrt(D) for N(0, 1)."""
        return float(self.code_dim**0.5)

    @abstractmethod
    def head(self, z: Tensor, layer: int) -> Features:
        """Draw features G1(z) at a cut.

        Parameters
        ----------
        z : Tensor
            Latent codes, (B, D).
        layer : int
            Number of blocks in the head, 0 .. n_layers.

        Returns
        -------
        Features
            Maps (B, C_l, H_l, W_l) and, for style generators, styles.
        """

    @abstractmethod
    def tail(self, features: Features, layer: int) -> Tensor:
        """Draw images G2(features) from a cut.

        Parameters
        ----------
        features : Features
            What `head` returned, or a mixture of it.
        layer : int
            The cut at which the features were taken, 0 .. n_layers.

        Returns
        -------
        Tensor
            Images, (B, image_channels, resolution, resolution), nominally in [-1, 1].
        """

    @abstractmethod
    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Shape (C_l, H_l, W_l) of the map at a cut."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything needed to build this network again, as JSON-able keywords."""

    def fold_scales(self) -> None:  # noqa: B027  (most architectures have none)
        """Turn run-time scales of the weights into plain weights, where there are any."""

    def forward(self, z: Tensor) -> Tensor:
        """Draw images from codes (B, D)."""
        return self.tail(self.head(z, 0), 0)

    def sample_codes(
        self, n: int, *, rng: torch.Generator, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Draw codes uniformly from the sphere of radius `code_radius`.

        Parameters
        ----------
        n : int
            How many.
        rng : torch.Generator
            Source of randomness, on the CPU, so that every device sees the same codes.
        device : torch.device or str
            Where the codes are wanted.

        Returns
        -------
        Tensor
            Codes, (n, D), float32.
        """
        z: Tensor = torch.randn(n, self.code_dim, generator=rng)
        z = z * (self.code_radius / torch.linalg.vector_norm(z, dim=1, keepdim=True))
        codes: Tensor = z.to(device)
        return codes
