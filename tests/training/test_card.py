"""Publishing a prior: samples, measurements, model card."""

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import StorageError
from napari_mganprior.generators.checkpoint import read_card
from napari_mganprior.priors.grid import contact_sheet, draw_samples
from napari_mganprior.training.card import CardText, publish_prior, publish_steps
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.loop import TrainingState
from napari_mganprior.training.measured import measure, nearest_crops

TEXT = CardText(
    name="discs",
    domain="two discs",
    pixel_size="none",
    data="made up",
    licence="CC0-1.0",
    use="Tests.",
    limits="Everything else.",
    repeat="Run the tests.",
    notice="Copyright (c) nobody",
)


@pytest.fixture
def state(tiny_config) -> TrainingState:
    return TrainingState(tiny_config)


def test_contact_sheet_puts_images_in_reading_order():
    images = torch.linspace(-1, 1, 6).reshape(6, 1, 1, 1).expand(6, 1, 4, 4)
    sheet = contact_sheet(images, 3)
    assert sheet.shape == (8, 12)
    assert sheet.dtype == np.uint8
    assert sheet[::4, ::4].tolist() == [[0, 51, 102], [153, 204, 255]]


def test_contact_sheet_keeps_colours_and_cuts_off_what_is_out_of_range():
    red = torch.tensor([5.0, -5.0, 0.0]).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    sheet = contact_sheet(red, 2)
    assert sheet.shape == (4, 8, 3)
    assert sheet[0, 0].tolist() == [255, 0, 128]


def test_samples_are_repeatable_and_cut_to_range(state):
    many, again, other = (draw_samples(state.average, 70, rng=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(many, again)
    assert not torch.equal(many, other)
    assert many.shape == (70, 1, 16, 16)
    assert many.abs().max() <= 1


def test_real_crops_measure_closer_than_an_untrained_generator(state, source, held_out):
    """Law: the floor lies below the distance of random networks, at every level."""
    measured = measure(state.average, source, held_out, n_crops=100)
    for samples, floor in (
        (measured.held_out, measured.held_out_floor),
        (measured.training, measured.training_floor),
    ):
        assert all(f < s for s, f in zip(samples.levels, floor.levels, strict=True))
    for lengths in (measured.correlation_length, measured.image_correlation_length):
        assert 0 < lengths["p10"] <= lengths["p50"] <= lengths["p90"] < 9
    assert json.loads(json.dumps(measured.to_dict())) == measured.to_dict()


def test_the_nearest_crop_of_a_crop_is_itself(source):
    """Law: a copy of the training data is found out."""
    crops = source.batch(4, seeded(9))
    noisy = crops + 0.05 * torch.randn(crops.shape, generator=seeded(1))
    found = nearest_crops(noisy, _Replay([*crops, *source.batch(60, seeded(8))]), rng=seeded(0))
    assert torch.equal(found, crops)


class _Replay(CropSource):
    """Yields crops known beforehand, in batches of 7."""

    def __init__(self, crops: list[torch.Tensor]) -> None:
        self._crops = torch.stack(crops)

    def batches(self, *_) -> Iterator[torch.Tensor]:
        return iter(self._crops.split(7))


def test_published_prior_card_and_pictures_agree(tmp_path, state, source, held_out):
    sha256 = publish_prior(
        state, tmp_path, TEXT, train=source, held_out=held_out, n_crops=20, n_searched=50
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "discs.md",
        "discs.safetensors",
        "discs_grid.png",
        "discs_nearest.png",
    ]
    data = (tmp_path / "discs.safetensors").read_bytes()
    assert sha256 == hashlib.sha256(data).hexdigest()

    card, _ = read_card(tmp_path / "discs.safetensors")
    assert (card.name, card.domain, card.licence) == ("discs", "two discs", "CC0-1.0")
    assert card.training["data"] == "made up"
    assert card.training["n_images_used"] == 10
    assert card.training["correlation_length"].keys() == {"p10", "p50", "p90"}
    distances = card.training["sliced_wasserstein_x1000"]
    assert distances["n_crops"] == 20

    page = (tmp_path / "discs.md").read_text(encoding="utf-8")
    for line in (
        f"| sha256 | `{sha256}` |",
        "| Crops seen | 0 of 32 |",
        "| Images | 16x16 px, grey |",
        "| Licence | CC0-1.0 |",
        "| Seed | 0 |",
        "![Samples above, the nearest training crops below](discs_nearest.png)",
        "Everything else.",
        "## Licence notice\n\nCopyright (c) nobody",
    ):
        assert line in page
    (row,) = [line for line in page.splitlines() if line.startswith("| samples, held-out")]
    wanted = distances["samples_to_held_out"]
    assert [float(cell) for cell in row.split("|")[2:-1]] == pytest.approx(
        [*wanted["levels"].values(), wanted["mean"]], abs=0.06
    )

    with Image.open(tmp_path / "discs_grid.png") as grid:
        assert (grid.size, grid.mode) == ((128, 128), "L")
        drawn = contact_sheet(draw_samples(state.average, 64, rng=seeded(1)), 8)
        assert np.array_equal(np.asarray(grid), drawn)
    with Image.open(tmp_path / "discs_nearest.png") as nearest:
        assert nearest.size == (128, 32)


def test_publishing_tells_every_part(tmp_path, state, source, held_out):
    """Law: parts count up to their number, the last step has the hash; left early, nothing is."""
    sets = {"train": source, "held_out": held_out, "n_crops": 20, "n_searched": 2_500}
    steps = publish_steps(state, tmp_path / "left", TEXT, **sets)
    while "nearest" not in next(steps).doing:
        pass
    steps.close()
    assert not (tmp_path / "left").exists()
    *parts, last = publish_steps(state, tmp_path, TEXT, **sets)
    assert [step.index for step in (*parts, last)] == list(range(last.n_steps + 1))
    assert sum("Searching 2,500 training crops" in step.doing for step in parts) == 3
    assert parts[-1].doing == "Writing the prior"
    assert all(step.doing and not step.sha256 for step in parts)
    assert last.sha256 == hashlib.sha256((tmp_path / "discs.safetensors").read_bytes()).hexdigest()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, state, source, held_out):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        publish_prior(
            state,
            tmp_path / "file" / "priors",
            TEXT,
            train=source,
            held_out=held_out,
            n_crops=8,
            n_searched=8,
        )
