"""Adaptive discriminator augmentation: from few images without learning them by heart.

Real and drawn crops are changed alike, at random, before the discriminator sees them, so that it
cannot tell the few real ones by heart. How often follows from how much it overfits. Written from
the description in Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, "Training Generative
Adversarial Networks with Limited Data", NeurIPS 2020, https://doi.org/10.48550/arXiv.2006.06676.
"""

from dataclasses import asdict, dataclass
from math import log, pi
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["AugmentControl", "augment"]

_STRONGEST = 0.8  # beyond it changes begin to show up in the drawings (section 2.2 of the paper)
_CHECK_EVERY = 8  # steps between two corrections of the strength
_RISE = 50_000  # crops in which the strength can go from 0 to 1
_SHIFT = 0.125  # of the side, the largest translation
_SCALE, _CONTRAST = 0.2 * log(2), 0.5 * log(2)  # standard deviations of logarithms
_BRIGHTNESS = 0.2  # standard deviation, of [-1, 1]
_HOLE = 0.5  # of the side


@dataclass(slots=True)
class AugmentControl:
    """How strongly crops are changed, driven by how much the discriminator overfits.

    The signal is r = E[sign(D(real))]: 0 where it cannot tell real crops, 1 where it knows all.

    Attributes
    ----------
    strength : float
        Probability of each change, 0 to 0.8.
    overfit : float or None
        The signal over the last few steps, -1 to 1; None before the first.
    total : float
        Sum of the signal since the last correction.
    n_steps : int
        Steps since the last correction.
    """

    strength: float = 0.0
    overfit: float | None = None
    total: float = 0.0
    n_steps: int = 0

    def watch(self, sign: float, n_images: int, target: float) -> None:
        """Take in one step, and correct the strength every few of them.

        Parameters
        ----------
        sign : float
            Mean sign of the scores of real crops, -1 to 1.
        n_images : int
            Crops in the step.
        target : float
            Where the signal should be.
        """
        self.total += sign
        self.n_steps += 1
        if self.n_steps < _CHECK_EVERY:
            return
        self.overfit = self.total / self.n_steps
        change = self.n_steps * n_images / _RISE
        change = change if self.overfit > target else -change
        self.strength = min(max(self.strength + change, 0.0), _STRONGEST)
        self.total, self.n_steps = 0.0, 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return asdict(self)


def augment(images: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Change images at random: turned, mirrored, shifted, scaled, a hole, brightness, contrast.

    Each kind of change happens to each image with the probability ``strength``. What comes from
    beyond the border is mirrored. A gradient flows through.

    Parameters
    ----------
    images : Tensor
        Square images (B, C, H, H) in [-1, 1].
    strength : float
        0 to 1; at 0 the images come back as they are and no random number is drawn.
    rng : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        float32, of the same shape; a hole is 0, and values can leave [-1, 1].
    """
    if strength <= 0:
        return images
    n, _, side, _ = images.shape
    happens = (torch.rand(n, 8, generator=rng) < strength).unbind(1)
    chance = torch.rand(n, 7, generator=rng, dtype=torch.float64).unbind(1)
    normal = torch.randn(n, 3, generator=rng).unbind(1)

    theta = _geometry(happens, chance, normal[0], side).to(images.device)  # (B, 2, 3)
    # float32: bfloat16 cannot name the positions of 256 pixels
    with torch.autocast(images.device.type, enabled=False):
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        changed = F.grid_sample(
            images.float(), grid, padding_mode="reflection", align_corners=False
        )
        gain = torch.where(happens[5], (normal[1] * _CONTRAST).exp(), 1.0)
        bias = torch.where(happens[6], normal[2] * _BRIGHTNESS, 0.0)
        kept = _holes(happens[7], chance[5], chance[6], side)  # (B, 1, H, H)
        gain, bias, kept = (
            x.to(images.device)
            for x in (gain[:, None, None, None], bias[:, None, None, None], kept)
        )
        result: Tensor = (changed * gain + bias) * kept
    return result


def _geometry(
    happens: tuple[Tensor, ...], chance: tuple[Tensor, ...], normal: Tensor, side: int
) -> Tensor:
    """Compose all turns, mirrorings, scales and shifts into one matrix an image, (B, 2, 3)."""
    quarters = torch.where(happens[0], (chance[0] * 4).floor(), 0.0)
    angle = quarters * (pi / 2) + torch.where(happens[1], (chance[1] * 2 - 1) * pi, 0.0)
    mirror = torch.where(happens[2] & (chance[2] < 0.5), -1.0, 1.0)
    scale = torch.where(happens[3], (normal * _SCALE).exp(), 1.0)
    # whole pixels, so that shifting alone does not blur
    most = round(_SHIFT * side)
    shifts = [
        torch.where(happens[4], (u * (2 * most + 1)).floor() - most, 0.0) * (2 / side)
        for u in chance[3:5]
    ]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [
        torch.stack([cos * mirror, -sin, shifts[0]], dim=1),
        torch.stack([sin * mirror, cos, shifts[1]], dim=1),
    ]
    return torch.stack(rows, dim=1).float()


def _holes(happens: Tensor, across: Tensor, down: Tensor, side: int) -> Tensor:
    """Draw masks (B, 1, H, H) that are 0 in a square around a random centre."""
    places = (torch.arange(side) + 0.5) / side
    x = (places[None, :] - across[:, None]).abs() < _HOLE / 2  # (B, W)
    y = (places[None, :] - down[:, None]).abs() < _HOLE / 2  # (B, H)
    hole = happens[:, None, None] & y[:, :, None] & x[:, None, :]
    return (~hole)[:, None].float()
