"""`napari-mganprior inpaint`."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_mganprior.files import ImageFile, read_image, read_mask, write_image


def test_only_the_hole_changes_and_the_recipe_is_in_the_file(inpaint, job, capsys, own_priors):
    """Law: measured pixels are bit-identical; the file and the report name the prior's hash."""
    assert inpaint() == 0
    before, after = read_image(job / "image.png"), read_image(job / "out.png")
    mask = read_mask(job / "mask.png")
    np.testing.assert_array_equal(before.array[~mask], after.array[~mask])
    assert (before.array[mask] != after.array[mask]).any()
    sha256 = hashlib.sha256((own_priors / "tiny16.safetensors").read_bytes()).hexdigest()
    recipe = json.loads(after.description)
    assert recipe["prior"]["sha256"] == sha256
    assert recipe["seed"] == 0
    report = capsys.readouterr()
    assert f"64 pixels restored with tiny16 (sha256 {sha256}), seed 0, zoom 1" in report.out
    assert sorted(path.name for path in job.iterdir()) == ["image.png", "mask.png", "out.png"]


def test_the_seed_decides(inpaint, job):
    """Law: the same seed gives the same pixels, another seed others."""
    for seed, out in (("1", "a.png"), ("1", "b.png"), ("2", "c.png")):
        assert inpaint("--seed", seed, "--device", "cpu", "--quiet", out=out) == 0
    first, same, other = (read_image(job / f"{n}.png").array for n in "abc")
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_dtype_range_and_pixel_size_survive(inpaint, job):
    """Law: what comes out has the dtype and the pixel size of what went in."""
    values = read_image(job / "image.png").array.astype(np.float32) * 3 - 200
    like = ImageFile(values, scale=(0.25, 0.5), unit="micron")
    write_image(job / "image.tif", values, like=like)
    assert inpaint("--zoom", "auto", image="image.tif", out="out.tif") == 0
    after = read_image(job / "out.tif")
    assert after.array.dtype == np.float32
    assert (after.scale, after.unit) == ((0.25, 0.5), "micron")
    assert json.loads(after.description)["task"] == "inpaint"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out": "out.jpg"}, "wanted a name that ends in .png"),
        ({"out": "mask.png"}, "exists already"),
        ({"image": "no.png"}, "Could not read"),
        ({"mask": "no.png"}, "Could not read"),
        ({"mask": "wide.png"}, "mask"),
    ],
)
def test_what_is_refused_is_said_in_one_line(inpaint, job, capsys, arguments, message):
    """Law: exit code 2, one line that says why, and no new file."""
    write_image(job / "wide.png", np.ones((48, 41), np.uint8))
    before = sorted(path.name for path in job.iterdir())
    assert inpaint("--quiet", **arguments) == 2
    report = capsys.readouterr()
    assert report.out == ""
    assert report.err.startswith("napari-mganprior: error: ")
    assert report.err.count("\n") == 1
    assert message in report.err
    assert sorted(path.name for path in job.iterdir()) == before


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--prior", "cats", "wanted one of: "),
        ("--prior", "tinyrgb", "grey"),
        ("--device", "abacus", "wanted auto, cpu, cuda"),
        ("--seed", "-1", "seed -1"),
        ("--zoom", "100", "zoom"),
    ],
)
def test_settings_that_do_not_fit_are_refused(inpaint, job, capsys, option, value, message):
    assert inpaint(option, value, "--quiet") == 2
    assert message in capsys.readouterr().err
    assert not (job / "out.png").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--quality", "superb", "invalid choice"), ("--zoom", "big", "wanted a number or 'auto'")],
)
def test_misspelt_options_are_refused(inpaint, capsys, option, value, message):
    with pytest.raises(SystemExit) as stop:
        inpaint(option, value)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_overwriting_is_only_done_when_asked_for(inpaint, job):
    (job / "out.png").write_bytes(b"mine")
    assert inpaint("--quiet") == 2
    assert (job / "out.png").read_bytes() == b"mine"
    assert inpaint("--quiet", "--overwrite") == 0
    assert read_image(job / "out.png").array.shape == (48, 40)


def test_a_float_image_is_refused_as_png_before_any_work(inpaint, job, capsys, monkeypatch):
    """Law: nothing is computed for a result that could not be written."""
    write_image(job / "image.tif", np.random.default_rng(0).random((48, 40)))
    monkeypatch.setitem(sys.modules, "napari_mganprior.cli.restoring", None)  # would fail if used
    assert inpaint(image="image.tif", out="new.png") == 2
    assert "float64 pixels, which PNG cannot hold" in capsys.readouterr().err


def test_a_missing_library_is_named(inpaint, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari_mganprior.cli.restoring", None)
    assert inpaint() == 2
    assert "Could not import what the command needs" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_leaves_no_file(tmp_path, own_priors):
    """Law: interrupted in the middle, the program ends with 130, tells so, and leaves nothing."""
    image = np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8)
    write_image(tmp_path / "image.png", image)
    write_image(tmp_path / "mask.png", np.uint8(image > 200))
    command = [sys.executable, "-m", "napari_mganprior.cli", "inpaint", "image.png"]
    command += ["--mask", "mask.png", "-o", "out.png", "--prior", "tiny", "--quality", "best"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Prior tiny, sha256 ")
        time.sleep(0.5)  # into the computation, which takes minutes
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        code = process.wait(timeout=60)
    assert code == 130
    assert "stopped with Ctrl-C. Nothing was written." in said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.png", "mask.png"]


def test_the_input_is_never_replaced(inpaint, job, capsys):
    before = (job / "image.png").read_bytes()
    assert inpaint("--overwrite", out="image.png") == 2
    assert "which is the input itself" in capsys.readouterr().err
    assert (job / "image.png").read_bytes() == before
