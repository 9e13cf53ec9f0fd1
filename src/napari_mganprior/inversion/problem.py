"""What was measured, and how well a drawing explains it."""

from copy import copy

import torch
from torch import Tensor, nn

from napari_mganprior.arrays import network_dtype
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.losses import FeatureDistance, data_error, data_loss
from napari_mganprior.operators.base import Operator

__all__ = ["Problem"]


class Problem:
    """Objective of B * R searches; samples of one image stand side by side.

    Parameters
    ----------
    operator : Operator
        How the measurement came about.
    y : Tensor
        Measurements, (B, C, H, W).
    weight : Tensor
        Of each measured pixel, (B, 1, H, W).
    config : InversionConfig
        Settings.
    rng : torch.Generator
        Draws the pixels that are held out.
    discriminator : nn.Module or None
        For the feature distance, or another network with ``features(x, n_maps)``.
    """

    def __init__(
        self,
        operator: Operator,
        y: Tensor,
        weight: Tensor,
        config: InversionConfig,
        rng: torch.Generator,
        discriminator: nn.Module | None,
    ) -> None:
        self.config = config
        check = torch.zeros_like(weight)
        if config.held_out > 0:
            drawn = torch.rand(weight.shape, generator=rng).to(weight.device)
            check = weight * (drawn < config.held_out)
            # an image with next to nothing measured cannot spare any
            enough = (check > 0).sum(dim=(1, 2, 3), keepdim=True) >= 16
            check = check * enough
        self.dtype = network_dtype(config.precision, y.device)
        each = torch.arange(y.shape[0], device=y.device).repeat_interleave(config.n_restarts)
        self.operator = operator.select(each)
        self.y = y[each]
        self.fit = (weight - check)[each]
        self.check = check[each]
        self.all = weight[each]
        self.has_check = self.check.flatten(1).any(dim=1)
        self.features = None
        if discriminator is not None and config.feature_weight > 0:
            self.features = FeatureDistance(discriminator, self.y * self.fit, self.fit)

    @property
    def searches(self) -> int:
        """How many searches there are, B * R."""
        return len(self.y)

    def loss(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of drawings (S, C, H, W), (S,), and A(x) - y."""
        difference = self.operator(x) - self.y
        loss = data_loss(*self._compared(difference), self.fit)
        if self.features is not None:
            with self.autocast():
                distance = self.features(self.operator(x) * self.fit)
            loss = loss + self.config.feature_weight * distance
        return loss, difference

    @torch.no_grad()
    def error(self, difference: Tensor) -> Tensor:
        """Return what iterates and searches are chosen by, (S,)."""
        compared = self._compared(difference)
        held_out = data_error(*compared, self.check)
        return torch.where(self.has_check, held_out, data_error(*compared, self.all))

    def _compared(self, difference: Tensor) -> tuple[str, Operator, Tensor, Tensor]:
        return self.config.data_term, self.operator, difference, self.y

    def autocast(self) -> torch.autocast:
        """Let the networks compute in fewer bits."""
        return torch.autocast(
            self.y.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )

    def copy(self) -> "Problem":
        """Return the same objective, of which searches can be dropped without loss to this one."""
        other = copy(self)
        other.features = copy(self.features)
        return other

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self.operator = self.operator.select(index)
        for name in ("y", "fit", "check", "has_check", "all"):
            setattr(self, name, getattr(self, name)[index])
        if self.features is not None:
            self.features.keep(index)
