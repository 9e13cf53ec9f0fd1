"""Limited-memory BFGS for many independent problems at once.

Every problem of the batch has its own history and its own line search, and every evaluation of
the objective advances all of them: a problem whose step was refused shortens its step while its
neighbours already take their next one. So nothing waits, and a batch costs as many evaluations
as its slowest member.

Two-loop recursion: Nocedal & Wright, "Numerical Optimization", 2nd ed., algorithm 7.4,
https://doi.org/10.1007/978-0-387-40065-5. Line search by bracketing and bisection for the weak
Wolfe conditions: Lewis & Overton, Math. Program. 141 (2013),
https://doi.org/10.1007/s10107-012-0514-2.
"""

import torch
from torch import Tensor

__all__ = ["BatchedLBFGS"]

_ARMIJO = 1e-4
_CURVATURE = 0.9
_LONGEST_SEARCH = 8


class BatchedLBFGS:
    """Ask for trial points, tell their values and gradients.

    Parameters
    ----------
    start : Tensor
        Starting points, (B, P).
    history : int
        Pairs remembered.
    first_step : float
        Length of the very first step, as a share of the starting point's length.
    """

    def __init__(self, start: Tensor, *, history: int = 20, first_step: float = 0.05) -> None:
        batch, size = start.shape
        self._history = history
        self._first_step = first_step
        self._x = start.clone()
        self._f = start.new_full((batch,), float("inf"))
        self._g = torch.zeros_like(start)
        self._d = torch.zeros_like(start)
        self._slope = start.new_zeros(batch)
        self._t = start.new_zeros(batch)
        self._low = start.new_zeros(batch)
        self._high = start.new_full((batch,), float("inf"))
        self._trials = torch.zeros(batch, dtype=torch.long, device=start.device)
        self._s = start.new_zeros(batch, history, size)
        self._y = start.new_zeros(batch, history, size)
        self._rho = start.new_zeros(batch, history)  # 0 marks an empty place

    def ask(self) -> Tensor:
        """Return the points (B, P) to evaluate next."""
        return self._x + self._t[:, None] * self._d

    def tell(self, f: Tensor, g: Tensor) -> None:
        """Take the values (B,) and gradients (B, P) at the points last asked for."""
        f = torch.where(f.isfinite(), f, torch.inf)
        g = torch.where(f.isfinite()[:, None], g, 0.0)
        first = self._f.isinf()
        slope = (g * self._d).sum(dim=1)
        lower = f <= self._f + _ARMIJO * self._t * self._slope
        flat = slope >= _CURVATURE * self._slope
        tired = self._trials >= _LONGEST_SEARCH
        accepted = first | (lower & (flat | tired))
        gave_up = tired & ~lower & ~first
        following = self._following_step(f, lower)
        self._accept(f, g, accepted)
        self._t = following
        # a direction along which nothing is gained: forget the history, restart downhill
        self._rho[gave_up] = 0.0
        self._aim(accepted | gave_up, fresh=first | gave_up)

    def measure_again(self) -> None:
        """Ask for the present points once more: the objective is computed more exactly now."""
        self._f = torch.full_like(self._f, torch.inf)
        self._t = torch.zeros_like(self._t)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the problems only."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[index])

    def _following_step(self, f: Tensor, lower: Tensor) -> Tensor:
        """Move the ends of the bracket and choose a step length inside it."""
        self._high = torch.where(lower, self._high, self._t)
        self._low = torch.where(lower, self._t, self._low)
        self._trials = self._trials + 1
        width = self._high - self._low
        # minimum of the parabola through the value and slope at 0 and the value at t
        bend = 2 * (f - self._f - self._t * self._slope)
        parabola = (-self._slope * self._t.square() / bend).nan_to_num(0.0)
        inside = torch.minimum(
            torch.maximum(parabola, self._low + 0.1 * width), self._low + 0.5 * width
        )
        return torch.where(self._high.isinf(), 2 * self._t, inside)

    def _accept(self, f: Tensor, g: Tensor, accepted: Tensor) -> None:
        """Move to the point last asked for and remember the pair (step, change of gradient)."""
        step = self._t[:, None] * self._d
        change = g - self._g
        product = (step * change).sum(dim=1)
        useful = accepted & (product > 1e-10 * change.square().sum(dim=1).clamp_min(1e-30))
        take = useful[:, None, None]
        self._s = torch.where(take, torch.cat([self._s[:, 1:], step[:, None]], dim=1), self._s)
        self._y = torch.where(take, torch.cat([self._y[:, 1:], change[:, None]], dim=1), self._y)
        rho = torch.cat([self._rho[:, 1:], (1.0 / product.clamp_min(1e-30))[:, None]], dim=1)
        self._rho = torch.where(useful[:, None], rho, self._rho)
        self._x = torch.where(accepted[:, None], self._x + step, self._x)
        self._g = torch.where(accepted[:, None], g, self._g)
        self._f = torch.where(accepted, f, self._f)

    def _aim(self, which: Tensor, *, fresh: Tensor) -> None:
        """Choose a new direction and a first step length for some of the problems."""
        d = self._direction()
        slope = (d * self._g).sum(dim=1)
        uphill = ~(slope < 0)  # also where it is not a number
        d = torch.where(uphill[:, None], -self._g, d)
        slope = torch.where(uphill, -self._g.square().sum(dim=1), slope)
        length = d.norm(dim=1).clamp_min(1e-30)
        short = self._first_step * self._x.norm(dim=1) / length
        t = torch.where(fresh | uphill, short, torch.minimum(torch.ones_like(short), 10 * short))
        self._d = torch.where(which[:, None], d, self._d)
        self._slope = torch.where(which, slope, self._slope)
        self._t = torch.where(which, t, self._t)
        self._low = torch.where(which, 0.0, self._low)
        self._high = torch.where(which, torch.inf, self._high)
        self._trials = torch.where(which, 0, self._trials)

    def _direction(self) -> Tensor:
        q = -self._g
        weights = []
        for i in reversed(range(self._history)):
            a = self._rho[:, i] * (self._s[:, i] * q).sum(dim=1)
            q = q - a[:, None] * self._y[:, i]
            weights.append(a)
        last = self._rho[:, -1]
        power = self._y[:, -1].square().sum(dim=1)
        scale = torch.where(last > 0, 1.0 / (last * power).clamp_min(1e-30), 1.0)
        q = q * scale[:, None]
        for i, a in zip(range(self._history), reversed(weights), strict=True):
            b = self._rho[:, i] * (self._y[:, i] * q).sum(dim=1)
            q = q + (a - b)[:, None] * self._s[:, i]
        return q
