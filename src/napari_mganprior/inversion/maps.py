"""Searches in which the map at a cut itself is what is looked for."""

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from napari_mganprior.generators.base import Features, SplitGenerator
from napari_mganprior.inversion.codes import Codes, assembled, normalised
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.lbfgs import BatchedLBFGS
from napari_mganprior.inversion.spaces import Optimiser, Space

__all__ = ["Ball", "FeatureMaps", "in_ball"]

_SAMPLES = 64
_SAMPLES_AT_ONCE = 16


class FeatureMaps(Space):
    """The map at a cut, kept near what the generator draws there: the method features.

    The baseline "optimising feature maps" of Gu, Shen, Zhou, CVPR 2020, section 4.2,
    https://doi.org/10.1109/CVPR42600.2020.00308, after Bau et al., SIGGRAPH 2019,
    https://doi.org/10.1145/3306346.3323023. The squared distance from the mean of the generator's
    own maps, in their standard deviations, is added to the loss (``map_weight``): the maps have a
    normal distribution as their prior. Styles, where there are any, come from one code, which is
    searched too.
    """

    def __init__(self, generator: SplitGenerator, config: InversionConfig, layer: int) -> None:
        super().__init__(generator, config, layer)
        self._shape = generator.feature_shape(layer)
        self._mean, self._deviation = torch.zeros(0), torch.ones(0)

    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Draw the maps of random codes; measure first what the generator's maps are like."""
        self._measure(rng, device)  # at once: rows are written in what is measured here
        return self._random(searches, rng, device)

    def rows(self, codes: Codes) -> Tensor:
        """Write the code, and the map in standard deviations."""
        maps = assembled(self.generator, normalised(self.generator, codes), self.layer).map
        return torch.cat([codes.z.flatten(1), (maps / self._deviation).flatten(1)], dim=1)

    def read(self, rows: Tensor) -> Codes:
        """Read the code, and what the map has besides what the code draws."""
        z, maps = self._split(rows)
        codes = normalised(self.generator, self._mixed(z, None))
        drawn = assembled(self.generator, codes, self.layer).map
        return self._mixed(z, maps - drawn)

    def draw(self, rows: Tensor) -> Tensor:
        """Draw from the map; where there are no styles the code does not count."""
        z, maps = self._split(rows)
        styles = image = None
        if self.generator.n_mixed(self.layer):
            codes = normalised(self.generator, self._mixed(z, None))
            drawn = assembled(self.generator, codes, self.layer)
            styles, image = drawn.styles, drawn.image
        return self.generator.tail(Features(maps, styles, image), self.layer)

    def penalty(self, rows: Tensor) -> Tensor | None:
        """Squared distance from the mean of the generator's maps."""
        far = (self._split(rows)[1] - self._mean) / self._deviation
        return self.config.map_weight * far.square().mean(dim=(1, 2, 3))

    def _random(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        while True:
            yield self._mixed(self.random(1, searches, rng, device), None)

    def _split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        z, maps = rows.tensor_split([self.generator.code_dim], dim=1)
        return z[:, None], maps.unflatten(1, self._shape) * self._deviation

    def _mixed(self, z: Tensor, offset: Tensor | None) -> Codes:
        return Codes(z, z.new_ones(len(z), 1, self._shape[0]), offset=offset)

    @torch.no_grad()
    def _measure(self, rng: torch.Generator, device: torch.device) -> None:
        maps = torch.cat(
            [
                self.generator.head(
                    self.generator.sample_codes(_SAMPLES_AT_ONCE, rng=rng, device=device),
                    self.layer,
                ).map.float()
                for _ in range(_SAMPLES // _SAMPLES_AT_ONCE)
            ]
        )
        self._mean = maps.mean(dim=0)  # (C_l, H_l, W_l)
        deviation = (maps - self._mean).square().mean(dim=(0, 2, 3)).sqrt()
        # a channel that never moves is to stay where it is
        floor = deviation.max().clamp_min(1e-6) * 1e-2
        self._deviation = deviation.maximum(floor)[:, None, None]


class Ball(Space):
    """A map that may leave what was found at a shallower cut only so far: layer-by-layer.

    Daras, Dean, Jalal, Dimakis, ICML 2021, "Intermediate Layer Optimization for Inverse Problems
    using Deep Generative Models", https://doi.org/10.48550/arXiv.2102.07364.

    Parameters
    ----------
    generator, config, layer
        As for `Space`.
    found : Codes
        What was found at a shallower cut, one a search; it stays.
    found_layer : int
        That cut.
    """

    def __init__(
        self,
        generator: SplitGenerator,
        config: InversionConfig,
        layer: int,
        found: Codes,
        found_layer: int,
    ) -> None:
        super().__init__(generator, config, layer)
        self.n_candidates = 1
        self._found, self._found_layer = found, found_layer
        self._shape = generator.feature_shape(layer)
        with torch.no_grad():
            self._base = generator.between(
                assembled(generator, normalised(generator, found), found_layer), found_layer, layer
            )
        flat = self._base.map.float().flatten(1)
        length = flat.abs().sum(dim=1) if config.ball_norm == "l1" else flat.norm(dim=1)
        self._radius = config.ball * length
        self._active = torch.arange(len(flat), device=flat.device)

    def starts(self, searches: int, rng: torch.Generator, device: torch.device) -> Iterator[Codes]:
        """Begin at what was found."""
        while True:
            yield self._mixed(torch.zeros_like(self._base.map), slice(None))

    def rows(self, codes: Codes) -> Tensor:
        """Write the map."""
        assert codes.offset is not None
        return (self._base.map + codes.offset).flatten(1)

    def read(self, rows: Tensor) -> Codes:
        """Read how far the map has gone, of all searches."""
        return self._mixed(self._offset(rows, slice(None)), slice(None))

    def draw(self, rows: Tensor) -> Tensor:
        """Draw from the map."""
        base, which = self._base, self._active
        return self.generator.tail(
            Features(
                base.map[which] + self._offset(rows, which),
                None if base.styles is None else base.styles[which],
                None if base.image is None else base.image[which],
            ),
            self.layer,
        )

    def optimiser(self, start: Tensor) -> Optimiser:
        """Begin with a step that stays well inside the ball."""
        config = self.config
        return BatchedLBFGS(start, history=config.history, first_step=min(0.05, 0.1 * config.ball))

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self._active = self._active[index]

    def _offset(self, rows: Tensor, which: slice | Tensor) -> Tensor:
        away = rows - self._base.map[which].flatten(1)
        inside = in_ball(away, self._radius[which], self.config.ball_norm)
        return torch.unflatten(inside, 1, self._shape)

    def _mixed(self, offset: Tensor, which: slice | Tensor) -> Codes:
        channels, n_mixed = self._shape[0], self.generator.n_mixed(self.layer)
        searches = len(offset)
        return Codes(
            offset.new_zeros(searches, 0, self.generator.code_dim),
            offset.new_ones(searches, 1, channels),
            offset.new_ones(searches, 1, n_mixed) if n_mixed else None,
            offset=offset,
            early=self._found.each(lambda part: part[which]),
            early_layer=self._found_layer,
        )


def in_ball(x: Tensor, radius: Tensor, norm: str) -> Tensor:
    """Bring points to the nearest ones inside a ball around 0.

    For l1 after Duchi, Shalev-Shwartz, Singer, Chandra, ICML 2008,
    https://doi.org/10.1145/1390156.1390191.

    Parameters
    ----------
    x : Tensor
        (S, P).
    radius : Tensor
        Above 0, (S,).
    norm : {"l1", "l2"}
        The length that is meant.
    """
    if norm == "l2":
        share: Tensor = (radius / x.norm(dim=1).clamp_min(1e-12)).clamp_max(1.0)
        return x * share[:, None]
    size: Tensor = x.abs()
    largest = size.sort(dim=1, descending=True).values
    number = torch.arange(1, prod(x.shape[1:]) + 1, device=x.device)
    excess = (largest.cumsum(dim=1) - radius[:, None]) / number
    counted = (largest > excess).sum(dim=1, keepdim=True).clamp_min(1)
    threshold = excess.gather(1, counted - 1).clamp_min(0.0)
    # inside, the point itself: its size has no slope at 0, where a search begins
    within = size.sum(dim=1, keepdim=True) <= radius[:, None]
    return torch.where(within, x, x.sign() * (size - threshold).clamp_min(0.0))
