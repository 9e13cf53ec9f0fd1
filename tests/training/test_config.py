"""Settings of a training run."""

import json

import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.training.config import TrainingConfig


def test_round_trip_through_json():
    config = TrainingConfig(resolution=16, widths=(8, 8, 4), seed=7, bfloat16=False)
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
    ],
)
def test_out_of_range_is_refused(setting, message):
    with pytest.raises(SettingsError, match=message):
        TrainingConfig(**setting)
