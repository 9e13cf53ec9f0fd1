"""What all commands that make an image from an image refuse alike."""

import json

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, read_stack, write_image
from napari_mganprior.runs.tasks import TASKS

SMALL = ("--quality", "fast", "--quiet", "--n-steps", "3", "--device", "cpu")


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


def command(task, image, out, *more):
    """Return the arguments of a small run of a task."""
    spec = TASKS[task]
    prior = "tinyrgb" if spec.grey_only else "tiny16"
    own = ["--factor", "2"] if task == "super_resolve" else []
    return [spec.command, str(image), "-o", str(out), "--prior", prior, *SMALL, *own, *more]


@pytest.fixture
def small(job):
    """Crop the image and the mask of the job."""
    write_image(job / "image.png", read_image(job / "image.png").array[16:32, 8:28])
    write_image(job / "mask.png", read_image(job / "mask.png").array[16:32, 8:28])
    return job


@pytest.mark.parametrize("task", TASKS)
def test_the_average_is_the_default_and_the_best_another_picture(task, small, capsys):
    """Law: --average changes nothing; --best is told in the recipe, which gives it again."""
    mask = ["--mask", str(small / "mask.png")] if task == "inpaint" else []
    if task in ("denoise", "super_resolve"):  # what is added is the same for both
        mask = ["--drawing-only"]
    image, files = small / "image.png", {}
    for pick in ([], ["--average"], ["--best"]):
        out = small / f"{''.join(pick)}out.png"
        assert main(command(task, image, out, *mask, *pick)) == 0
        files["".join(pick)] = read_image(out)
    assert np.array_equal(files[""].array, files["--average"].array)
    assert not np.array_equal(files[""].array, files["--best"].array)
    assert json.loads(files["--best"].description)["pick"] == "best"
    capsys.readouterr()
    again = [str(small / "--bestout.png"), str(image), "-o", str(small / "again.png"), "--quiet"]
    assert main(["run", *again]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(command(task, image, small / "x.png", *mask, "--average", "--best"))


@pytest.mark.parametrize("task", ["denoise", "super_resolve", "colorize", "invert", "inpaint"])
def test_a_stack_is_done_plane_by_plane(task, small, capsys):
    """Law: planes one by one are as by themselves."""
    mask = ["--mask", str(small / "mask.png")] if task == "inpaint" else []
    one = read_image(small / "image.png").array
    write_image(small / "stack.tif", np.stack([one, one[::-1]]), planes=True)
    write_image(small / "second.png", np.ascontiguousarray(one[::-1]))
    out = small / "out.tif"
    assert main(command(task, small / "stack.tif", out, *mask, "--planes", "channels")) == 0
    both = read_stack(out).array
    for number, name in enumerate(("image.png", "second.png")):
        alone = small / f"{number}.png"
        assert main(command(task, small / name, alone, *mask)) == 0
        np.testing.assert_array_equal(both[number], read_image(alone).array)
    capsys.readouterr()
    again = [str(out), str(small / "stack.tif"), "-o", str(small / "again.tif"), "--quiet"]
    assert main(["run", *again]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out


def test_settings_in_place_of_the_qualitys_are_checked(small, capsys):
    image = small / "image.png"
    assert main(command("invert", image, small / "out.png", "--n-codes", "99")) == 2
    assert "Got n_codes = 99; wanted 1 to 64" in capsys.readouterr().err
    assert main(command("invert", image, small / "out.png", "--n-codes", "2", "--layer", "3")) == 0
    recipe = json.loads(read_image(small / "out.png").description)
    assert recipe["overrides"] == {"n_codes": 2, "n_steps": 3, "layer": 3}
    assert (recipe["config"]["n_codes"], recipe["config"]["layer"]) == (2, 3)


def test_a_stack_without_planes_is_refused(small, capsys):
    one = read_image(small / "image.png").array
    write_image(small / "stack.tif", np.stack([one, one]), planes=True)
    assert main(command("invert", small / "stack.tif", small / "out.tif")) == 2
    assert "Got stack.tif with 2 planes (axes" in capsys.readouterr().err
