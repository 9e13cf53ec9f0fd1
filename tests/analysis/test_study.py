"""The layer study: what is tried, what is measured, and what is refused."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest

from napari_mganprior import layer_study
from napari_mganprior.analysis import DAMAGES, STUDIES, LayerStudy, StudyConfig, study_plot
from napari_mganprior.analysis.parts import cut_part
from napari_mganprior.analysis.trials import make_trial
from napari_mganprior.errors import (
    ComputeError,
    ImageError,
    MaskError,
    PriorError,
    SettingsError,
)
from napari_mganprior.metrics import psnr_in
from napari_mganprior.restore import open_run

SMALL = {"cuts": (1, 3), "codes": (1, 2), "n_restarts": 1, "n_steps": 3}


@pytest.fixture
def image():
    """Return a smooth picture of 32x40 px, 8 bit."""
    rows, columns = np.mgrid[:32, :40]
    return (127 + 60 * np.sin(rows / 4) + 50 * np.cos(columns / 5)).astype(np.uint8)


def run(study):
    for _ in study:
        pass
    return study.result()


@pytest.mark.parametrize("task", [t for t in STUDIES if t != "colorize"])
def test_every_task_is_tried_at_every_cut_and_number(task, image, tiny16_prior):
    """Law: a row and a picture for each combination; its PSNR is that of the picture."""
    config = StudyConfig(task=task, factor=2, **SMALL)
    study = run(LayerStudy(image, tiny16_prior, config, region="whole"))
    assert [(row.cut, row.n_codes) for row in study.rows] == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert study.stack.shape == (2, 2, *image.shape)
    assert np.array_equal(study.truth, image)
    where = np.ones(image.shape, bool) if study.mask is None else study.mask
    span = np.subtract(*np.percentile(image, [99.8, 1.0]))
    for row in study.rows:
        picture = study.stack[study.cuts.index(row.cut), study.codes.index(row.n_codes)]
        assert row.psnr == psnr_in(where, image.astype(float), picture.astype(float), span)
        assert row.evaluations >= 1
        assert (row.channels, row.map_size) == {1: (16, 4), 3: (8, 8)}[row.cut]
        # pixels are held out where some of an image are missing anyway
        assert (row.held_out is not None) == (task in ("inpaint", "missing"))
    assert np.nanmax(study.grid()) == study.best.psnr
    assert study.recipe["complete"]


def test_colours_are_tried_too(tiny_rgb_prior, image):
    rgb = np.stack([image, image[::-1], image[:, ::-1]], axis=-1)
    config = StudyConfig(task="colorize", **SMALL)
    study = run(LayerStudy(rgb, tiny_rgb_prior, config))
    assert study.stack.shape == (2, 2, 16, 16, 3)
    assert study.measured.shape == (16, 16)
    assert study.corner == (8, 12)
    assert np.array_equal(study.truth, rgb[8:24, 12:28])


def test_all_cuts_are_tried_if_none_are_named(image, tiny16_prior):
    study = LayerStudy(image, tiny16_prior, StudyConfig(codes=(1,)))
    assert study.cuts == tuple(range(1, tiny16_prior.generator.n_layers + 1))


def test_the_same_seed_gives_the_same_study(image, tiny16_prior):
    config = StudyConfig(task="missing", **SMALL)
    first, again, other = (
        run(LayerStudy(image, tiny16_prior, config, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.stack, again.stack)
    assert not np.array_equal(first.mask, other.mask)


def test_an_image_as_it_is_is_judged_by_pixels_held_out(image, tiny16_prior):
    """Without a truth there is no PSNR: the score is the misfit on pixels kept from the search."""
    config = StudyConfig(trial=False, **SMALL)
    study = run(LayerStudy(image, tiny16_prior, config))
    assert study.truth is None
    assert {row.psnr for row in study.rows} == {None}
    best = min(study.rows, key=lambda row: row.held_out)
    assert study.best is best
    assert "held-out" in study.finding()


def test_a_truth_that_is_given_is_compared_with(image, tiny16_prior):
    mask = np.zeros(image.shape, np.uint8)
    mask[12:16, 16:22] = 3
    config = StudyConfig(task="inpaint", trial=False, **SMALL)
    damaged = np.where(mask, 0, image)
    study = run(LayerStudy(damaged, tiny16_prior, config, mask=mask, truth=image))
    assert np.array_equal(study.truth, image[8:24, 12:28])
    assert np.array_equal(study.mask, mask[8:24, 12:28] > 0)
    assert all(row.psnr is not None for row in study.rows)


def test_noise_is_judged_everywhere_and_dead_pixels_are_left_out_of_the_search(image, tiny16_prior):
    config = StudyConfig(task="denoise", trial=False, **SMALL)
    dead = np.zeros(image.shape, bool)
    dead[14, 14] = True
    for mask in (dead, np.zeros_like(dead)):
        study = run(LayerStudy(image, tiny16_prior, config, mask=mask, truth=image))
        truth, span = study.truth, np.subtract(*np.percentile(study.truth, [99.8, 1.0]))
        row = study.rows[0]
        everywhere = np.ones(truth.shape, bool)
        told = psnr_in(everywhere, truth.astype(float), study.stack[0, 0].astype(float), span)
        assert row.psnr == told


def test_steps_count_up_to_the_end_and_tell_every_row(image, tiny16_prior):
    study = LayerStudy(image, tiny16_prior, StudyConfig(**SMALL))
    steps = list(study)
    assert [s.index for s in steps] == sorted(s.index for s in steps)
    assert steps[-1].index == steps[-1].n_steps
    assert {s.n_windows for s in steps} == {4}
    assert [s.row for s in steps if s.row] == list(study.result().rows)
    assert study.preview().shape == (16, 16)


def test_a_study_may_be_abandoned_after_any_step(image, tiny16_prior):
    study = LayerStudy(image, tiny16_prior, StudyConfig(**SMALL))
    with pytest.raises(ComputeError, match="Got no step to keep"):
        study.result()
    steps = iter(study)
    next(steps)
    assert len(study.result().rows) == 1
    rest = [step.row for step in steps if step.row]
    assert study.result().rows == tuple(rest)  # looking at it on the way changes nothing
    assert len(rest) == 4
    study = LayerStudy(image, tiny16_prior, StudyConfig(**SMALL))
    for step in study:
        if step.row is not None:
            break
    partial = study.result()
    assert len(partial.rows) == 1
    assert not partial.recipe["complete"]
    assert np.isnan(partial.grid()).sum() == 3
    assert partial.stack[1, 1].max() == 0


def test_csv_and_plot_hold_every_row(image, tiny16_prior):
    study = run(LayerStudy(image, tiny16_prior, StudyConfig(**SMALL)))
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    assert [float(r["psnr"]) for r in rows] == [row.psnr for row in study.rows]
    assert rows[0]["held_out"] == ""
    plot = study_plot(study)
    assert plot.count("<polyline") == 2
    assert plot.count('r="3"') == 4
    assert "1 code<" in plot
    assert "2 codes<" in plot


def test_enough_codes_is_the_smallest_number_close_to_the_best(image, tiny16_prior):
    study = run(LayerStudy(image, tiny16_prior, StudyConfig(**SMALL)))
    row = study.best
    assert study.enough_codes() <= row.n_codes
    assert f"cut {row.cut} " in study.finding()


def test_noise_of_a_trial_is_not_cut_off(image):
    trial = make_trial(image, StudyConfig(task="denoise"), 0)
    assert trial.measured.dtype == np.float32
    assert abs(float((trial.measured - image).mean())) < 2
    assert (trial.measured - image).std() == pytest.approx(trial.level, rel=0.1)


def test_the_function_is_the_class(image, tiny16_prior_path, tiny16_prior):
    found = layer_study(image, task="denoise", prior=tiny16_prior_path, **SMALL)
    study = run(LayerStudy(image, tiny16_prior, StudyConfig(task="denoise", **SMALL)))
    assert np.array_equal(found.stack, study.stack)


def test_settings_survive_being_written():
    config = StudyConfig(task="missing", cuts=(3, 1))
    assert config.cuts == (1, 3)
    assert StudyConfig.from_dict(config.to_dict()) == config
    assert set(DAMAGES) == set(STUDIES)


# What is refused


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"task": "paint"}, "Got a study of 'paint'; wanted one of invert"),
        ({"codes": ()}, "Got no numbers of codes"),
        ({"codes": (0,)}, "Got 0 among the codes; wanted whole numbers from 1 to 64"),
        ({"codes": (65,)}, "Got 65 among the codes"),
        ({"codes": (2, 2)}, "Got the codes 2, 2; wanted each once"),
        ({"cuts": (-1,)}, "Got -1 among the cuts"),
        ({"cuts": (1.5,)}, "Got 1.5 among the cuts"),
        ({"factor": 3}, "Got a factor of 3"),
        ({"n_steps": 0}, "Got n_steps = 0"),
        ({"n_restarts": 0}, "Got n_restarts = 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, match):
    with pytest.raises(SettingsError, match=match):
        StudyConfig(**settings)


def test_unknown_settings_are_refused():
    with pytest.raises(SettingsError, match=r"Got unknown settings \['depth'\] of a study"):
        StudyConfig.from_dict({"depth": 3})
    with pytest.raises(SettingsError, match="Got the quality 'good'; wanted one of fast, bal"):
        StudyConfig.of_quality("good")


def test_what_cannot_be_studied_is_refused_before_any_work(image, tiny16_prior):
    with pytest.raises(SettingsError, match="Got layer 7 for the prior 'tiny16'"):
        LayerStudy(image, tiny16_prior, StudyConfig(cuts=(7,)))
    with pytest.raises(MaskError, match="Got no mask for a study of 'inpaint'"):
        LayerStudy(image, tiny16_prior, StudyConfig(task="inpaint", trial=False))
    with pytest.raises(ImageError, match="to try colorization on; wanted an RGB"):
        LayerStudy(image, tiny16_prior, StudyConfig(task="colorize"))
    with pytest.raises(PriorError, match="Got an RGB image"):
        LayerStudy(np.stack([image] * 3, axis=-1), tiny16_prior)
    with pytest.raises(ImageError, match="Got a truth of shape"):
        LayerStudy(image, tiny16_prior, StudyConfig(trial=False), truth=image[1:])
    with pytest.raises(ImageError, match="Got an image of shape"):
        LayerStudy(np.zeros(5), tiny16_prior)
    with pytest.raises(SettingsError, match="Got the region 'left'; wanted middle, whole"):
        LayerStudy(image, tiny16_prior, region="left")
    with pytest.raises(SettingsError, match=r"Got the region \(0, 0, 99, 9\) for an image"):
        LayerStudy(image, tiny16_prior, region=(0, 0, 99, 9))
    with pytest.raises(SettingsError, match="Got seed -1"):
        LayerStudy(image, tiny16_prior, seed=-1)


def test_a_part_is_as_large_as_there_is_and_divisible():
    assert cut_part((10, 9), "whole", 64, 4) == (slice(0, 8), slice(0, 8))
    assert cut_part((200, 100), (3, 4, 40, 50), 64) == (slice(3, 40), slice(4, 50))


def test_settings_and_results_need_no_torch():
    code = "import sys, napari_mganprior.analysis as a; a.study_plot; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("task", STUDIES)
def test_a_quality_searches_as_long_as_the_task_does(task, image, tiny16_prior, tiny_rgb_prior):
    """Law: restarts and evaluations are those of the task opened with that quality."""
    name = {"missing": "inpaint", "super-resolve": "super_resolve"}.get(task, task)
    prior = tiny_rgb_prior if task == "colorize" else tiny16_prior
    mask = np.eye(*image.shape, dtype=bool) if name == "inpaint" else None
    config = open_run(name, image, prior, mask=mask, quality="balanced").config
    study = StudyConfig.of_quality("balanced", task=task, n_steps=None)
    assert (study.n_restarts, study.n_steps) == (config.n_restarts, config.n_steps)
