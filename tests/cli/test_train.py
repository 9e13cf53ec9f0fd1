"""`napari-mganprior train`."""

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.cli.train import _widths
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.training.config import TrainingConfig


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    images = {f"image{i}": rng.integers(0, 255, (24, 24)).astype(np.uint8) for i in range(9)}
    np.savez(tmp_path / "images.npz", **images, small=images["image0"][:4])
    return tmp_path / "images.npz"


def train(archive, *more: str) -> int:
    folder = str(archive.parent / "run")
    few = ["--images", "32", "--resolution", "8"]
    return main(["train", str(archive), "--name", "mine", "-o", folder, *few, *more])


def test_training_ends_with_a_prior_that_can_be_used(archive, capsys):
    """Law: the file written is a prior of the size asked for, and goes by the hash printed."""
    assert train(archive, "--domain", "noise", "--licence", "CC0-1.0") == 0
    prior = load_prior(archive.parent / "run" / "mine.safetensors")
    assert (prior.generator.resolution, prior.generator.image_channels) == (8, 1)
    assert (prior.card.name, prior.card.domain, prior.card.licence) == ("mine", "noise", "CC0-1.0")
    assert prior.card.training["images_seen"] == 32
    assert prior.card.training["n_images_used"] == 9
    report = capsys.readouterr()
    assert prior.sha256 in report.out
    assert "1 images are left out" in report.err


def test_a_finished_run_is_not_repeated(archive, capsys):
    """Law: the same command goes on where it was; here there is nothing left to do."""
    assert train(archive) == 0
    first = (archive.parent / "run" / "mine.safetensors").read_bytes()
    assert train(archive) == 2
    assert "mine.safetensors, which exists already" in capsys.readouterr().err
    assert train(archive, "--overwrite") == 0
    assert (archive.parent / "run" / "mine.safetensors").read_bytes() == first


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resolution", "9"], "power of two"),
        (["--images", "0"], "n_images 0; wanted at least 1"),
        (["--resolution", "64"], "wanted at least 8"),
        (["--name", "a/b"], "wanted one that can be a file's name"),
        (["--device", "abacus"], "wanted auto, cpu"),
    ],
)
def test_settings_that_do_not_fit_are_refused(archive, capsys, more, message):
    assert train(archive, *more) == 2
    report = capsys.readouterr().err
    assert message in report
    assert "Traceback" not in report


def test_a_file_that_is_no_archive_is_named(tmp_path, capsys):
    (tmp_path / "images.npz").write_bytes(b"no")
    assert train(tmp_path / "images.npz") == 2
    assert "wanted an .npz file" in capsys.readouterr().err


def test_the_default_widths_are_those_of_the_default_settings():
    """Law: the rule agrees with the settings the bundled prior was trained with."""
    assert _widths(64) == TrainingConfig().widths
    assert _widths(128) == (192, 192, 192, 96, 48, 24)
