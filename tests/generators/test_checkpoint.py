"""Priors as files: what is saved comes back, and bad files raise `PriorError`, nothing else."""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load, save

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError, StorageError
from napari_mganprior.generators.checkpoint import (
    HEADER_KEY,
    PriorCard,
    load_prior,
    read_card,
    save_prior,
)
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator

SHAPE = {"resolution": 8, "widths": [6, 4], "image_channels": 1}


@pytest.fixture
def generator() -> PGGANGenerator:
    made = PGGANGenerator(code_dim=5, **SHAPE)
    made.initialise(seeded(0))
    return made


@pytest.fixture
def discriminator() -> PGGANDiscriminator:
    made = PGGANDiscriminator(**SHAPE)
    made.initialise(seeded(1))
    return made


@pytest.fixture
def card(generator) -> PriorCard:
    return PriorCard(
        name="made up",
        architecture="pggan",
        generator=generator.spec(),
        discriminator=SHAPE,
        domain="noise: ü, µm, 核",
        pixel_size="0.5 µm",
        training={"images_seen": 12, "nested": {"numbers": [1.5, None, True]}},
        licence="CC0-1.0",
    )


@pytest.fixture
def prior(tmp_path, card, generator, discriminator):
    path = tmp_path / "made up.safetensors"
    save_prior(path, card, generator, discriminator)
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_is_saved_comes_back(tmp_path, card, generator, discriminator, dtype):
    """Law: load(save(x)) = x, rounded to the stored type; hash and card are the file's."""
    path = tmp_path / "folder" / "prior.safetensors"
    sha256 = save_prior(path, card, generator, discriminator, dtype=dtype)
    prior = load_prior(path)
    assert prior.card == card
    assert sha256 == prior.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_card(path) == (card, sha256)
    for network, loaded in ((generator, prior.generator), (discriminator, prior.discriminator)):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(parameter.to(dtype))
        network.fold_scales()
        for (key, value), (name, got) in zip(
            network.state_dict().items(), loaded.state_dict().items(), strict=True
        ):
            assert key == name
            assert got.dtype == torch.float32
            assert torch.equal(value, got)


def test_a_loaded_prior_is_frozen_and_folded(prior):
    loaded = load_prior(prior)
    for network in (loaded.generator, loaded.discriminator):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {block.scale for block in loaded.generator.blocks} == {1.0}


@pytest.mark.parametrize("first", [b"\x80", b"PK"])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, card, generator, first):
    """Law: what a file is does not hang on how long its header is."""
    path, card = tmp_path / "prior.safetensors", replace(card, discriminator={})
    wanted = 0x80 if first == b"\x80" else int.from_bytes(b"PK", "little")
    for length in range(0, 25_000, 8):
        save_prior(path, replace(card, domain="a" * length), generator, None)
        header = int.from_bytes(path.read_bytes()[:8], "little")
        if header == wanted or (wanted < 256 and header % 256 == wanted):
            break
        if wanted > 256 and length == 0:  # straight to the length that is wanted
            card = replace(card, licence="a" * (wanted - header))
    assert path.read_bytes().startswith(first)
    assert load_prior(path).card.domain == "a" * length


def test_a_prior_may_lack_a_discriminator(tmp_path, card, generator):
    path = tmp_path / "prior.safetensors"
    save_prior(path, replace(card, discriminator={}), generator, None)
    assert load_prior(path).discriminator is None


def test_the_same_networks_give_the_same_file(tmp_path, card, generator, discriminator):
    hashes = {
        save_prior(tmp_path / name, card, generator, discriminator)
        for name in ("a.safetensors", "b.safetensors")
    }
    assert len(hashes) == 1


def test_a_card_survives_json(card):
    assert PriorCard.from_json(card.to_json(), source="here") == card


def test_a_folder_that_cannot_be_made_is_named(tmp_path, card, generator):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        save_prior(tmp_path / "file" / "prior.safetensors", card, generator, None)


# ---------------------------------------------------------------------------------------------
# Bad files


