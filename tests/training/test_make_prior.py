"""The script that makes the bundled priors, run on a tiny configuration."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.generators.checkpoint import read_card

SCRIPT = Path(__file__).parents[2] / "examples" / "make_prior.py"


@pytest.fixture
def script(tiny_config):
    spec = importlib.util.spec_from_file_location("make_prior", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_prior"] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    making = module.MAKINGS["nuclei"]
    assert making.config.resolution == 64
    module.MAKINGS["nuclei"] = replace(making, config=tiny_config)
    module.REPORT_EVERY = 8
    publish = module.publish_prior
    module.publish_prior = lambda *args, **more: publish(*args, **more, n_crops=8, n_searched=8)
    return module


@pytest.fixture
def folder(tmp_path, source, held_out) -> Path:
    for name, images in (("train", source), ("test", held_out)):
        arrays = {str(i): image[0] for i, image in enumerate(images.images())}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


def test_trains_reports_publishes_and_goes_on(script, folder, capsys):
    arguments = ["nuclei", str(folder), "--run", str(folder / "run"), "--out", str(folder / "out")]
    assert script.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" of ")[0].strip() for line in lines[:4]] == ["8", "16", "24", "32"]
    assert "0 min left" in lines[3]
    card, sha256 = read_card(folder / "out" / "nuclei.safetensors")
    assert card.training["images_seen"] == 32
    assert lines[-1].endswith(sha256)
    assert {path.name for path in (folder / "out").iterdir()} == {
        "nuclei.md",
        "nuclei.safetensors",
        "nuclei_grid.png",
        "nuclei_nearest.png",
    }

    # again: nothing is left to train, and the same file comes out
    assert script.main(arguments) == 0
    assert read_card(folder / "out" / "nuclei.safetensors")[1] == sha256
    # and from the checkpoint alone
    checkpoint = str(folder / "run" / "checkpoint.pt")
    only = [
        "nuclei",
        str(folder),
        "--export-only",
        "--checkpoint",
        checkpoint,
        "--out",
        str(folder / "b"),
    ]
    assert script.main(only) == 0
    assert read_card(folder / "b" / "nuclei.safetensors")[1] == sha256


def test_missing_data_and_checkpoints_are_told_in_words(script, folder, capsys):
    assert script.main(["nuclei", str(folder / "gone")]) == 1
    assert "train.npz" in capsys.readouterr().err
    assert (
        script.main(["nuclei", str(folder), "--run", str(folder / "empty"), "--export-only"]) == 1
    )
    assert "Could not read the training checkpoint" in capsys.readouterr().err


def test_ctrl_c_says_where_to_go_on(script, folder, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "run_session", interrupted)
    run = str(folder / "run")
    assert script.main(["nuclei", str(folder), "--run", run, "--out", str(folder / "out")]) == 130
    assert f"stays in {run}" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_some_training_pictures_are_held_out_where_the_test_set_is_small(script, folder):
    """Law: no picture is both trained on and measured with, and none is lost."""
    making = script.MAKINGS["nuclei"]
    many = np.load(folder / "train.npz")
    np.savez(folder / "train.npz", **{f"{k}{n}": many[k] for n in range(4) for k in many.files})
    all_train, all_test = script.load_sources(folder, making)
    train, test = script.load_sources(folder, replace(making, hold_out_every=4))
    assert train.n_images + test.n_images == all_train.n_images + all_test.n_images
    assert test.n_images > all_test.n_images
    assert script.MAKINGS["histology"].hold_out_every == 10
