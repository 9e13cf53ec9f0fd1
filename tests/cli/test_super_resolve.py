"""`napari-mganprior super-resolve`."""

import json

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import ImageFile, read_image, write_image


@pytest.fixture
def enlarge(job):
    like = ImageFile(read_image(job / "image.png").array[:16, :20], scale=(0.5, 0.5), unit="micron")
    write_image(job / "small.tif", like.array, like=like)

    def run(*more, out="out.tif"):
        files = [str(job / "small.tif"), "-o", str(job / out)]
        options = ["--prior", "tiny16", "--quality", "fast", "--quiet", "--factor", "2"]
        return main(["super-resolve", *files, *options, *more])

    return run


def test_more_pixels_of_the_same_scene(enlarge, job, capsys):
    """Law: the size of a pixel shrinks by the factor; means over squares are the input."""
    assert enlarge() == 0
    before, after = read_image(job / "small.tif").array, read_image(job / "out.tif")
    assert after.array.shape == (32, 40)
    assert after.array.dtype == before.dtype
    assert after.scale == pytest.approx((0.25, 0.25))
    means = after.array.reshape(16, 2, 20, 2).mean(axis=(1, 3))
    assert np.abs(means - before).max() <= 0.5
    assert json.loads(after.description)["operator"]["factor"] == 2
    said = capsys.readouterr().out
    assert "32x40 pixels drawn with tiny16" in said
    assert "reduced again they are the input" in said
    again = [str(job / "out.tif"), str(job / "small.tif"), "-o", str(job / "2.tif")]
    assert main(["run", *again, "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    assert read_image(job / "2.tif").scale == pytest.approx((0.25, 0.25))


def test_other_kernels_promise_less(enlarge, capsys):
    """Law: only of binned pixels is it said that they are the input."""
    assert enlarge("--kernel", "gaussian") == 0
    assert "reduced again they come close to the input" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kernel", "gaussian", "--sigma", "0"), "Got a sigma of 0.0"),
        (("--factor", "16"), "which draws 16x16 pixels"),
        (("--prior", "cats"), "wanted one of: "),
    ],
)
def test_what_is_refused_is_said_and_nothing_is_written(enlarge, job, capsys, options, message):
    assert enlarge(*options) == 2
    assert message in capsys.readouterr().err
    assert not (job / "out.tif").exists()
