"""Laws of colorization, and every bad input with its message."""

import itertools
import json

import numpy as np
import pytest

from napari_mganprior import Colorization, colorize, replay
from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.restore.colorization import luma


def result_of(run, steps=None):
    for _ in itertools.islice(run, steps):
        pass
    return run.result()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_luma_is_the_input(scene, tiny_rgb_prior, quick, dtype):
    """Law: within rounding for whole numbers, also in black and in white."""
    image = scene.astype(dtype)
    image[:4, :4], image[-4:, -4:] = 0, 255
    result = result_of(Colorization(image, tiny_rgb_prior, config=quick, device="cpu"))
    assert (result.image.shape, result.image.dtype) == ((40, 50, 3), image.dtype)
    away = np.abs(luma(result.image) - image)
    assert away.max() <= (1e-3 if dtype == "float32" else 0.5 + 1e-9)
    assert (np.ptp(result.image.astype(float), axis=-1) > 1).mean() > 0.5
    assert result.invented.all()
    assert result.residual.shape == image.shape
    assert result.recipe["replaces"] == "the colour of every pixel"


def test_floats_between_0_and_1_stay_there(scene, tiny_rgb_prior, quick):
    image = (scene / 255).astype(np.float64)
    result = result_of(Colorization(image, tiny_rgb_prior, config=quick, device="cpu", zoom=1.5))
    assert -1e-12 <= result.image.min() <= result.image.max() <= 1 + 1e-12


@pytest.mark.parametrize("steps", [None, 1])
def test_a_recipe_gives_the_same_pixels(scene, tiny_rgb_prior, quick, steps, monkeypatch,
                                        prior_folder):  # fmt: skip
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    run = Colorization(scene, tiny_rgb_prior, config=quick, device="cpu", seed=2)
    assert np.array_equal(run.preview()[..., 1], scene)
    result = result_of(run, steps)
    second = replay(json.loads(json.dumps(result.recipe)), scene)
    assert np.array_equal(second.image, result.image)
    assert np.array_equal(second.invented, result.invented)
    grey = ~result.invented
    assert np.array_equal(result.image[grey], np.repeat(scene[grey][:, None], 3, axis=1))


def test_the_public_function_makes_several_proposals(scene, tiny_rgb_prior_path):
    options = {"prior": tiny_rgb_prior_path, "quality": "fast", "device": "cpu"}
    two = colorize(scene[:16, :16], proposals=2, seed=5, **options)
    assert two.shape == (2, 16, 16, 3)
    assert not np.array_equal(two[0], two[1])
    assert np.array_equal(two[1], colorize(scene[:16, :16], seed=6, **options))
    with pytest.raises(SettingsError, match="Got 0 proposals; wanted 1 to 100"):
        colorize(scene, proposals=0, **options)


def test_bad_input_is_refused_at_the_door(scene, tiny_prior, tiny_rgb_prior):
    with pytest.raises(ImageError, match="which has colours already"):
        Colorization(np.stack([scene] * 3, axis=-1), tiny_rgb_prior)
    with pytest.raises(ImageError, match=r"shape \(40, 50, 7\)"):
        Colorization(np.zeros((40, 50, 7)), tiny_rgb_prior)
    with pytest.raises(PriorError, match="'tiny', which draws grey images, to take colours from"):
        Colorization(scene, tiny_prior)
