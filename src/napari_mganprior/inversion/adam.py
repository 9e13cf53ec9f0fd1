"""Adam for many independent problems at once.

Kingma, Ba, ICLR 2015, https://doi.org/10.48550/arXiv.1412.6980, on rows, with a ramp up over the
first 5 % of the evaluations and a cosine ramp down over the last quarter, as the projector of
Karras et al., CVPR 2020, https://doi.org/10.1109/CVPR42600.2020.00813, has them.
"""

from collections.abc import Callable
from math import cos, pi

import torch
from torch import Tensor

__all__ = ["BatchedAdam", "ramped"]

_BETAS = (0.9, 0.999)
_EPS = 1e-8


def ramped(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step, from 0 on: up over 5 %, down over the last quarter."""
    done = (step + 1) / max(1, n_steps)
    down = min(1.0, 4 * (1 - step / max(1, n_steps)))
    return min(1.0, done / 0.05) * (0.5 - 0.5 * cos(pi * down))


class BatchedAdam:
    """Ask for points, tell their values and gradients; as `BatchedLBFGS`.

    Parameters
    ----------
    start : Tensor
        Starting points, (B, P).
    n_steps : int
        Evaluations at the most.
    rate : float
        Learning rate.
    project : callable, optional
        Brings points (B, P) back to where they may be, after every step.
    """

    def __init__(
        self,
        start: Tensor,
        *,
        n_steps: int,
        rate: float,
        project: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        self._x = project(start.clone())
        self._mean = torch.zeros_like(start)
        self._square = torch.zeros_like(start)
        self._n_steps, self._rate, self._project, self._step = n_steps, rate, project, 0

    def ask(self) -> Tensor:
        """Return the points (B, P) to evaluate next."""
        return self._x

    def tell(self, f: Tensor, g: Tensor) -> None:
        """Take the values (B,) and gradients (B, P) at the points last asked for."""
        g = torch.where(f.isfinite()[:, None], g, 0.0)
        first, second = _BETAS
        self._mean = first * self._mean + (1 - first) * g
        self._square = second * self._square + (1 - second) * g.square()
        rate = self._rate * ramped(self._step, self._n_steps)
        self._step += 1
        size = (self._square / (1 - second**self._step)).sqrt() + _EPS
        step = self._mean / (1 - first**self._step) / size
        self._x = self._project(self._x - rate * step)

    def measure_again(self) -> None:
        """Nothing is remembered of values: go on."""

    def keep(self, index: Tensor) -> None:
        """Go on with some of the problems only."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])
