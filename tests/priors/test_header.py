"""The torch-free reader says what the real reader says, and refuses what it refuses."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from napari_mganprior.generators.checkpoint import load_prior, read_card
from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import prior_sha256, read_header


@pytest.fixture
def prior(tmp_path, tiny16_prior_path):
    path = tmp_path / "copy.safetensors"
    path.write_bytes(tiny16_prior_path.read_bytes())
    return path


def parts(path):
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def join(path, table, tensors):
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


@pytest.mark.parametrize("name", ["tiny", "tiny16", "tinyrgb", "nuclei"])
def test_it_says_what_the_real_reader_says(prior_folder, name):
    """Law: header(file) = card(file), hash included."""
    path = find_prior("nuclei") if name == "nuclei" else prior_folder / f"{name}.safetensors"
    header, (card, sha256) = read_header(path), read_card(path)
    # a file from before there were encoders does not speak of them
    assert {"encoder": {}, **header.card} == json.loads(json.dumps(asdict(card)))
    assert (header.name, header.domain) == (card.name, card.domain)
    assert prior_sha256(path) == sha256
    generator = load_prior(path).generator
    assert header.resolution == generator.resolution
    assert header.image_channels == generator.image_channels
    assert header.n_bytes == path.stat().st_size


@pytest.mark.parametrize(
    "generator",
    [
        DCGANGenerator(widths=(6, 4, 3), code_dim=5, image_channels=3),
        BigGANGenerator(widths=(4, 4, 2), attention=(), code_dim=6, chunk=2, image_channels=3),
        BigGANDeepGenerator(
            widths=(8, 8, 8, 4, 4),
            upsample=(False, True, False, True),
            attention=(),
            code_dim=6,
            image_channels=3,
        ),
    ],
)
def test_it_finds_the_resolution_of_those_that_do_not_state_it(prior, generator):
    """Law: header(file).resolution = the network's."""
    spec = generator.spec()
    assert "resolution" not in spec
    table, tensors = parts(prior)
    card = json.loads(table["__metadata__"]["napari-mganprior"])
    table["__metadata__"]["napari-mganprior"] = json.dumps({**card, "generator": spec})
    join(prior, table, tensors)
    assert read_header(prior).resolution == generator.resolution


def test_a_file_cut_off_anywhere_is_refused(prior):
    good = prior.read_bytes()
    for length in [*range(60), *range(60, len(good), 211), len(good) - 1]:
        prior.write_bytes(good[:length])
        with pytest.raises(PriorError, match=r"truncated|broken header"):
            read_header(prior)
    prior.write_bytes(good + b"\0")
    with pytest.raises(PriorError, match="truncated or damaged; wanted"):
        read_header(prior)


def test_a_damaged_header_raises_nothing_else(prior):
    """Law: whatever byte is flipped, `read_header` raises `PriorError` or nothing."""
    good = prior.read_bytes()
    end = 8 + int.from_bytes(good[:8], "little")
    refused = 0
    for at in range(0, end, 5):
        data = bytearray(good)
        data[at] ^= 0x15
        prior.write_bytes(data)
        try:
            read_header(prior)
        except PriorError:
            refused += 1
    assert refused > end // 20


def test_a_pickle_is_refused(prior):
    prior.write_bytes(b"\x80\x04K\x01." * 20)
    with pytest.raises(PriorError, match=r"no \.safetensors file"):
        read_header(prior)


def test_a_missing_file_is_named(tmp_path):
    for read in (read_header, prior_sha256):
        with pytest.raises(PriorError, match=r"Could not read the prior .*nothing"):
            read(tmp_path / "nothing")


def test_another_header_is_refused(prior):
    table, tensors = parts(prior)
    card = json.loads(table["__metadata__"]["napari-mganprior"])

    def written(text):
        join(prior, {**table, "__metadata__": {"napari-mganprior": text}}, tensors)
        return prior

    with pytest.raises(PriorError, match="no table"):
        read_header(written("[]"))
    with pytest.raises(PriorError, match="wanted JSON"):
        read_header(written("{"))
    with pytest.raises(PriorError, match="another format version"):
        read_header(written(json.dumps({**card, "format": 2})))
    for wrong in ({}, {"resolution": 0, "image_channels": 1}, {"resolution": 64}, 3):
        with pytest.raises(PriorError, match="without name, architecture"):
            read_header(written(json.dumps({**card, "generator": wrong})))
    join(prior, {k: v for k, v in table.items() if k != "__metadata__"}, tensors)
    with pytest.raises(PriorError, match="without a 'napari-mganprior' header"):
        read_header(prior)


@pytest.mark.parametrize(
    "wrong",
    [{"dtype": "I64"}, {"shape": [10**9]}, {"data_offsets": [4, 0]}, {"data_offsets": 7}],
)
def test_a_weight_of_another_size_is_refused(prior, wrong):
    table, tensors = parts(prior)
    name = next(key for key in table if key != "__metadata__")
    table[name] |= wrong
    join(prior, table, tensors)
    with pytest.raises(PriorError, match="as many bytes as its shape asks for"):
        read_header(prior)


def test_a_changed_file_is_hashed_again(prior):
    before = prior_sha256(prior)
    prior.write_bytes(prior.read_bytes() + b"\0")
    assert prior_sha256(prior) != before


def test_reading_a_header_needs_no_torch():
    code = (
        "import sys; from napari_mganprior.priors import find_prior\n"
        "from napari_mganprior.priors.header import read_header\n"
        "print(read_header(find_prior('nuclei')).resolution)\n"
        "print([m for m in ('torch', 'numpy', 'safetensors', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[:2] == ["64", "[]"]
