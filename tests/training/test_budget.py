"""From minutes to crops; a clock of the tests' own."""

from dataclasses import replace

import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.training import session as module
from napari_mganprior.training.budget import TimeBudget
from napari_mganprior.training.session import open_state, run_session
from napari_mganprior.training.state import TrainingState


def run(state: TrainingState, budget: TimeBudget, seconds: float, n_steps: int) -> list[str]:
    notices = []
    for _ in range(n_steps):
        state.images_seen += state.step_images
        notices.append(budget.spent(state, seconds))
    return notices


def test_the_rate_of_the_first_seconds_decides(tiny_config):
    """4 crops in 0.1 s for 10 minutes are 24,000; the slow first steps do not count."""
    state = TrainingState(tiny_config)
    budget = TimeBudget(state, 10)
    run(state, budget, 2.0, 3)  # warming up: 6 s
    notices = run(state, budget, 0.1, 101)
    assert state.planned == 1
    assert state.n_images == pytest.approx(40 * (600 - 6), rel=0.01)
    assert not any(notices)
    planned = state.n_images
    run(state, budget, 0.2, 100)
    assert state.n_images == planned  # a slow stretch changes nothing ..
    run(state, budget, 0.2, 700)
    assert state.planned == 2  # .. but after a quarter of the time the rate is taken again
    images, seconds = 4 * (101 + 800), 0.1 * 101 + 0.2 * 800
    assert state.seconds < 200
    assert state.n_images == pytest.approx(images / seconds * 600, rel=0.1)
    planned = state.n_images
    run(state, budget, 9.0, 20)
    assert state.n_images == planned


def test_a_short_budget_is_said_with_what_would_do(tiny_config):
    state = TrainingState(tiny_config)
    notices = run(state, TimeBudget(state, 0.5), 0.1, 40)
    (notice,) = filter(None, notices)
    assert "time budget of 0.5 minutes" in notice
    assert "about 1,200 crops (40 a second, measured); wanted at least 5,000" in notice
    assert "Give about 42 minutes" in notice
    assert state.n_images % state.step_images == 0


def test_a_run_taken_up_again_keeps_its_plan(tiny_config):
    state = TrainingState(tiny_config)
    run(state, TimeBudget(state, 1), 0.1, 40)
    assert state.planned == 1
    again = TrainingState.from_state_dict(state.state_dict())
    assert (again.n_images, again.minutes, again.seconds) == (state.n_images, 1, state.seconds)
    for minutes in (1, None):
        TimeBudget(again, minutes)
        assert (again.n_images, again.planned) == (state.n_images, 1)
    TimeBudget(again, 2)
    assert again.planned == 0


def test_the_first_seconds_of_another_sitting_do_not_decide(tiny_config):
    """Files are still being read then: the second plan waits for a twentieth of the time."""
    state = TrainingState(tiny_config)
    run(state, TimeBudget(state, 10), 0.1, 2000)  # 200 s
    state.planned, planned = 1, state.n_images
    budget = TimeBudget(state, 10)
    run(state, budget, 0.5, 30)  # 15 s, five times slower
    assert (state.planned, state.n_images) == (1, planned)
    run(state, budget, 0.1, 400)
    assert state.planned == 2
    assert state.n_images == pytest.approx(planned, rel=0.4)


def test_a_finished_run_goes_on_with_more_minutes_and_not_with_fewer(tiny_config):
    state = TrainingState(tiny_config)
    state.minutes, state.planned, state.seconds = 1.0, 2, 60.0
    state.images_seen = state.n_images = 2400
    TimeBudget(state, 0.5)
    assert state.n_images == 2400
    budget = TimeBudget(state, 2)
    assert state.n_images > 2400
    run(state, budget, 0.1, 40)
    assert state.n_images == pytest.approx(4800, rel=0.02)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_no_positive_number_of_minutes_is_refused(tiny_config, minutes):
    with pytest.raises(SettingsError, match="wanted a positive number"):
        TimeBudget(TrainingState(tiny_config), minutes)


class _Clock:
    """Goes on by a tenth of a second whenever it is looked at."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.1
        return self.now


def test_a_session_ends_when_its_minutes_are_over(tmp_path, source, tiny_config, monkeypatch):
    """Law: crops trained in a budget = rate x time, whatever the settings' number of crops."""
    monkeypatch.setattr(module, "time", _Clock())
    config = replace(tiny_config, n_images=8)
    steps = list(run_session(tmp_path, source, config, minutes=0.2, save_every=20))
    state = open_state(tmp_path / "checkpoint.pt")
    assert state.images_seen == state.n_images == steps[-1].images_seen == steps[-1].n_images
    assert state.seconds == pytest.approx(12, abs=1.5)
    notice = next(step.notice for step in steps if step.notice)
    assert notice.startswith("Got a time budget of 0.2 minutes")
    # it is over: nothing is left to do, with or without saying the minutes again
    assert list(run_session(tmp_path, source, config, minutes=0.2)) == []
    assert list(run_session(tmp_path, source, config)) == []


def test_stopped_in_mid_budget_it_is_the_same_run(tmp_path, source, tiny_config, same, monkeypatch):
    """Law: after planning, straight = stopped and resumed, to the last bit."""
    monkeypatch.setattr(module, "time", _Clock())

    def session(name: str):
        return run_session(tmp_path / name, source, tiny_config, minutes=0.1, save_every=20)

    wanted = list(session("straight"))
    monkeypatch.setattr(module, "time", _Clock())
    first = session("stopped")
    got = [next(first) for _ in range(25)]  # the plan is final after a quarter: about 15 steps
    first.close()
    again = list(session("stopped"))
    n = again[0].images_seen // 4 - 1
    assert 15 < n <= 25
    assert got[:n] + again == wanted
    states = [
        open_state(tmp_path / x / "checkpoint.pt").state_dict() for x in ("straight", "stopped")
    ]
    for state in states:
        del state["seconds"]
    assert same(*states)


def test_time_in_which_the_run_is_paused_does_not_count(tmp_path, source, tiny_config, monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(module, "time", clock)
    for _ in run_session(tmp_path, source, tiny_config):
        clock.now += 1000
    assert open_state(tmp_path / "checkpoint.pt").seconds < 5
