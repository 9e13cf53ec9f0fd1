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

__all__ = ["Codes", "assembled", "compose", "normalised"]


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
    offset : Tensor or None
        What is added to the composed map, (B, C_l, H_l, W_l).
    early : Codes or None
        Codes composed at a shallower cut. What they draw, carried up to this cut, is one more map
        to be mixed: alpha and beta have a last row for it, N + 1 rows in all; N may be 0.
    early_layer : int
        That shallower cut.
    """

    z: Tensor
    alpha: Tensor
    beta: Tensor | None = None
    noise: Tensor | None = None
    offset: Tensor | None = None
    early: "Codes | None" = None
    early_layer: int = 0

    def flat(self) -> Tensor:
        """Write z, alpha, beta and noise of a sample into one row, (B, N * (D + C_l + M) + P)."""
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

        def of(part: Tensor | None) -> Tensor | None:
            return None if part is None else change(part)

        return Codes(
            change(self.z),
            change(self.alpha),
            of(self.beta),
            of(self.noise),
            of(self.offset),
            None if self.early is None else self.early.each(change),
            self.early_layer,
        )

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
    if codes.early is not None:
        codes = replace(codes, early=normalised(generator, codes.early))
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
    return generator.tail(assembled(generator, normalised(generator, codes), layer), layer)


def assembled(generator: SplitGenerator, codes: Codes, layer: int) -> Features:
    """Mix what several codes draw at a cut.

    Parameters
    ----------
    generator, codes, layer
        As for `compose`; the codes are used as they are.

    Returns
    -------
    Features
        One map a sample, and what style generators need besides.
    """
    drawn = _drawn(generator, codes, layer)
    composed = torch.einsum("bnc,bnchw->bchw", codes.alpha, drawn.map)
    if codes.offset is not None:
        composed = composed + codes.offset
    styles, image = drawn.styles, drawn.image
    if styles is not None or image is not None:
        beta = codes.beta
        if beta is None:
            batch, rows = codes.alpha.shape[:2]
            beta = codes.alpha.new_full((batch, rows, generator.n_mixed(layer)), 1 / rows)
        if styles is not None:
            styles = (beta[..., : styles.shape[2], None] * styles).sum(dim=1)
        if image is not None:
            image = (beta[..., -1, None, None, None] * image).sum(dim=1)
    return Features(composed, styles, image, codes.noise)


def _drawn(generator: SplitGenerator, codes: Codes, layer: int) -> Features:
    """Draw what is mixed at a cut, one behind the other: (B, N, ..) or (B, N + 1, ..)."""
    batch, n_codes, code_dim = codes.z.shape
    parts = []
    if n_codes:
        each = generator.head(codes.z.reshape(batch * n_codes, code_dim), layer)
        parts.append(_each(each, lambda part: part.unflatten(0, (batch, n_codes))))
    if codes.early is not None:
        carried = generator.between(
            assembled(generator, codes.early, codes.early_layer), codes.early_layer, layer
        )
        parts.append(_each(carried, lambda part: part[:, None]))
    if len(parts) == 1:
        return parts[0]

    def joined(name: str) -> Tensor | None:
        both = [getattr(part, name) for part in parts]
        return None if both[0] is None else torch.cat(both, dim=1)

    maps = joined("map")
    assert maps is not None
    return Features(maps, joined("styles"), joined("image"))


def _each(features: Features, change: Callable[[Tensor], Tensor]) -> Features:
    styles = None if features.styles is None else change(features.styles)
    image = None if features.image is None else change(features.image)
    return Features(change(features.map), styles, image)
