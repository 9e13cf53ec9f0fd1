"""Cards in words: true to the card, whatever is in it, and without torch."""

import subprocess
import sys
from dataclasses import replace

import pytest

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.checkpoint import load_prior, read_card, save_prior
from napari_mganprior.priors import prior_source
from napari_mganprior.priors.words import images_in_words, tell_prior


@pytest.fixture
def own(tmp_path, monkeypatch, tiny16_prior_path):
    """Write the tiny prior with another card into the user's folder."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path))
    loaded = load_prior(tiny16_prior_path)

    def write(**changes):
        card = replace(read_card(tiny16_prior_path)[0], name="own", **changes)
        save_prior(tmp_path / "own.safetensors", card, loaded.generator, loaded.discriminator)
        return tell_prior("own")

    return write


def test_a_card_is_told(own, tmp_path):
    told = own(domain="leaves", licence="CC0-1.0", pixel_size="1 mm", training={"data": "a walk"})
    path = tmp_path / "own.safetensors"
    assert told["Shows"] == "leaves"
    assert told["Images"] == images_in_words("own") == "16 px grey"
    assert told["Architecture"] == "pggan"
    assert told["Networks"] == "generator, discriminator"
    assert told["Pixel size"] == "1 mm"
    assert told["Licence"] == "CC0-1.0"
    assert told["Data"] == "a walk"
    assert told["From"] == "your own"
    assert told["sha256"] == read_card(path)[1]
    assert told["File"] == str(path)
    assert "Note" not in told


def test_where_an_import_came_from_is_told(own):
    note = "all samples are alike"
    told = own(training={"imported_from": "a.pkl", "layout": "stylegan2-nvidia", "note": note})
    assert told["Data"] == "imported from a.pkl, layout stylegan2-nvidia"
    assert told["Note"] == note


def test_what_is_not_stated_is_said_to_be_so(own):
    told = own(domain="", licence="", pixel_normalisation={"kind": "percentile", "low": "x"})
    for about in ("Shows", "Pixel size", "Licence", "Data", "Pixel values"):
        assert told[about] == "not stated"


def test_sources(own):
    own()
    assert prior_source("own") == "user"
    assert prior_source("nuclei") == "bundled"
    assert prior_source("registered:anything") == "registered"
    for ask in (prior_source, tell_prior, images_in_words):
        with pytest.raises(PriorError, match="Got the prior 'none', which is neither"):
            ask("none")


def test_it_needs_no_torch():
    code = (
        "import sys\n"
        "from napari_mganprior.priors.words import tell_prior\n"
        "print(len(tell_prior('nuclei')['sha256']), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "64 False", done.stderr
