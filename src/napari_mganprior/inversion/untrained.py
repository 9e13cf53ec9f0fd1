"""Deep Image Prior: the weights of an untrained network are searched for, on the same loop.

Ulyanov, Vedaldi, Lempitsky, CVPR 2018, "Deep Image Prior",
https://doi.org/10.1109/CVPR.2018.00984: an hourglass of convolutions draws natural images sooner
than noise, so that what it draws of a damaged image, stopped in time, is restored. A baseline: no
prior is needed, and nothing is known but what convolutions are like.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.inversion.codes import Codes
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import Step, follow
from napari_mganprior.inversion.problem import Problem
from napari_mganprior.operators.base import Operator

__all__ = ["Hourglass", "deep_image_prior"]

_SLOPE = 0.2
_SMALLEST = 4  # pixels, at the waist
_INPUT_SPREAD = 0.1
_JITTER = 1 / 30  # of the input, new in every evaluation
_AVERAGED = 0.98  # weight of the drawings so far
_DEFAULTS = InversionConfig(n_restarts=1, n_steps=1000, patience=250, held_out=0.05)


class Hourglass(nn.Module):
    """Convolutions down to a few pixels and up again, with narrow shortcuts at every size.

    Parameters
    ----------
    image_channels : int
        Of what it draws.
    n_sizes : int
        Halvings, 1 or more.
    width : int
        Channels at every size; as many go in.
    skip : int
        Channels of every shortcut.
    """

    def __init__(
        self, *, image_channels: int, n_sizes: int, width: int = 32, skip: int = 4
    ) -> None:
        super().__init__()
        self.down, self.skips, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for _ in range(n_sizes):
            self.skips.append(_block(width, skip, 1))
            self.down.append(
                nn.Sequential(_block(width, width, 3, stride=2), _block(width, width, 3))
            )
            self.up.append(nn.Sequential(_block(width + skip, width, 3), _block(width, width, 1)))
        self.to_image = nn.Conv2d(width, image_channels, 1)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.normal_(generator=rng).mul_(sqrt(2 / module.weight[0].numel()))
                    if module.bias is not None:
                        module.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Draw images (B, C, H, W), in -1 .. 1, from noise (B, width, H, W)."""
        kept = []
        for down, skip in zip(self.down, self.skips, strict=True):
            kept.append(skip(x))
            x = down(x)
        for up, skipped in zip(self.up, reversed(kept), strict=True):
            x = F.interpolate(x, skipped.shape[2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, skipped], dim=1))
        return torch.tanh(self.to_image(x))


def _block(before: int, after: int, size: int, stride: int = 1) -> nn.Sequential:
    padding = size // 2
    return nn.Sequential(
        nn.Conv2d(
            before, after, size, stride, padding, padding_mode="reflect" if padding else "zeros"
        ),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(_SLOPE),
    )


class _Weights:
    """The search for the weights of one network a search; a `Stage`."""

    layer = 0

    def __init__(
        self,
        problem: Problem,
        shape: tuple[int, int, int],
        rng: torch.Generator,
        width: int,
        rate: float,
    ) -> None:
        self.problem, self.n_steps = problem, problem.config.n_steps
        self._rng, self._step, self._width, self._size = rng, 0, width, shape[1:]
        device = problem.y.device
        n_sizes = max(1, (min(shape[1:]) // _SMALLEST).bit_length() - 1)
        self._networks, self._inputs, self._optimisers = [], [], []
        for _ in range(problem.searches):
            network = Hourglass(image_channels=shape[0], n_sizes=n_sizes, width=width)
            network.initialise(rng)
            self._inputs.append(self._noise(_INPUT_SPREAD).to(device))
            self._networks.append(network.to(device))
            self._optimisers.append(torch.optim.Adam(network.parameters(), lr=rate))
        self._average: Tensor | None = None

    def advance(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw, judge the average of the drawings so far, and move the weights."""
        problem = self.problem
        with torch.enable_grad():
            with problem.autocast():
                x = torch.cat(
                    [
                        network(held + self._noise(_JITTER).to(held.device))
                        for network, held in zip(self._networks, self._inputs, strict=True)
                    ]
                ).float()
            loss, _ = problem.loss(x)
            for optimiser in self._optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.sum().backward()
        for optimiser in self._optimisers:
            optimiser.step()
        x = x.detach()
        # a short memory at first, so that the average does not drag the random start along
        share = min(_AVERAGED, self._step / (self._step + 10))
        self._average = x if self._average is None else torch.lerp(x, self._average, share)
        self._step += 1
        difference = problem.operator(self._average) - problem.y
        return x.new_zeros(len(x), 0), problem.error(difference), self._average

    def codes(self, rows: Tensor) -> Codes:
        """There are none."""
        return Codes(rows[:, :, None], rows[:, :, None])

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self.problem.keep(index)
        chosen = index.tolist()
        for name in ("_networks", "_inputs", "_optimisers"):
            setattr(self, name, [getattr(self, name)[i] for i in chosen])
        if self._average is not None:
            self._average = self._average[index]

    def exactly(self) -> None:
        """Compute in float32 from now on."""
        self.problem.dtype = torch.float32

    def _noise(self, spread: float) -> Tensor:
        return spread * torch.randn(1, self._width, *self._size, generator=self._rng)


def deep_image_prior(
    y: Tensor,
    operator: Operator,
    weight: Tensor | None = None,
    *,
    rng: torch.Generator,
    shape: tuple[int, int, int] | None = None,
    config: InversionConfig = _DEFAULTS,
    width: int = 32,
    rate: float = 0.01,
) -> Iterator[Step]:
    """Search weights of an untrained network whose drawing explains a measurement.

    Parameters
    ----------
    y : Tensor
        Measurements, (B, C, H, W), images' values in [-1, 1].
    operator : Operator
        How they came about.
    weight : Tensor, optional
        Weight of each measured pixel in the loss, (B, 1, H, W); 1 everywhere if left out.
    rng : torch.Generator
        On the CPU; the same state gives the same result, to the last bit on a CPU.
    shape : tuple of int, optional
        Channels, height and width of the images; those of ``y`` if left out.
    config : InversionConfig, optional
        Restarts, evaluations, when to stop, share held out, noise level and precision; what is
        about generators does not count.
    width : int
        Channels of the network, 1 or more; 128 in the paper, for photographs of 512 px.
    rate : float
        Learning rate of Adam.

    Yields
    ------
    Step
        One an evaluation, without codes, until every search has ended. Its drawing is the average
        of those before, as in the paper; the best by held-out pixels is kept.

    Examples
    --------
    >>> from napari_mganprior.arrays import seeded
    >>> from napari_mganprior.operators import Denoising
    >>> y = torch.zeros(1, 1, 16, 16)
    >>> config = InversionConfig(n_restarts=2, n_steps=2)
    >>> for step in deep_image_prior(y, Denoising(), rng=seeded(0), config=config, width=8):
    ...     print(step.index, tuple(step.image.shape))
    1 (1, 2, 1, 16, 16)
    2 (1, 2, 1, 16, 16)
    """
    if weight is None:
        weight = torch.ones_like(y[:, :1])
    config = replace(config, tune_steps=0, feature_weight=0.0, method="multi-code")
    problem = Problem(operator, y, weight, config, rng, None)
    channels, height, columns = y.shape[1:] if shape is None else shape
    stage = _Weights(problem, (channels, height, columns), rng, width, rate)
    yield from follow(stage, y.shape[0], config)
