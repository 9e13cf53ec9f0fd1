"""`napari-mganprior train`."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_mganprior.cli import main
from napari_mganprior.cli import train as command
from napari_mganprior.generators.checkpoint import load_prior, read_card
from napari_mganprior.priors import prior_names, read_entry
from napari_mganprior.runs.training_folder import hold_folder
from napari_mganprior.training import choosing, encoder, session
from napari_mganprior.training.heldout import HeldOut
from napari_mganprior.training.session import open_state


@pytest.fixture(autouse=True)
def priors(tmp_path, monkeypatch) -> Path:
    """Make a folder for the user's own priors that no other test sees."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path / "priors"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_N_CROPS", 16)
    monkeypatch.setattr(command, "_N_SEARCHED", 16)
    for room in (session, choosing):
        monkeypatch.setattr(room, "HeldOut", lambda *sources: HeldOut(*sources, 8))
    return tmp_path / "priors"


@pytest.fixture
def images(tmp_path) -> Path:
    """Ten pictures, a small one and a broken one."""
    rows, columns = np.mgrid[:24, :24]
    (tmp_path / "images").mkdir()
    for i in range(10):
        image = np.uint8(127 + 120 * np.sin(rows / (2 + i)) * np.cos(columns / 3))
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    Image.fromarray(image[:9]).save(tmp_path / "images" / "small.png")
    (tmp_path / "images" / "broken.tif").write_bytes(b"II*\0")
    return tmp_path / "images"


def train(images: Path, *more: str, n: int = 32) -> int:
    few = ["--images", str(n)] if n else []
    size = ["--resolution", "16", "--device", "cpu"]
    if "--encoder" not in more:
        size.append("--no-encoder")
    more = tuple(word for word in more if word != "--encoder")
    return main(["train", str(images), "--name", "mine", *few, *size, *more])


def test_training_ends_with_a_prior_in_every_list(images, priors, capsys):
    """Law: the prior goes by its name everywhere, and by the hash printed."""
    assert train(images, "--domain", "waves", "--licence", "CC0-1.0") == 0
    report = capsys.readouterr()
    assert "mine" in prior_names()
    entry = read_entry("mine")
    assert entry.source == "user"
    assert entry.sha256 in report.out
    prior = load_prior(entry.path)
    assert (prior.generator.resolution, prior.generator.image_channels) == (16, 1)
    assert (prior.card.name, prior.card.domain, prior.card.licence) == ("mine", "waves", "CC0-1.0")
    assert prior.card.training["images_seen"] == 32
    assert prior.card.training["n_images_used"] == 9
    distances = prior.card.training["sliced_wasserstein_x1000"]
    assert distances["training_to_held_out"]["mean"] > 0  # the floor
    assert {path.name for path in priors.iterdir()} == {
        "mine.safetensors",
        "mine.md",
        "mine_grid.png",
        "mine_nearest.png",
    }
    page = (priors / "mine.md").read_text(encoding="utf-8")
    assert "held out: 1 of 10 files" in page
    assert "napari-mganprior train images --name mine --resolution 16 --seed 0 --images 32" in page
    assert "Training on 9 grey images; held out: 1 of 10 files." in report.err
    assert "Left out: 2" in report.err
    assert "images/small.png: only 9x24 px" in report.err
    skipped = Path("mine-training/skipped.txt").read_text(encoding="utf-8")
    assert "images/broken.tif: " in skipped
    assert "32 crops: distance to the pictures" in report.err


def test_a_bundled_name_is_not_said_to_be_the_users(images, priors, capsys):
    """Law: the name that is printed is that of the prior just trained."""
    assert train(images, "--name", "nuclei") == 0
    said = capsys.readouterr().out
    assert "Use it with --prior user/nuclei," in said
    assert read_entry("user/nuclei").sha256 in said


def test_the_card_says_what_was_held_out(images, priors, tmp_path):
    """Law: the command on the card repeats the run, with the same held-out images."""
    (tmp_path / "others").mkdir()
    (images / "9.png").rename(tmp_path / "others" / "9.png")
    assert train(images, "--held-out", str(tmp_path / "others")) == 0
    assert "--images 32 --held-out others`" in (priors / "mine.md").read_text(encoding="utf-8")


