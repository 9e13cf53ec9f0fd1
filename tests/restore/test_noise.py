"""Laws of measuring noise and finding bad pixels."""

import numpy as np
import pytest

from napari_mganprior import NoiseConfig, find_bad_pixels
from napari_mganprior.errors import ImageError, SettingsError
from napari_mganprior.restore.noise import mended, smoothed


@pytest.fixture
def smooth():
    rows, columns = np.mgrid[:128, :128]
    return 100 + 80 * np.sin(rows / 9) * np.cos(columns / 11)


NONE = np.zeros((128, 128), bool)


@pytest.mark.parametrize("level", [2.0, 20.0])
def test_the_level_of_gaussian_noise_is_found(smooth, level):
    """Law: within a tenth, whatever bad pixels say, in grey and in colour."""
    rng = np.random.default_rng(0)
    noisy = smooth + rng.normal(0, level, smooth.shape)
    bad = rng.random(smooth.shape) < 0.02
    noisy[bad] = 1e4
    assert NoiseConfig().measured(noisy, bad).level == pytest.approx(level, rel=0.1)
    colours = np.stack([noisy] * 3, axis=-1)
    assert NoiseConfig().measured(colours, bad).level == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize(("gain", "offset", "read"), [(2.0, 0.0, 0.0), (0.5, 0.0, 4.0), (2, 30, 0)])
def test_the_line_of_photon_noise_is_found(smooth, gain, offset, read):
    """Law: the variance at every value of the image is right within a quarter."""
    rng = np.random.default_rng(1)
    noisy = gain * rng.poisson(smooth / gain) + offset + rng.normal(0, read, smooth.shape)
    found = NoiseConfig(model="poisson").measured(noisy, NONE)
    truth = NoiseConfig(model="poisson", gain=gain, offset=offset, read_noise=read)
    signal = np.array([50.0, 100.0, 180.0]) + offset
    np.testing.assert_allclose(found.variance(signal), truth.variance(signal), rtol=0.25)


def test_what_is_given_stays(smooth):
    noisy = np.random.default_rng(0).poisson(smooth).astype(float)
    given = NoiseConfig(model="poisson", gain=1, offset=3, read_noise=2)
    assert given.measured(noisy, NONE) == given
    part = NoiseConfig(model="poisson", gain=1.5, offset=-5).measured(noisy, NONE)
    assert (part.gain, part.offset) == (1.5, -5)
    assert part.read_noise is not None
    assert NoiseConfig.from_dict(part.to_dict()) == part


def test_there_are_no_fewer_photons_than_said():
    noise = NoiseConfig(model="poisson", gain=2, offset=10, read_noise=1)
    signal = np.array([0.0, 10.0, 14.0])
    assert noise.variance(signal).tolist() == [1.0, 1.0, 9.0]
    assert noise.variance(signal, photons=1).tolist() == [5.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "rain"}, "Got the noise 'rain'; wanted one of gaussian, poisson"),
        ({"level": 0}, "Got level = 0; wanted more than 0"),
        ({"level": -3.0}, "Got level = -3.0; wanted more than 0"),
        ({"level": np.nan}, "wanted a finite number"),
        ({"gain": 1.0}, "Got gain for gaussian noise; wanted only level"),
        ({"model": "poisson", "level": 1.0}, "Got level for poisson noise"),
        ({"model": "poisson", "gain": 0.0}, "Got gain = 0.0; wanted more than 0"),
        ({"model": "poisson", "read_noise": -1.0}, "Got read_noise = -1.0; wanted 0 or more"),
    ],
)
def test_wrong_numbers_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        NoiseConfig(**settings)


def test_unknown_settings_are_refused():
    with pytest.raises(SettingsError, match=r"unknown settings \['colour'\] for the noise"):
        NoiseConfig.from_dict({"colour": 1})


def test_images_without_such_noise_are_refused(smooth):
    with pytest.raises(ImageError, match="no noise was found"):
        NoiseConfig().measured(np.zeros((128, 128)), NONE)
    falling = smooth + np.random.default_rng(0).normal(0, 1, smooth.shape) * (200 - smooth) / 20
    with pytest.raises(ImageError, match="does not grow with brightness"):
        NoiseConfig(model="poisson").measured(falling, NONE)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_bad_pixels_are_found_and_edges_are_not(smooth, dtype):
    """Law: what differs from the scene by half its range is found; a step is left alone."""
    rng = np.random.default_rng(0)
    scene = smooth + rng.normal(0, 2, smooth.shape) + 60 * (np.arange(128) > 70)
    planted = rng.random(smooth.shape) < 0.02
    spoilt = np.where(planted, rng.choice([0, 255], smooth.shape), np.clip(scene, 0, 255))
    plain = np.abs(spoilt - scene) > 100
    found = find_bad_pixels(spoilt.astype(dtype))
    assert found[planted & plain].mean() > 0.9
    assert (found & ~planted).sum() <= 5
    assert not find_bad_pixels(np.full((20, 20), 7, dtype)).any()


def test_nan_is_bad(smooth):
    smooth[5, 6] = np.nan
    assert find_bad_pixels(smooth)[5, 6]
    with pytest.raises(SettingsError, match="Got a threshold of 0"):
        find_bad_pixels(smooth, threshold=0)


def test_bad_pixels_do_not_leak(smooth):
    bad = np.zeros(smooth.shape, bool)
    bad[40:44, 40:44] = True
    spoilt = np.where(bad, np.nan, smooth)
    np.testing.assert_allclose(mended(spoilt, bad), smooth, atol=12)
    assert np.array_equal(mended(spoilt, bad)[~bad], smooth[~bad])
    assert np.isfinite(smoothed(spoilt, bad)).all()
