"""What is said of each task is what functions, classes, series and recipes make of it."""

import inspect
import json

import numpy as np
import pytest

import napari_mganprior
from napari_mganprior.errors import MaskError, SettingsError
from napari_mganprior.restore import open_run, replay, restored
from napari_mganprior.restore.making import CLASSES
from napari_mganprior.restore.tasks import ADVANCED, TASKS, recorded_options

QUICK = {"quality": "fast", "device": "cpu", "overrides": {"n_steps": 2, "n_restarts": 2}}
TOLD = {
    "inpaint": {},
    "denoise": {"level": 9.0},
    "super_resolve": {"factor": 2, "kernel": "gaussian", "sigma": 0.8},
    "colorize": {},
    "invert": {},
}


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))


@pytest.fixture
def priors(tiny16_prior, tiny_rgb_prior):
    return {
        name: tiny_rgb_prior if spec.grey_only else tiny16_prior for name, spec in TASKS.items()
    }


def plane(seed):
    rows, columns = np.mgrid[:20, :24]
    noise = np.random.default_rng(seed).normal(0, 3, rows.shape)
    return np.uint8(128 + 90 * np.sin(rows / 4) * np.cos(columns / 5) + noise)


def mask_for(task):
    mask = np.zeros((20, 24), bool)
    mask[5:9, 6:10] = TASKS[task].mask == "needed"
    return mask


@pytest.mark.parametrize("task", TASKS)
def test_the_description_is_the_public_function(task):
    """Law: every option is a keyword of the function, with the same default."""
    keywords = inspect.signature(getattr(napari_mganprior, task)).parameters
    for option in TASKS[task].options:
        if task == "invert":  # codes are files in the shell and in forms, arrays in Python
            continue
        assert keywords[option.name].default == option.default, option.name
    assert keywords["prior"].default == TASKS[task].prior
    assert ("zoom" in keywords) == TASKS[task].zooms
    assert ("mask" in keywords) == (TASKS[task].mask != "none")
    assert CLASSES[task].name == task


@pytest.mark.parametrize("planes", ["slices", "channels"])
@pytest.mark.parametrize("task", TASKS)
def test_a_series_is_each_plane_by_itself_and_comes_back_from_its_recipe(task, planes, priors):
    """Law: unlinked planes are as by themselves; the recipe gives any series again."""
    stack, mask = np.stack([plane(1), plane(2)]), mask_for(task)
    options = dict(TOLD[task])
    if planes == "slices":  # noise is measured in each of them, and again when it is repeated
        options.pop("level", None)
    run = open_run(
        task, stack, priors[task], mask=mask, planes=planes, options=options, seed=3, **QUICK
    )
    result = restored(run)
    assert run.preview().shape == result.image.shape
    assert result.invented.shape == result.uncertainty.shape == result.image.shape[:3]
    assert result.residual.shape == stack.shape
    if planes == "channels":
        for number, image in enumerate(stack):
            one = restored(
                open_run(task, image, priors[task], mask=mask, options=options, seed=3, **QUICK)
            )
            np.testing.assert_array_equal(result.image[number], one.image)
    recipe = json.loads(json.dumps(result.recipe))
    assert recipe["overrides"] == QUICK["overrides"]
    np.testing.assert_array_equal(replay(recipe, stack).image, result.image)


@pytest.mark.parametrize(
    ("task", "options"), [*TOLD.items(), ("super_resolve", {"factor": 8})]
)  # by 8, windows have 2x2 pixels
def test_a_discriminator_compares_in_every_task(task, options, priors):
    """Law: its features change the result, whatever was measured, and do so again."""
    image, pictures = plane(1), []
    if task in ("denoise", "super_resolve"):  # what is added hides the drawing of a tiny prior
        options = {**options, "drawing_only": True}
    for weight in (0.0, 1.0, 1.0):
        told = {**QUICK, "overrides": {**QUICK["overrides"], "feature_weight": weight}}
        run = open_run(task, image, priors[task], mask=mask_for(task), options=options, **told)
        pictures.append(restored(run).image)
    assert not np.array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[1], pictures[2])


