"""Laws of denoising, and every bad input with its message."""

import itertools
import json

import numpy as np
import pytest

from napari_mganprior import Denoising, NoiseConfig, denoise, replay
from napari_mganprior.errors import ComputeError, ImageError, MaskError, PriorError, SettingsError
from napari_mganprior.restore import Replay


def noisy(scene, level=12.0, seed=3):
    rng = np.random.default_rng(seed)
    values = scene + rng.normal(0, level, scene.shape)
    return np.clip(np.rint(values), 0, 255).astype(scene.dtype)


def result_of(run, steps=None):
    for _ in itertools.islice(run, steps):
        pass
    return run.result()


@pytest.fixture
def bad():
    mask = np.zeros((40, 50), bool)
    mask[7, 9] = mask[20, 30:32] = True
    return mask


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_every_pixel_is_drawn_and_the_result_says_so(scene, tiny_prior, quick, dtype):
    image = noisy(scene).astype(dtype)
    result = result_of(Denoising(image, tiny_prior, config=quick, device="cpu"))
    assert (result.image.dtype, result.image.shape) == (image.dtype, image.shape)
    assert (result.image != image).mean() > 0.5
    assert image.min() <= result.image.min() <= result.image.max() <= image.max()
    assert not result.invented.any()
    assert (result.uncertainty > 0).all()
    assert result.recipe["task"] == "denoise"
    assert result.recipe["replaces"] == "every pixel"
    assert result.recipe["noise"]["used"]["level"] == pytest.approx(12, rel=0.25)


def test_the_residual_is_drawn_minus_measured(scene, tiny_prior, quick, bad):
    image = noisy(scene).astype(np.float32)
    run = Denoising(image, tiny_prior, config=quick, device="cpu", mask=bad, drawing_only=True)
    result = result_of(run)
    inside = ~bad & (result.image > image.min()) & (result.image < image.max())
    np.testing.assert_allclose(
        result.residual[inside], (result.image - image)[inside], rtol=1e-4, atol=1e-3
    )
    assert not result.residual[bad].any()


def test_the_noisy_image_says_what_the_drawing_lacks(scene, tiny_prior, quick, bad):
    """Law: a prior that draws next to nothing of the image costs no more than a filter would."""
    image = noisy(scene).astype(np.float32)
    options = {"config": quick, "device": "cpu", "mask": bad, "noise": NoiseConfig(level=12.0)}
    drawn, mixed = (
        result_of(Denoising(image, tiny_prior, drawing_only=only, **options))
        for only in (True, False)
    )
    assert np.array_equal(drawn.residual, mixed.residual)  # what the prior leaves unexplained
    assert np.array_equal(drawn.image[bad], mixed.image[bad])  # nothing was measured there
    errors = [np.mean((i.astype(float) - scene)[~bad] ** 2) for i in (drawn.image, mixed.image)]
    assert errors[1] < 0.5 * min(errors[0], 12.0**2)
    assert (drawn.recipe["drawing_only"], mixed.recipe["drawing_only"]) == (True, False)


