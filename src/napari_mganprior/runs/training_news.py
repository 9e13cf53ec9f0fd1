"""What a training run says about itself: plain and picklable, the same in every process."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError

__all__ = ["TrainingEnd", "TrainingNews", "TrainingPoint"]


class TrainingPoint(NamedTuple):
    """One point of the curves: means since the point before.

    Attributes
    ----------
    images_seen : int
        Crops shown so far.
    generator_loss, discriminator_loss : float
        Non-saturating losses, nats.
    augment : float
        Strength of the augmentation, 0 .. 1.
    distance : float or None
        Sliced Wasserstein distance x 1000 to the pictures, where it was measured.
    """

    images_seen: int
    generator_loss: float
    discriminator_loss: float
    augment: float = 0.0
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingEnd:
    """How a run ended.

    Attributes
    ----------
    prior : str
        The name of the new prior; empty where there is none.
    error : MGANPriorError or None
        Why it failed, in words for people.
    kept : bool
        Whether it can be resumed.
    """

    prior: str = ""
    error: MGANPriorError | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingNews:
    """Where a training run is.

    Attributes
    ----------
    doing : str
        What it does now, in words; empty while it simply trains.
    training : bool
        Whether there are steps, so that it can be paused, or stopped and kept.
    paused : bool
        Whether it waits to be resumed.
    images_seen, n_images : int
        Crops so far and at the end; 0 of 0 while that is not known.
    step, n_steps : int
        Parts of publishing that are done, of how many; 0 of 0 before.
    rate : float or None
        Crops a second, lately.
    remaining : float or None
        Seconds still to train, estimated.
    points : tuple of TrainingPoint
        New points of the curves, in order.
    notices : tuple of str
        New things the user should know.
    sheet : ndarray or None
        Samples of the averaged generator for the same codes each time, bytes (H, W) or (H, W, 3).
    end : TrainingEnd or None
        How it ended; with it come the last news.
    """

    doing: str = ""
    training: bool = False
    paused: bool = False
    images_seen: int = 0
    n_images: int = 0
    step: int = 0
    n_steps: int = 0
    rate: float | None = None
    remaining: float | None = None
    points: tuple[TrainingPoint, ...] = ()
    notices: tuple[str, ...] = ()
    sheet: NDArray[np.uint8] | None = None
    end: TrainingEnd | None = None

    def then(self, newer: "TrainingNews") -> "TrainingNews":
        """Return the newer news with what of these is not superseded by them."""
        return replace(
            newer,
            points=self.points + newer.points,
            notices=self.notices + newer.notices,
            sheet=self.sheet if newer.sheet is None else newer.sheet,
        )