def test_an_encoder_comes_with_it(images, priors, capsys, monkeypatch):
    """Law: the prior has an encoder, and card, list and report name the same file."""
    monkeypatch.setattr(command, "_ENCODER_MINUTES", (0.1, 0.1))
    monkeypatch.setattr(encoder, "_POOL", 64)
    assert train(images, "--encoder") == 0
    prior = load_prior(priors / "mine.safetensors")
    assert prior.encoder is not None
    assert prior.card.training["encoder"]["images_seen"] > 0
    report = capsys.readouterr()
    assert prior.sha256 in report.out
    assert prior.sha256 in (priors / "mine.md").read_text(encoding="utf-8")
    assert "Training an encoder" in report.err


def test_a_finished_run_is_not_repeated(images, priors, capsys):
    """Law: the same command goes on where it was; here there is nothing left to do."""
    assert train(images) == 0
    first = (priors / "mine.safetensors").read_bytes()
    assert train(images) == 2
    assert "which one of your priors has already" in capsys.readouterr().err
    (priors / "mine_installed.json").write_text("{}")
    assert train(images, "--overwrite") == 0
    assert not (priors / "mine_installed.json").exists()
    assert "measuring 500 and searching 5,000 training crops" in capsys.readouterr().err
    assert (priors / "mine.safetensors").read_bytes() == first


def test_quiet_prints_the_result_alone(images, capsys):
    assert train(images, "--quiet") == 0
    report = capsys.readouterr()
    assert report.err == ""
    assert len(report.out.splitlines()) == 2


def test_ctrl_c_keeps_the_work_and_the_same_command_goes_on(images, priors, capsys, monkeypatch):
    """Law: stopped and gone on with, a run ends with the very weights of an unbroken one."""
    monkeypatch.setattr(command, "_SAVE_EVERY", 16)
    assert train(images, "-o", "straight", n=96) == 0
    straight = (priors / "mine.safetensors").read_bytes()
    (priors / "mine.safetensors").unlink()
    capsys.readouterr()

    real = session.train

    def interrupted(state, source):
        for step in real(state, source):
            if step.images_seen == 64:
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    monkeypatch.setattr(session, "train", interrupted)
    monkeypatch.setattr(command, "_SAVE_EVERY", 48)  # the wish comes between two checkpoints
    assert train(images, n=96) == 130
    report = capsys.readouterr().err
    assert "Saved after 64 crops, in mine-training." in report
    assert "the same command goes on from it, and with --keep-now" in report
    assert open_state(Path("mine-training/checkpoint.pt")).images_seen == 64
    assert "mine" not in prior_names()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    monkeypatch.setattr(session, "train", real)
    assert train(images, "--keep-now", n=96) == 0
    assert read_card(priors / "mine.safetensors")[0].training["images_seen"] == 64
    assert train(images, "--overwrite", n=96) == 0
    assert (priors / "mine.safetensors").read_bytes() == straight


@pytest.mark.parametrize("more", [(), ("--keep-now",)])
def test_a_folder_in_which_another_process_works_is_refused(images, capsys, more):
    """Law: two processes never train in one folder, and the second writes nothing there."""
    with hold_folder(Path("mine-training")):
        assert train(images, *more) == 2
        assert [path.name for path in Path("mine-training").iterdir()] == ["lock"]
    report = capsys.readouterr().err
    assert "Got the run in mine-training, which another process works at" in report
    assert train(images) == 0
    assert not (Path("mine-training") / "lock").exists()


def test_keep_now_wants_a_checkpoint(images, capsys):
    assert train(images, "--keep-now") == 2
    assert "no checkpoint in mine-training" in capsys.readouterr().err


def test_an_earlier_state_is_published_if_it_was_closer(images, priors, monkeypatch):
    """Law: the prior is the state with the smallest distance to the pictures."""
    monkeypatch.setattr(command, "_MEASURE_EVERY", 16)
    distances = {16: 5.0, 32: 3.0, 48: 4.0, 64: 6.0}
    monkeypatch.setattr(HeldOut, "distance", lambda _, state: distances[state.images_seen])
    assert train(images, n=64) == 0
    assert read_card(priors / "mine.safetensors")[0].training["images_seen"] == 32


