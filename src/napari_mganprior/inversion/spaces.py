"""What a search may change: rows of numbers, how they are read as codes, and how they are drawn.

A space is made anew for every search. `plan` in `methods` says which spaces a method searches.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.codes import Codes, compose
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.lbfgs import BatchedLBFGS

__all__ = ["ComposedCodes", "FixedMixture", "Optimiser", "Space", "TwoCuts"]


class Optimiser(Protocol):
    """What `BatchedLBFGS` and `BatchedAdam` have in common."""

    def ask(self) -> Tensor:
        """Return the points (B, P) to evaluate next."""

    def tell(self, f: Tensor, g: Tensor) -> None:
        """Take the values (B,) and gradients (B, P) at the points last asked for."""

    def measure_again(self) -> None:
        """Forget values: they are computed more exactly from now on."""

    def keep(self, index: Tensor) -> None:
        """Go on with some of the problems only."""


class Space(ABC):
    """The unknowns of S searches, one row of numbers a search.

    Parameters
    ----------
    generator : SplitGenerator
        The prior, in the settings' code space.
    config : InversionConfig
        Settings.
    layer : int
        The cut at which the codes of this space are composed.
    """

    def __init__(self, generator: SplitGenerator, config: InversionConfig, layer: int) -> None:
        self.generator, self.config, self.layer = generator, config, layer
        self.noise = generator.noise_above(layer) if config.optimise_noise else None
        self.n_candidates = config.n_candidates
        self.n_steps = config.n_steps

    @abstractmethod
    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Draw starts for all searches, one after another."""

    @abstractmethod
    def read(self, rows: Tensor) -> Codes:
        """Read the codes of rows (S, P)."""

    def rows(self, codes: Codes) -> Tensor:
        """Write codes as rows (S, P)."""
        return codes.flat()

    def draw(self, rows: Tensor) -> Tensor:
        """Draw the images of rows (S, P), those that `keep` left."""
        return compose(self.generator, self.read(rows), self.layer)

    def penalty(self, rows: Tensor) -> Tensor | None:
        """Return what is added to the loss, (S,); None for nothing."""
        return None

    def optimiser(self, start: Tensor) -> Optimiser:
        """Make the optimiser that goes on from rows (S, P)."""
        return BatchedLBFGS(start, history=self.config.history)

    def keep(self, index: Tensor) -> None:  # noqa: B027 most have nothing to keep
        """Go on with some of the searches only; `read` still reads all of them."""

    def random(self, n: int, searches: int, rng: torch.Generator, device: torch.device) -> Tensor:
        """Draw n codes for every search, (S, n, D)."""
        z = self.generator.sample_codes(searches * n, rng=rng, device=device)
        return torch.unflatten(z, 0, (searches, n))


class ComposedCodes(Space):
    """Several codes composed at a cut, with their importances: the method multi-code.

    Gu, Shen, Zhou, CVPR 2020, https://doi.org/10.1109/CVPR42600.2020.00308.

    Parameters
    ----------
    generator, config, layer
        As for `Space`.
    n_codes : int
        N.
    given : Tensor, optional
        One code a search, (S, D), around which all codes start; for encoder-optimised.
    """

    def __init__(
        self,
        generator: SplitGenerator,
        config: InversionConfig,
        layer: int,
        n_codes: int,
        given: Tensor | None = None,
    ) -> None:
        super().__init__(generator, config, layer)
        self.n_codes, self._given = n_codes, given
        self._channels = generator.feature_shape(layer)[0]
        self._n_mixed = generator.n_mixed(layer)

    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Draw random codes that count alike."""
        n = self.n_codes
        while True:
            z = self.random(n, searches, rng, device)
            if self._given is not None:
                z = _around(self._given, z)
            # alpha's scale is free where a PixelNorm follows; 1 / N keeps the map's size elsewhere
            alpha = torch.full((searches, n, self._channels), 1 / n, device=device)
            yield Codes(
                z,
                alpha,
                alpha.new_full((searches, n, self._n_mixed), 1 / n) if self._n_mixed else None,
                None if self.noise is None else self.noise.expand(searches, -1),
            )

    def read(self, rows: Tensor) -> Codes:
        """Read z, alpha, beta and noise."""
        n_noise = 0 if self.noise is None else len(self.noise)
        return Codes.from_flat(rows, self.n_codes, self.generator.code_dim, self._n_mixed, n_noise)


class FixedMixture(Space):
    """Codes whose importances stay: the method single-code, with one at the first layer.

    Single code by back-propagation: Creswell, Bharath, IEEE TNNLS 30, 2019,
    https://doi.org/10.1109/TNNLS.2018.2875194.

    Parameters
    ----------
    generator, config, layer
        As for `Space`.
    alpha : Tensor
        Channel importances, (N, C_l).
    beta : Tensor, optional
        Layer importances, (N, M).
    given : Tensor, optional
        One code a search, (S, D), to stay at: the method encoder.
    """

    def __init__(
        self,
        generator: SplitGenerator,
        config: InversionConfig,
        layer: int,
        alpha: Tensor,
        beta: Tensor | None = None,
        given: Tensor | None = None,
    ) -> None:
        super().__init__(generator, config, layer)
        self._alpha, self._beta, self._given = alpha, beta, given
        if given is not None:
            self.n_candidates = self.n_steps = 1

    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Draw random codes."""
        while True:
            if self._given is None:
                z = self.random(len(self._alpha), searches, rng, device)
            else:
                z = self._given[:, None]
            yield self._mixed(z, None if self.noise is None else self.noise.expand(searches, -1))

    def rows(self, codes: Codes) -> Tensor:
        """Write z and noise."""
        return torch.cat([p.flatten(1) for p in (codes.z, codes.noise) if p is not None], dim=1)

    def read(self, rows: Tensor) -> Codes:
        """Read z and noise."""
        z, noise = rows.tensor_split([len(self._alpha) * self.generator.code_dim], dim=1)
        z = z.unflatten(1, (len(self._alpha), -1))
        return self._mixed(z, None if self.noise is None else noise)

    def _mixed(self, z: Tensor, noise: Tensor | None) -> Codes:
        alpha, beta = self._alpha.to(z.device), self._beta
        beta = None if beta is None else beta.to(z.device).expand(len(z), -1, -1)
        return Codes(z, alpha.expand(len(z), -1, -1), beta, noise)


