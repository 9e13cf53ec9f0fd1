"""A recipe gives the same pixels again, on its own image; on others the same treatment."""

import copy
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from napari_mganprior import replay
from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import MaskError, PriorError, SettingsError
from napari_mganprior.restore import Inpainting, Replay, Series, SuperResolution


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))


def result_of(run, steps=None):
    for _ in itertools.islice(run, steps):
        pass
    return run.result()


def again(result, image, **keywords):
    return replay(json.loads(json.dumps(result.recipe)), image, **keywords)


@pytest.mark.parametrize("steps", [None, 1, 3, 6])
def test_a_recipe_gives_the_same_pixels(scene, holes, tiny_prior, quick, steps):
    """Law: also of a run that was stopped, at any evaluation."""
    extent = DamageConfig(grow=2, feather=1, region=(0, 0, 40, 49))
    run = Inpainting(
        scene, holes, tiny_prior, config=quick, device="cpu", seed=5, zoom=1.3, damage=extent
    )
    result = result_of(run, steps)
    second = again(result, scene)
    assert np.array_equal(second.image, result.image)
    assert np.array_equal(second.invented, result.invented)
    for changing in ("seconds",):
        result.recipe.pop(changing), second.recipe.pop(changing)
    assert second.recipe == result.recipe


@pytest.mark.parametrize("stops", [(3, None), (None, 5), (2, 3)])
def test_a_continued_run_is_repeated_part_by_part(scene, holes, tiny_prior, quick, stops):
    result = None
    for stop in stops:
        run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu", start=result)
        result = result_of(run, stop)
    second = again(result, scene)
    assert np.array_equal(second.image, result.image)
    assert second.recipe["sessions"] == result.recipe["sessions"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 9},
        {"zoom": 1.2},
        {"damage": DamageConfig(grow=1)},
        {"config": {"n_codes": 3}},
        {"config": {"n_restarts": 1}},
    ],
)
def test_a_run_continued_with_other_settings_is_repeated_as_it_was(
    scene, holes, tiny_prior, quick, changes
):
    """Law: each part of a run keeps its own settings, as after "Retry smaller"."""
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu", seed=2)
    first = result_of(run, 5)
    other = {"config": quick, "seed": 2, **changes}
    if isinstance(other["config"], dict):
        other["config"] = replace(quick, **other["config"])
    run = Inpainting(scene, holes, tiny_prior, device="cpu", start=first, **other)
    second = result_of(run)
    assert second.recipe["sessions"][0]["settings"].keys() == changes.keys()
    repeated = again(second, scene)
    assert np.array_equal(repeated.image, second.image)
    assert repeated.recipe["sessions"] == second.recipe["sessions"]
    third = result_of(
        Inpainting(scene, holes, tiny_prior, device="cpu", start=second, config=quick, seed=2), 3
    )
    assert np.array_equal(again(third, scene).image, third.image)


def test_what_began_elsewhere_does_not_claim_to_be_repeatable(scene, holes, tiny_prior, quick):
    neighbour = scene[::-1].copy()
    first = result_of(Inpainting(neighbour, holes, tiny_prior, config=quick, device="cpu"))
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu", start=first)
    recipe = result_of(run).recipe
    assert recipe["repeatable"] is False
    assert not Replay(recipe, scene).same
    other_mask = np.roll(holes, 3, axis=0)
    run = Inpainting(neighbour, other_mask, tiny_prior, config=quick, device="cpu", start=first)
    assert len(result_of(run).recipe["sessions"]) == 1


def test_what_went_on_with_other_options_does_not_claim_to_be_repeatable(scene, tiny_prior, quick):
    """Law: a recipe holds one set of options; where a session had others, it says so for good."""

    def run(start=None, **options):
        task = SuperResolution(
            scene, tiny_prior, factor=2, config=quick, device="cpu", start=start, **options
        )
        return result_of(task, 1)

    alike = run(run(drawing_only=True), drawing_only=True)
    assert "repeatable" not in alike.recipe
    assert np.array_equal(again(alike, scene).image, alike.image)
    mixed = run(alike, drawing_only=False)
    assert mixed.recipe["repeatable"] is False
    assert run(mixed, drawing_only=False).recipe["repeatable"] is False


def test_a_replay_can_be_iterated_again(scene, holes, tiny_prior, quick):
    first = result_of(Inpainting(scene, holes, tiny_prior, config=quick, device="cpu"), 3)
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu", start=first)
    second = result_of(run)
    task = Replay(second.recipe, scene)
    for _ in range(2):
        assert np.array_equal(result_of(task).image, second.image)


