"""Drawing from random mixtures of codes at a cut, so that composed maps stay drawable.

A restoration composes the maps of several codes. A generator that saw such mixtures while it was
trained draws them better (Gunn, Cocola, Hand, "Regularized Training of Intermediate Layers for
Generative Models for Inverse Problems", TMLR, 2023, https://doi.org/10.48550/arXiv.2203.04382).
"""

import torch
from torch import Tensor, nn

from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["MixingGenerator", "draw_weights"]

_MOST_CODES = 4  # each costs a run of the head


class MixingGenerator(nn.Module):
    """A generator that also draws from mixtures of codes at a cut.

    Parameters
    ----------
    generator : SplitGenerator
        The generator; its weights are shared.
    """

    def __init__(self, generator: SplitGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, weights: Tensor | None = None, cut: int = 0) -> Tensor:
        """Draw images, (B, C, H, W).

        Parameters
        ----------
        z : Tensor
            Codes (B, D), or (B N, D) with weights.
        weights : Tensor, optional
            Shares (B, N) of N codes an image.
        cut : int
            Where their maps are mixed.
        """
        if weights is None:
            images: Tensor = self.generator(z)
            return images
        maps = self.generator.head(z, cut).map  # (B N, C_l, H_l, W_l)
        maps = maps.reshape(*weights.shape, *maps.shape[1:])  # (B, N, C_l, H_l, W_l)
        mixed = (maps * weights[:, :, None, None, None].to(maps.dtype)).sum(dim=1)
        return self.generator.tail(Features(mixed), cut)


def draw_weights(n: int, rng: torch.Generator) -> Tensor:
    """Draw shares (n, N) of 2 to 4 codes, uniform on the simplex: Dirichlet(1, .., 1)."""
    n_codes = int(torch.randint(2, _MOST_CODES + 1, (), generator=rng))
    # exponential numbers divided by their sum
    parts = -torch.rand(n, n_codes, generator=rng).clamp_min(1e-12).log()
    shares: Tensor = parts / parts.sum(dim=1, keepdim=True)
    return shares
