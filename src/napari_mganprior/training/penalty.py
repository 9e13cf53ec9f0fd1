"""How strongly the discriminator is held back: as much as keeps it useful to the generator.

A discriminator that cannot tell real crops from drawn ones teaches nothing, and one that always
can teaches nothing either. Which weight of the R1 penalty lies between depends on the pictures, and
on how good the drawings are by now. So the weight is not a setting: it is driven by a signal, as
Peng, Kanazawa, Toyer, Abbeel, Levine, "Variational Discriminator Bottleneck", ICLR 2019,
https://doi.org/10.48550/arXiv.1810.00821 (section 4) drive the weight of theirs.
"""

from dataclasses import asdict, dataclass
from math import exp
from typing import Any

__all__ = ["PenaltyControl"]

_CHECK_EVERY = 8  # steps between two corrections
_RATE = 0.3 / 128  # of the logarithm, a crop and unit of the signal
_LEAST, _MOST = 1 / 100, 8.0  # of the weight it began with


@dataclass(slots=True)
class PenaltyControl:
    """Drives the weight of the R1 penalty by r = E[sign(D(real))].

    Attributes
    ----------
    factor : float
        Of the weight the run began with, 1/100 to 8.
    total : float
        Sum of the signal since the last correction.
    n_steps : int
        Steps since the last correction.
    """

    factor: float = 1.0
    total: float = 0.0
    n_steps: int = 0

    def watch(self, sign: float, n_images: int, target: float) -> None:
        """Take in one step, and correct the weight every few of them.

        Parameters
        ----------
        sign : float
            Mean sign of the scores of real crops, -1 to 1: 0 where the discriminator guesses.
        n_images : int
            Crops in the step.
        target : float
            Where the signal should be.
        """
        self.total += sign
        self.n_steps += 1
        if self.n_steps < _CHECK_EVERY:
            return
        excess = self.total / self.n_steps - target
        factor = self.factor * exp(_RATE * self.n_steps * n_images * excess)
        self.factor = min(max(factor, _LEAST), _MOST)
        self.total, self.n_steps = 0.0, 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return asdict(self)