@pytest.mark.parametrize(("linked", "steps"), [(True, None), (False, None), (True, 10)])
def test_a_series_is_repeated(scene, holes, tiny_prior, quick, linked, steps):
    stack = np.stack([scene, scene[:, ::-1], scene * 0])
    masks = np.stack([holes, holes, holes])
    run = Series(stack, masks, tiny_prior, config=quick, device="cpu", linked=linked)
    result = result_of(run, steps)
    assert np.array_equal(again(result, stack).image, result.image)
    run = Series(stack, masks, tiny_prior, config=quick, device="cpu", linked=linked, start=result)
    continued = result_of(run, 5)
    assert np.array_equal(again(continued, stack).image, continued.image)


def test_another_image_gets_the_whole_treatment(scene, holes, tiny_prior, quick):
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu")
    stopped = result_of(run, 1)
    task = Replay(stopped.recipe, scene[::-1].copy())
    assert not task.same
    assert np.array_equal(result_of(task).invented, holes)
    other = np.roll(holes, 5, axis=1)
    assert np.array_equal(again(stopped, scene, mask=other).invented, other)
    assert Replay(stopped.recipe, scene).same


def test_the_steps_of_a_continued_run_count_on(scene, holes, tiny_prior, quick):
    first = result_of(Inpainting(scene, holes, tiny_prior, config=quick, device="cpu"), 3)
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu", start=first)
    task = Replay(result_of(run).recipe, scene)
    steps = list(task)
    assert all(a.index < b.index for a, b in itertools.pairwise(steps))
    assert steps[-1].index == steps[-1].n_steps == 16
    assert task.preview().shape == scene.shape


def test_a_prior_is_found_by_its_hash_whatever_its_file_is_called(
    scene, holes, tiny_prior, tiny_prior_path, quick, tmp_path, monkeypatch
):
    result = result_of(Inpainting(scene, holes, tiny_prior, config=quick, device="cpu"))
    (tmp_path / "renamed.safetensors").write_bytes(tiny_prior_path.read_bytes())
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path))
    assert np.array_equal(again(result, scene).image, result.image)


def test_what_does_not_fit_is_refused(scene, holes, tiny_prior, quick):
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu")
    recipe = result_of(run, 1).recipe

    def changed(*path, to=None):
        other = copy.deepcopy(recipe)
        place = other
        for key in path[:-1]:
            place = place[key]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to
        return other

    cases = [
        (changed("format", to=1), SettingsError, "recipe of format 1"),
        (
            changed("task", to="sharpen"),
            SettingsError,
            "task 'sharpen'; wanted format 2 and one of",
        ),
        (changed("config"), SettingsError, "whose 'config' is None"),
        (changed("seed", to="x"), SettingsError, "whose 'seed' is 'x'"),
        (changed("sessions", to=[]), SettingsError, "without sessions"),
        (changed("prior", "sha256"), SettingsError, "without prior.sha256"),
        (changed("prior", "sha256", to="0" * 64), PriorError, "sha256 000.*here is another 'tiny'"),
        (
            changed("prior", to={"name": "cats", "sha256": "1" * 64}),
            PriorError,
            "here is none called 'cats'",
        ),
        (changed("config", "colour", to=1), SettingsError, "unknown settings"),
        (changed("mask", "packed"), MaskError, "without a mask"),
        (changed("mask", "packed", to="AAAA"), MaskError, "whose mask is damaged"),
        (changed("planes", to={}), SettingsError, "without planes.linked"),
        ({**recipe, "planes": None}, SettingsError, "without planes.linked"),
        ([1], SettingsError, "Got a recipe of type list"),
        (
            changed("sessions", to=[{"evaluations": "x", "complete": True}]),
            SettingsError,
            "without s",
        ),
        (
            changed("sessions", to=[{"evaluations": 0, "complete": True}]),
            SettingsError,
            "without s",
        ),
        (
            changed("sessions", to=[{"evaluations": 1, "complete": True, "settings": {"x": 1}}]),
            SettingsError,
            "without sessions",
        ),
    ]
    for wrong, kind, message in cases:
        with pytest.raises(kind, match=message):
            replay(wrong, scene)
    with pytest.raises(MaskError, match="for a recipe whose damage is 40 x 50"):
        replay(recipe, scene[:, :-1])
