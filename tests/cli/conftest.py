"""Small jobs for the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import write_image


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch) -> Path:
    """Make the tiny priors the user's own."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    return prior_folder


@pytest.fixture
def job(tmp_path) -> Path:
    """Return a folder with image.png (48x40, grey) and mask.png (an 8x8 hole)."""
    rows, columns = np.mgrid[:48, :40]
    image = np.uint8(128 + 100 * np.sin(rows / 5) * np.cos(columns / 7))
    mask = np.zeros(image.shape, np.uint8)
    mask[20:28, 12:20] = 255
    write_image(tmp_path / "image.png", image)
    write_image(tmp_path / "mask.png", mask)
    return tmp_path


@pytest.fixture
def inpaint(job) -> Callable[..., int]:
    """Return a function that runs `inpaint` on the small job; arguments are added or replace."""

    def run(*more: str, image: str = "image.png", mask: str = "mask.png", out: str = "out.png"):
        files = [str(job / image), "--mask", str(job / mask), "-o", str(job / out)]
        return main(["inpaint", *files, "--prior", "tiny16", "--quality", "fast", *more])

    return run
