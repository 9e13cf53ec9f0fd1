"""How far the drawing, passed through the operator, is from the measurement."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["FeatureDistance", "mean_square"]


def mean_square(difference: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference over the pixels that count.

    Parameters
    ----------
    difference : Tensor
        (B, C, H, W).
    weight : Tensor
        Weight of each pixel, 0 or more, (B, 1, H, W).

    Returns
    -------
    Tensor
        (B,).
    """
    total = (difference.square() * weight).sum(dim=(1, 2, 3))
    return total / (weight.sum(dim=(1, 2, 3)) * difference.shape[1]).clamp_min(1e-12)


class FeatureDistance(nn.Module):
    """Mean squared distance between a discriminator's inner maps, the target's maps kept.

    Every map is divided by the standard deviation of the target's, so that the maps count alike.
    Pan et al., ECCV 2020, https://doi.org/10.1007/978-3-030-58536-5_16, section 3.2.

    Parameters
    ----------
    discriminator : nn.Module
        With a method ``features(x, n_maps)``, as `PGGANDiscriminator` has.
    target : Tensor
        What the features are compared with, (B, C, H, W).
    weight : Tensor
        Weight of each pixel, (B, 1, H, W), averaged down to the size of every map.
    n_maps : int
        How many maps, from the finest down.
    """

    def __init__(
        self, discriminator: nn.Module, target: Tensor, weight: Tensor, *, n_maps: int = 3
    ) -> None:
        super().__init__()
        self._discriminator = discriminator
        self._n_maps = n_maps
        with torch.no_grad():
            maps = discriminator.features(target, n_maps)  # type: ignore[operator]
            self._target = [m.float() for m in maps]
            self._scale = [m.var(dim=(1, 2, 3)).clamp_min(1e-4) for m in self._target]
            self._weight = [F.adaptive_avg_pool2d(weight, (m.shape[2], m.shape[3])) for m in maps]

    def forward(self, x: Tensor) -> Tensor:
        """Return the distance of images (B, C, H, W) from the target, (B,)."""
        maps = self._discriminator.features(x, self._n_maps)  # type: ignore[operator]
        total = x.new_zeros(x.shape[0])
        for got, wanted, scale, weight in zip(
            maps, self._target, self._scale, self._weight, strict=True
        ):
            total = total + mean_square(got.float() - wanted, weight) / scale
        return total / self._n_maps

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples only."""
        self._target = [m[index] for m in self._target]
        self._scale = [s[index] for s in self._scale]
        self._weight = [w[index] for w in self._weight]
