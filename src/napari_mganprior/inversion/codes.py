"""Several latent codes composed at a cut: x = G2( sum_n alpha_n * G1(z_n) ).

Equations (2) and (3) of Gu, Shen, Zhou, CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00308. For style generators the styles of the layers above
the cut are composed as the features are: layer l takes sum_n beta_nl * w_nl.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["Codes", "compose", "normalised"]


@dataclass(frozen=True, slots=True)
class Codes:
    """The unknowns of an inversion.

    Attributes
    ----------
    z : Tensor
        Latent codes, (B, N, D), in the generator's code space; in z only their directions count.
    alpha : Tensor
        Channel importances, (B, N, C_l).
    beta : Tensor or None
        Layer importances, (B, N, M): the weight of each code's style in every layer above the
        cut and, where the generator has one, last of each code's image so far. None where there
        is nothing of that kind, or for the mean.
    noise : Tensor or None
        Noise inputs above the cut, (B, P); only their direction counts. None leaves the
        generator's own.
    """

    z: Tensor
    alpha: Tensor
    beta: Tensor | None = None
    noise: Tensor | None = None

    def flat(self) -> Tensor:
        """Write all numbers of a sample into one row, (B, N * (D + C_l + M) + P)."""
        parts = (self.z, self.alpha, self.beta, self.noise)
        return torch.cat([part.flatten(1) for part in parts if part is not None], dim=1)

    @classmethod
    def from_flat(
        cls, flat: Tensor, n_codes: int, code_dim: int, n_mixed: int = 0, n_noise: int = 0
    ) -> "Codes":
        """Read what `flat` wrote; ``n_mixed`` is M, ``n_noise`` is P."""
        batch, size = flat.shape
        ends = (n_codes * code_dim, size - n_noise - n_codes * n_mixed, size - n_noise)
        z, alpha, beta, noise = flat.tensor_split(ends, dim=1)
        return cls(
            z.reshape(batch, n_codes, code_dim),
            alpha.reshape(batch, n_codes, -1),
            beta.reshape(batch, n_codes, n_mixed) if n_mixed else None,
            noise if n_noise else None,
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> "Codes":
        """Change every part that there is."""
        beta = None if self.beta is None else change(self.beta)
        noise = None if self.noise is None else change(self.noise)
        return Codes(change(self.z), change(self.alpha), beta, noise)

    def on_sphere(self, radius: float) -> "Codes":
        """Bring every code to a length, the generator's `code_radius`."""
        length = self.z.norm(dim=2, keepdim=True).clamp_min(1e-12)
        return replace(self, z=self.z * (radius / length))


def normalised(generator: SplitGenerator, codes: Codes) -> Codes:
    """Bring to a fixed length what only has a direction: codes in z, and noise."""
    if generator.code_space == "z":
        codes = codes.on_sphere(generator.code_radius)
    if codes.noise is not None:
        length = codes.noise.norm(dim=1, keepdim=True).clamp_min(1e-12)
        codes = replace(codes, noise=codes.noise * (codes.noise.shape[1] ** 0.5 / length))
    return codes


def compose(generator: SplitGenerator, codes: Codes, layer: int) -> Tensor:
    """Draw one image a sample from several codes.

    Parameters
    ----------
    generator : SplitGenerator
        The prior.
    codes : Codes
        z (B, N, D) in the generator's code space, alpha (B, N, C_l), and what style generators
        need besides.
    layer : int
        The cut.

    Returns
    -------
    Tensor
        Images, (B, image_channels, resolution, resolution).
    """
    batch, n_codes, code_dim = codes.z.shape
    codes = normalised(generator, codes)
    features = generator.head(codes.z.reshape(batch * n_codes, code_dim), layer)
    maps = features.map.unflatten(0, (batch, n_codes))  # (B, N, C_l, H_l, W_l)
    composed = torch.einsum("bnc,bnchw->bchw", codes.alpha, maps)
    styles, image = features.styles, features.image
    if styles is not None or image is not None:
        beta = codes.beta
        if beta is None:
            beta = codes.alpha.new_full((batch, n_codes, generator.n_mixed(layer)), 1 / n_codes)
        if styles is not None:
            each = styles.unflatten(0, (batch, n_codes))  # (B, N, S, W)
            styles = (beta[..., : each.shape[2], None] * each).sum(dim=1)
        if image is not None:
            images = image.unflatten(0, (batch, n_codes))
            image = (beta[..., -1, None, None, None] * images).sum(dim=1)
    return generator.tail(Features(composed, styles, image, codes.noise), layer)
