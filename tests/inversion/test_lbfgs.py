"""Laws of the batched optimiser."""

import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.inversion.lbfgs import BatchedLBFGS


def _rosenbrock(x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_(True)
    a, b = leaf[:, :-1], leaf[:, 1:]
    f = (100 * (b - a**2) ** 2 + (1 - a) ** 2).sum(dim=1)
    (g,) = torch.autograd.grad(f.sum(), leaf)
    return f.detach(), g


def _minimise(start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the best value of every problem and all values, (steps, B)."""
    optimiser = BatchedLBFGS(start)
    values = []
    for _ in range(steps):
        f, g = _rosenbrock(optimiser.ask())
        optimiser.tell(f, g)
        values.append(f)
    stacked = torch.stack(values)
    return stacked.amin(dim=0), stacked


def _starts(batch: int) -> Tensor:
    return torch.randn(batch, 6, generator=seeded(3), dtype=torch.float64)


def test_finds_the_minimum_of_a_banana_from_every_start() -> None:
    best, _ = _minimise(_starts(8), 250)
    assert (best < 1e-8).sum() >= 7  # one may end in the second, local minimum


def test_needs_few_evaluations() -> None:
    """Steepest descent needs thousands here."""
    best, _ = _minimise(_starts(8), 60)
    assert best.median() < 1e-3


def test_a_problem_does_not_depend_on_its_neighbours() -> None:
    _, together = _minimise(_starts(5), 40)
    _, alone = _minimise(_starts(5)[2:3], 40)
    torch.testing.assert_close(together[:, 2:3], alone)


def test_keeping_some_problems_goes_on_as_if_the_others_were_still_there() -> None:
    whole, part = BatchedLBFGS(_starts(4)), BatchedLBFGS(_starts(4))
    kept = torch.tensor([0, 3])
    for _ in range(10):
        whole.tell(*_rosenbrock(whole.ask()))
        part.tell(*_rosenbrock(part.ask()))
    part.keep(kept)
    for _ in range(10):
        torch.testing.assert_close(part.ask(), whole.ask()[kept])
        whole.tell(*_rosenbrock(whole.ask()))
        part.tell(*_rosenbrock(part.ask()))


def test_measuring_again_starts_from_the_same_points() -> None:
    optimiser = BatchedLBFGS(_starts(3))
    for _ in range(20):
        f, g = _rosenbrock(optimiser.ask())
        optimiser.tell(f, g)
    optimiser.measure_again()
    again = _rosenbrock(optimiser.ask())[0]
    optimiser.tell(*_rosenbrock(optimiser.ask()))
    best = again
    for _ in range(60):
        f, g = _rosenbrock(optimiser.ask())
        optimiser.tell(f, g)
        best = torch.minimum(best, f)
    assert (best < 0.9 * again).any()
    assert (_rosenbrock(optimiser.ask())[0] < 10 * again + 1).all()  # nobody was thrown back


def test_a_value_that_is_not_finite_shortens_the_step() -> None:
    """log(x) is not a number left of 0: the search must come back."""
    optimiser = BatchedLBFGS(torch.full((1, 3), 0.5, dtype=torch.float64), first_step=5.0)
    for _ in range(60):
        leaf = optimiser.ask().requires_grad_(True)
        f = (leaf - leaf.log()).sum(dim=1)  # minimum at 1, value 3
        (g,) = torch.autograd.grad(f.sum(), leaf)
        optimiser.tell(f.detach(), g)
    assert abs(f.item() - 3) < 1e-6
