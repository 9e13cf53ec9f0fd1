"""Settings of a training run."""

import json

import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.training.config import TrainingConfig


def test_round_trip_through_json():
    config = TrainingConfig(
        resolution=16, widths=(8, 8, 4), seed=7, bfloat16=False, pixel_mean=(0.1,)
    )
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_settings_are_defaults():
    assert TrainingConfig.from_dict({"seed": 3}) == TrainingConfig(seed=3)


def test_unknown_settings_are_refused():
    raw = {**TrainingConfig().to_dict(), "learning_rat": 0.1}
    with pytest.raises(SettingsError, match=r"unknown training settings \['learning_rat'\]"):
        TrainingConfig.from_dict(raw)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size 0; wanted a positive multiple of 4"),
        ({"batch_size": 6}, "batch_size 6; wanted a positive multiple of 4"),
        ({"n_images": 0}, "n_images 0; wanted at least 1"),
        ({"code_dim": -1}, "code_dim -1; wanted at least 1"),
        ({"r1_every": 0}, "r1_every 0; wanted at least 1"),
        ({"ema_half_life": 0}, "ema_half_life 0; wanted at least 1"),
        ({"resolution": 0}, "resolution 0; wanted at least 1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
        ({"learning_rate": 1.5}, "learning_rate 1.5"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"r1_gamma": -1.0}, "r1_gamma -1.0"),
        ({"r1_gamma_late": -1.0}, "r1_gamma_late -1.0"),
        ({"image_channels": 5}, "image_channels 5; wanted 1 to 4"),
        ({"augment_target": 1.5}, "augment_target 1.5; wanted a share"),
        ({"mix_probability": -0.1}, "mix_probability -0.1; wanted a share"),
        ({"pixel_mean": (0.0, 0.0)}, r"pixel_mean \(0.0, 0.0\) .* for 1 image channels"),
        ({"pixel_std": (0.0,)}, r"pixel_std \(0.0,\) .* deviations above 0"),
    ],
)
def test_out_of_range_is_refused(setting, message):
    with pytest.raises(SettingsError, match=message):
        TrainingConfig(**setting)


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_the_recipe_fits_every_size(resolution):
    """Networks can be built, and the finest size has 24 channels everywhere."""
    config = TrainingConfig.for_resolution(resolution, image_channels=2, seed=5)
    assert (config.resolution, config.image_channels, config.seed) == (resolution, 2, 5)
    assert config.widths[-1] == 24
    assert len(config.widths) == resolution.bit_length() - 2
    assert config.widths[0] == 192


def test_the_recipe_drives_the_penalty_and_older_settings_keep_their_schedule():
    assert TrainingConfig.for_resolution(64).r1_target is not None
    assert TrainingConfig.from_dict({"r1_gamma": 1.0}).r1_target is None


def test_the_recipe_can_be_changed():
    config = TrainingConfig.for_resolution(128, n_images=5, widths=(8,) * 6, bfloat16=False)
    assert (config.n_images, config.widths, config.bfloat16) == (5, (8,) * 6, False)


@pytest.mark.parametrize("resolution", [0, 8, 100, 2048])
def test_a_size_without_recipe_is_refused(resolution):
    with pytest.raises(SettingsError, match=f"resolution of {resolution} px; wanted one of 16, 32"):
        TrainingConfig.for_resolution(resolution)
