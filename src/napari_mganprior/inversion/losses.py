"""How far the drawing, passed through the operator, is from the measurement."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.operators.base import Operator

__all__ = ["FeatureDistance", "data_error", "data_loss", "mean_square"]


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
    return _mean(difference.square(), weight)


def data_loss(name: str, operator: Operator, difference: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """How far measurements of drawings are from those that were made.

    Parameters
    ----------
    name : {"mse", "poisson-gaussian"}
        The mean square, or twice the negative log-likelihood of Gaussian noise whose variance v
        the drawing itself decides: ``v0 * (d**2 / v + log(v / v0))`` with v0 the variance at the
        mean of ``y``. Where v is v0 everywhere, both are the same.
    operator : Operator
        Knows the noise, where the name asks for it.
    difference : Tensor
        d = A(x) - y, (B, C, H, W).
    y : Tensor
        What was measured, (B, C, H, W).
    w : Tensor
        Weight of each pixel, 0 or more, (B, 1, H, W).

    Returns
    -------
    Tensor
        (B,).

    Raises
    ------
    SettingsError
        If the operator knows nothing of noise, and is asked.

    References
    ----------
    Foi et al., IEEE TIP 17, 2008, https://doi.org/10.1109/TIP.2008.2001399, equation 1.
    """
    if name == "mse":
        return mean_square(difference, w)
    variance, typical = _variances(operator, difference, y, w)
    each = typical * (difference.square() / variance + (variance / typical).log())
    return _mean(each, w)


def data_error(name: str, operator: Operator, difference: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Return what iterates are chosen by and searches end at: `data_loss`, no logarithm.

    Where only noise is left it is the noise's own variance, v0.
    """
    if name == "mse":
        return mean_square(difference, w)
    variance, typical = _variances(operator, difference, y, w)
    return _mean(typical * difference.square() / variance, w)


def _variances(
    operator: Operator, difference: Tensor, y: Tensor, w: Tensor
) -> tuple[Tensor, Tensor]:
    middle = (y * w).sum(dim=(1, 2, 3), keepdim=True) / (
        w.sum(dim=(1, 2, 3), keepdim=True) * y.shape[1]
    ).clamp_min(1e-12)
    return operator.noise_variance(y + difference), operator.noise_variance(middle)


def _mean(each: Tensor, w: Tensor) -> Tensor:
    total = (each * w).sum(dim=(1, 2, 3))
    return total / (w.sum(dim=(1, 2, 3)) * each.shape[1]).clamp_min(1e-12)


class FeatureDistance(nn.Module):
    """Mean squared distance between a network's inner maps, the target's maps kept.

    Every map is divided by the variance of the target's, so that the maps count alike.
    Pan et al., ECCV 2020, https://doi.org/10.1007/978-3-030-58536-5_16, section 3.2.

    What was measured need not be a picture of the kind that the network was made for: a luma is
    shown to a network of colours in three equal channels, and fewer pixels each as a square of
    them, so that structures have the size that the network knows.

    Parameters
    ----------
    discriminator : nn.Module
        With a method ``features(x, n_maps)``, as `PGGANDiscriminator` and `VGG16` have. Where it
        has ``image_channels`` and ``resolution``, it is shown pictures of those.
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
            maps = self._maps(target)
            self._target = [m.float() for m in maps]
            self._scale = [m.var(dim=(1, 2, 3)).clamp_min(1e-4) for m in self._target]
            self._weight = [F.adaptive_avg_pool2d(weight, (m.shape[2], m.shape[3])) for m in maps]

    def forward(self, x: Tensor) -> Tensor:
        """Return the distance of images (B, C, H, W) from the target, (B,)."""
        maps = self._maps(x)
        total = x.new_zeros(x.shape[0])
        for got, wanted, scale, weight in zip(
            maps, self._target, self._scale, self._weight, strict=True
        ):
            total = total + mean_square(got.float() - wanted, weight) / scale
        return total / len(maps)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the samples only."""
        self._target = [m[index] for m in self._target]
        self._scale = [s[index] for s in self._scale]
        self._weight = [w[index] for w in self._weight]

    def _maps(self, x: Tensor) -> list[Tensor]:
        network = self._discriminator
        if x.shape[1] == 1:
            x = x.expand(-1, getattr(network, "image_channels", 1), -1, -1)
        factor = getattr(network, "resolution", 0) // x.shape[-1]
        if factor > 1:
            x = x.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
        return network.features(x, self._n_maps)  # type: ignore[operator, no-any-return]
