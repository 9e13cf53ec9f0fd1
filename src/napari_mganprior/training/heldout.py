"""How a run is doing: its samples against crops it never trains on."""

from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.priors.grid import draw_samples
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.distance import sliced_wasserstein
from napari_mganprior.training.state import TrainingState

__all__ = ["HeldOut"]

_CROP_SEED, _SAMPLE_SEED, _DISTANCE_SEED = 5, 6, 7  # the card has 1 to 4
_N_CROPS = {64: 512, 128: 256}  # up to so many px; the same in all of a run


class HeldOut:
    """Measures a run with the same crops, codes and directions every time.

    None of the run's own random numbers is used, so that measuring changes nothing.

    Parameters
    ----------
    source : CropSource
        Images the run never sees.
    n_crops : int, optional
        Crops and samples compared, from 2 up; by the resolution if left out.
    """

    def __init__(self, source: CropSource, n_crops: int | None = None) -> None:
        sizes = [n for side, n in _N_CROPS.items() if source.resolution <= side]
        self._source, self._n = source, n_crops or (sizes[0] if sizes else 128)
        self._crops: Tensor | None = None

    def distance(self, state: TrainingState) -> float:
        """Return the mean sliced Wasserstein distance of the average's samples, times 1000."""
        if self._crops is None:
            self._crops = self._source.batch(self._n, seeded(_CROP_SEED))
        samples = draw_samples(state.average, self._n, rng=seeded(_SAMPLE_SEED))
        return sliced_wasserstein(samples, self._crops, rng=seeded(_DISTANCE_SEED)).mean