def refuse(path, data: bytes, message: str) -> None:
    """Law: `load_prior` raises `PriorError` that names the file; `read_card` that or nothing."""
    path.write_bytes(data)
    with pytest.raises(PriorError, match=message) as caught:
        load_prior(path)
    assert path.name in str(caught.value)
    try:
        read_card(path)  # does not look at weights
    except PriorError as error:
        assert path.name in str(error)  # noqa: PT017


def test_a_file_cut_off_anywhere_is_refused(prior):
    good = prior.read_bytes()
    for length in [*range(120), *range(120, len(good), 97), len(good) - 1]:
        refuse(prior, good[:length], "truncated")


def test_bytes_too_many_are_refused(prior):
    refuse(prior, prior.read_bytes() + b"\0" * 8, "truncated or damaged")


def test_a_damaged_header_raises_nothing_else(prior):
    """Flipping any byte of the header raises `PriorError`, or changes a text nobody checks."""
    good = prior.read_bytes()
    end = 8 + int.from_bytes(good[:8], "little")
    refused = 0
    for at in range(0, end, 3):
        data = bytearray(good)
        data[at] ^= 0x15
        prior.write_bytes(data)
        try:
            load_prior(prior)
        except PriorError:
            refused += 1
    assert refused > end / 3 * 0.7


def _torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("weights", "none")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps({"weight": 1}), "a pickle or torch file, which could run code"),
        (_torch_file(), "a pickle or torch file, which could run code"),
        (_zip(), "a pickle or torch file"),
        (b"", r"truncated or no \.safetensors file \(0 bytes\)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), r"truncated or no \.safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", r"truncated or no \.safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "without a 'napari-mganprior' header"),
        (struct.pack("<Q", 2) + b"[]", "truncated or damaged"),
        (struct.pack("<Q", 4) + b"\xff\xfe{}", "truncated or damaged"),
        (save({"weight": torch.zeros(3)}), "without a 'napari-mganprior' header"),
        (save({"w": torch.zeros(3)}, {"format": "pt"}), "without a 'napari-mganprior' header"),
    ],
    ids=[
        "pickle",
        "torch",
        "zip",
        "empty",
        "hdf5",
        "endless",
        "bare",
        "list",
        "bytes",
        "foreign",
        "foreign-header",
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    refuse(tmp_path / "other.safetensors", data, message)


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "gone.safetensors", tmp_path):
        for reader in (load_prior, read_card):
            with pytest.raises(PriorError, match=rf"Could not read the prior .*{path.name}"):
                reader(path)


def rewritten(prior, *, header=None, tensors=None) -> bytes:
    """Give back a prior's file with changes to its card, or to its weights."""
    weights = load(prior.read_bytes())
    for key, value in (tensors or {}).items():
        if value is None:
            del weights[key]
        else:
            weights[key] = value
    raw = {"format": 1, **asdict(read_card(prior)[0]), **(header or {})}
    raw = {key: value for key, value in raw.items() if value is not ...}
    return save(weights, metadata={HEADER_KEY: json.dumps(raw)})


def test_rewriting_without_changes_changes_nothing(prior):
    """The tests below change exactly one thing."""
    card, _ = read_card(prior)
    prior.write_bytes(rewritten(prior))
    assert load_prior(prior).card == card


