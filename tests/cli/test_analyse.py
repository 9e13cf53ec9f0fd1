"""`napari-mganprior analyse`: files written, tables printed, bad input told."""

import csv
import io
import json

import numpy as np
import tifffile

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, write_image

STUDY = ("--prior", "tiny16", "--cuts", "1", "3", "--codes", "1", "2", "--steps", "2")


def test_a_study_is_written_and_told(job, capsys):
    out = job / "study"
    image = str(job / "image.png")
    assert main(["analyse", "study", image, "-o", str(out), "--task", "missing", *STUDY]) == 0
    printed = capsys.readouterr().out
    assert printed.count("codes  PSNR") == 4
    assert "Best: cut " in printed
    rows = list(csv.DictReader(io.StringIO((out / "study.csv").read_text())))
    assert [(row["cut"], row["n_codes"]) for row in rows] == [
        ("1", "1"), ("1", "2"), ("3", "1"), ("3", "2"),
    ]  # fmt: skip
    assert tifffile.imread(out / "study.tif").shape == (4, 16, 16)
    assert (out / "study.svg").read_text().startswith("<svg")
    assert main(["analyse", "study", image, "-o", str(out), *STUDY]) == 2
    assert "which holds study.csv, study.svg, study.tif already" in capsys.readouterr().err
    assert main(["analyse", "study", image, "-o", image, *STUDY]) == 2
    assert "which is a file; wanted a folder" in capsys.readouterr().err


def test_a_study_takes_the_effort_of_a_quality(job):
    """Law: restarts and evaluations are the task's own; those that are given go first."""
    out, image = job / "study", str(job / "image.png")
    one = ("--prior", "tiny16", "--cuts", "1", "--codes", "1", "--task", "missing", "--quiet")
    given = ["analyse", "study", image, "-o", str(out), "--overwrite", *one]
    for more, effort in (
        ((), (2, 60)),
        (("--quality", "fast"), (2, 30)),
        (("--quality", "fast", "--steps", "2"), (2, 2)),
        (("--quality", "best", "--restarts", "1", "--steps", "3"), (1, 3)),
    ):
        assert main([*given, *more]) == 0
        recipe = json.loads(read_image(out / "study.tif").description)
        assert (recipe["config"]["n_restarts"], recipe["config"]["n_steps"]) == effort


def test_an_image_as_measured_with_its_mask(job, capsys):
    out, image, mask = job / "study", str(job / "image.png"), str(job / "mask.png")
    given = ["analyse", "study", image, "-o", str(out), "--measured", "--task", "inpaint", *STUDY]
    assert main(given) == 2
    assert "Got no mask for a study of 'inpaint'" in capsys.readouterr().err
    assert not out.exists()
    assert main([*given, "--mask", mask, "--whole"]) == 0
    assert "held-out misfit" in capsys.readouterr().out


def test_roles_are_written_and_codes_of_another_prior_refused(job, capsys):
    small = job / "small.png"
    write_image(small, read_image(job / "image.png").array[:16, :16])
    codes, out = str(job / "codes.npz"), job / "roles"
    engine = ("--quality", "fast", "--quiet", "--prior")
    inverted = ["invert", str(small), "-o", str(job / "out.png"), "--codes", codes]
    assert main([*inverted, *engine, "tiny16"]) == 0
    asked = ["analyse", "roles", str(small), "-o", str(out), "--start", codes, *engine]
    assert main([*asked, "tiny"]) == 2
    assert "Got codes of the prior of sha256" in capsys.readouterr().err
    assert not out.exists()
    assert main([*asked, "tiny16"]) == 0
    assert "First contributors" in capsys.readouterr().out
    labels = tifffile.imread(out / "roles.tif")
    contributions = tifffile.imread(out / "contributions.tif")
    assert contributions.shape == (20, 16, 16)
    assert np.array_equal(labels, np.abs(contributions).argmax(axis=0) + 1)
