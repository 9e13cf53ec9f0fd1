"""The training loop: repeatable, resumable, and honest about failure."""

from dataclasses import replace

import pytest
import torch

from napari_mganprior.errors import TrainingError
from napari_mganprior.training import loop
from napari_mganprior.training.augment import augment
from napari_mganprior.training.loop import TrainingState, train


@pytest.mark.parametrize("bfloat16", [False, True])
def test_resumed_is_straight_to_the_last_bit(source, tiny_config, bfloat16, same):
    """Law: train(8 steps) = train(3 steps), state_dict, from_state_dict, train(5 steps)."""
    config = replace(tiny_config, bfloat16=bfloat16)
    straight = TrainingState(config)
    wanted = list(train(straight, source))
    assert len(wanted) == 8

    stopped = TrainingState(config)
    run = train(stopped, source)
    got = [next(run) for _ in range(3)]
    run.close()
    resumed = TrainingState.from_state_dict(stopped.state_dict())
    got += train(resumed, source)

    assert got == wanted
    assert same(resumed.state_dict(), straight.state_dict())


def test_the_seed_decides(source, tiny_config):
    """Law: the same seed gives the same losses; another seed gives others."""
    losses = [
        [step.generator_loss for step in train(TrainingState(c), source)]
        for c in (tiny_config, tiny_config, replace(tiny_config, seed=1))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_steps_count_images_and_r1_is_measured_when_due(source, tiny_config):
    steps = list(train(TrainingState(tiny_config), source))
    assert [step.images_seen for step in steps] == list(range(4, 33, 4))
    assert {step.n_images for step in steps} == {32}
    assert [step.r1 is not None for step in steps] == [i % 3 == 0 for i in range(8)]


def test_a_finished_run_has_no_more_steps(source, tiny_config):
    state = TrainingState(tiny_config)
    state.images_seen = tiny_config.n_images
    assert list(train(state, source)) == []


def test_learning_changes_both_networks_and_lowers_the_discriminators_loss(source, tiny_config):
    """A discriminator that learns tells real from fake better than one that guesses."""
    config = replace(tiny_config, n_images=1600, batch_size=16, bfloat16=False)
    state = TrainingState(config)
    before = {k: v.clone() for k, v in state.generator.state_dict().items()}
    losses = [step.discriminator_loss for step in train(state, source)]
    assert min(sum(losses[i : i + 10]) / 10 for i in range(90)) < sum(losses[:3]) / 3 - 0.1
    after = state.generator.state_dict()
    assert all(not torch.equal(before[key], after[key]) for key in before if "weight" in key)


def test_learning_rate_is_constant_then_falls_to_a_tenth(tiny_config):
    state = TrainingState(replace(tiny_config, n_images=3000))

    def rate(seen: int) -> float:
        state.images_seen = seen
        return state.learning_rate() / tiny_config.learning_rate

    assert [rate(0), rate(1000), rate(2000)] == pytest.approx([1, 1, 1])
    assert rate(2500) == pytest.approx(0.55)
    assert rate(3000) == pytest.approx(0.1)
    assert rate(9999) == pytest.approx(0.1)
    falling = [rate(seen) for seen in range(2000, 3001, 50)]
    assert falling == sorted(falling, reverse=True)


def test_the_optimisers_get_that_rate(source, tiny_config):
    state = TrainingState(replace(tiny_config, n_images=12))
    steps = train(state, source)
    next(steps), next(steps), next(steps)
    state.images_seen = 8  # what it was when the last step began
    for optimiser in state.optimisers.values():
        assert optimiser.param_groups[0]["lr"] == state.learning_rate()


def test_average_is_the_exponential_average_of_the_weights(source, tiny_config):
    """Law: average = keep * average + (1 - keep) * weights, keep = 2 ** (-batch / half life)."""
    config = replace(tiny_config, ema_half_life=8)
    state = TrainingState(config)
    expected = [p.clone() for p in state.generator.parameters()]
    for step in train(state, source):
        half_life = min(8, 0.05 * step.images_seen)
        keep = 0.5 ** (4 / half_life)
        expected = [
            keep * old + (1 - keep) * new.detach()
            for old, new in zip(expected, state.generator.parameters(), strict=True)
        ]
    for got, wanted in zip(state.average.parameters(), expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)
        assert not got.requires_grad


def test_a_short_half_life_follows_a_long_one_lags(source, tiny_config):
    def lag(half_life: int) -> float:
        state = TrainingState(replace(tiny_config, ema_half_life=half_life, n_images=400))
        list(train(state, source))
        pairs = zip(state.average.parameters(), state.generator.parameters(), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert lag(1) < lag(400)


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_nan_is_an_error(source, tiny_config, network):
    state = TrainingState(tiny_config)
    steps = train(state, source)
    next(steps)
    with torch.no_grad():
        next(getattr(state, network).parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"not finite after 4 images; .* smaller learning rate"):
        next(steps)


@pytest.mark.parametrize("missing", ["config", "rng", "average", "optimisers", "images_seen"])
def test_an_incomplete_state_is_refused(tiny_config, missing):
    raw = TrainingState(tiny_config).state_dict()
    del raw[missing]
    with pytest.raises(TrainingError, match=rf"does not fit \('{missing}'\)"):
        TrainingState.from_state_dict(raw)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", {"seed": 1, "unheard_of": 2}),
        ("config", {"batch_size": 5}),
        ("config", {"resolution": 48}),
        ("config", None),
        ("generator", {}),
        ("images_seen", "many"),
        ("rng", torch.zeros(3, dtype=torch.uint8)),
        ("optimisers", {"generator": {}, "discriminator": {}}),
        ("optimisers", {"generator": {"state": {}, "param_groups": []}}),
    ],
)
def test_a_foreign_state_is_refused(tiny_config, key, value):
    raw = {**TrainingState(tiny_config).state_dict(), key: value}
    with pytest.raises(TrainingError, match="does not fit"):
        TrainingState.from_state_dict(raw)


