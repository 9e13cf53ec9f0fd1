"""The form "Train a prior": in a real window, with a real run of a tiny network."""

import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_mganprior.errors import SettingsError
from napari_mganprior.runs.training_folder import (
    TrainingOrder,
    list_runs,
    run_folder,
    write_order,
    write_progress,
)
from napari_mganprior.runs.training_news import TrainingNews, TrainingPoint
from napari_mganprior.settings import Preferences, save_preferences
from napari_mganprior.widgets.train import TrainWidget
from napari_mganprior.widgets.train_fields import FILE, FOLDER, LAYERS, _take
from napari_mganprior.widgets.train_keeper import training_keeper
from napari_mganprior.widgets.train_monitor import TrainMonitor

pytestmark = pytest.mark.gui

TINY = {"widths": (8, 8, 4), "code_dim": 8, "batch_size": 4}
PLUGIN = "napari-mganprior"


@pytest.fixture(autouse=True)
def priors(tmp_path, monkeypatch):
    folder = tmp_path / "priors"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """Collect what napari would pop up."""
    messages = []
    for where in ("train.show_error", "train_keeper.show_error", "train_keeper.show_info"):
        monkeypatch.setattr(f"napari_mganprior.widgets.{where}", messages.append)
    return messages


@pytest.fixture(autouse=True)
def no_run_left(qtbot):
    """Whatever a test leaves under way is discarded."""
    yield
    keeper = training_keeper()
    if keeper.job is not None:
        keeper.job.discard()
        qtbot.waitUntil(lambda: keeper.job is None, timeout=30_000)


