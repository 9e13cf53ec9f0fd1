"""Laws of training an encoder on a generator's own drawings."""

import importlib.util
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError, TrainingError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.training.encoder import (
    EncoderConfig,
    EncoderState,
    damaged,
    train_encoder,
)

SCRIPT = Path(__file__).parents[2] / "examples" / "add_encoder.py"
CONFIG = EncoderConfig(n_images=128, batch_size=16, passes=2)


def _weights(state: EncoderState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.encoder.parameters()])


def test_an_encoder_draws_what_it_saw_better_than_a_random_code(tiny16_prior):
    """Law: on new drawings, damaged, its code's error is far below that of a random code."""
    generator = tiny16_prior.generator
    state = EncoderState(generator, replace(CONFIG, n_images=4000, learning_rate=3e-3))
    for step in train_encoder(generator, state):
        assert step.images_seen <= step.n_images + 15
    rng = seeded(77)
    x = generator(generator.sample_codes(64, rng=rng)).clamp(-1, 1)
    y, known = damaged(x, rng)
    with torch.no_grad():
        found = (generator(state.encoder(y, known)) - x).square().mean()
        chance = (generator(generator.sample_codes(64, rng=rng)) - x).square().mean()
    assert found < 0.8 * chance


def test_a_run_taken_up_goes_on_as_it_would_have(tiny16_prior):
    """Law: stopped and resumed = uninterrupted, to the last bit; other seeds differ."""
    generator = tiny16_prior.generator
    whole = EncoderState(generator, CONFIG)
    losses = [step.image_loss for step in train_encoder(generator, whole)]
    assert len(losses) == 8
    part = EncoderState(generator, CONFIG)
    for _ in itertools.islice(train_encoder(generator, part), 5):
        pass
    part = EncoderState.from_state_dict(generator, part.state_dict())
    rest = [step.image_loss for step in train_encoder(generator, part)]
    assert rest == losses[5:]
    assert torch.equal(_weights(part), _weights(whole))
    other = EncoderState(generator, replace(CONFIG, seed=1))
    assert next(train_encoder(generator, other)).image_loss != losses[0]


def test_a_generator_stays_as_it_is(tiny16_prior):
    before = {key: value.clone() for key, value in tiny16_prior.generator.state_dict().items()}
    list(train_encoder(tiny16_prior.generator, config=replace(CONFIG, n_images=32)))
    for key, value in tiny16_prior.generator.state_dict().items():
        assert torch.equal(value, before[key])


def test_time_ends_a_run(tiny16_prior):
    assert not list(train_encoder(tiny16_prior.generator, config=CONFIG, minutes=1e-9))


def test_images_are_damaged_in_several_ways():
    """Law: measured pixels are those said to be; all kinds of damage come up."""
    x = torch.full((64, 1, 16, 16), 0.5)
    y, known = damaged(x, seeded(4))
    assert set(known.unique().tolist()) == {0.0, 1.0}
    assert not (y * (1 - known)).any()
    share = known.mean(dim=(1, 2, 3))
    assert (share == 1).any()
    assert (share < 0.5).any()
    noisy = ((y - 0.5 * known).abs().amax(dim=(1, 2, 3)) > 0).float().mean()
    assert 0.2 < noisy < 0.8
    again = damaged(x, seeded(4))
    assert torch.equal(again[0], y)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_images": 0}, "Got n_images = 0; wanted 1 to"),
        ({"learning_rate": 2.0}, "Got learning_rate = 2.0"),
        ({"batch_size": "many"}, "Got batch_size = 'many'"),
    ],
)
def test_settings_out_of_range_are_refused(changes, match):
    with pytest.raises(SettingsError, match=match):
        replace(CONFIG, **changes)


def test_states_that_do_not_fit_are_refused(tiny16_prior, tiny_prior):
    raw = EncoderState(tiny16_prior.generator, CONFIG).state_dict()
    with pytest.raises(TrainingError, match="Got an encoder's checkpoint that does not fit"):
        EncoderState.from_state_dict(tiny_prior.generator, raw)
    with pytest.raises(SettingsError, match="Got unknown encoder settings"):
        EncoderConfig.from_dict({"speed": 1})


def test_the_example_adds_one_to_a_prior(tiny16_prior_path, tmp_path, capsys):
    """Law: the printed hash is the file's and its page's; what is no prior is named."""
    spec = importlib.util.spec_from_file_location("add_encoder", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / "with.safetensors"
    page = out.with_suffix(".md")
    page.write_text(f"sha256 {load_prior(tiny16_prior_path).sha256}")
    assert script.main([str(tiny16_prior_path), "--out", str(out), "--images", "64"]) == 0
    loaded = load_prior(out)
    assert page.read_text() == f"sha256 {loaded.sha256}"
    assert loaded.encoder is not None
    assert loaded.card.training["encoder"]["n_images"] == 64
    assert loaded.sha256 in capsys.readouterr().out
    assert script.main([str(tmp_path / "none.safetensors")]) == 1
    assert "Could not read the prior" in capsys.readouterr().err
