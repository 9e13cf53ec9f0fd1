"""Mixtures of codes at a cut."""

from dataclasses import replace

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.training.loop import TrainingState, train
from napari_mganprior.training.mixing import MixingGenerator, draw_weights


@pytest.fixture
def generator(tiny_config):
    return TrainingState(tiny_config).generator


def test_shares_are_uniform_on_the_simplex():
    """Law: N shares from Dirichlet(1, .., 1) have mean 1/N and variance (N-1) / (N^2 (N+1))."""
    rng = seeded(0)
    for _ in range(12):
        shares = draw_weights(4000, rng)
        n = shares.shape[1]
        assert 2 <= n <= 4
        assert torch.allclose(shares.sum(dim=1), torch.ones(4000), atol=1e-5)
        assert shares.mean(dim=0).tolist() == pytest.approx([1 / n] * n, abs=0.02)
        assert float(shares[:, 0].var()) == pytest.approx((n - 1) / (n * n * (n + 1)), rel=0.15)


def test_one_share_of_everything_is_the_code_itself(generator):
    """Law: a mixture with all of its weight on one code draws what that code draws."""
    codes = generator.sample_codes(6, rng=seeded(0))
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for cut in generator.cuts:
        mixed = MixingGenerator(generator)(codes, weights, cut)
        assert torch.allclose(mixed, generator(codes[[0, 3, 4]]), atol=1e-6)


def test_equal_codes_mix_to_themselves_and_others_do_not(generator):
    codes = generator.sample_codes(2, rng=seeded(0))
    half = torch.full((1, 2), 0.5)
    cut = generator.cuts[0]
    drawing = MixingGenerator(generator)
    same = drawing(codes[:1].expand(2, -1), half, cut)
    assert torch.allclose(same, generator(codes[:1]), atol=1e-6)
    mixed = drawing(codes, half, cut)
    assert (mixed - generator(codes)).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_training_draws_mixtures_in_the_share_asked_for(source, tiny_config, monkeypatch):
    drawn = []
    from napari_mganprior.training import loop

    monkeypatch.setattr(loop, "draw_weights", lambda *a: drawn.append(1) or draw_weights(*a))
    config = replace(tiny_config, n_images=160, mix_probability=0.5)
    steps = list(train(TrainingState(config), source))
    assert 25 < len(drawn) < 55  # of 80 batches
    assert all(torch.tensor(step.generator_loss).isfinite() for step in steps)
    drawn.clear()
    list(train(TrainingState(tiny_config), source))
    assert not drawn
