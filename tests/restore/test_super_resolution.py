"""Laws of super-resolution, and every bad input with its message."""

import itertools
import json

import numpy as np
import pytest
from skimage.transform import resize

from napari_mganprior import SuperResolution, replay, super_resolve
from napari_mganprior.errors import ImageError, MaskError, PriorError, SettingsError
from napari_mganprior.restore.super_resolution import reduced


def result_of(run, steps=None):
    for _ in itertools.islice(run, steps):
        pass
    return run.result()


@pytest.fixture
def small(scene):
    return scene[:20, :24]


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(2, "uint8"), (4, "uint8"), (8, "uint8"), (16, "uint8"), (4, "uint16"), (4, "float32")],
)
def test_reduced_again_it_is_the_input(small, tiny_prior, quick, factor, dtype):
    """Law: for whole numbers within rounding, for others within a thousandth of it."""
    image = small.astype(dtype)
    image[:3, :3] = 0  # where drawings would go below the type's range
    result = result_of(
        SuperResolution(image, tiny_prior, factor=factor, config=quick, device="cpu")
    )
    assert result.image.shape == (20 * factor, 24 * factor)
    assert result.image.dtype == image.dtype
    away = np.abs(reduced(result.image, factor) - image.astype(float))
    assert away.max() <= (0.5 + 1e-9 if dtype != "float32" else 0.2)
    assert (result.image.std(axis=0) > 0).all()
    assert not result.invented.any()
    assert (result.uncertainty > 0).all()
    assert result.residual.shape == image.shape
    assert np.abs(result.residual).max() > 0


@pytest.mark.parametrize(("kernel", "sigma"), [("bicubic", 1.0), ("gaussian", 1.5)])
def test_other_kernels_agree_too(small, tiny_prior, quick, kernel, sigma):
    """Law: what the operator makes of the result is the input, within a hundredth of its range."""
    image = small.astype(np.float64)
    run = SuperResolution(
        image, tiny_prior, factor=4, kernel=kernel, sigma=sigma, config=quick, device="cpu"
    )
    away = np.abs(reduced(result_of(run).image, 4, kernel=kernel, sigma=sigma) - image)
    assert away.max() < 0.01 * np.ptp(image)


def test_interpolation_has_a_share_unless_told_otherwise(small, tiny_prior, quick):
    """Law: the result lies between the drawing and bicubic interpolation, both made to agree."""
    image = small.astype(np.float64)  # no rounding
    options = {"factor": 4, "config": quick, "device": "cpu"}
    mixed, drawn = (
        result_of(SuperResolution(image, tiny_prior, drawing_only=only, **options))
        for only in (False, True)
    )
    run = SuperResolution(image, tiny_prior, **options)
    smooth = run._agreeing(resize(image, (80, 96), order=3, mode="edge", anti_aliasing=False))
    low, high = np.minimum(drawn.image, smooth), np.maximum(drawn.image, smooth)
    little = 0.03 * np.ptp(image)  # shares differ from place to place: agreeing again costs that
    assert ((low - little <= mixed.image) & (mixed.image <= high + little)).all()
    # a tiny prior explains an image less well than interpolation does, but for some of it
    to_drawing, to_smooth = (np.abs(mixed.image - x).mean() for x in (drawn.image, smooth))
    assert 0 < to_smooth < to_drawing
    assert (drawn.recipe["drawing_only"], mixed.recipe["drawing_only"]) == (True, False)


def test_who_explains_more_nearby_has_the_larger_share(small, tiny_prior, quick):
    image = small.astype(np.float64)
    good, poor = image.repeat(2, 0).repeat(2, 1), np.full((40, 48), image.mean())
    all_, nothing = np.ones((40, 48), bool), np.zeros((40, 48), bool)

    def share(drawing, interpolation, drawn):
        run = SuperResolution(image, tiny_prior, factor=2, config=quick, device="cpu")
        run._smooth = interpolation
        return run._share(drawing, drawn)

    assert share(poor, good, all_) == pytest.approx(0, abs=1e-9)
    assert share(good, poor, all_) == pytest.approx(1, abs=1e-9)
    assert (share(good, good, all_) == 1).all()
    assert (share(poor, good, nothing) == 1).all()
    left = np.arange(48) < 24
    local = share(np.where(left, good, poor), np.where(left, poor, good), all_)
    assert local[:, :8].min() > 0.99
    assert local[:, -8:].max() < 0.01


