"""Laws of the choice of the state that becomes the prior."""

from dataclasses import replace

import pytest

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.choosing import best_state
from napari_mganprior.training.heldout import HeldOut
from napari_mganprior.training.session import run_session, save_state


@pytest.fixture
def run(tmp_path, source, held_out, tiny_config, monkeypatch):
    """Return a function: train with these distances at crops seen, and choose."""

    def choose(distances, *, stop_at=None, measured=True):
        asked = []

        def distance(_, state):
            asked.append(state.images_seen)
            return distances[state.images_seen]

        monkeypatch.setattr(HeldOut, "distance", distance)
        config, latest = replace(tiny_config, n_images=32), []
        unseen = held_out if measured else None
        for step in run_session(
            tmp_path, source, config, held_out=unseen, measure_every=8, opened=latest.append
        ):
            if step.images_seen == stop_at:
                save_state(latest[-1], tmp_path / "checkpoint.pt")
                break
        before = len(asked)
        state = best_state(tmp_path, unseen, source)
        return state.images_seen, asked[before:]

    return choose


@pytest.mark.parametrize(
    ("distances", "stop_at", "chosen"),
    [
        ({8: 5.0, 16: 3.0, 24: 4.0, 32: 6.0}, None, 16),
        ({8: 5.0, 16: 4.0, 24: 3.0, 32: 2.0}, None, 32),
        ({8: 5.0, 16: 3.0, 24: 3.0, 32: 3.0}, None, 32),
        ({8: 5.0, 16: 3.0, 20: 2.0}, 20, 20),
        ({8: 5.0, 16: 3.0, 20: 3.5}, 20, 16),
        ({8: 5.0, 16: 3.0, 20: float("nan")}, 20, 16),
    ],
    ids=["earlier", "last", "alike", "stopped, closer", "stopped, further", "no number"],
)
def test_the_smallest_distance_wins(run, distances, stop_at, chosen):
    """Law: of the last state and the best measured one the closer one, however near they are."""
    assert run(distances, stop_at=stop_at)[0] == chosen


def test_the_best_one_is_not_measured_twice(run):
    assert run({8: 5.0, 16: 4.0, 24: 3.0, 32: 2.0}) == (32, [])


def test_without_held_out_crops_the_last_one_is_taken(run):
    assert run({}, measured=False) == (32, [])


def test_nothing_is_chosen_before_the_first_step(tmp_path, source, held_out):
    with pytest.raises(TrainingError, match="before its first step, and no checkpoint in"):
        best_state(tmp_path, held_out, source)
