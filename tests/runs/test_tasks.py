"""What shell and forms know of tasks before torch is loaded, against what the tasks then do."""

import numpy as np
import pytest

from napari_mganprior.inversion.config import QUALITIES, preset
from napari_mganprior.restore import open_run
from napari_mganprior.restore.tasks import TASKS
from napari_mganprior.runs.paces import PICTURE_IN_CODES, PaceStore, Setup
from napari_mganprior.runs.recipe import form_state, in_words
from napari_mganprior.runs.tasks import overrides_in, task_state
from napari_mganprior.runs.timing import Question, answer

WHOLE = [name for name, spec in TASKS.items() if spec.mask != "needed"]
IMAGE = np.random.default_rng(0).integers(0, 255, (50, 70)).astype(np.uint8)


@pytest.fixture
def store(prior_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    return PaceStore(tmp_path)


def known(store, sha256):
    """Make one evaluation of every quality and kind take a second a restart and code."""
    setup = Setup(sha256, "cpu")
    store.keep_device(setup, "cpu", name="", precision="float32")
    for quality in QUALITIES:
        config = preset(quality)
        for kind in ("thick", "thin"):
            seconds = config.n_restarts * (config.n_codes + PICTURE_IN_CODES)
            store.keep_measured(setup, quality, kind, float(seconds))


@pytest.mark.parametrize("zoom", [1.0, 1.7, 0.5])
@pytest.mark.parametrize("task", WHOLE)
def test_windows_and_work_are_told_before_as_they_will_be(
    store, tiny_prior, tiny_rgb_prior, task, zoom
):
    """Law: windows, their cut, and evaluations x restarts x codes are those of the task itself."""
    spec = TASKS[task]
    prior, name = (tiny_rgb_prior, "tinyrgb") if spec.grey_only else (tiny_prior, "tiny")
    if not spec.zooms:
        zoom = 1.0
    options = {"factor": 2} if task == "super_resolve" else {}
    options |= {"level": 9.0} if task == "denoise" else {}
    known(store, prior.sha256)
    for quality in QUALITIES:
        run = open_run(
            task, IMAGE, prior, options=options, quality=quality, device="cpu", zoom=zoom,
            overrides={"n_codes": 7},
        )  # fmt: skip
        question = Question(
            mask=None, prior=name, device="cpu", zoom=zoom, task=task, shape=IMAGE.shape,
            options=options, overrides={"n_codes": 7},
        )  # fmt: skip
        found, config = answer(question, store), run._config
        assert found.windows.total == run.n_windows
        thin = config.layer == prior.generator.cuts[1]
        assert (found.windows.thin if thin else found.windows.thick) == run.n_windows
        work = config.n_steps * config.n_restarts * (config.n_codes + PICTURE_IN_CODES)
        assert found.seconds[quality] == pytest.approx(work * run.n_windows)


def test_a_factor_the_prior_cannot_draw_has_no_time(store):
    question = Question(
        mask=None, prior="tiny", task="super_resolve", shape=(3, 20, 20), options={"factor": 64}
    )
    assert answer(question, store).windows.total == 0


def test_no_time_is_told_for_methods_that_were_not_measured(store, tiny_prior):
    known(store, tiny_prior.sha256)
    for overrides in ({"method": "pulse"}, {"tune_steps": 5}):
        question = Question(
            mask=None, prior="tiny", task="invert", shape=(20, 20), overrides=overrides
        )
        assert set(answer(question, store).seconds.values()) == {None}


def test_proposals_and_planes_multiply(store):
    def count(**more):
        return answer(Question(mask=None, prior="tinyrgb", task="colorize", **more), store).windows

    one = count(shape=(50, 70)).total
    assert count(shape=(50, 70), options={"proposals": 3}).total == 3 * one
    assert count(shape=(4, 50, 70)).total == 4 * one


def test_a_form_gets_the_options_that_count():
    noise = {"model": "gaussian", "level": None, "gain": 3.0, "offset": None, "read_noise": None}
    recipe = {
        "task": "denoise", "prior": {"name": "nuclei"}, "quality": "fast", "seed": 2, "zoom": 1.0,
        "damage": {"grow": 0, "feather": 0, "region": None}, "noise": {"given": noise},
        "find_bad": True, "drawing_only": False, "overrides": {"n_codes": 4}, "pick": "best",
        "layers": {"scope": "slice"},
    }  # fmt: skip
    assert form_state(recipe) == {
        "task": "denoise", "prior": "nuclei", "quality": "fast", "seed": 2, "zoom": 1.0,
        "pick": "best", "scope": "slice", "overrides": {"n_codes": 4},
        "options": {"noise": "gaussian", "find_bad": True},
    }  # fmt: skip
    told = in_words(recipe)
    assert "Options: noise gaussian, find bad" in told
    assert "In place of the quality's: n codes 4" in told
    assert "Picture: the best search" in told
    enlarged = {
        "task": "super_resolve",
        "operator": {"factor": 2, "kernel": "gaussian", "sigma": 1},
    }
    # of a time when a drawing was all there was
    old = {"factor": 2, "kernel": "gaussian", "sigma": 1, "drawing_only": True}
    assert task_state(enlarged) == {"options": old}
    assert task_state({"task": "invert", "codes_given": 3}) == {"codes given": 3}
    assert task_state({"task": "of tomorrow", "noise": 3, "overrides": 7}) == {}


def test_overrides_are_only_what_was_given():
    given = {"n_codes": 3, "layer": 0, "method": None, "optimise_noise": None, "seed": 8}
    assert overrides_in(given) == {"n_codes": 3, "layer": 0}