def test_a_time_budget(images, priors, capsys, monkeypatch):
    """Law: the crops follow from the minutes, and the rate is told."""
    monkeypatch.setattr(command, "_RATE_AFTER", 0.0)
    monkeypatch.setattr(command, "_RATE_STEPS", 1)
    assert train(images, "--minutes", "0.03", n=0) == 0
    report = capsys.readouterr().err
    assert "crops a second; " in report
    assert "time budget of 0.03 minutes" in report
    training = read_card(priors / "mine.safetensors")[0].training
    assert 0 < training["images_seen"] == training["n_images"] < 100_000


def test_channels_and_own_held_out_images(tmp_path, priors, capsys):
    rgb = np.random.default_rng(0).integers(0, 255, (10, 24, 24, 3)).astype(np.uint8)
    np.save(tmp_path / "rgb.npy", rgb)
    assert train(tmp_path / "rgb.npy", "--channels", "2,0", "--held-out", "rgb.npy") == 0
    assert "held out: 10 images of their own" in capsys.readouterr().err
    assert load_prior(priors / "mine.safetensors").generator.image_channels == 2
    assert "--channels 2,0" in (priors / "mine.md").read_text(encoding="utf-8")


def test_one_large_image_is_enough(tmp_path, priors, capsys):
    """Law: a single scan is images enough, and a part of it is held out."""
    scan = np.random.default_rng(0).integers(0, 255, (160, 200)).astype(np.uint8)
    Image.fromarray(scan).save(tmp_path / "scan.png")
    assert train(tmp_path / "scan.png") == 0
    assert "held out: a band at one end of 1 images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resolution", "9"], "Got a resolution of 9 px; wanted one of 16, 32"),
        (["--images", "0"], "n_images 0; wanted at least 1"),
        (["--resolution", "64"], "wanted at least 8"),
        (["--name", "a/b"], "wanted one that can be a file's name"),
        (["--device", "abacus"], "wanted auto, cpu"),
        (["--channels", "red"], "wanted 'grey', 'each', or 1 to 4 different channels"),
        (["--channels", "5"], "no channel 5, only 1"),
        (["--held-out", "gone"], "gone, which does not exist"),
    ],
)
def test_settings_that_do_not_fit_are_refused(images, capsys, more, message):
    assert train(images, *more) == 2
    report = capsys.readouterr().err
    assert message in report
    assert "Traceback" not in report


def test_minutes_that_are_none_are_refused(images, capsys):
    assert train(images, "--minutes", "-1", n=0) == 2
    assert "time budget of -1.0 minutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--minutes", "0"], "time budget of 0.0 minutes"),
        (["--resolution", "48", "--images", "9"], "Got a resolution of 48 px"),
        (["--images", "0"], "n_images 0"),
    ],
)
def test_settings_are_refused_before_images_are_read(tmp_path, capsys, more, message):
    assert main(["train", str(tmp_path / "gone"), "--name", "mine", "--device", "cpu", *more]) == 2
    assert message in capsys.readouterr().err
    assert not Path("mine-training").exists()


def test_sources_that_cannot_be_read_are_named(tmp_path, capsys):
    (tmp_path / "images.npz").write_bytes(b"no")
    assert train(tmp_path / "images.npz") == 2
    assert "wanted a zip or .npz archive" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty") == 2
    assert "with no files; wanted images" in capsys.readouterr().err
    assert not Path("mine-training").exists()


def test_other_settings_than_those_of_the_checkpoint_are_refused(images, capsys):
    assert train(images) == 0
    assert train(images, "--overwrite", "--seed", "3") == 2
    assert "seed 0 there, 3 here" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_named(images, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "run", tmp_path / "file"):
        assert train(images, "-o", str(folder)) == 2
        told = capsys.readouterr().err
        assert f"Got {folder} to train in, where {tmp_path / 'file'} is a file; wanted a fo" in told
