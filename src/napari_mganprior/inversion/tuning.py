"""Light fitting of the generator itself, after the codes have been found.

Roich, Mokady, Bermano, Cohen-Or, ACM TOG 42, 2022, "Pivotal Tuning for Latent-based Editing of
Real Images", https://doi.org/10.1145/3544777. A copy of the blocks above the cut is fitted for
each image; the prior is never changed, and the copy is thrown away.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from napari_mganprior.generators.base import Features, SplitGenerator
from napari_mganprior.inversion.adam import ramped
from napari_mganprior.inversion.codes import Codes, assembled, normalised
from napari_mganprior.inversion.problem import Problem

__all__ = ["Tuning"]


class Tuning:
    """One evaluation after another of a copy's weights, the codes held; a `Stage`.

    Parameters
    ----------
    generator : SplitGenerator
        The prior, which stays as it is.
    problem : Problem
        What was measured.
    codes : Codes
        What was found, one a search.
    layer : int
        Their cut.
    images : int
        The searches of one image share a copy.
    n_steps : int
        Evaluations at the most.
    rate : float
        Learning rate of Adam.
    """

    def __init__(
        self,
        generator: SplitGenerator,
        problem: Problem,
        codes: Codes,
        layer: int,
        images: int,
        n_steps: int,
        rate: float,
    ) -> None:
        self.problem, self.layer, self.n_steps = problem, layer, n_steps
        self._codes, self._rate, self._step = codes, rate, 0
        with torch.no_grad(), problem.autocast():
            self._features = assembled(generator, normalised(generator, codes), layer)
        searches = problem.searches
        self._image = torch.arange(searches) // (searches // images)  # of every search
        self._copies = [_fitted_copy(generator) for _ in range(images)]
        self._optimisers = [torch.optim.Adam(copy.parameters(), lr=rate) for copy in self._copies]

    def advance(self) -> tuple[Tensor, Tensor, Tensor]:
        """Draw, judge, and move the weights; rows (S, 0), error (S,), drawings (S, C, H, W)."""
        problem = self.problem
        with torch.enable_grad():
            with problem.autocast():
                x = torch.cat([self._draw(int(image)) for image in self._image.unique()]).float()
            loss, difference = problem.loss(x)
            for optimiser in self._optimisers:
                optimiser.zero_grad(set_to_none=True)
            # the mean over an image's searches: as many of them as there are, the same pace
            share = 1 / self._image.bincount().clamp_min(1)[self._image].to(loss)
            (loss * share).nan_to_num(0.0, 0.0, 0.0).sum().backward()
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._rate * ramped(self._step, self.n_steps)
            optimiser.step()
        self._step += 1
        x = x.detach()
        return x.new_zeros(len(x), 0), problem.error(difference.detach()), x

    def codes(self, rows: Tensor) -> Codes:
        """Return the codes that were found before; the prior itself draws them otherwise."""
        return self._codes

    def keep(self, index: Tensor) -> None:
        """Go on with some of the searches only."""
        self.problem.keep(index)
        self._image = self._image[index.cpu()]
        held = self._features
        self._features = Features(
            held.map[index],
            None if held.styles is None else held.styles[index],
            None if held.image is None else held.image[index],
            None if held.noise is None else held.noise[index],
        )

    def exactly(self) -> None:
        """Compute in float32 from now on."""
        self.problem.dtype = torch.float32

    def _draw(self, image: int) -> Tensor:
        which, held = self._image == image, self._features
        which = which.to(held.map.device)
        return self._copies[image].tail(
            Features(
                held.map[which],
                None if held.styles is None else held.styles[which],
                None if held.image is None else held.image[which],
                None if held.noise is None else held.noise[which],
            ),
            self.layer,
        )


def _fitted_copy(generator: SplitGenerator) -> SplitGenerator:
    copied: SplitGenerator = deepcopy(generator)
    # blocks below the cut get no gradient, so the optimiser leaves them alone
    nn.Module.requires_grad_(copied, True)
    return copied
