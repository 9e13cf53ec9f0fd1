"""`--features`, `--feature-weight` and `--data-term`."""

import json

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.cli import main
from napari_mganprior.files import read_image


@pytest.fixture
def vgg16(tmp_path, monkeypatch):
    """Let a VGG16 of two channels a layer be here."""
    weights, width = {}, 3
    for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21):
        weight = torch.randn((2, width, 3, 3), generator=seeded(number)) / 3
        weights[f"features.{number}.weight"] = weight
        weights[f"features.{number}.bias"] = torch.zeros(2)
        width = 2
    torch.save(weights, tmp_path / "vgg16.pth")
    monkeypatch.setenv("NAPARI_MGANPRIOR_VGG16", str(tmp_path / "vgg16.pth"))


def test_vgg16_is_chosen_and_recorded_and_the_recipe_repeats_it(inpaint, job, vgg16, capsys):
    assert inpaint() == 0
    assert inpaint("--features", "vgg16", "--feature-weight", "0.5", out="vgg.png") == 0
    plain, with_vgg = read_image(job / "out.png"), read_image(job / "vgg.png")
    assert (plain.array != with_vgg.array).any()
    settings = json.dumps(json.loads(with_vgg.description))
    assert '"features": "vgg16"' in settings
    assert '"feature_weight": 0.5' in settings
    again = ["run", str(job / "vgg.png"), str(job / "image.png"), "-o", str(job / "2.png")]
    assert main(again) == 0
    assert "identical to the recorded result" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--features", "vgg16"), "Got features 'vgg16' of no weight"),
        (("--features", "vgg16", "--feature-weight", "1"), "priors weights vgg16"),
        (("--data-term", "poisson-gaussian"), "Got the data term poisson-gaussian for inpaint"),
    ],
)
def test_what_is_refused_is_said_and_nothing_is_written(inpaint, job, capsys, options, message):
    assert inpaint(*options) == 2
    assert message in capsys.readouterr().err
    assert not (job / "out.png").exists()