class TwoCuts(Space):
    """Half of the codes composed at an early cut, for layout, half at the cut, for detail.

    The method multi-cut. What the early codes draw is carried up to the cut, and is one more map
    there. That a part of a generator fits better when it begins at maps of its own: Smedemark-
    Margulies et al., "Generator Surgery for Compressed Sensing", https://arxiv.org/abs/2102.11163.

    Parameters
    ----------
    generator, config, layer
        As for `Space`; the early cut is at half of ``layer``.
    """

    def __init__(self, generator: SplitGenerator, config: InversionConfig, layer: int) -> None:
        super().__init__(generator, config, layer)
        early = max(1, config.n_codes // 2)
        late = max(1, config.n_codes - early)
        self._early_layer = max(1, layer // 2)
        low, high = (generator.feature_shape(cut)[0] for cut in (self._early_layer, layer))
        mixed = generator.n_mixed(self._early_layer), generator.n_mixed(layer)
        self._shapes = (
            (early, generator.code_dim), (early, low), (early, mixed[0]),
            (late, generator.code_dim), (late + 1, high), (late + 1, mixed[1]),
            (0 if self.noise is None else len(self.noise),),
        )  # fmt: skip

    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Draw random codes that count alike at their cut."""
        while True:
            parts = []
            for cut in (0, 3):
                codes, *rest = self._shapes[cut : cut + 3]
                parts.append(self.random(codes[0], searches, rng, device).flatten(1))
                parts += [
                    torch.full((searches, prod(each)), 1 / each[0], device=device) for each in rest
                ]
            if self.noise is not None:
                parts.append(self.noise.expand(searches, -1))
            yield self.read(torch.cat(parts, dim=1))

    def rows(self, codes: Codes) -> Tensor:
        """Write the early codes, then the others."""
        assert codes.early is not None
        return torch.cat([codes.early.flat(), codes.flat()], dim=1)

    def read(self, rows: Tensor) -> Codes:
        """Read the early codes, then the others."""
        parts = rows.split([prod(shape) for shape in self._shapes], dim=1)
        shaped = zip(parts, self._shapes, strict=True)
        z0, alpha0, beta0, z, alpha, beta, noise = (p.unflatten(1, s) for p, s in shaped)
        return Codes(
            z,
            alpha,
            beta if beta.numel() else None,
            noise if noise.numel() else None,
            early=Codes(z0, alpha0, beta0 if beta0.numel() else None),
            early_layer=self._early_layer,
        )


def _around(given: Tensor, random: Tensor) -> Tensor:
    """Spread codes around one of every search: the first is that one, the others lie about it."""
    share = torch.linspace(0.0, _SPREAD, random.shape[1], device=random.device)[:, None]
    return given[:, None] * (1 - share.square()).sqrt() + random * share


_SPREAD = 0.7  # sine of the angle of the farthest code, 45 degrees