@pytest.mark.parametrize("task", ["super_resolve", "colorize"])
def test_a_plane_that_cannot_be_restored_is_as_it_was_in_the_results_shape(task, priors):
    stack = np.stack([plane(1), np.full((20, 24), 7, np.uint8)])
    run = open_run(task, stack, priors[task], planes="slices", options=TOLD[task], **QUICK)
    result = restored(run)
    assert (result.image[1] == 7).all()
    assert "constant image" in result.recipe["planes"]["skipped"]["1"]


def test_proposals_are_the_seeds_one_after_another(priors):
    """Law: proposal k is what seed + k gives; the recipe gives the stack again, and goes on."""
    prior, image = priors["colorize"], plane(1)
    run = open_run("colorize", image, prior, options={"proposals": 3}, seed=5, **QUICK)
    result = restored(run)
    assert result.image.shape == (3, 20, 24, 3)
    for number in range(3):
        one = restored(open_run("colorize", image, prior, seed=5 + number, **QUICK))
        np.testing.assert_array_equal(result.image[number], one.image)
    recipe = json.loads(json.dumps(result.recipe))
    assert (recipe["proposals"], recipe["seed"]) == (3, 5)
    assert recorded_options(recipe) == {"proposals": 3}
    np.testing.assert_array_equal(replay(recipe, image).image, result.image)
    more = restored(
        open_run("colorize", image, prior, options={"proposals": 3}, seed=5, start=result, **QUICK)
    )
    assert len(more.recipe["sessions"]) == 2
    np.testing.assert_array_equal(replay(more.recipe, image).image, more.image)


@pytest.mark.parametrize("proposals", [0, 101, 1.5, True])
def test_proposals_out_of_range_are_refused(priors, proposals):
    with pytest.raises(SettingsError, match="wanted 1 to 100"):
        open_run("colorize", plane(1), priors["colorize"], options={"proposals": proposals})


def test_what_a_task_does_not_know_is_refused(priors):
    prior, image = priors["invert"], plane(1)
    with pytest.raises(SettingsError, match="Got the task 'sharpen'; wanted one of inpaint, den"):
        open_run("sharpen", image, prior)
    with pytest.raises(SettingsError, match=r"Got the options factor for the task 'invert'"):
        open_run("invert", image, prior, options={"factor": 2})
    with pytest.raises(SettingsError, match=r"Got unknown settings \['n_codse'\]"):
        open_run("invert", image, prior, overrides={"n_codse": 2})
    with pytest.raises(MaskError, match="Got a mask for the task 'invert'"):
        open_run("invert", image, prior, mask=image > 100)
    with pytest.raises(MaskError, match="Got no mask for the task 'inpaint'"):
        open_run("inpaint", image, prior)
    with pytest.raises(SettingsError, match="Got 2 proposals for each of several planes"):
        open_run(
            "colorize", image[None], priors["colorize"], planes="slices", options={"proposals": 2}
        )


def test_an_override_changes_the_quality_and_nothing_else(priors):
    """Law: the settings are the quality's of this task, but for those overridden."""
    run = open_run("invert", plane(1), priors["invert"], quality="fast", device="cpu")
    next(iter(run))
    plain = run.result().recipe
    run = open_run(
        "invert", plane(1), priors["invert"], quality="fast", device="cpu",
        overrides={"n_codes": 3, "layer": 2},
    )  # fmt: skip
    next(iter(run))
    recipe = run.result().recipe
    changed = {key for key, value in recipe["config"].items() if value != plain["config"][key]}
    assert changed == {"n_codes", "layer", "fine_layer"}
    assert recipe["quality"] == "fast"
    assert "overrides" not in plain


def test_advanced_settings_are_settings():
    from napari_mganprior.inversion.config import InversionConfig

    config = InversionConfig()
    for option in ADVANCED:
        assert isinstance(getattr(config, option.name), option.kind)
        assert len(option.help) > 10
