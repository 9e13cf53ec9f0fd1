"""Several latent codes composed at a cut: x = G2( sum_n alpha_n * G1(z_n) ).

Equations (2) and (3) of Gu, Shen, Zhou, CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00308.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["Codes", "compose"]


@dataclass(frozen=True, slots=True)
class Codes:
    """The unknowns of an inversion.

    Attributes
    ----------
    z : Tensor
        Latent codes, (B, N, D); only their directions count.
    alpha : Tensor
        Channel importances, (B, N, C_l).
    """

    z: Tensor
    alpha: Tensor

    def flat(self) -> Tensor:
        """Write all numbers of a sample into one row, (B, N * (D + C_l))."""
        return torch.cat([self.z.flatten(1), self.alpha.flatten(1)], dim=1)

    @classmethod
    def from_flat(cls, flat: Tensor, n_codes: int, code_dim: int) -> "Codes":
        """Read what `flat` wrote."""
        batch = flat.shape[0]
        z = flat[:, : n_codes * code_dim].reshape(batch, n_codes, code_dim)
        alpha = flat[:, n_codes * code_dim :].reshape(batch, n_codes, -1)
        return cls(z, alpha)

    def on_sphere(self, radius: float) -> "Codes":
        """Bring every code to a length, the generator's `code_radius`."""
        length = self.z.norm(dim=2, keepdim=True).clamp_min(1e-12)
        return Codes(self.z * (radius / length), self.alpha)


def compose(generator: SplitGenerator, codes: Codes, layer: int) -> Tensor:
    """Draw one image a sample from several codes.

    Parameters
    ----------
    generator : SplitGenerator
        The prior.
    codes : Codes
        z (B, N, D) and alpha (B, N, C_l).
    layer : int
        The cut.

    Returns
    -------
    Tensor
        Images, (B, image_channels, resolution, resolution).
    """
    batch, n_codes, code_dim = codes.z.shape
    z = codes.on_sphere(generator.code_radius).z.reshape(batch * n_codes, code_dim)
    features = generator.head(z, layer)  # maps (B * N, C_l, H_l, W_l)
    maps = features.map.unflatten(0, (batch, n_codes))
    composed = torch.einsum("bnc,bnchw->bchw", codes.alpha, maps)
    styles = features.styles
    if styles is not None:
        styles = styles.unflatten(0, (batch, n_codes)).mean(dim=1)
    return generator.tail(Features(composed, styles), layer)
