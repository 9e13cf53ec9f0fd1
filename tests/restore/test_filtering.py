"""Laws of the filter that mixes a drawing with the noisy image."""

import numpy as np
import pytest

from napari_mganprior.restore import filtering
from napari_mganprior.restore.filtering import filtered, thresholded

LEVEL = 0.2


def waves(shape=(40, 50)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    grey = np.sin(columns / 5) * np.cos(rows / 7)
    return grey if len(shape) == 2 else np.stack([grey, -grey, 0.5 * grey], axis=-1)


def noisy(truth, level=LEVEL, seed=0):
    return truth + np.random.default_rng(seed).normal(0, level, truth.shape)


def error(one, other):
    return float(np.mean((one - other) ** 2))


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
def test_a_pilot_that_knows_more_gives_less_error(shape):
    """Law: truth as pilot < the image by itself < the noise."""
    truth = waves(shape)
    image, variance = noisy(truth), np.full(shape, LEVEL**2)
    told = filtered(image, truth, variance)
    alone = thresholded(image, variance)
    assert told.shape == alone.shape == shape
    assert error(told, truth) < error(alone, truth) < 0.3 * LEVEL**2


def test_a_pilot_without_detail_gets_it_back_from_the_image():
    """What a drawing leaves out comes from the noisy image, if it is stronger than noise."""
    truth = waves()
    blurred = 0.6 * truth
    found = filtered(noisy(truth), blurred, np.full(truth.shape, LEVEL**2))
    assert error(found, truth) < 0.2 * error(blurred, truth)


def test_little_noise_leaves_the_image_as_it_is():
    image = noisy(waves())
    found = filtered(image, image, np.full(image.shape, 1e-9))
    np.testing.assert_allclose(found, image, atol=1e-4)


@pytest.mark.parametrize(("unit", "offset"), [(1e-9, 0.0), (1e12, 0.0), (10.0, 1e8)])
def test_units_change_nothing(unit, offset):
    """Law: what is brought to other units comes back in them."""
    image, variance = noisy(waves()), np.full((40, 50), LEVEL**2)
    plain = filtered(image, waves(), variance)
    found = filtered(unit * image + offset, unit * waves() + offset, unit**2 * variance)
    np.testing.assert_allclose((found - offset) / unit, plain, atol=1e-4)


def test_noise_counts_where_it_is():
    """Law: where the variance is small, the image is followed; elsewhere it is smoothed."""
    truth = np.zeros((40, 60))
    image = noisy(truth)
    variance = np.full(truth.shape, LEVEL**2)
    variance[:, :30] = 1e-9
    found = thresholded(image, variance)
    assert error(found[:, :20], image[:, :20]) < 1e-6
    assert np.abs(found[:, 40:]).mean() < 0.3 * np.abs(image[:, 40:]).mean()


@pytest.mark.parametrize("shape", [(16, 16), (17, 23, 3)])
def test_small_images_and_few_blocks_at_once(shape, monkeypatch):
    """Law: how many blocks are taken at once changes nothing."""
    image, variance = noisy(waves(shape)), np.full(shape, LEVEL**2)
    whole = filtered(image, waves(shape), variance)
    monkeypatch.setattr(filtering, "_AT_ONCE", 1)
    np.testing.assert_allclose(filtered(image, waves(shape), variance), whole, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 44), (40, 44, 3)])
@pytest.mark.parametrize("value", [1e8, -1e12])
def test_a_value_far_beyond_the_others_leaves_them_as_they_were(shape, value):
    """Law: blocks without it are filtered alike, to a hundredth of the noise."""
    rng = np.random.default_rng(2)
    image = rng.normal(100, 3, shape)
    variance = np.full(shape, 9.0)
    spoilt = image.copy()
    spoilt[3, 3] = value
    for one, other in (
        (thresholded(image, variance), thresholded(spoilt, variance)),
        (filtered(image, image, variance), filtered(spoilt, image, variance)),
    ):
        np.testing.assert_allclose(one[11:, 11:], other[11:, 11:], atol=0.03)
        assert np.isfinite(other).all()