def test_an_older_recipe_gives_the_drawing(scene, tiny_prior, quick, monkeypatch, prior_folder):
    """Recipes written before there was a filter say nothing of it."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = noisy(scene)
    run = Denoising(image, tiny_prior, config=quick, device="cpu", drawing_only=True)
    result = result_of(run, 3)
    recipe = json.loads(json.dumps(result.recipe))
    assert np.array_equal(replay(recipe, image).image, result.image)
    del recipe["drawing_only"]
    assert np.array_equal(replay(recipe, image).image, result.image)


def test_dead_pixels_are_filled_whatever_they_hold(scene, tiny_prior, quick, bad):
    image = noisy(scene).astype(np.float32)
    one = np.where(bad, np.nan, image)
    other = np.where(bad, 1e6, image)
    first, second = (
        result_of(Denoising(i, tiny_prior, config=quick, device="cpu", mask=bad))
        for i in (one, other)
    )
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.invented, bad)
    found = Denoising(other, tiny_prior, config=quick, device="cpu", find_bad=True)
    assert (result_of(found).invented >= bad).all()


def test_the_search_ends_at_the_noise_level(scene, tiny_prior, quick):
    """Law: the discrepancy principle; the more noise is admitted, the sooner."""
    image = noisy(scene)
    few, many = (
        len(
            result_of(Denoising(image, tiny_prior, config=quick, device="cpu", noise=noise)).history
        )
        for noise in (NoiseConfig(level=80.0), NoiseConfig(level=0.1))
    )
    assert few < many


@pytest.mark.parametrize("zoom", [0.5, 1.7, None])
def test_zoom_keeps_the_size(scene, tiny_prior, quick, bad, zoom):
    result = result_of(
        Denoising(noisy(scene), tiny_prior, config=quick, device="cpu", zoom=zoom, mask=bad)
    )
    assert result.image.shape == scene.shape
    assert (result.uncertainty > 0).any()


def test_small_and_colour_images(scene, tiny_rgb_prior, quick):
    image = np.stack([noisy(scene, seed=s)[:17, :20] for s in range(3)], axis=-1)
    poisson = NoiseConfig(model="poisson", gain=1, offset=0, read_noise=1)
    result = result_of(Denoising(image, tiny_rgb_prior, config=quick, device="cpu", noise=poisson))
    assert result.image.shape == image.shape
    assert result.uncertainty.shape == image.shape[:2]


@pytest.mark.parametrize("steps", [None, 1, 6])
@pytest.mark.parametrize("model", ["gaussian", "poisson"])
def test_a_recipe_gives_the_same_pixels(scene, tiny_prior, quick, bad, steps, model, monkeypatch,
                                        prior_folder):  # fmt: skip
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = np.random.default_rng(0).poisson(scene).astype(np.uint8)
    run = Denoising(
        image, tiny_prior, config=quick, device="cpu", seed=4, mask=bad, find_bad=True,
        noise=NoiseConfig(model=model),
    )  # fmt: skip
    result = result_of(run, steps)
    recipe = json.loads(json.dumps(result.recipe))
    second = replay(recipe, image)
    assert np.array_equal(second.image, result.image)
    assert np.array_equal(second.invented, result.invented)
    for one in (result, second):
        one.recipe.pop("seconds")
    given = second.recipe["noise"].pop("given")
    assert given == result.recipe["noise"]["used"]
    result.recipe["noise"].pop("given")
    assert second.recipe == result.recipe


@pytest.mark.parametrize("steps", [None, 3])
def test_a_continued_run_is_repeated_part_by_part(
    scene, tiny_prior, quick, steps, monkeypatch, prior_folder
):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = noisy(scene)
    first = result_of(Denoising(image, tiny_prior, config=quick, device="cpu"), 2)
    run = Denoising(image, tiny_prior, config=quick, device="cpu", seed=7, start=first)
    result = result_of(run, steps)
    second = replay(json.loads(json.dumps(result.recipe)), image)
    assert np.array_equal(second.image, result.image)


def test_another_image_is_measured_anew(scene, tiny_prior, quick, monkeypatch, prior_folder):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    result = result_of(Denoising(noisy(scene), tiny_prior, config=quick, device="cpu"), 1)
    other = noisy(scene[:30], level=4.0)
    task = Replay(result.recipe, other)
    assert not task.same
    found = result_of(task).recipe["noise"]["used"]["level"]
    assert found == pytest.approx(4, rel=0.5)
    with pytest.raises(SettingsError, match=r"without noise.used"):
        replay({**result.recipe, "noise": {"given": {}}}, other)


def test_a_run_goes_on_from_its_result(scene, tiny_prior, quick):
    image = noisy(scene)
    first = result_of(Denoising(image, tiny_prior, config=quick, device="cpu"))
    run = Denoising(image, tiny_prior, config=quick, device="cpu", start=first)
    second = result_of(run, 2)
    assert second.history[0] <= first.history[quick.n_steps - 1] * 1.5
    assert len(second.recipe["sessions"]) == 2
    assert (second.uncertainty > 0).all()


def test_stopping_early_keeps_what_is_there(scene, tiny_prior, quick):
    image = noisy(scene)
    run = Denoising(image, tiny_prior, config=quick, device="cpu")
    with pytest.raises(ComputeError, match="Got no step to keep"):
        run.result()
    assert np.array_equal(run.preview(), image)
    result = result_of(run, 1)
    untouched = result.uncertainty == 0
    assert 0 < untouched.mean() < 1
    assert np.array_equal(result.image[untouched], image[untouched])
    run = Denoising(image, tiny_prior, config=quick, device="cpu", drawing_only=True)
    drawn = result_of(run, 1)
    assert np.array_equal(run.preview(), drawn.image)  # previews show what is drawn


def test_the_public_function_denoises(scene, tiny16_prior_path):
    image = noisy(scene[:16, :16])
    options = {"prior": tiny16_prior_path, "quality": "fast", "device": "cpu"}
    result = denoise(image, level=12, **options)
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    assert np.array_equal(result, denoise(image, level=12.0, **options))
    assert not np.array_equal(result, image)


def spoilt(value, dtype=np.float32):
    """Return a noisy ramp with a value in two pixels."""
    image = (np.arange(50) + np.random.default_rng(0).normal(0, 4, (40, 50))).astype(dtype)
    image[7, 9] = image[20, 30] = value
    return image


@pytest.mark.parametrize("value", [-3.4e38, 1e30, np.nan])
def test_masked_pixels_may_hold_anything(value, tiny_prior, quick):
    """Law: the result does not depend on what lies under the mask."""
    mask = np.zeros((40, 50), bool)
    mask[7, 9] = mask[20, 30] = True
    runs = (
        Denoising(spoilt(v), tiny_prior, config=quick, device="cpu", mask=mask)
        for v in (value, 7.0)
    )
    one, other = (result_of(run).image for run in runs)
    assert np.array_equal(one, other)


BAD = {
    "mask of another shape": ({"mask": np.ones((3, 3), bool)}, MaskError, "mask of shape"),
    "everything bad": ({"mask": np.ones((40, 50), bool)}, MaskError, "leaves 0 of 2000 pixels"),
    "NaN": ({"image": np.full((40, 50), np.nan)}, ImageError, "NaN or infinite"),
    "no data": (
        {"image": spoilt(np.float32(-3.4e38))},
        ImageError,
        r"Got 2 extreme values, up to -3.4e\+38 outside the mask where most others lie in",
    ),
    "stack": ({"image": np.zeros((40, 50, 7)), "find_bad": True}, ImageError, "40, 50, 7"),
    "colour": ({"image": np.zeros((40, 50, 3)) + np.arange(50)[:, None]}, PriorError, "RGB image"),
    "too much": ({"noise": NoiseConfig(level=500)}, SettingsError, "Got noise of 500 in an image"),
    "quality": ({"quality": "superb"}, SettingsError, "Got the quality 'superb'"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_refused_at_the_door(case, scene, tiny_prior):
    changes, error, match = BAD[case]
    keywords = {"image": noisy(scene), "device": "cpu", **changes}
    with pytest.raises(error, match=match):
        Denoising(keywords.pop("image"), tiny_prior, **keywords)
