"""The search for codes: a Python generator that yields a `Step` an evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import Tensor, nn

from napari_mganprior.arrays import network_dtype
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.codes import Codes, compose, normalised
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.lbfgs import BatchedLBFGS
from napari_mganprior.inversion.losses import (
    FeatureDistance,
    data_error,
    data_loss,
    mean_square,
)
from napari_mganprior.operators.base import Operator

__all__ = ["Step", "invert"]

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
        Codes of those drawings: z (B, R, N, D), alpha (B, R, N, C_l), and likewise the rest.
    """

    index: int
    n_steps: int
    loss: float
    error: Tensor
    image: Tensor
    codes: Codes


class _Problem:
    """Objective of B * R searches; samples of one image stand side by side."""

    def __init__(
        self,
        generator: SplitGenerator,
        operator: Operator,
        y: Tensor,
        weight: Tensor,
        config: InversionConfig,
        rng: torch.Generator,
        discriminator: nn.Module | None,
    ) -> None:
        self.generator, self.config = generator.in_space(config.code_space), config
        self.noise = self.generator.noise_above(config.layer) if config.optimise_noise else None
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

    def evaluate(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return loss (S,), gradient (S, P), error to choose by (S,), drawing (S, C, H, W)."""
        leaf = flat.detach().requires_grad_(True)
        with torch.enable_grad():
            x = self.draw(self.read(leaf))
            difference = self.operator(x) - self.y
            measured = (self.config.data_term, self.operator, difference, self.y)
            loss = data_loss(*measured, self.fit)
            if self.features is not None:
                with self.autocast():
                    distance = self.features(self.operator(x) * self.fit)
                loss = loss + self.config.feature_weight * distance
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        with torch.no_grad():
            held_out = data_error(*measured, self.check)
            error = torch.where(self.has_check, held_out, data_error(*measured, self.all))
        return loss.detach(), gradient, error, x.detach()

    def read(self, flat: Tensor) -> Codes:
        """Read the codes of rows (S, P)."""
        return Codes.from_flat(
            flat,
            self.config.n_codes,
            self.generator.code_dim,
            self.generator.n_mixed(self.config.layer),
            0 if self.noise is None else len(self.noise),
        )

    def draw(self, codes: Codes) -> Tensor:
        """Draw the images of codes, in float32."""
        with self.autocast():
            return compose(self.generator, codes, self.config.layer).float()

    def autocast(self) -> torch.autocast:
        """Let the networks compute in fewer bits."""
        return torch.autocast(
            self.y.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self.operator = self.operator.select(index)
        for name in ("y", "fit", "check", "has_check", "all"):
            setattr(self, name, getattr(self, name)[index])
        if self.features is not None:
            self.features.keep(index)


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
    start : Codes, optional
        Codes to begin at: z (B * R, N, D), alpha (B * R, N, C_l), with beta and noise where the
        generator and the settings ask for them. They compete with the random candidates of each
        search.

    Yields
    ------
    Step
        One an evaluation, until every search has ended. Its tensors are copies.

    Raises
    ------
    SettingsError
        If the generator's codes cannot live in ``config.code_space``.

    Notes
    -----
    Searches and iterates are compared on measured pixels only, held-out ones if
    ``config.held_out > 0``.
    """
    if weight is None:
        weight = torch.ones_like(y[:, :1])
    images, restarts = y.shape[0], config.n_restarts
    problem = _Problem(generator, operator, y, weight, config, rng, discriminator)
    chosen = _choose_start(problem, images * restarts, rng, start)
    optimiser = BatchedLBFGS(chosen, history=config.history)
    active = torch.arange(images * restarts, device=y.device)
    best: _Best | None = None
    for index in range(1, config.n_steps + 1):
        flat = optimiser.ask()
        loss, gradient, error, image = problem.evaluate(flat)
        optimiser.tell(loss, gradient)
        if best is None:
            best = _Best(images * restarts, flat, image)
        best.update(active, error, flat, image, config.tolerance)
        codes = normalised(problem.generator, problem.read(best.flat.clone()))
        yield Step(
            index=index,
            n_steps=config.n_steps,
            loss=float(best.error.reshape(images, restarts).amin(dim=1).mean()),
            error=best.error.reshape(images, restarts).clone(),
            image=best.image.unflatten(0, (images, restarts)).clone(),
            codes=codes.each(lambda part: part.unflatten(0, (images, restarts))),
        )
        if problem.dtype == torch.bfloat16 and bool((best.idle[active] >= _STALLED).all()):
            # rounding hides what is still to be gained: finish in float32
            problem.dtype = torch.float32
            optimiser.measure_again()
        go_on = (best.since[active] < config.patience) & (
            best.error[active] > config.noise_level**2
        )
        if not bool(go_on.any()):
            return
        if not bool(go_on.all()):
            kept = go_on.nonzero().flatten()
            problem.keep(kept)
            optimiser.keep(kept)
            active = active[kept]


@torch.no_grad()
def _choose_start(
    problem: _Problem, searches: int, rng: torch.Generator, known: Codes | None
) -> Tensor:
    """Draw several random starts for every search and take the best on the measured pixels."""
    starts = _random_starts(problem, searches, rng)
    n_candidates = problem.config.n_candidates
    if known is None and n_candidates == 1:
        return next(starts).flat()  # nothing to compare it with
    chosen, lowest = None, None
    for codes in chain([] if known is None else [known], islice(starts, n_candidates)):
        error = mean_square(problem.operator(problem.draw(codes)) - problem.y, problem.fit)
        flat = codes.flat()
        if chosen is None or lowest is None:
            chosen, lowest = flat, error
        else:
            chosen = torch.where((error < lowest)[:, None], flat, chosen)
            lowest = torch.minimum(error, lowest)
    assert chosen is not None
    return chosen


def _random_starts(problem: _Problem, searches: int, rng: torch.Generator) -> Iterator[Codes]:
    generator, config = problem.generator, problem.config
    device = problem.y.device
    channels = generator.feature_shape(config.layer)[0]
    n_mixed = generator.n_mixed(config.layer)
    while True:
        z = generator.sample_codes(searches * config.n_codes, rng=rng, device=device)
        # alpha's scale is free where a PixelNorm follows; 1 / N keeps the map's size elsewhere
        alpha = torch.full((searches, config.n_codes, channels), 1 / config.n_codes, device=device)
        yield Codes(
            z.unflatten(0, (searches, config.n_codes)),
            alpha,
            alpha.new_full((searches, config.n_codes, n_mixed), 1 / config.n_codes)
            if n_mixed
            else None,
            None if problem.noise is None else problem.noise.expand(searches, -1),
        )
