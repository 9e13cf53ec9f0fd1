"""The method pulse: codes that stay on their sphere, by Adam.

Menon, Damian, Hu, Ravi, Rudin, CVPR 2020, "PULSE: Self-Supervised Photo Upsampling via Latent
Space Exploration of Generative Models", https://doi.org/10.1109/CVPR42600.2020.00251.
"""

from math import sqrt

import torch
from torch import Tensor

from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.adam import BatchedAdam
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.spaces import FixedMixture, Optimiser

__all__ = ["Pulse"]

_RATE = 0.2
_CROSS = 0.005


class Pulse(FixedMixture):
    """One code at the first layer, or one for each style, each on its sphere.

    The loss is the error of the drawing passed through the operator (PULSE: downscaled). Where
    there are several codes, their mean squared angle to each other is added (PULSE: the cross
    loss of geodesic distances), so that they do not fall apart. PULSE searches a Gaussian fitted
    to the mapped codes; here codes lie in z itself and the mapping network follows.
    """

    def __init__(self, generator: SplitGenerator, config: InversionConfig) -> None:
        layer, alpha, beta = _one_code(generator)
        if "w" in generator.code_spaces:
            layer, alpha, beta = _a_code_for_each_style(generator)
        super().__init__(generator, config, layer, alpha, beta)

    def optimiser(self, start: Tensor) -> Optimiser:
        """Make a spherical Adam."""
        return BatchedAdam(start, n_steps=self.n_steps, rate=_RATE, project=self._on_spheres)

    def penalty(self, rows: Tensor) -> Tensor | None:
        """Mean squared angle between the codes of a search, in radians, weighted."""
        z = self.read(rows).z
        n = z.shape[1]
        if n == 1:
            return None
        unit = z / z.norm(dim=2, keepdim=True).clamp_min(1e-12)
        one, other = unit[:, :, None], unit[:, None]  # (S, N, 1, D), (S, 1, N, D)
        # by half angles: the arc cosine has no slope at 0
        chord = ((one - other).square().sum(dim=3) + 1e-9).sqrt()
        cross = ((one + other).square().sum(dim=3) + 1e-9).sqrt()
        angle = 2 * torch.atan2(chord, cross)
        return _CROSS * angle.square().sum(dim=(1, 2)) / (n * (n - 1))

    def _on_spheres(self, rows: Tensor) -> Tensor:
        codes = self.read(rows).on_sphere(self.generator.code_radius)
        if codes.noise is None:
            return self.rows(codes)
        noise = codes.noise
        length = noise.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return torch.cat([codes.z.flatten(1), noise * (sqrt(noise.shape[1]) / length)], dim=1)


def _one_code(generator: SplitGenerator) -> tuple[int, Tensor, Tensor | None]:
    return 0, torch.ones(1, generator.feature_shape(0)[0]), None


def _a_code_for_each_style(generator: SplitGenerator) -> tuple[int, Tensor, Tensor]:
    """Give layer 0 the first code, the map behind it counts; and every later style its own."""
    weight = next(generator.parameters())
    z = torch.ones(1, generator.code_dim, device=weight.device)
    with torch.no_grad():
        features = generator.head(z, 1)
    n_styles = 0 if features.styles is None else features.styles.shape[1]
    alpha = torch.zeros(1 + n_styles, features.map.shape[1])
    alpha[0] = 1.0
    beta = torch.zeros(1 + n_styles, generator.n_mixed(1))
    beta[1:, :n_styles] = torch.eye(n_styles)
    if features.image is not None:
        beta[0, -1] = 1.0
    return 1, alpha, beta