SPEC = {"code_dim": 5, **SHAPE}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 2}, "another format version; wanted format 1"),
        ({"format": ...}, "another format version"),
        ({"surprise": 1}, r"unknown entries \['surprise'\]"),
        ({"name": ...}, "without .*'name'"),
        ({"domain": ...}, "without .*'domain'"),
        ({"architecture": "vqgan"}, r"architecture 'vqgan'; this version knows \[.*'pggan'"),
        ({"architecture": ["pggan"]}, r"\['architecture'\] of the wrong type"),
        ({"name": 7}, r"\['name'\] of the wrong type"),
        ({"generator": []}, r"\['generator'\] of the wrong type"),
        ({"discriminator": None}, r"\['discriminator'\] of the wrong type"),
        ({"training": "long"}, r"\['training'\] of the wrong type"),
        ({"value_range": 3}, r"\['value_range'\] of the wrong type"),
        ({"value_range": [0, "x"]}, r"\['value_range'\] of the wrong type"),
        ({"value_range": [float("nan"), 1]}, r"\['value_range'\] of the wrong type"),
        ({"value_range": [-(10**400), 1]}, r"\['value_range'\] of the wrong type"),
        ({"pixel_normalisation": {"low": 1}}, r"\['pixel_normalisation'\] of the wrong type"),
        ({"generator": {}}, "cannot be built from"),
        ({"generator": {**SPEC, "depth": 3}}, "cannot be built from .*depth"),
        ({"generator": {**SPEC, "resolution": 12}}, "cannot be built from .*12 px"),
        ({"generator": {**SPEC, "resolution": "8"}}, "cannot be built from"),
        ({"generator": {**SPEC, "resolution": 1e400}}, "cannot be built from"),
        ({"generator": {**SPEC, "code_dim": 0}}, "cannot be built from"),
        ({"generator": {**SPEC, "code_dim": -1}}, "cannot be built from"),
        ({"generator": {**SPEC, "code_dim": 10**30}}, "cannot be built from"),
        ({"generator": {**SPEC, "code_dim": 10**12}}, "for the weight generator.blocks.0.weight"),
        ({"generator": {**SPEC, "code_dim": 6}}, "for the weight generator.blocks.0.weight"),
        ({"generator": {**SPEC, "widths": [6, 5]}}, "for the weight generator.blocks"),
        ({"generator": {**SPEC, "resolution": 16, "widths": [6, 4, 4]}}, "Got nothing for the"),
        ({"generator": {**SPEC, "image_channels": 3}}, "for the weight generator.to_image"),
        ({"discriminator": {**SHAPE, "image_channels": 3}}, "weight discriminator.from_image"),
        ({"discriminator": {}}, "belong to no network"),
        ({"discriminator": SPEC}, "its discriminator cannot be built from"),
    ],
)
def test_wrong_headers_are_refused(prior, header, message):
    refuse(prior, rewritten(prior, header=header), message)


@pytest.mark.parametrize("text", ["", "no JSON", "[1, 2]", "3", "null", "[" * 100_000])
def test_headers_that_are_no_card_are_refused(prior, text):
    weights = load(prior.read_bytes())
    refuse(prior, save(weights, metadata={HEADER_KEY: text}), r"broken header|without \['arch")


WEIGHT = "generator.blocks.1.weight"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({WEIGHT: None}, rf"Got nothing for the weight {WEIGHT} .* wanted \(6, 6, 3, 3\)"),
        ({WEIGHT: torch.zeros(6, 6, 3)}, rf"Got \(6, 6, 3\) for the weight {WEIGHT}"),
        ({WEIGHT: torch.zeros(0)}, rf"Got \(0,\) for the weight {WEIGHT}"),
        ({WEIGHT: torch.full((6, 6, 3, 3), float("nan"))}, f"NaN or infinity in .*{WEIGHT}"),
        ({WEIGHT: torch.full((6, 6, 3, 3), float("inf"))}, f"NaN or infinity in .*{WEIGHT}"),
        ({WEIGHT: torch.zeros(6, 6, 3, 3, dtype=torch.int64)}, f"{WEIGHT} .* as torch.int64"),
        ({WEIGHT: torch.zeros(6, 6, 3, 3, dtype=torch.bool)}, f"{WEIGHT} .* as torch.bool"),
        (
            {WEIGHT: torch.zeros(6, 6, 3, 3).to(torch.float8_e4m3fn)},
            f"{WEIGHT} .* as torch.float8",
        ),
        ({"generator.extra": torch.zeros(2)}, r"Got \(2,\) for the weight generator.extra .* noth"),
        ({"extra": torch.zeros(2)}, r"belong to no network: \['extra'\]"),
        ({"discriminator.score.bias": None}, "Got nothing for the weight discriminator.score.bias"),
    ],
)
def test_wrong_weights_are_refused(prior, tensors, message):
    refuse(prior, rewritten(prior, tensors=tensors), message)


def test_bfloat16_weights_are_welcome(prior):
    weight = torch.ones(6, 6, 3, 3, dtype=torch.bfloat16)
    prior.write_bytes(rewritten(prior, tensors={WEIGHT: weight}))
    loaded = load_prior(prior).generator.state_dict()["blocks.1.weight"]
    assert torch.allclose(loaded, torch.tensor((2 / 54) ** 0.5))
