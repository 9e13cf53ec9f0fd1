"""The script that makes the bundled prior, run on a tiny configuration."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.generators.checkpoint import read_card

SCRIPT = Path(__file__).parents[2] / "examples" / "make_prior_nuclei.py"


@pytest.fixture
def script(tiny_config):
    spec = importlib.util.spec_from_file_location("make_prior_nuclei", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.CONFIG.resolution == 64
    module.CONFIG = tiny_config
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
    arguments = [str(folder), "--run", str(folder / "run"), "--out", str(folder / "out")]
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
    only = [str(folder), "--export-only", "--checkpoint", checkpoint, "--out", str(folder / "b")]
    assert script.main(only) == 0
    assert read_card(folder / "b" / "nuclei.safetensors")[1] == sha256


def test_missing_data_and_checkpoints_are_told_in_words(script, folder, capsys):
    assert script.main([str(folder / "gone")]) == 1
    assert "train.npz" in capsys.readouterr().err
    assert script.main([str(folder), "--run", str(folder / "empty"), "--export-only"]) == 1
    assert "Could not read the training checkpoint" in capsys.readouterr().err


def test_ctrl_c_says_where_to_go_on(script, folder, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "run_session", interrupted)
    run = str(folder / "run")
    assert script.main([str(folder), "--run", run, "--out", str(folder / "out")]) == 130
    assert f"stays in {run}" in capsys.readouterr().err
    assert not (folder / "out").exists()