@pytest.mark.parametrize("raw", [[], 3, None, "state"])
def test_what_is_no_state_at_all_is_refused(raw):
    with pytest.raises(TrainingError, match="does not fit"):
        TrainingState.from_state_dict(raw)


def test_the_penalty_weakens_after_the_images_it_is_told(source, tiny_config):
    """Runs that differ only in the late weight agree before it sets in and differ after."""
    weights = []
    for late in (1.0, 0.1):
        config = replace(tiny_config, r1_every=1, r1_late_after=8, r1_gamma_late=late)
        state = TrainingState(config)
        steps = train(state, source)
        drawn = []
        for _ in range(3):  # 4 images a step: the third begins at 8
            next(steps)
            drawn.append(state.discriminator.score.weight.detach().clone())
        weights.append(drawn)
    before, after = zip(*weights, strict=True), (weights[0][2], weights[1][2])
    assert all(torch.equal(a, b) for a, b in list(before)[:2])
    assert not torch.equal(*after)


@pytest.mark.parametrize("mix", [0.0, 0.5])
def test_resumed_in_mid_augmentation_is_straight_to_the_last_bit(source, tiny_config, same, mix):
    """Law: as above, with crops being changed and codes being mixed."""
    config = replace(tiny_config, n_images=80, mix_probability=mix, r1_target=0.4)
    straight, stopped = TrainingState(config), TrainingState(config)
    for state in (straight, stopped):
        state.augmentation.strength = 0.4
    wanted = list(train(straight, source))
    run = train(stopped, source)
    got = [next(run) for _ in range(11)]  # between two corrections of the strength
    run.close()
    resumed = TrainingState.from_state_dict(stopped.state_dict())
    got += train(resumed, source)
    assert got == wanted
    assert same(resumed.state_dict(), straight.state_dict())
    assert wanted[-1].augment != 0.4


@pytest.mark.parametrize(
    ("augments", "score", "rises"), [(True, 9, 1), (True, -9, 0), (False, 9, 0)]
)
def test_the_strength_follows_the_scores_of_real_crops(
    source, tiny_config, monkeypatch, augments, score, rises
):
    """Real and drawn crops are changed as much as a discriminator asks for that knows them all."""
    config = replace(tiny_config, n_images=40, augment=augments)
    state = TrainingState(config)
    seen = []

    def recorded(images, strength, rng):
        seen.append(strength)
        return augment(images, strength, rng)

    monkeypatch.setattr(loop, "augment", recorded)
    with torch.no_grad():
        state.discriminator.score.bias.fill_(score)
    steps = list(train(state, source))
    assert [step.overfit for step in steps[:7]] == [None] * 7
    raised = 8 * 4 / 50_000 * rises
    assert steps[7].augment == pytest.approx(raised)
    assert steps[7].overfit == ((1 if score > 0 else -1) if augments else None)
    # fake, real, fake again in every step
    assert seen == pytest.approx([0.0] * 24 + [raised] * 6)


def test_grey_crops_reach_the_discriminator_channels_last(tiny_config):
    """One channel is in both orders at once; its strides decide the order of all that follows."""
    images = torch.rand(4, 1, 16, 16)
    for last, strides in ((True, (256, 1, 16, 1)), (False, (256, 256, 16, 1))):
        shown = loop._shown(TrainingState(replace(tiny_config, channels_last=last)), images)
        assert shown.stride() == strides
        assert torch.equal(shown, images)
