"""The scripts of examples/ that people copy."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.files import read_image
from napari_mganprior.generators.checkpoint import read_card
from napari_mganprior.metrics import psnr_in
from napari_mganprior.samples import Sample, load_sample

SCRIPT = Path(__file__).parents[1] / "examples" / "restore_an_image.py"
PART = np.s_[70:134, 70:134]


@pytest.fixture
def script(monkeypatch):
    """Return the script as a module; its samples are cut to 64x64, which a tiny prior does soon."""
    spec = importlib.util.spec_from_file_location("restore_an_image", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def cut(name: str) -> Sample:
        whole = load_sample(name)
        return Sample(name, whole.truth[PART], whole.damaged[PART], whole.mask[PART])

    monkeypatch.setattr(module, "load_sample", cut)
    return module


def test_an_image_is_restored_saved_and_measured(script, tiny_prior_path, tmp_path, capsys):
    """Law: the file holds the recipe, differs from the input only inside the damage, and the
    printed figure is the file's.
    """
    output = tmp_path / "restored.tif"
    assert (
        script.main(["--prior", str(tiny_prior_path), "--quality", "fast", "-o", str(output)]) == 0
    )
    printed = capsys.readouterr().out
    sample = script.load_sample("nuclei_bubble")
    saved = read_image(output)
    assert np.array_equal(saved.array[~sample.mask], sample.damaged[~sample.mask])
    assert (saved.array[sample.mask] != sample.damaged[sample.mask]).any()
    recipe = json.loads(saved.description)
    assert recipe["prior"]["sha256"] == read_card(tiny_prior_path)[1]
    assert recipe["mask"]["damaged_pixels"] == sample.mask.sum()
    psnr = psnr_in(sample.mask, sample.truth, saved.array, data_range=255)
    assert f"restored  inside the damage: PSNR {psnr:.2f} dB" in printed
    assert printed.count(" %  window ") >= 2


def test_what_cannot_be_done_is_refused_before_any_work(script, tiny_prior_path, tmp_path, capsys):
    output = tmp_path / "restored.tif"
    assert script.main(["--prior", "nobody", "-o", str(output)]) == 1
    assert "Got the prior 'nobody'" in capsys.readouterr().err
    output.write_bytes(b"mine")
    assert script.main(["--prior", str(tiny_prior_path), "-o", str(output)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"


def test_an_image_is_edited_from_python(tiny_prior_path, tmp_path, capsys):
    """Law: the file differs from the image where it says so, and holds the recipe of an edit."""
    path = Path(__file__).parents[1] / "examples" / "edit_an_image.py"
    spec = importlib.util.spec_from_file_location("edit_an_image", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out, strip = tmp_path / "edited.tif", tmp_path / "strip.png"
    options = ["--prior", str(tiny_prior_path), "-o", str(out), "--strip", str(strip)]
    assert module.main(options) == 0
    before = load_sample("nuclei_bubble").truth[64:128, 64:128]
    saved = read_image(out)
    changed = int((saved.array != before).sum())
    assert changed > 100
    assert f"{changed} of {before.size} pixels changed, and all" in capsys.readouterr().out
    recipe = json.loads(saved.description)
    assert [move["strength"] for move in recipe["edit"]["moves"]] == [2.0, -1.0]
    assert read_image(strip).array.shape == (4 * 32, 5 * 32)
    assert module.main(options) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_prior_is_analysed(tiny_prior_path, tmp_path, capsys):
    """Law: a row for each combination, and a label for every pixel of the part."""
    spec = importlib.util.spec_from_file_location(
        "analyse_a_prior", SCRIPT.with_name("analyse_a_prior.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    few = ["--cuts", "1", "3", "--codes", "1", "2", "--steps", "2", "-o", str(tmp_path)]
    assert module.main(["--prior", str(tiny_prior_path), *few]) == 0
    printed = capsys.readouterr().out
    assert printed.count("PSNR") == 5
    assert (tmp_path / "study.csv").read_text().count("\n") == 5
    assert read_image(tmp_path / "roles.tif").array.min() >= 1
    assert module.main(["--prior", "nobody", *few]) == 1
