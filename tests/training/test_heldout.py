"""The number that decides which state of a run is the best."""

from napari_mganprior.arrays import seeded
from napari_mganprior.priors.grid import draw_samples
from napari_mganprior.training.distance import sliced_wasserstein
from napari_mganprior.training.heldout import HeldOut
from napari_mganprior.training.state import TrainingState


def test_pictures_held_out_that_are_unlike_the_others_do_not_decide(source, held_out, tiny_config):
    """Law: a run's distance is that to training crops while held-out ones are not further than
    those crops are themselves, and more where they are."""
    state = TrainingState(tiny_config)
    alike = HeldOut(source, source, 16).distance(state)
    samples = draw_samples(state.average, 16, rng=seeded(6))
    crops = source.batch(16, seeded(5))
    assert alike == sliced_wasserstein(samples, crops, rng=seeded(7)).mean * 2  # the floor is 0

    measuring = HeldOut(held_out, source, 16)
    other = held_out.batch(16, seeded(5))
    to_train, to_other, floor = (
        sliced_wasserstein(*pair, rng=seeded(7)).mean
        for pair in ((samples, crops), (samples, other), (crops, other))
    )
    assert measuring.distance(state) == to_train + max(0.0, to_other - floor)
