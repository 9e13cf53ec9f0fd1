"""Seconds told before a run: what is kept, how it is scaled, and the program that measures."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_mganprior.errors import PriorError, StorageError
from napari_mganprior.inversion.config import QUALITIES, preset
from napari_mganprior.priors.header import prior_sha256
from napari_mganprior.restore import Inpainting
from napari_mganprior.runs.paces import PaceStore, Setup
from napari_mganprior.runs.timing import (
    Question,
    answer,
    estimate_seconds,
    main,
    measure,
    start_measuring,
    time_in_words,
)
from napari_mganprior.runs.windows import Windows, count_windows

SETUP = Setup("ab" * 32)


@pytest.fixture
def store(tmp_path):
    return PaceStore(tmp_path / "cache")


def recipe(quality="fast", seconds=6.0, evaluations=60, **other):
    config = preset(quality).to_dict() | {"precision": "bfloat16"}
    return {
        "prior": {"sha256": SETUP.sha256},
        "config": config,
        "device": "cpu",
        "seconds": seconds,
        "evaluations": evaluations,
        **other,
    }


def test_nothing_known_is_no_number(store):
    assert store.estimate(SETUP, Windows(3, 1)) == dict.fromkeys(QUALITIES)
    assert store.pace(SETUP, "fast", "thick") is None


def test_a_run_tells_its_like(store):
    """Law: the estimate of the run just made = windows x steps x its seconds per evaluation."""
    assert store.record(recipe(seconds=6.0, evaluations=60), Windows(2, 0), SETUP)
    assert store.pace(SETUP, "fast", "thick") == pytest.approx(0.1)
    seconds = store.estimate(SETUP, Windows(5, 0))["fast"]
    assert seconds == pytest.approx(5 * preset("fast").n_steps * 0.1)


@pytest.mark.parametrize("windows", [Windows(3, 1), Windows(0, 4), Windows(4, 0)])
def test_mixed_damage_adds_up(store, windows):
    """Law: what a run of any mixture took is what the estimate of the same mixture says."""
    evaluations = windows.total * preset("balanced").n_steps
    store.record(recipe("balanced", 33.0, evaluations), windows, SETUP)
    assert store.estimate(SETUP, windows)["balanced"] == pytest.approx(33.0)


def test_other_qualities_follow_restarts_and_codes(store):
    """Law: where one quality is known, others are in proportion to restarts x (codes + 3)."""
    store.record(recipe("fast", 6.0, 60), Windows(2, 0), SETUP)
    known = store.pace(SETUP, "fast", "thick")
    assert store.pace(SETUP, "balanced", "thick") == pytest.approx(known * 4 / 2)
    assert store.pace(SETUP, "best", "thick") == pytest.approx(known * (8 * 23) / (2 * 13))
    assert store.pace(SETUP, "fast", "thin") == pytest.approx(known * 1.5)


def test_what_was_measured_goes_before_what_is_scaled(store):
    store.record(recipe("fast", 6.0, 60), Windows(2, 0), SETUP)
    store.keep_measured(SETUP, "best", "thick", 7.0)
    assert store.pace(SETUP, "best", "thick") == 7.0
    store.record(recipe("best", 20.0, 10), Windows(1, 0), SETUP)
    assert store.pace(SETUP, "best", "thick") == 2.0  # a real run knows better


def test_the_median_of_the_last_five_counts(store):
    for seconds in (900, 900, 900, 1, 2, 3, 4, 5):
        store.record(recipe(seconds=seconds, evaluations=1), Windows(1, 0), SETUP)
    assert store.pace(SETUP, "fast", "thick") == 3


def test_loading_is_added_once(store):
    store.record(recipe(), Windows(2, 0), SETUP)
    bare = store.estimate(SETUP, Windows(1, 0), loaded=False)["fast"]
    store.keep_loading(SETUP, 2.5)
    assert store.estimate(SETUP, Windows(1, 0), loaded=False)["fast"] == pytest.approx(bare + 2.5)
    assert store.estimate(SETUP, Windows(1, 0))["fast"] == pytest.approx(bare)


@pytest.mark.parametrize(
    "other",
    [
        Setup("cd" * 32),
        Setup(SETUP.sha256, device="cuda"),
        Setup(SETUP.sha256, precision="float32"),
        Setup(SETUP.sha256, threads=77),
    ],
)
def test_another_setup_is_another_pace(store, other):
    store.record(recipe(), Windows(2, 0), SETUP)
    assert store.pace(other, "fast", "thick") is None


def test_auto_and_its_meaning_share_their_pace(store):
    """Law: what "auto" was measured to mean counts for the name it stands for."""
    store.keep_device(SETUP, "cpu", name="", precision="bfloat16")
    named = Setup(SETUP.sha256, device="cpu", precision="bfloat16")
    store.keep_device(named, "cpu", name="", precision="bfloat16")
    store.keep_measured(SETUP, "fast", "thick", 0.25)
    assert store.pace(named, "fast", "thick") == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"prior": {"sha256": "ef" * 32}},
        {"evaluations": 0},
        {"seconds": 0.0},
        {"seconds": "long"},
        {"config": None},
        {"device": None, "prior": None},
    ],
)
def test_a_recipe_that_tells_nothing_is_left(store, wrong):
    assert not store.record(recipe(**wrong), Windows(1, 0), SETUP)
    assert not store.record(recipe(), Windows(), SETUP)
    assert not store.path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"format": 2}',
        '{"format": 1, "devices": 3, "seconds": [], "loading": {}}',
        '{"format": 1, "devices": {"auto": {"device": 3}}}',
    ],
)
def test_a_damaged_file_counts_as_empty(store, text):
    store.folder.mkdir()
    store.path.write_text(text)
    assert store.estimate(SETUP, Windows(1, 1), loaded=False) == dict.fromkeys(QUALITIES)
    assert store.record(recipe(), Windows(1, 0), SETUP)
    assert store.pace(SETUP, "fast", "thick") == pytest.approx(0.1)


@pytest.mark.parametrize("number", [-1, 0, "3", None, True, 1e300, [1]])
def test_a_damaged_number_counts_as_none(store, number):
    store.record(recipe(), Windows(1, 0), SETUP)
    raw = json.loads(store.path.read_text())
    raw["seconds"] = {key: {"runs": [number], "first": number} for key in raw["seconds"]}
    raw["loading"] = dict.fromkeys(raw["devices"], number)
    store.path.write_text(json.dumps(raw))
    assert store.estimate(SETUP, Windows(1, 0), loaded=False)["fast"] is None


def test_the_file_does_not_grow_for_ever(store):
    for number in range(505):
        store.keep_loading(Setup("", device=f"cuda:{number}"), 1.0)
    kept = json.loads(store.path.read_text())["loading"]
    assert len(kept) == 500
    assert any("cuda:504" in key for key in kept)


def test_a_full_disk_ends_no_run(store, monkeypatch):
    def fail(*_):
        raise StorageError("no room")

    monkeypatch.setattr("napari_mganprior.runs.paces.write_atomically", fail)
    store.record(recipe(), Windows(1, 0), SETUP)
    assert store.pace(SETUP, "fast", "thick") is None


def test_the_environment_names_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_CACHE", str(tmp_path / "there"))
    assert PaceStore().folder == tmp_path / "there"
    monkeypatch.delenv("NAPARI_MGANPRIOR_CACHE")
    assert "napari-mganprior" in PaceStore().folder.parts


def picture():
    image = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[5:8, 5:8] = mask[20:36, 20:40] = True
    return image, mask


def test_a_real_run_is_told_afterwards(store, tiny16_prior_path, tiny16_prior):
    """Law: the estimate for a run just made is what it took, if no search ended early."""
    image, mask = picture()
    question = Question(mask=mask, prior=str(tiny16_prior_path), device="cpu")
    assert set(answer(question, store).seconds.values()) == {None}
    task = Inpainting(image, mask, tiny16_prior, quality="fast", device="cpu")
    for _ in task:
        pass
    made = task.result().recipe
    asked = answer(question, store)
    assert asked.windows.total == made["n_windows"]
    assert store.record(made, asked.windows, asked.setup)
    planned = made["n_windows"] * preset("fast").n_steps
    wanted = made["seconds"] * planned / made["evaluations"]
    seconds = estimate_seconds(question, "fast", folder=store.folder)
    assert seconds == pytest.approx(wanted, rel=1e-6)


def test_an_estimated_zoom_leaves_the_time_open(store, tiny16_prior_path):
    _, mask = picture()
    store.record(
        recipe(prior={"sha256": prior_sha256(tiny16_prior_path)}),
        Windows(1, 0),
        Setup(prior_sha256(tiny16_prior_path)),
    )
    known = Question(mask=mask, prior=str(tiny16_prior_path))
    unknown = Question(mask=mask, prior=str(tiny16_prior_path), zoom=None)
    assert answer(known, store).seconds["fast"] is not None
    assert answer(unknown, store).seconds == dict.fromkeys(QUALITIES)


def test_a_missing_prior_is_named(store):
    _, mask = picture()
    with pytest.raises(PriorError, match="neither a prior's name nor a file"):
        answer(Question(mask=mask, prior="nobody"), store)


def test_measuring_knows_every_quality_and_kind(store, tiny16_prior_path, monkeypatch):
    """Law: after `measure` nothing needs to be scaled, and more evaluations take longer."""
    monkeypatch.setattr("napari_mganprior.runs.timing._LONGEST_CASE", 0.02)
    measure(str(tiny16_prior_path), "cpu", folder=store.folder)
    raw = json.loads(store.path.read_text())
    assert len(raw["seconds"]) == 6
    setup = Setup(prior_sha256(tiny16_prior_path), device="cpu")
    # not which pace is faster: a tiny prior's evaluation is lost in what else the machine does
    assert all(store.pace(setup, quality, "thick") > 0 for quality in QUALITIES)
    seconds = store.estimate(setup, Windows(1, 1), loaded=False)
    assert seconds["fast"] < seconds["best"]
    assert seconds["fast"] > store.estimate(setup, Windows(1, 1))["fast"]


def test_a_slow_machine_is_measured_in_part(store, tiny_rgb_prior_path, monkeypatch):
    monkeypatch.setattr("napari_mganprior.runs.timing._LONGEST", 1e-9)
    measure(str(tiny_rgb_prior_path), "cpu", folder=store.folder)
    assert "seconds" not in json.loads(store.path.read_text())


def test_the_program_says_why_it_cannot(tmp_path, capsys):
    assert main(["nobody", "cpu", "--folder", str(tmp_path)]) == 1
    assert "neither a prior's name nor a file" in capsys.readouterr().err


def test_the_program_measures_and_ends(store, tiny16_prior_path):
    question = Question(mask=np.zeros((1, 1), bool), prior=str(tiny16_prior_path), device="cpu")
    with start_measuring(question, store.folder) as child:
        assert child.wait(60) == 0
    setup = Setup(prior_sha256(tiny16_prior_path), device="cpu")
    assert store.pace(setup, "best", "thin") > 0


def test_the_program_ends_with_us(store, tiny_prior_path):
    """Law: when the other end of its standard input closes, as at our death, it is gone."""
    question = Question(mask=np.zeros((1, 1), bool), prior=str(tiny_prior_path), device="cpu")
    with start_measuring(question, store.folder) as child:
        child.stdin.close()
        assert child.wait(30) == 1


def test_asking_needs_no_torch(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from napari_mganprior.runs.timing import Question, estimate_seconds\n"
        "question = Question(mask=np.ones((70, 70), bool), prior='nuclei')\n"
        "print(estimate_seconds(question, 'fast'))\n"
        "print([m for m in ('torch', 'napari', 'qtpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "NAPARI_MGANPRIOR_CACHE": str(tmp_path)},
    )
    assert done.stdout.split("\n")[:2] == ["None", "[]"]


def test_times_are_told_no_more_exactly_than_known():
    """Law: a longer time is never told as a shorter one, and none as nothing."""
    units = {"s": 1, "min": 60, "h": 3600}
    last = 0.0
    for seconds in np.geomspace(0.01, 1e5, 2000):
        number, unit = time_in_words(seconds).split()
        told = float(number) * units[unit]
        assert told >= last
        last = told
        if seconds > 1:
            assert told == pytest.approx(seconds, rel=0.34)


def test_counts_are_the_ones_of_the_answer(store, tiny16_prior_path):
    _, mask = picture()
    question = Question(
        mask=mask, prior=str(tiny16_prior_path), zoom=1.5, grow=2, region=(0, 0, 30, 50)
    )
    wanted = count_windows(mask, resolution=16, zoom=1.5, grow=2, region=(0, 0, 30, 50))
    assert answer(question, store).windows == wanted
