"""The search for codes: a Python generator that yields a `Step` an evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Protocol

import torch
from torch import Tensor, nn

from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.codes import Codes, normalised
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.losses import mean_square
from napari_mganprior.inversion.methods import check_method, encoded, plan
from napari_mganprior.inversion.problem import Problem
from napari_mganprior.inversion.spaces import Space
from napari_mganprior.inversion.tuning import Tuning
from napari_mganprior.operators.base import Operator

__all__ = ["Stage", "Step", "follow", "invert"]

_STALLED = 3  # evaluations without gain that bfloat16's rounding is held responsible for


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after one evaluation of the generator.

    Attributes
    ----------
    index : int
        Evaluations so far, from 1.
    n_steps : int
        Evaluations at the most.
    loss : float
        Mean over images of their best search's error: mean squared error over the measured
        pixels, in units of the generator's range (2).
    error : Tensor
        Best error of every search so far, (B, R).
    image : Tensor
        Best drawing of every search so far, (B, R, C, H, W).
    codes : Codes
        Codes of those drawings: z (B, R, N, D), alpha (B, R, N, C_l), and likewise the rest. They
        are those of the prior itself where a copy of it was fitted.
    layer : int
        The cut at which they are composed.
    """

    index: int
    n_steps: int
    loss: float
    error: Tensor
    image: Tensor
    codes: Codes
    layer: int


class Stage(Protocol):
    """A search that `follow` takes on, one evaluation after another."""

    layer: int
    n_steps: int
    problem: Problem

    def advance(self) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate once and move on.

        Returns
        -------
        Tensor, Tensor, Tensor
            Rows of unknowns (S, P), the error to choose by (S,), drawings (S, C, H, W).
        """

    def codes(self, rows: Tensor) -> Codes:
        """Read the codes of the rows of all searches."""

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""

    def exactly(self) -> None:
        """Compute in float32 from now on."""


class _CodeSearch:
    """The search of one space; a `Stage`."""

    def __init__(
        self, problem: Problem, space: Space, rng: torch.Generator, start: Codes | None
    ) -> None:
        self.problem, self.layer, self.n_steps = problem, space.layer, space.n_steps
        self._space = space
        self._optimiser = space.optimiser(_choose_start(problem, space, rng, start))

    def advance(self) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate loss, gradient, error and drawing, and tell the optimiser."""
        flat = self._optimiser.ask()
        leaf = flat.detach().requires_grad_(True)
        with torch.enable_grad():
            with self.problem.autocast():
                x = self._space.draw(leaf).float()
            loss, difference = self.problem.loss(x)
            penalty = self._space.penalty(leaf)
            if penalty is not None:
                loss = loss + penalty
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        self._optimiser.tell(loss.detach(), gradient)
        return flat, self.problem.error(difference.detach()), x.detach()

    def codes(self, rows: Tensor) -> Codes:
        """Read the codes of the rows of all searches."""
        return normalised(self._space.generator, self._space.read(rows))

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self.problem.keep(index)
        self._space.keep(index)
        self._optimiser.keep(index)

    def exactly(self) -> None:
        """Compute in float32 from now on."""
        self.problem.dtype = torch.float32
        self._optimiser.measure_again()


class _Best:
    """The best iterate of every search, and when it was last improved."""

    def __init__(self, searches: int, like: Tensor, image: Tensor) -> None:
        self.error = like.new_full((searches,), torch.inf)
        self.since = torch.zeros(searches, dtype=torch.long, device=like.device)
        self.idle = self.since.clone()
        self.mark = self.error.clone()
        self.flat = like.clone()
        self.image = image.clone()

    def update(
        self, index: Tensor, error: Tensor, flat: Tensor, image: Tensor, gain: float
    ) -> None:
        """Take the searches ``index`` a step on; a gain below ``gain`` does not delay the end."""
        better = error < self.error[index]
        self.idle[index] = torch.where(better, 0, self.idle[index] + 1)
        chosen = index[better]
        self.error[chosen] = error[better]
        self.flat[chosen] = flat[better]
        self.image[chosen] = image[better]
        notable = self.error[index] < self.mark[index] * (1 - gain)
        self.mark[index[notable]] = self.error[index[notable]]
        self.since[index] = torch.where(notable, 0, self.since[index] + 1)


