"""What all commands that make an image from an image refuse alike."""

import pytest

from napari_mganprior.cli import main


@pytest.mark.parametrize("task", ["denoise", "super-resolve", "colorize", "invert", "edit"])
def test_the_input_is_never_written_over(task, job, capsys):
    """Law: not even with --overwrite, and it is said before torch is loaded."""
    image = job / "image.png"
    before = image.read_bytes()
    assert main([task, str(image), "-o", str(image), "--overwrite"]) == 2
    assert "which is the input itself; wanted another file" in capsys.readouterr().err
    assert image.read_bytes() == before


@pytest.mark.parametrize("task", ["denoise", "super-resolve", "colorize", "invert", "edit"])
def test_other_files_are_written_over_only_when_asked_for(task, job, capsys):
    assert main([task, str(job / "image.png"), "-o", str(job / "mask.png")]) == 2
    assert "exists already" in capsys.readouterr().err
