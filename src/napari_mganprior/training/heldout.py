"""How a run is doing: its samples against crops of the pictures, some of them never trained on."""

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

    The distance is that to training crops, plus what the samples are further away from held-out
    crops than training crops themselves are. Where few pictures are held out they are unlike the
    others by chance: of 60 pictures of nuclei, 6 were further from the 54 (96) than samples of an
    early, poor generator were (89). The distance to them alone would have chosen that one.

    None of the run's own random numbers is used, so that measuring changes nothing.

    Parameters
    ----------
    held_out : CropSource
        Images the run never sees.
    train : CropSource
        Images it sees.
    n_crops : int, optional
        Crops and samples compared, from 2 up; by the resolution if left out.
    """

    def __init__(self, held_out: CropSource, train: CropSource, n_crops: int | None = None) -> None:
        sizes = [n for side, n in _N_CROPS.items() if held_out.resolution <= side]
        self._sources, self._n = (train, held_out), n_crops or (sizes[0] if sizes else 128)
        self._crops: list[Tensor] = []
        self._floor = 0.0

    def distance(self, state: TrainingState) -> float:
        """Return the mean sliced Wasserstein distance of the average's samples, times 1000."""
        if not self._crops:
            self._crops = [source.batch(self._n, seeded(_CROP_SEED)) for source in self._sources]
            self._floor = self._between(*self._crops)
        samples = draw_samples(state.average, self._n, rng=seeded(_SAMPLE_SEED))
        to_train, to_held_out = (self._between(samples, crops) for crops in self._crops)
        return to_train + max(0.0, to_held_out - self._floor)

    def _between(self, first: Tensor, second: Tensor) -> float:
        return sliced_wasserstein(first, second, rng=seeded(_DISTANCE_SEED)).mean