def test_a_recipe_from_before_interpolation_had_a_share(
    small, tiny_prior, quick, prior_folder, monkeypatch
):
    """Law: it says nothing of it, and gives the pixels of then."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    run = SuperResolution(
        small, tiny_prior, factor=2, config=quick, device="cpu", drawing_only=True
    )
    result = result_of(run, 3)
    recipe = json.loads(json.dumps(result.recipe))
    assert np.array_equal(replay(recipe, small).image, result.image)
    del recipe["drawing_only"]
    assert np.array_equal(replay(recipe, small).image, result.image)


def test_a_picture_is_reduced_as_a_window_is():
    """Law: `reduced` is the operator, for a whole image."""
    from napari_mganprior.arrays import to_tensor
    from napari_mganprior.operators import SuperResolution as Operator

    image = np.random.default_rng(0).random((32, 48, 3)).astype(np.float32)
    for kernel in ("binning", "bicubic", "gaussian"):
        wanted = Operator(4, kernel=kernel, sigma=2.0)(to_tensor(image))[0].numpy()
        got = reduced(image, 4, kernel=kernel, sigma=2.0)
        np.testing.assert_allclose(got, np.moveaxis(wanted, 0, -1), atol=1e-5)
    with pytest.raises(ImageError, match="wanted sides that 5 divides"):
        reduced(image, 5)


def test_colours(small, tiny_rgb_prior, quick):
    image = np.stack([small, 255 - small, small // 2], axis=-1)
    result = result_of(SuperResolution(image, tiny_rgb_prior, factor=2, config=quick, device="cpu"))
    assert result.image.shape == (40, 48, 3)
    assert np.abs(reduced(result.image, 2) - image).max() <= 0.5
    assert result.uncertainty.shape == (40, 48)


def test_stopping_early_leaves_the_rest_interpolated(small, tiny_prior, quick):
    run = SuperResolution(small, tiny_prior, factor=4, config=quick, device="cpu")
    before = run.preview()
    assert before.shape == (80, 96)
    assert np.abs(reduced(before, 4) - small).mean() <= 0.5
    result = result_of(run, 1)
    untouched = result.uncertainty == 0
    assert 0 < untouched.mean() < 1
    assert not np.array_equal(result.image, before)
    second = SuperResolution(small, tiny_prior, factor=4, config=quick, device="cpu", start=result)
    assert len(result_of(second).recipe["sessions"]) == 2


@pytest.mark.parametrize("steps", [None, 2])
def test_a_recipe_gives_the_same_pixels(small, tiny_prior, quick, steps, monkeypatch, prior_folder):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    run = SuperResolution(
        small, tiny_prior, factor=2, kernel="gaussian", config=quick, device="cpu", seed=3
    )
    result = result_of(run, steps)
    recipe = json.loads(json.dumps(result.recipe))
    assert recipe["task"] == "super_resolve"
    assert recipe["layer"] == {"scale": 0.5, "translate": -0.25}
    second = replay(recipe, small)
    assert np.array_equal(second.image, result.image)
    for one in (result, second):
        one.recipe.pop("seconds")
    assert second.recipe == result.recipe
    assert replay(recipe, small[:-2]).image.shape == (36, 48)
    with pytest.raises(MaskError, match="Got a mask for the task 'super_resolve'; wanted none"):
        replay(recipe, small, small > 100)


def test_the_public_function_enlarges(small, tiny16_prior_path):
    options = {"prior": tiny16_prior_path, "quality": "fast", "device": "cpu", "factor": 2}
    larger = super_resolve(small[:16, :16], **options)
    assert (larger.dtype, larger.shape) == (small.dtype, (32, 32))
    assert np.array_equal(larger, super_resolve(small[:16, :16], **options))


BAD = {
    "factor": ({"factor": 3}, SettingsError, "Got a factor of 3; wanted one of 2, 4, 8, 16"),
    "too large": (
        {"image": np.zeros((2000, 3000), np.uint8), "factor": 16},
        SettingsError,
        "the result would have 32000x48000 and take about 120 GiB",
    ),
    "kernel": ({"kernel": "nearest"}, SettingsError, "Got the kernel 'nearest'"),
    "sigma": ({"kernel": "gaussian", "sigma": -1.0}, SettingsError, "Got a sigma of -1.0"),
    "small": ({"image": np.zeros((9, 20))}, ImageError, "Got an image of 9x20 pixels"),
    "flat": ({"image": np.zeros(7)}, ImageError, r"shape \(7,\)"),
    "NaN": ({"image": np.full((20, 20), np.nan)}, ImageError, "NaN or infinite"),
    "colour": ({"image": np.zeros((20, 20, 3)) + np.arange(20)[:, None]}, PriorError, "RGB image"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_refused_at_the_door(case, small, tiny_prior):
    changes, error, match = BAD[case]
    keywords = {"image": small, "device": "cpu", **changes}
    with pytest.raises(error, match=match):
        SuperResolution(keywords.pop("image"), tiny_prior, **keywords)


def test_a_prior_that_draws_too_small_is_refused(small, tiny16_prior):
    with pytest.raises(SettingsError, match="'tiny16', which draws 16x16 pixels"):
        SuperResolution(small, tiny16_prior, factor=16)