def invert(
    generator: SplitGenerator,
    operator: Operator,
    y: Tensor,
    config: InversionConfig,
    *,
    rng: torch.Generator,
    weight: Tensor | None = None,
    discriminator: nn.Module | None = None,
    encoder: nn.Module | None = None,
    start: Codes | None = None,
) -> Iterator[Step]:
    """Search codes whose composed drawing explains a measurement.

    Parameters
    ----------
    generator : SplitGenerator
        The prior, frozen, on the device of ``y``.
    operator : Operator
        How the measurement came about.
    y : Tensor
        Measurements, (B, C, H, W), images' values in [-1, 1].
    config : InversionConfig
        Settings.
    rng : torch.Generator
        On the CPU; the same state gives the same result, to the last bit on a CPU.
    weight : Tensor, optional
        Weight of each measured pixel in the loss, (B, 1, H, W), 0 where nothing was measured;
        1 everywhere if left out.
    discriminator : nn.Module, optional
        For the feature distance, or another network with ``features(x, n_maps)``; needed if
        ``config.feature_weight > 0``.
    encoder : nn.Module, optional
        From images and where they are known to codes; needed by the methods that say so.
    start : Codes, optional
        Codes to begin at, found by the same method: z (B * R, N, D), alpha (B * R, N, C_l), with
        beta and noise where the generator and the settings ask for them. They compete with the
        random candidates of each search.

    Yields
    ------
    Step
        One an evaluation, until every search has ended. Its tensors are copies.

    Raises
    ------
    SettingsError
        If the generator's codes cannot live in ``config.code_space``, or it does not go with
        ``config.method``.

    Notes
    -----
    Searches and iterates are compared on measured pixels only, held-out ones if
    ``config.held_out > 0``.
    """
    if weight is None:
        weight = torch.ones_like(y[:, :1])
    if config.method == "encoder":  # there is nothing by which searches could differ
        config = replace(config, n_restarts=1)
    check_method(generator, encoder, config)
    generator = generator.in_space(config.code_space)
    problem = Problem(operator, y, weight, config, rng, discriminator)
    given = None
    if encoder is not None and config.method in ("encoder", "encoder-optimised"):
        given = encoded(generator, encoder, problem)
    images, last = y.shape[0], None
    for make in plan(generator, config, given):
        space = make(None if last is None else _found(last))
        own = problem.copy()
        stage = _CodeSearch(own, space, rng, start if last is None else None)
        for step in follow(stage, images, config, before=last):
            last = step
            yield step
        problem.dtype = own.dtype  # what began to finish in float32 goes on so
    if config.tune_steps and last is not None:
        tuning = Tuning(
            generator, problem.copy(), _found(last), last.layer, images, config.tune_steps,
            config.tune_rate,
        )  # fmt: skip
        yield from follow(tuning, images, config, before=last)


def follow(
    stage: Stage, images: int, config: InversionConfig, *, before: Step | None = None
) -> Iterator[Step]:
    """Take a search on until it ends, and remember the best iterate.

    Parameters
    ----------
    stage : Stage
        The search, of B * R samples.
    images : int
        B.
    config : InversionConfig
        When a search ends.
    before : Step, optional
        The last one of the search before; what is counted goes on from it. Where that has reached
        the noise level, nothing is left to do.

    Yields
    ------
    Step
        One an evaluation.
    """
    problem = stage.problem
    searches, done = problem.searches, 0
    if before is not None:
        done = before.index
        if bool((before.error <= config.noise_level**2).all()):
            return
    active = torch.arange(searches, device=problem.y.device)
    best: _Best | None = None
    for index in range(1, stage.n_steps + 1):
        rows, error, image = stage.advance()
        if best is None:
            best = _Best(searches, rows, image)
        best.update(active, error, rows, image, config.tolerance)
        yield _step(stage, best, images, done + index, config.n_evaluations)
        if problem.dtype == torch.bfloat16 and bool((best.idle[active] >= _STALLED).all()):
            # rounding hides what is still to be gained: finish in float32
            stage.exactly()
        go_on = (best.since[active] < config.patience) & (
            best.error[active] > config.noise_level**2
        )
        if not bool(go_on.any()):
            return
        if not bool(go_on.all()):
            kept = go_on.nonzero().flatten()
            stage.keep(kept)
            active = active[kept]


def _step(stage: Stage, best: "_Best", images: int, index: int, n_steps: int) -> Step:
    shape = (images, len(best.error) // images)
    codes = stage.codes(best.flat.clone())
    return Step(
        index=index,
        n_steps=n_steps,
        loss=float(best.error.reshape(shape).amin(dim=1).mean()),
        error=best.error.reshape(shape).clone(),
        image=best.image.unflatten(0, shape).clone(),
        codes=codes.each(lambda part: part.unflatten(0, shape)),
        layer=stage.layer,
    )


def _found(step: Step) -> Codes:
    """Return the codes of a step, one behind the other."""
    return step.codes.each(lambda part: part.flatten(0, 1))


@torch.no_grad()
def _choose_start(
    problem: Problem, space: Space, rng: torch.Generator, known: Codes | None
) -> Tensor:
    """Draw several random starts for every search and take the best on the measured pixels."""
    starts = space.starts(problem.searches, rng, problem.y.device)
    if known is None and space.n_candidates == 1:
        return space.rows(next(starts))  # nothing to compare it with
    chosen, lowest = None, None
    for codes in chain([] if known is None else [known], islice(starts, space.n_candidates)):
        flat = space.rows(codes)
        with problem.autocast():
            x = space.draw(flat).float()
        error = mean_square(problem.operator(x) - problem.y, problem.fit)
        if chosen is None or lowest is None:
            chosen, lowest = flat, error
        else:
            chosen = torch.where((error < lowest)[:, None], flat, chosen)
            lowest = torch.minimum(error, lowest)
    assert chosen is not None
    return chosen
