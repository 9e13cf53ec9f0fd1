"""`napari-mganprior colorize`."""

import numpy as np

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, write_image
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
