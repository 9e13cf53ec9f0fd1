"""What one sees of a run under way: curve, pace, memory, Activity dock."""

import sys

import numpy as np
import pytest
from napari.utils import progress
from qtpy.QtCore import QCoreApplication, QEvent

from napari_mganprior.runs import Progress
from napari_mganprior.widgets.loss_curve import LossCurve
from napari_mganprior.widgets.pace import Pace

pytestmark = pytest.mark.gui


def news(index, window, elapsed):
    return Progress(
        index=index, n_steps=100, loss=1.0, window=window, n_windows=2, elapsed=elapsed,
        remaining=None,
    )  # fmt: skip


def test_a_window_that_ends_early_does_not_make_the_run_look_fast():
    """Law: the pace counts steps that were made, not those that were skipped."""
    pace = Pace()
    assert pace.tell(news(1, 1, 0.5)) == ""
    assert pace.tell(news(11, 1, 2.5)) == "5 steps a second"
    assert pace.tell(news(51, 2, 3.0)) == "5 steps a second"
    assert pace.tell(news(55, 2, 5.0)) == "2 steps a second"


def painted(curve):
    """Return the pixels of a curve."""
    picture = curve.grab().toImage().convertToFormat(curve.grab().toImage().Format.Format_RGB32)
    bits = picture.constBits()
    bits.setsize(picture.sizeInBytes())
    return np.frombuffer(bits, np.uint8).reshape(picture.height(), picture.width(), 4).copy()


def test_the_curve_shows_what_it_was_given(qtbot):
    curve = LossCurve()
    qtbot.addWidget(curve)
    curve.resize(200, 72)
    empty = painted(curve)
    for step in range(1, 50):
        curve.add(step, 100, 1 / step, 1)
    half = painted(curve)
    assert not np.array_equal(empty[:, 4:90], half[:, 4:90])
    # no line yet where no step was made, beside the label in the upper corner
    assert np.all(half[30:70, 110:190] == half[50, 150])
    curve.clear()
    assert np.array_equal(painted(curve), empty)


def test_the_curve_stays_small_and_skips_what_is_no_number(qtbot):
    curve = LossCurve()
    qtbot.addWidget(curve)
    for step in range(10_000):
        curve.add(step, 10_000, 0.0 if step == 7 else 1.0, 1)
    curve.add(1, 10_000, float("nan"), 1)
    (line,) = curve.lines
    assert len(line) <= 2000
    assert (line[0][0], line[-1][0]) == (0, 9999)
    assert painted(curve).any()


def test_a_run_is_drawn_and_folds_away(bench):
    panel = bench.widget.panel
    bench.widget.run()
    bench.step(1)
    bench.step(2)
    assert panel.curve.lines == (((1, 1.0), (2, 0.5)),)
    assert "steps a second" in panel.pace.text()
    panel.fold.click()
    assert panel.curve.isHidden()
    panel.fold.click()
    assert not panel.curve.isHidden()
    bench.held.let(1)
    bench.idle()
    assert panel.curve.lines[0][-1][0] == 3
    bench.run()
    assert panel.curve.lines[0][0][1] == pytest.approx(1 / panel.curve.lines[0][0][0])


def test_memory_is_told_where_psutil_is_and_left_out_where_not(bench, monkeypatch):
    bench.held.n_steps = 4
    bench.widget.run()
    bench.step(1)
    bench.step(2)
    assert bench.widget.panel.pace.text().endswith("GiB")
    monkeypatch.setitem(sys.modules, "psutil", None)
    bench.step(3)
    assert bench.widget.panel.pace.text().endswith("steps a second")
    bench.held.let(1)
    bench.idle()


def entries():
    return [bar for bar in progress._all_instances if bar.desc.startswith("Inpaint")]


@pytest.mark.parametrize("end", ["done", "cancel", "window"])
def test_the_activity_dock_has_the_run_for_as_long_as_it_lasts(window, end, capfd):
    window.widget.run()
    window.step(1)
    (bar,) = entries()
    assert bar.n == 333
    if end == "done":
        window.held.let(2)
        window.idle()
    elif end == "cancel":
        window.widget.controller.cancel()
        window.held.let(1)
        window.idle()
    else:
        window.held.let(1)
        window.viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert entries() == []
    assert "Inpaint" not in "".join(capfd.readouterr())