def discs(n=2, side=128):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    stack = np.zeros((n, side, side), np.uint8)
    for image in stack:
        for row, column, radius in rng.uniform([0, 0, 3], [side, side, 9], (side // 4, 3)):
            image[np.hypot(rows - row, columns - column) < radius] = 200
    return stack


def dock(viewer):
    widget = TrainWidget(viewer, sizes=(16, 64), settings=TINY)
    viewer.window.add_dock_widget(widget, name="Train a prior")
    return widget


def fill(widget, viewer, crops=100_000):
    widget.fields.layers.value = [viewer.layers["discs"]]
    widget.fields.name.value = "my-discs"
    widget.fields.crops.value = crops
    widget.fields.device.value = "cpu"


@pytest.fixture
def window(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(discs(), name="discs")
    widget = dock(viewer)
    fill(widget, viewer)
    assert widget.check() == ""
    return viewer, widget


@pytest.fixture
def form(model, qtbot):
    """Return the form without napari's window."""
    model.add_image(discs(), name="discs")
    widget = TrainWidget(model, sizes=(16, 64), settings=TINY)
    qtbot.addWidget(widget)
    fill(widget, model)
    assert widget.check() == ""
    return widget


def trained(qtbot, crops):
    keeper = training_keeper()
    qtbot.waitUntil(lambda: keeper.job is None or keeper.sofar.images_seen >= crops, timeout=60_000)
    assert keeper.job is not None, "it ended early"


def ended(qtbot):
    qtbot.waitUntil(lambda: training_keeper().job is None, timeout=60_000)


# A run


@pytest.mark.slow
def test_from_layers_to_a_prior_that_every_form_offers(window, qtbot, shown):
    """Law: curves move, samples appear, Pause waits, Stop and keep makes a prior."""
    viewer, widget = window
    _, inpaint = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
    assert "my-discs" not in inpaint.fields.prior.choices
    widget.train_button.click()
    monitor = widget.monitor
    assert monitor.isVisible()
    assert not widget.fields.isVisible()
    trained(qtbot, 8)
    qtbot.waitUntil(lambda: not monitor.picture.empty, timeout=20_000)
    first = len(monitor.losses.lines[0])
    qtbot.waitUntil(lambda: "crops a second" in monitor.pace.text(), timeout=20_000)
    assert "left" in monitor.pace.text()
    assert "of 100,000 crops" in monitor.numbers.text()

    monitor.pause_button.click()
    qtbot.waitUntil(lambda: monitor.pause_button.text() == "Resume", timeout=20_000)
    assert monitor.pace.text() == "Paused, and saved"
    (run,) = [run_folder("my-discs") / "checkpoint.pt"]
    assert run.is_file()
    at = training_keeper().sofar.images_seen
    qtbot.wait(700)
    assert training_keeper().sofar.images_seen == at
    monitor.pause_button.click()
    trained(qtbot, at + 1000)
    assert monitor.pause_button.text() == "Pause"
    assert len(monitor.losses.lines) == 2
    assert len(monitor.losses.lines[0]) > first
    assert monitor.augment.lines

    monitor.stop_button.click()
    assert not monitor.pause_button.isEnabled()
    ended(qtbot)
    assert widget.status.text() == "'my-discs' is trained, and every form offers it now."
    assert shown == ["The prior 'my-discs' is trained. Every form offers it now."]
    assert widget.fields.isVisible()
    assert "my-discs" in inpaint.fields.prior.choices
    inpaint.fields.prior.value = "my-discs"
    assert not widget.resume_row.isVisible()
    assert "which a prior has already" in widget.check()


@pytest.mark.slow
def test_it_goes_on_while_the_form_is_closed_and_after_a_kill(window, qtbot, shown):
    """Law: a form opened later shows all of it; kill -9 of its process offers Resume."""
    viewer, widget = window
    widget.train_button.click()
    trained(qtbot, 8)
    curve = widget.monitor.losses
    qtbot.waitUntil(lambda: curve.lines != (), timeout=20_000)
    viewer.window.remove_dock_widget(widget)
    at = training_keeper().sofar.images_seen
    trained(qtbot, at + 500)
    again = dock(viewer)
    qtbot.waitUntil(again.monitor.isVisible, timeout=5000)
    assert len(again.monitor.losses.lines[0]) == len(training_keeper().sofar.points)
    assert not again.monitor.picture.empty
    again.monitor.pause_button.click()
    qtbot.waitUntil(lambda: again.monitor.pause_button.text() == "Resume", timeout=20_000)

    saved = training_keeper().sofar.images_seen
    os.kill(training_keeper().job.process_id, signal.SIGKILL)
    ended(qtbot)
    assert "press Resume" in again.status.text()
    assert len(shown) == 1
    row = again.resume_row
    assert row.isVisible()
    assert row.box.currentText() == f"my-discs ({saved:,} of 100,000 crops)"
    fill(again, viewer)
    assert "which a run has that has not ended" in again.check()
    row.resume_button.click()
    trained(qtbot, saved + 8)
    assert again.monitor.losses.lines[0][0][0] < saved  # the curve of before is there, too

    again.monitor.discard_button.click()
    assert training_keeper().job is not None
    assert again.monitor.discard_button.text() == "Really discard?"
    again.monitor.discard_button.click()
    ended(qtbot)
    assert again.status.text() == "Discarded; nothing was kept."
    assert not run_folder("my-discs").exists()
    assert not row.isVisible()
    assert again.check() == ""


@pytest.mark.slow
def test_closing_the_window_saves_and_the_next_one_offers_it(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="discs")
    widget = dock(viewer)
    fill(widget, viewer)
    widget.train()
    trained(qtbot, 8)
    viewer.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    ended(qtbot)
    (run,) = list_runs()
    assert run.images_seen > 0
    again = dock(make_napari_viewer(show=True))
    qtbot.waitUntil(again.resume_row.isVisible, timeout=5000)
    assert again.resume_row.box.count() == 1
    again.resume_row.discard_button.click()
    assert list_runs()
    again.resume_row.discard_button.click()
    assert not list_runs()
    assert again.status.text() == "Discarded 'my-discs'."
    assert not again.resume_row.isVisible()


def test_a_run_that_is_refused_says_why_in_the_form(form, qtbot, shown, tmp_path):
    np.savez(tmp_path / "few.npz", a=discs()[0][:20, :20])
    form.fields.source.value = FILE
    form.fields.path.value = tmp_path / "few.npz"
    assert form.check() == ""
    form.train()
    ended(qtbot)
    assert "wanted at least 8" in form.status.text()
    assert len(shown) == 1
    assert form.train_button.isEnabled()
    assert list_runs() == ()


# What cannot begin


def test_what_is_missing_is_named(form, model, tmp_path):
    """Law: the button is grey, and the form says why."""
    fields = form.fields

    def says(words):
        assert words in form.check()
        assert form.status.text() == form.check()
        assert not form.train_button.isEnabled()

    fields.name.value = " "
    says("No name")
    fields.name.value = "a/b"
    says("wanted one that can be a file's name")
    fields.name.value = "nuclei"
    says("which a prior has already")
    fields.name.value = "x"
    fields.layers.value = []
    says("No layer is chosen")
    fields.layers.value = [model.layers["discs"]]
    fields.side.value = 64
    says("Got 2 pictures in the layers; wanted at least 8")
    model.add_image(np.zeros((40, 200), np.uint8), name="low")
    fields.layers.value = [model.layers["low"]]
    says("'low' is 40 x 200 pixels; wanted at least 64 x 64")
    fields.side.value = 16
    model.add_image(np.zeros((64, 64, 3), np.uint8), name="colour", rgb=True)
    fields.layers.value = [model.layers["low"], model.layers["colour"]]
    says("'colour' is RGB, 'low' grey; wanted one kind")
    fields.source.value = FOLDER
    says("No folder. Choose one.")
    fields.path.value = tmp_path / "none"
    says("is not there; wanted images")
    (tmp_path / "one.npz").write_bytes(b"")
    fields.path.value = tmp_path / "one.npz"
    says("'one.npz' is no folder")
    fields.source.value = FILE
    assert form.check() == ""
    fields.path.value = tmp_path
    says("is a folder; choose that")
    fields.source.value = LAYERS
    fields.layers.value = [model.layers["discs"]]
    assert form.check() == ""
    assert form.train_button.isEnabled()


def test_the_order_says_what_the_form_says(form, tmp_path):
    fields = form.fields
    order, layers = fields.order()
    assert (order.n_images, order.minutes) == (100_000, None)
    assert order.shown == "2 planes of the napari layers 'discs'"
    assert [(layer.name, layer.rgb) for layer in layers] == [("discs", False)]
    fields.crops.value = 0
    fields.minutes.value = 7
    fields.domain.value, fields.licence.value, fields.seed.value = "discs", "CC0-1.0", 5
    fields.source.value = FOLDER
    fields.path.value = tmp_path
    order, layers = fields.order()
    assert layers == []
    assert order == TrainingOrder(
        name="my-discs", inputs=(str(tmp_path),), shown=tmp_path.name, domain="discs",
        licence="CC0-1.0", resolution=16, minutes=7.0, seed=5, device="cpu", settings=TINY,
    )  # fmt: skip


def test_layers_come_and_go(form, model):
    model.add_image(discs(), name="more")
    assert [layer.name for layer in form.fields.layers.choices] == ["discs", "more"]
    assert [layer.name for layer in form.fields.layers.value] == ["discs"]
    form.fields.layers.value = [model.layers["more"]]
    form.fields.layers.value = [model.layers["discs"]]
    model.layers.remove("discs")
    assert "No layer is chosen" in form.check()


def test_the_only_layer_to_learn_from_is_chosen_already(model, qtbot):
    """Law: one usable layer is chosen, of several none, and what the user chose stays."""

    def chosen():
        widget = TrainWidget(model, sizes=(16, 64), settings=TINY)
        qtbot.addWidget(widget)
        return widget, lambda: [layer.name for layer in widget.fields.layers.value]

    model.add_image(np.zeros((9, 9), np.uint8), name="small")
    model.add_image(np.zeros((200, 9), np.uint8), name="narrow")
    widget, names = chosen()
    assert names() == []
    assert "No layer is chosen" in widget.check()
    model.add_image(discs(), name="discs")  # while the form is open, too
    assert names() == ["discs"]
    widget.fields.name.value = "x"
    assert widget.check() == ""
    widget.fields.layers.value = []  # the user wants none
    model.add_image(np.zeros((9, 9), np.uint8), name="small too")
    assert names() == []
    _, names = chosen()
    assert names() == ["discs"]
    model.add_image(discs(), name="more")
    assert names() == ["discs"]
    _, names = chosen()
    assert names() == []


def test_multiscale_is_read_at_its_finest(model, form):
    model.add_image([discs(1, 256)[0], discs(1, 128)[0]], name="levels", multiscale=True)
    form.fields.layers.value = [model.layers["levels"]]
    _, (layer,) = form.fields.order()
    assert layer.data.shape == (256, 256)


def test_complex_numbers_are_refused():
    layer = SimpleNamespace(name="k", data=np.zeros((64, 64), np.complex64), multiscale=False)
    with pytest.raises(SettingsError, match="'k' holds complex64 values; wanted whole or"):
        _take(layer)


def test_settings_are_remembered(form, model, qtbot, monkeypatch):
    form.fields.minutes.value, form.fields.licence.value = 77, "CC-BY-4.0"
    monkeypatch.setattr(form, "_start", lambda job: None)
    form.fields.crops.value = 0
    form.train()
    other = TrainWidget(model, sizes=(16, 64), settings=TINY)
    qtbot.addWidget(other)
    assert (other.fields.minutes.value, other.fields.licence.value) == (77, "CC-BY-4.0")


def test_preferences_decide_about_device_and_threads(form, monkeypatch):
    save_preferences(Preferences(device="cuda", threads=3))
    jobs = []
    monkeypatch.setattr(form, "_start", jobs.append)
    form.train()
    form.fields.device.value = "auto"
    form.train()
    assert [job._order.device for job in jobs] == ["cpu", "cuda"]
    assert [job._threads for job in jobs] == [3, 3]


def test_a_run_that_lies_about_is_offered(form, qtbot):
    write_order(run_folder("old"), TrainingOrder(name="old", inputs=("x",)))
    form.show()
    assert form.resume_row.isVisible()
    assert form.resume_row.box.currentText() == "old (0 crops)"


# The monitor


@pytest.fixture
def monitor(qtbot):
    monitor = TrainMonitor()
    qtbot.addWidget(monitor)
    monitor.clear()
    monitor.show()
    return monitor


def test_curves_legends_and_notices(monitor):
    points = tuple(
        TrainingPoint(n, 1 + n / 10, 2.0, n / 20, 40.0 if n == 5 else None) for n in range(1, 11)
    )
    monitor.show_news(
        TrainingNews(
            training=True, images_seen=10, n_images=20, rate=5.0, remaining=2.0, points=points,
            notices=("The time is short.",), sheet=np.full((8, 8), 9, np.uint8),
        )
    )  # fmt: skip
    assert monitor.bar.value() == 500
    assert monitor.numbers.text() == "10 of 20 crops"
    assert monitor.pace.text() == "2 s left · 5 crops a second"
    assert [len(line) for line in monitor.losses.lines] == [10, 10]
    assert monitor.losses.legend[0].endswith("generator 2")
    assert monitor.augment.legend == ("augmentation 0.5",)
    assert monitor.distance.lines == (((5, 40.0),),)
    assert monitor.notices.text() == "The time is short."
    before = monitor.losses.grab().toImage()
    monitor.show_news(
        TrainingNews(training=True, images_seen=20, n_images=20, notices=("The time is short.",),
                     points=(TrainingPoint(20, 9.0, 0.0, 1.0),))
    )  # fmt: skip
    assert monitor.notices.text() == "The time is short."  # said once
    assert monitor.losses.grab().toImage() != before


def test_curves_follow_a_plan_that_is_measured_later(monitor):
    """Law: what was drawn for 1,000 crops is drawn anew when it turns out to be 100."""
    point = TrainingPoint(50, 1.0, 1.5)
    news = {"training": True, "images_seen": 50}
    monitor.show_news(TrainingNews(n_images=1000, points=(point,), **news))
    narrow = monitor.losses._place(50, 1.0, 0.0, 2.0).x()
    monitor.show_news(TrainingNews(n_images=100, **news))
    assert monitor.losses._place(50, 1.0, 0.0, 2.0).x() > 4 * narrow


def test_buttons_say_what_is_pressed(monitor, qtbot):
    monitor.show_news(TrainingNews(training=True, images_seen=1, n_images=2))
    with qtbot.waitSignal(monitor.pause_asked, timeout=1000):
        monitor.pause_button.click()
    monitor.show_news(TrainingNews(training=True, paused=True, images_seen=1, n_images=2))
    with qtbot.waitSignal(monitor.resume_asked, timeout=1000):
        monitor.pause_button.click()
    with qtbot.assertNotEmitted(monitor.discard_asked):
        monitor.discard_button.click()
    with qtbot.waitSignal(monitor.discard_asked, timeout=1000):
        monitor.discard_button.click()
    with qtbot.waitSignal(monitor.stop_asked, timeout=1000):
        monitor.stop_button.click()
    monitor.show_news(TrainingNews(training=True, images_seen=2, n_images=2))
    assert not monitor.stop_button.isEnabled()
    assert monitor.pace.text() == "Ending after the step under way ..."


# Fit for everybody


def test_everything_has_a_name_and_a_tip_and_can_be_reached_with_tab(window):
    _, widget = window
    form = widget.fields
    for field in form._all():
        assert len(field.tooltip) > 15
        assert field.native.accessibleName()
    order, at = [], widget.fields.source.native
    for _ in range(60):
        order.append(at)
        at = at.nextInFocusChain()
        if at is widget.train_button:
            break
    assert at is widget.train_button  # after the fields
    for button in (widget.train_button, widget.monitor.pause_button, widget.monitor.stop_button,
                   widget.monitor.discard_button, widget.resume_row.resume_button):  # fmt: skip
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert button.toolTip()


def test_it_fits_a_small_screen(make_napari_viewer, qtbot):
    """Law: at 1366 x 768 the button is in sight, and no message widens the dock."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train a prior")
    write_order(run_folder("old"), TrainingOrder(name="old" * 20, inputs=("x",)))
    widget.resume_row.refresh()
    QApplication.processEvents()
    window = widget.window()
    assert window.height() <= 768
    button = widget.train_button
    bottom = button.mapTo(window, button.rect().bottomLeft()).y()
    assert bottom < 768
    width = widget.width()
    widget._say("A long message. " * 60)
    widget.monitor.clear()
    widget.monitor.show_news(TrainingNews(notices=("A long notice. " * 60,)))
    qtbot.wait(50)
    assert widget.width() == width


def test_a_bar_shows_how_far_the_making_of_the_prior_is(form):
    """Law: while the prior is made the bar shows that, and not the crops."""
    bar, pace = form.monitor.bar, form.monitor.pace
    form.monitor.show_news(TrainingNews(training=True, images_seen=9, n_images=10))
    assert bar.value() == 0.9 * bar.maximum()
    doing = "Training the encoder, 30 s left"
    form.monitor.show_news(
        TrainingNews(doing=doing, images_seen=9, n_images=10, step=3, n_steps=12)
    )
    assert bar.value() == 0.25 * bar.maximum()
    assert pace.text() == f"{doing} ..."
    assert form.monitor.numbers.text() == "9 of 10 crops"


def test_a_run_that_trains_no_more_is_offered_to_be_kept(form):
    """Law: what was stopped, or trained to its end, says Keep; the rest says Resume."""
    for name, seen, stopped in (("a", 3, False), ("b", 3, True), ("c", 9, False)):
        write_order(run_folder(name), TrainingOrder(name=name, inputs=("x",)))
        write_progress(run_folder(name), seen, 9, stopped=stopped)
    row = form.resume_row
    row.refresh()
    words = []
    for at in range(3):
        row.box.setCurrentIndex(at)
        words.append((row.box.currentText(), row.resume_button.text()))
    assert words == [
        ("a (3 of 9 crops)", "Resume"),
        ("b (3 of 9 crops, stopped)", "Keep"),
        ("c (9 of 9 crops, trained)", "Keep"),
    ]
    assert "trains no more" in row.resume_button.toolTip()
    asked = []
    row.resume_asked.connect(asked.append)
    row.resume_button.click()
    assert [run.order.name for run in asked] == ["c"]


def test_the_keeper_is_one_for_all_windows(form, model, qtbot):
    other = TrainWidget(model)
    qtbot.addWidget(other)
    assert other.keeper is form.keeper
    assert threading.active_count() < 50


def test_news_of_a_run_elsewhere_reach_every_form(form, model, qtbot):
    other = TrainWidget(model)
    qtbot.addWidget(other)
    news = TrainingNews(training=True, images_seen=3, n_images=9)
    job = SimpleNamespace(
        start=lambda: None, collect=iter([news, None]).__next__, name="x", discard=lambda: None
    )
    keeper = form.keeper
    keeper._timer.setInterval(10**6)
    keeper.start(job)
    keeper._collect()
    for widget in (form, other):
        assert widget.monitor.numbers.text() == "3 of 9 crops"
    keeper._job = None
    keeper._timer.stop()
    keeper._timer.setInterval(100)
