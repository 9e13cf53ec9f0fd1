"""The mean over the searches, and the best of them."""

import json

import numpy as np
import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.restore import Reconstruction, open_run, replay, restored
from napari_mganprior.restore.tasks import TASKS

QUICK = {"quality": "fast", "device": "cpu", "overrides": {"n_steps": 3, "n_restarts": 3}}


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))


def make(task, scene, holes, priors, **more):
    prior = priors[1] if TASKS[task].grey_only else priors[0]
    mask = holes if TASKS[task].mask == "needed" else None
    options = {"factor": 2} if task == "super_resolve" else {}
    return open_run(task, scene, prior, mask=mask, options=options, **{**QUICK, **more})


@pytest.mark.parametrize("task", TASKS)
def test_both_are_there_and_either_can_be_picked(task, scene, holes, tiny16_prior, tiny_rgb_prior):
    """Law: picking changes the image alone; the recipe gives what was picked again."""
    priors, scene, holes = (tiny16_prior, tiny_rgb_prior), scene[:20, :24], holes[:20, :24]
    mean = restored(make(task, scene, holes, priors))
    best = restored(make(task, scene, holes, priors, pick="best"))
    assert np.array_equal(mean.image, mean.average)
    assert np.array_equal(best.image, best.best)
    assert np.array_equal(mean.best, best.best)
    assert np.array_equal(mean.average, best.average)
    assert not np.array_equal(mean.image, best.image)
    assert "pick" not in mean.recipe
    recipe = json.loads(json.dumps(best.recipe))
    assert np.array_equal(replay(recipe, scene).image, best.image)


def test_the_best_has_the_error_of_the_best_search(tiny16_prior, scene):
    """Law: of one window, the best is the drawing whose error the search reports."""
    image = scene[:16, :16].astype(np.float32)
    run = Reconstruction(image, tiny16_prior, **QUICK)
    errors = [step.loss for step in run]
    best = run._surface.picture(which="best")[0]
    assert np.mean((best - run._values.encode(image)) ** 2) == pytest.approx(errors[-1], rel=1e-3)


def test_a_series_holds_both_and_goes_on(tiny16_prior, scene):
    stack = np.stack([scene[:20, :24], scene[20:, :24]])
    first = restored(open_run("invert", stack, tiny16_prior, planes="slices", **QUICK, pick="best"))
    assert first.average.shape == first.best.shape == stack.shape
    assert np.array_equal(first.image, first.best)
    more = {"planes": "slices", "pick": "best", "start": first}
    second = open_run("invert", stack, tiny16_prior, **QUICK, **more)
    next(iter(second))
    assert np.array_equal(second.result().average[1], first.average[1])
    assert np.array_equal(second.result().image[1], first.best[1])


def test_another_pick_is_refused(tiny16_prior, scene):
    with pytest.raises(SettingsError, match="Got the pick 'median'; wanted 'average' or 'best'"):
        open_run("invert", scene, tiny16_prior, pick="median")
