"""`napari-mganprior colorize`."""

import numpy as np

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, read_stack, write_image
from napari_mganprior.restore.colorization import luma

ENGINE = ("--prior", "tinyrgb", "--quality", "fast", "--quiet")


def test_colours_come_and_brightness_stays(job, capsys):
    """Law: RGB out, whose luma is the input within rounding; the recipe repeats it."""
    image, out = str(job / "image.png"), str(job / "out.png")
    assert main(["colorize", image, "-o", out, *ENGINE]) == 0
    before, after = read_image(job / "image.png").array, read_image(job / "out.png").array
    assert after.shape == (*before.shape, 3)
    assert np.abs(luma(after) - before).max() <= 0.5 + 1e-9
    assert "all colours are invented, the luma is the input" in capsys.readouterr().out
    assert main(["run", out, image, "-o", str(job / "2.png"), "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out


def test_colours_are_refused(job, capsys):
    write_image(job / "rgb.png", np.zeros((20, 20, 3), np.uint8))
    out = job / "out.png"
    assert main(["colorize", str(job / "rgb.png"), "-o", str(out), *ENGINE]) == 2
    assert "rgb.png, which has colours already" in capsys.readouterr().err
    assert not out.exists()
    assert main(["colorize", str(job / "image.png"), "-o", str(out), "--prior", "tiny"]) == 2
    assert "draws grey images" in capsys.readouterr().err


def test_proposals_are_the_planes_of_one_file(job, capsys):
    """Law: proposal k is what seed + k gives by itself; the recipe in the file gives them again."""
    image = str(job / "image.png")
    write_image(job / "image.png", read_image(job / "image.png").array[:16, :20])
    small = [*ENGINE, "--n-steps", "3"]
    out = str(job / "several.tif")
    assert main(["colorize", image, "-o", out, "--proposals", "2", "--seed", "4", *small]) == 0
    assert "2 proposals, coloured with tinyrgb" in capsys.readouterr().out
    several = read_stack(job / "several.tif").array
    assert several.shape == (2, 16, 20, 3)
    for number in range(2):
        one = str(job / f"{number}.png")
        assert main(["colorize", image, "-o", one, "--seed", str(4 + number), *small]) == 0
        np.testing.assert_array_equal(read_image(job / f"{number}.png").array, several[number])
    capsys.readouterr()
    assert main(["run", out, image, "-o", str(job / "again.tif"), "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    np.testing.assert_array_equal(read_stack(job / "again.tif").array, several)


def test_proposals_that_cannot_be_are_refused(job, capsys):
    image = str(job / "image.png")
    for options, message in (
        (["--proposals", "0", "-o", str(job / "out.tif")], "Got 0 proposals; wanted 1 to 100"),
        (["--proposals", "2", "-o", str(job / "out.png")], "for several planes, which PNG cannot"),
    ):
        assert main(["colorize", image, *options, *ENGINE]) == 2
        assert message in capsys.readouterr().err
