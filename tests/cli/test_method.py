"""`--method` and `--tune-steps`: taken, recorded, and refused where they do not go."""

import json

import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import read_stack


def test_a_method_is_searched_by_and_recorded(inpaint, job):
    """Law: the recipe in the file names what was asked for."""
    assert inpaint("--method", "single-code", "--tune-steps", "3", "--quiet") == 0
    config = json.loads(read_stack(job / "out.png").description)["config"]
    assert (config["method"], config["tune_steps"]) == ("single-code", 3)


def test_a_method_that_the_prior_lacks_is_refused(inpaint, job, capsys):
    assert inpaint("--method", "encoder") == 2
    assert "Got the method 'encoder' for a prior without an encoder" in capsys.readouterr().err
    assert not (job / "out.png").exists()


def test_methods_are_listed(capsys):
    with pytest.raises(SystemExit):
        main(["inpaint", "--help"])
    shown = capsys.readouterr().out
    assert "layer-by-layer" in shown
    assert "--tune-steps" in shown
