"""The script that makes the bundled priors, run on a tiny configuration."""

import importlib.util
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    def interrupted(*_, **__):
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


def test_pictures_come_from_archives_too_and_what_is_not_used_is_cut_away(script, tmp_path):
    """Law: an archive gives its pictures, sorted by name, whatever their endings say."""
    making = replace(script.MAKINGS["blood"], kept=(20, 24))
    pictures = np.random.default_rng(0).integers(0, 255, (9, 30, 40, 3)).astype(np.uint8)
    for part in ("train", "test"):
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            for number in (8, 3, 1, 0, 2, 4, 7, 6, 5):
                buffer = io.BytesIO()
                Image.fromarray(pictures[number]).save(buffer, "PNG")
                archive.writestr(f"{number}.jpg", buffer.getvalue())
    loaded = script.load_pictures(tmp_path, "train", making)
    assert list(loaded) == [f"{number}.jpg" for number in range(9)]
    assert np.array_equal(list(loaded.values()), pictures[:, :20, :24])
    with pytest.raises(script.MGANPriorError, match=r"Got neither .*more\.npz nor more\.zip"):
        script.load_pictures(tmp_path, "more", making)
    (tmp_path / "train.zip").write_bytes(b"no archive")
    with pytest.raises(script.MGANPriorError, match="wanted a zip archive of pictures"):
        script.load_pictures(tmp_path, "train", making)


def test_every_making_has_a_card_of_its_own_and_fits_its_networks(script):
    """Law: names agree, sizes are said as they are, and notices come with what asks for them."""
    assert {"nuclei", "histology", "blood", "satellite"} < script.MAKINGS.keys()
    for name, making in script.MAKINGS.items():
        text, config = making.text, making.config
        assert text.name == name
        size = f"{config.resolution}x{config.resolution} px at a time"
        assert size in text.limits or name == "nuclei"  # the fixture's is tiny
        assert "It invents" in text.limits
        assert ("Copyright (c)" in text.notice) == ("MIT" in text.licence)
        if name.endswith("128"):
            assert (config.resolution, config.widths[0], len(config.widths)) == (128, 192, 6)
            assert f"make_prior.py {name} ../shared/data/{name[:-3]} --device cuda" in text.repeat
    notices = (script.PRIORS / "NOTICE.md").read_text(encoding="utf-8")
    for name in ("blood", "satellite"):
        licence = script.MAKINGS[name].text.licence
        assert licence.partition(": ")[2] in notices
    assert script.MIT in notices
