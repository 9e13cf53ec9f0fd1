"""Laws of `correlation_length`."""

import math

import numpy as np
import pytest
from skimage.transform import resize

from napari_mganprior.arrays import correlation_length


def blobs(side: int, radius: float, seed: int = 0) -> np.ndarray:
    """Bright discs at random places on a dark ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    image = np.zeros((side, side))
    for row, column in rng.uniform(0, side, (max(4, int((side / radius) ** 2 / 16)), 2)):
        image += np.hypot(rows - row, columns - column) < radius
    return np.minimum(image, 1.0)


@pytest.mark.parametrize("radius", [4, 8])
@pytest.mark.parametrize("shape", [(96, 96), (96, 70)])
def test_doubling_the_picture_doubles_the_length(radius, shape):
    """Law: length(zoom 2) = 2 length, within 15 %."""
    image = blobs(96, radius)[: shape[0], : shape[1]]
    larger = resize(image, [2 * side for side in shape], order=1)
    ratio = correlation_length(larger) / correlation_length(image)
    assert ratio == pytest.approx(2, rel=0.15)


def test_length_follows_the_radius_of_discs():
    """A disc of radius r resembles itself until it is shifted by about 0.8 r."""
    for radius in (4, 8, 12):
        assert correlation_length(blobs(200, radius)) == pytest.approx(0.8 * radius, rel=0.2)


def test_brightness_contrast_and_type_do_not_matter():
    image = (blobs(64, 6) * 200).astype(np.uint8)
    wanted = correlation_length(image)
    assert correlation_length(image.astype(np.float64) * 1e30 - 1e29) == pytest.approx(wanted)
    assert correlation_length(255 - image) == pytest.approx(wanted)
    assert correlation_length(np.dstack([image] * 3)) == pytest.approx(wanted)


def test_damage_is_left_out():
    """Pixels under the mask, and NaN, have no say; what is left gives nearly the same length."""
    image = blobs(128, 8)
    mask = np.random.default_rng(1).random(image.shape) < 0.6
    wanted = correlation_length(image)
    length = correlation_length(np.where(mask, 1e6, image), mask)
    assert length == pytest.approx(wanted, rel=0.1)
    assert correlation_length(np.where(mask, np.nan, image)) == length
    assert correlation_length(np.where(mask, 1e6, image)) < 0.7 * wanted  # the mask was needed


def test_tiles_agree_with_one_piece(monkeypatch):
    """Images larger than a tile lose only the pairs across the seams."""
    image = blobs(256, 6)
    whole = correlation_length(image)
    monkeypatch.setattr("napari_mganprior.arrays._TILE", 100)
    assert correlation_length(image) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(
    "image",
    [np.full((20, 20), 0.1), np.zeros((1, 1)), np.full((9, 9), np.nan), np.array([[1.0, 2.0]])],
)
def test_nothing_to_measure_is_nan(image):
    assert math.isnan(correlation_length(image))


def test_everything_damaged_is_nan():
    assert math.isnan(correlation_length(blobs(32, 4), np.ones((32, 32))))


def test_a_gradient_is_as_long_as_the_reach_allows():
    """What never falls to a half within half the shorter side gives that side."""
    step = np.repeat([0.0, 1.0], 100)[None] * np.ones((20, 1))
    assert correlation_length(step) == pytest.approx(10, abs=0.5)
