"""The times beside the qualities: told, measured once, learned, and nothing left behind."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from qtpy.QtCore import QObject, QTimer

from napari_mganprior.inversion.config import QUALITIES, preset
from napari_mganprior.priors.header import prior_sha256
from napari_mganprior.runs.paces import PaceStore, Setup
from napari_mganprior.runs.timing import Question
from napari_mganprior.runs.windows import Windows
from napari_mganprior.widgets.timing import QualityTimes

PLAIN = {quality: quality for quality in QUALITIES}
MEASURING = {quality: f"{quality} · measuring ..." for quality in QUALITIES}


class Form:
    """What the callable of a real form returns."""

    def __init__(self, prior):
        self.mask = np.zeros((40, 40), bool)
        self.mask[10:26, 10:26] = True
        self.prior = prior
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return Question(mask=self.mask, prior=self.prior, device="cpu") if self.prior else None


class Children:
    """Starts a program that sleeps in place of one that measures."""

    def __init__(self):
        self.started = []

    def __call__(self, question, folder):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        )
        self.started.append(child)
        return child

    @property
    def alive(self):
        return [child for child in self.started if child.poll() is None]


@pytest.fixture
def children():
    children = Children()
    yield children
    left = children.alive
    for child in left:
        child.kill()
        child.wait()
    assert not left, "a measuring program was left behind"


@pytest.fixture
def form(tiny16_prior_path):
    return Form(str(tiny16_prior_path))


@pytest.fixture
def store(tmp_path):
    return PaceStore(tmp_path)


@pytest.fixture
def setup(tiny16_prior_path):
    return Setup(prior_sha256(tiny16_prior_path), device="cpu")


@pytest.fixture
def parent(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()
    qapp.processEvents()


@pytest.fixture
def times(parent, form, children, store):
    made = QualityTimes(form, parent, folder=store.folder, start=children)
    yield made
    made.close()
    assert not made.busy
    assert not [t for t in made.findChildren(QTimer) if t.isActive()]
    assert "napari-mganprior times" not in [t.name for t in threading.enumerate()]


def recipe(setup, seconds=4.5, quality="fast", **other):
    config = preset(quality)
    return {
        "prior": {"sha256": setup.sha256},
        "config": config.to_dict() | {"precision": "float32"},
        "device": "cpu",
        "seconds": seconds,
        "evaluations": config.n_steps,
        **other,
    }


def settled(qtbot, times):
    times.refresh()
    qtbot.waitUntil(lambda: not times.busy, timeout=10_000)


def test_a_form_that_is_not_complete_has_no_times(qtbot, times, form, children):
    form.prior = ""
    settled(qtbot, times)
    assert times.texts() == PLAIN
    assert form.asked == 1
    assert not children.started


@pytest.fixture
def heard(times):
    heard = []
    times.changed.connect(lambda: heard.append(times.texts()))
    return heard


def test_what_is_known_is_told_without_measuring(qtbot, times, heard, store, setup, children):
    """Law: the texts say windows x steps x seconds of an evaluation, rounded."""
    store.record(recipe(setup), Windows(1, 0), setup)
    settled(qtbot, times)
    per_window = times.seconds()["fast"] / times._known.windows.total
    assert per_window == pytest.approx(4.5)
    assert all(f"{q} · about " in text for q, text in times.texts().items())
    assert not children.started
    assert heard == [times.texts()]


def test_many_events_are_one_question(qtbot, times, form, store, setup):
    store.record(recipe(setup), Windows(1, 0), setup)
    for _ in range(50):
        times.refresh()
    settled(qtbot, times)
    assert form.asked == 1


def test_more_damage_takes_longer(qtbot, times, form, store, setup):
    store.record(recipe(setup), Windows(1, 0), setup)
    settled(qtbot, times)
    before = times.seconds()["best"]
    form.mask = np.ones((200, 200), bool)
    form.mask[0] = False
    settled(qtbot, times)
    assert times.seconds()["best"] > 10 * before
    form.mask = np.zeros((40, 40), bool)
    settled(qtbot, times)
    assert times.texts() == PLAIN


def test_the_unknown_is_measured_once(qtbot, times, heard, children, store, setup):
    times.refresh()
    qtbot.waitUntil(lambda: times.texts() == MEASURING, timeout=10_000)
    assert len(children.alive) == 1
    times.refresh()  # while it is measured
    qtbot.wait(600)
    assert len(children.started) == 1
    store.record(recipe(setup), Windows(1, 0), setup)  # as the program would
    children.started[0].stdin.close()
    qtbot.waitUntil(lambda: not times.busy, timeout=10_000)
    assert "about" in times.texts()["best"]
    assert heard[0] == MEASURING
    assert heard[-1] == times.texts()


def test_what_could_not_be_measured_is_not_tried_for_ever(qtbot, times, children):
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    children.started[0].kill()
    qtbot.waitUntil(lambda: not times.busy, timeout=10_000)
    settled(qtbot, times)
    assert times.texts() == PLAIN
    assert len(children.started) == 1


def test_a_program_that_cannot_be_started_is_no_trouble(qtbot, parent, form, tmp_path):
    def fail(*_):
        raise OSError("no such program")

    times = QualityTimes(form, parent, folder=tmp_path, start=fail)
    settled(qtbot, times)
    assert times.texts() == PLAIN
    times.close()


def test_a_damaged_prior_is_no_trouble(qtbot, times, form, tmp_path, children):
    form.prior = str(tmp_path / "bad.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    settled(qtbot, times)
    assert times.texts() == PLAIN
    assert not children.started


def test_a_failure_nobody_thought_of_is_no_trouble(qtbot, times, form, children):
    form.mask = "no mask"
    settled(qtbot, times)
    assert times.texts() == PLAIN
    assert not children.started


def test_a_run_ends_the_measuring_and_is_learned_from(qtbot, times, children, store, setup):
    """Law: no measuring program runs beside a run; after it the times are those of the run."""
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    times.hold()
    assert not children.alive
    assert times.texts() == PLAIN
    settled(qtbot, times)  # somebody paints during the run
    assert len(children.started) == 1
    windows = times._known.windows.total
    times.release(recipe(setup, n_windows=windows), seconds=4.5 * windows)
    qtbot.waitUntil(lambda: not times.busy, timeout=10_000)
    assert times.seconds()["fast"] == pytest.approx(4.5 * windows**2)


def test_a_run_of_something_else_teaches_nothing(qtbot, times, children, store, setup):
    times.hold()
    times.release(recipe(setup))  # it began before anything was known
    times.hold()
    times.release(None)
    assert not store.path.exists()
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    times.hold()
    times.release(recipe(setup, n_windows=999))
    assert not store.path.exists()


def test_a_cancelled_run_lets_the_measuring_begin_again(qtbot, times, children):
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    times.hold()
    times.release()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    assert len(children.started) == 2


def test_closing_leaves_nothing(qtbot, times, children):
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    times.close()
    assert not children.alive
    times.refresh()
    qtbot.wait(400)
    assert not times.busy


def test_the_end_of_the_parent_leaves_nothing(qtbot, form, children, tmp_path):
    """Law: when Qt deletes the widget, the program and the thread end without being told."""
    parent = QObject()
    times = QualityTimes(form, parent, folder=tmp_path, start=children)
    times.refresh()
    qtbot.waitUntil(lambda: len(children.alive) == 1, timeout=10_000)
    parent.deleteLater()
    qtbot.waitUntil(lambda: not children.alive, timeout=10_000)


def test_the_real_program_is_started_and_understood(qtbot, parent, form, tmp_path):
    times = QualityTimes(form, parent, folder=tmp_path)
    times.refresh()
    qtbot.waitUntil(lambda: "about" in times.texts()["best"], timeout=60_000)
    qtbot.waitUntil(lambda: not times.busy, timeout=10_000)
    assert None not in times.seconds().values()
    times.close()
