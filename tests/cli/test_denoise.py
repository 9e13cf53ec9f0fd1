"""`napari-mganprior denoise`."""

import json

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, write_image


@pytest.fixture
def denoise(job):
    image = read_image(job / "image.png").array
    noise = np.random.default_rng(0).normal(0, 10, image.shape)
    write_image(job / "noisy.png", np.uint8(np.clip(image + noise, 0, 255)))

    def run(*more, out="out.png"):
        files = [str(job / "noisy.png"), "-o", str(job / out)]
        return main(["denoise", *files, "--prior", "tiny16", "--quality", "fast", "--quiet", *more])

    return run


def test_the_result_tells_what_was_removed(denoise, job, capsys):
    """Law: size and dtype stay; the report and the recipe name the level that was found."""
    assert denoise() == 0
    before, after = read_image(job / "noisy.png"), read_image(job / "out.png")
    assert (after.array.shape, after.array.dtype) == (before.array.shape, before.array.dtype)
    assert (after.array != before.array).mean() > 0.5
    recipe = json.loads(after.description)
    assert recipe["task"] == "denoise"
    level = recipe["noise"]["used"]["level"]
    said = capsys.readouterr().out
    assert f"gaussian noise of level {level:.4g} removed with tiny16" in said
    assert "every pixel is an estimate, 0 bad pixels were filled" in said
    assert (
        main(["run", str(job / "out.png"), str(job / "noisy.png"), "-o", str(job / "2.png")]) == 0
    )
    assert "identical to the recorded result" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "gaussian noise, measured in each plane, removed with"),
        (("--level", "10"), "gaussian noise of level 10 removed with"),
        (
            ("--noise", "poisson", "--gain", "1", "--offset", "0"),
            "poisson noise of gain 1, offset 0, the rest measured in each plane, removed with",
        ),
    ],
)
def test_noise_of_one_plane_is_not_told_as_that_of_all(job, capsys, more, told):
    image = read_image(job / "image.png").array[:16, :16].astype(float)
    draw = np.random.default_rng(0).normal
    planes = np.stack([image + draw(0, level, image.shape) for level in (5, 15)])
    write_image(job / "stack.tif", np.uint8(np.clip(planes, 0, 255)), planes=True)
    files = [str(job / "stack.tif"), "-o", str(job / "out.tif"), "--planes", "slices"]
    assert main(["denoise", *files, "--prior", "tiny16", "--quality", "fast", *more]) == 0
    assert told in capsys.readouterr().out


def test_dead_pixels_and_photons(denoise, job, capsys):
    assert (
        denoise(
            "--noise", "poisson", "--gain", "1", "--offset", "0", "--read-noise", "3",
            "--mask", str(job / "mask.png"), "--find-bad-pixels",
        ) == 0
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "poisson noise of gain 1, offset 0, read noise 3" in said
    assert int(said.split("estimate, ")[1].split(" bad")[0]) >= 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--level", "0"), "Got level = 0.0; wanted more than 0"),
        (("--gain", "2"), "Got gain for gaussian noise"),
        (("--mask", "no.png"), "Could not read"),
        (("--prior", "tinyrgb"), "grey"),
    ],
)
def test_what_is_refused_is_said_and_nothing_is_written(denoise, job, capsys, options, message):
    assert denoise(*options) == 2
    assert message in capsys.readouterr().err
    assert not (job / "out.png").exists()
