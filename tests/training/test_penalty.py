"""The weight of the penalty follows how well the discriminator does."""

from dataclasses import replace

import pytest

from napari_mganprior.training.loop import TrainingState, train
from napari_mganprior.training.penalty import PenaltyControl


@pytest.mark.parametrize(("sign", "rises"), [(1.0, True), (0.0, False)])
def test_the_weight_rises_where_the_discriminator_always_knows(sign, rises):
    control = PenaltyControl()
    for _ in range(7):
        control.watch(sign, 16, 0.45)
    assert control.factor == 1.0  # one batch says little
    control.watch(sign, 16, 0.45)
    assert (control.factor > 1) is rises


def test_the_weight_stays_within_bounds():
    control = PenaltyControl()
    for _ in range(10_000):
        control.watch(1.0, 16, 0.0)
    assert control.factor == 8
    for _ in range(20_000):
        control.watch(-1.0, 16, 1.0)
    assert control.factor == 0.01


def test_the_speed_is_that_of_crops_not_of_steps():
    """Law: batches of twice the size change the weight alike over as many crops."""
    small, large = PenaltyControl(), PenaltyControl()
    for _ in range(64):
        small.watch(0.7, 16, 0.45)
    for _ in range(32):
        large.watch(0.7, 32, 0.45)
    assert large.factor == pytest.approx(small.factor)


def test_a_run_is_driven_only_where_a_target_is_set(source, tiny_config):
    config = replace(tiny_config, n_images=64, r1_gamma=4.0)
    plain = TrainingState(config)
    list(train(plain, source))
    assert plain.penalty == PenaltyControl()
    driven = TrainingState(replace(config, r1_target=0.9))
    assert driven.r1_gamma == 4.0
    list(train(driven, source))
    assert driven.r1_gamma == 4.0 * driven.penalty.factor != 4.0
    again = TrainingState.from_state_dict(driven.state_dict())
    assert again.penalty == driven.penalty


class _Dimmed:
    """Crops of another brightness and contrast."""

    def __init__(self, source, mean, std):
        self.source, self.mean, self.std = source, mean, std

    def batch(self, n, rng):
        return self.source.batch(n, rng) * self.std + self.mean


def test_the_penalty_does_not_depend_on_brightness_and_contrast(source, tiny_config):
    """Law: the slope is that of a standardised pixel."""
    penalties = []
    for mean, std in ((0.0, 1.0), (0.3, 0.1)):
        pixels = {"pixel_mean": (mean,), "pixel_std": (std,)}
        state = TrainingState(replace(tiny_config, bfloat16=False, **pixels))
        penalties.append(next(train(state, _Dimmed(source, mean, std))).r1)
    assert penalties[0] == pytest.approx(penalties[1], rel=1e-3)
