"""Encoders: holes do not matter, codes lie on the sphere, and a prior's file carries one."""

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError
from napari_mganprior.generators.checkpoint import (
    HEADER_KEY,
    add_encoder,
    load_prior,
    read_card,
    save_prior,
)
from napari_mganprior.generators.encoder import Encoder, filled


def _encoder(prior, **changes) -> Encoder:
    generator = prior.generator
    settings = {
        "resolution": generator.resolution,
        "widths": (8,) * len(Encoder.widths_for(generator.resolution)),
        "code_dim": generator.code_dim,
        "code_radius": generator.code_radius,
        "image_channels": generator.image_channels,
    }
    made = Encoder(**{**settings, **changes})
    made.initialise(seeded(3))
    return made


def test_what_stands_in_a_hole_does_not_matter(tiny_prior):
    """Law: the code depends on what is known only, and has the generator's length."""
    encoder, rng = _encoder(tiny_prior), seeded(1)
    known = (torch.rand(2, 1, 32, 32, generator=rng) > 0.5).float()
    y, rubbish = torch.randn(2, 2, 1, 32, 32, generator=rng)
    first, second = (encoder(y + share * rubbish * (1 - known), known) for share in (0, 9))
    assert torch.equal(first, second)
    length = torch.linalg.vector_norm(first, dim=1)
    torch.testing.assert_close(length, torch.full((2,), tiny_prior.generator.code_radius))
    assert not torch.allclose(encoder(y, known), encoder(y, torch.ones_like(known)))


@pytest.mark.parametrize("side", [16, 17])
def test_holes_are_filled_from_what_is_near(side):
    """Law: known pixels stay, a constant image comes back whole, values stay in their range."""
    rng = seeded(2)
    known = (torch.rand(3, 1, side, side, generator=rng) > 0.8).float()
    known[2] = 0
    known[2, :, 0, 0] = 1
    y = torch.rand(3, 2, side, side, generator=rng)
    full = filled(y, known)
    assert torch.equal(full * known, y * known)
    assert full.min() >= 0
    assert full.max() <= 1
    torch.testing.assert_close(filled(torch.full_like(y, 0.3) * known, known), 0.3 + 0 * y)
    assert not filled(y, torch.zeros_like(known)).any()


def test_a_hole_continues_what_is_around_it():
    """Law: every second row of a ramp comes back to two of its steps."""
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    half = torch.ones(1, 1, 16, 16)
    half[..., ::2, :] = 0
    assert (filled(ramp * half, half) - ramp).abs().max() < 2 / 16


def test_about_as_many_weights_as_planned():
    made = Encoder(
        resolution=64, widths=Encoder.widths_for(64), code_dim=128, code_radius=11.3,
        image_channels=1,
    )  # fmt: skip
    assert 3e5 < sum(p.numel() for p in made.parameters()) < 5e5


def test_a_prior_carries_an_encoder(tiny_prior, tiny_prior_path, tmp_path):
    """Law: only the encoder is new in the file; what is saved comes back, in half precision."""
    encoder, path = _encoder(tiny_prior), tmp_path / "with.safetensors"
    sha256 = add_encoder(tiny_prior_path, path, encoder, {"n_images": 7})
    before, after = load_file(tiny_prior_path), load_file(path)
    for key, value in before.items():
        assert torch.equal(value, after[key])
        assert value.dtype == after[key].dtype
    assert {key for key in after if key not in before} == {
        f"encoder.{key}" for key in encoder.state_dict()
    }
    loaded = load_prior(path)
    assert loaded.encoder is not None
    assert loaded.encoder.spec() == encoder.spec() == loaded.card.encoder
    assert loaded.card.training["encoder"] == {"n_images": 7}
    assert sha256 == loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for got, given in zip(loaded.encoder.parameters(), encoder.parameters(), strict=True):
        assert torch.equal(got, given.half().float())
        assert not got.requires_grad
    assert replace(read_card(path)[0], encoder={}, training={}) == replace(
        read_card(tiny_prior_path)[0], training={}
    )
    assert load_prior(tiny_prior_path).encoder is None


def test_a_prior_is_saved_with_an_encoder(tiny_prior, tmp_path):
    encoder, path = _encoder(tiny_prior), tmp_path / "prior.safetensors"
    card = replace(tiny_prior.card, encoder=encoder.spec(), discriminator={})
    save_prior(path, card, tiny_prior.generator, None, encoder=encoder)
    loaded = load_prior(path)
    assert loaded.encoder is not None
    assert torch.equal(loaded.encoder.last.bias, encoder.last.bias.half().float())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"widths": (8, 8)},
            r"Got channel widths \(8, 8\) for an encoder of 32 px images; wanted 3",
        ),
        ({"widths": (8, 8, 12)}, "wanted 3 multiples of 8"),
        ({"resolution": 4}, "for an encoder of 4 px images"),
        ({"code_radius": 0.0}, "Got codes of 16 numbers and length 0.0"),
        ({"image_channels": 5}, "5 image channels; wanted positive ones and 1 to 4"),
    ],
)
def test_encoders_that_cannot_be_are_refused(tiny_prior, changes, match):
    with pytest.raises(PriorError, match=match):
        _encoder(tiny_prior, **changes)


def test_another_generators_encoder_is_refused(tiny_prior, tiny16_prior, tiny_prior_path, tmp_path):
    other, path = _encoder(tiny16_prior), tmp_path / "prior.safetensors"
    with pytest.raises(PriorError, match=r"Got an encoder in tiny.* \(16, 1, 16\); wanted the gen"):
        add_encoder(tiny_prior_path, path, other, {})
    assert not path.exists()
    card = replace(tiny_prior.card, encoder=other.spec(), discriminator={})
    save_prior(path, card, tiny_prior.generator, None, encoder=other)
    with pytest.raises(PriorError, match=r"Got an encoder in prior\.safetensors for size"):
        load_prior(path)


def test_a_damaged_encoder_is_refused(tiny_prior, tiny_prior_path, tmp_path):
    path = tmp_path / "with.safetensors"
    add_encoder(tiny_prior_path, path, _encoder(tiny_prior), {})
    with safe_open(str(path), "pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    tensors["encoder.last.bias"][0] = torch.nan
    save_file(tensors, path, metadata=header)
    with pytest.raises(PriorError, match=r"Got NaN or infinity in the weight encoder.last.bias"):
        load_prior(path)
    del tensors["encoder.last.bias"]
    save_file(tensors, path, metadata=header)
    with pytest.raises(PriorError, match=r"Got nothing for the weight encoder.last.bias"):
        load_prior(path)
    save_file(tensors, path, metadata={HEADER_KEY: read_card(tiny_prior_path)[0].to_json()})
    with pytest.raises(PriorError, match=r"belong to no network: \['encoder"):
        load_prior(path)
