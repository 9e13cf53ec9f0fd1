"""The form "Priors": list, card, import, drag and drop, remove, and what is left when it closes."""

import gc
import importlib.util
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from qtpy.QtCore import QCoreApplication, QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.registry import forget_generator, register_generator
from napari_mganprior.imports import adapter_names
from napari_mganprior.runs.prior_jobs import LAYOUTS, ImportOrder, PriorStep, import_foreign
from napari_mganprior.widgets.import_form import DESCRIBED, RECOGNISE
from napari_mganprior.widgets.priors_view import PriorsWidget

pytestmark = pytest.mark.gui

PLUGIN = "napari-mganprior"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def foreign_files():
    """Return benchmarks/foreign_files.py, which knows a tiny PGGAN under its published names."""
    spec = importlib.util.spec_from_file_location("foreign_files", BENCHMARKS / "foreign_files.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["foreign_files"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def priors(prior_folder, tmp_path, monkeypatch):
    """Offer copies of the tiny priors: these tests write and remove."""
    folder = tmp_path / "priors"
    shutil.copytree(prior_folder, folder)
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


@pytest.fixture
def stranger(foreign_files, tmp_path):
    """Return a torch file with a PGGAN of 8 px in its published layout."""
    path = tmp_path / "stranger.pth"
    torch.save({"generator_smooth": foreign_files.pggan_tensors()}, path)
    return path


@pytest.fixture
def shown(monkeypatch):
    """Collect what napari would pop up."""
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.work_panel.show_error", messages.append)
    return messages


@pytest.fixture
def window(make_napari_viewer, priors, shown):
    """Return a window and the form in it."""
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Priors")
    return viewer, widget


class Gate:
    """An import that waits before each stage."""

    def __init__(self, inner=import_foreign):
        self.inner, self.open = inner, threading.Semaphore(0)
        self.reached: list[str] = []

    def __call__(self, order):
        for step in self.inner(order):
            self.reached.append(step.doing)
            assert self.open.acquire(timeout=20)
            yield step


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    for _ in range(100):
        gate.open.release()


@pytest.fixture
def gated(make_napari_viewer, priors, shown, gate):
    """Return a window with a form whose import goes on stage by stage."""
    viewer = make_napari_viewer()
    widget = PriorsWidget(viewer, gate)
    viewer.window.add_dock_widget(widget, name="Priors")
    return viewer, widget


def rows(widget):
    table = widget.table
    return {
        table.item(row, 0).text(): tuple(table.item(row, column).text() for column in (1, 2))
        for row in range(table.rowCount())
    }


def select(widget, name):
    widget.table.selectRow(list(rows(widget)).index(name))
    assert widget.selected == name


def ended(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.panel.busy, timeout=30_000)


def said(widget):
    return widget.panel.status.text()


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def events(kind, mime):
    actions, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, (
        Qt.KeyboardModifier.NoModifier
    )  # fmt: skip
    place = QPoint(5, 5) if kind is QDragEnterEvent else QPointF(5, 5)
    return kind(place, actions, mime, left, none)


def drag(widget, *urls):
    """Drag URLs into the form and drop them where they are taken; returns whether they were."""
    mime = QMimeData()
    mime.setUrls(
        [QUrl(url) if isinstance(url, str) else QUrl.fromLocalFile(str(url)) for url in urls]
    )
    enter = events(QDragEnterEvent, mime)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, events(QDropEvent, mime))
    return enter.isAccepted()


# List and card


def test_all_priors_are_listed(window):
    _, widget = window
    assert rows(widget) == {
        "blood": ("bundled", "64 px RGB"),
        "satellite": ("bundled", "64 px RGB"),
        "histology": ("bundled", "64 px RGB"),
        "nuclei": ("bundled", "64 px grey"),
        "tiny": ("your own", "32 px grey"),
        "tiny16": ("your own", "16 px grey"),
        "tinyrgb": ("your own", "16 px RGB"),
    }
    assert widget.selected == "blood"  # the first


def test_the_card_tells_in_words_and_the_samples_are_seen(window):
    from napari_mganprior.priors import read_entry

    _, widget = window
    select(widget, "nuclei")
    entry, words = read_entry("nuclei"), widget.card.words.toPlainText()
    for text in (
        entry.card.domain, entry.card.architecture, "64 px grey", entry.card.pixel_size,
        "percentiles 1 and 99.8", entry.card.licence, entry.card.training["data"],
        "170,000 crops seen", entry.sha256, "MB", str(entry.path),
    ):  # fmt: skip
        assert text in words
    assert not widget.card.picture.empty
    assert not widget.draw_button.isEnabled()


def test_samples_are_drawn_on_demand_and_nothing_is_written(window, qtbot, priors):
    """Law: the picture is the sheet of the prior's own samples."""
    _, widget = window
    before = listing(priors)
    select(widget, "tinyrgb")
    assert widget.card.picture.empty
    widget.draw_button.click()
    assert not widget.draw_button.isEnabled()
    ended(qtbot, widget)
    assert not widget.card.picture.empty
    image = widget.card.picture.grab().toImage()
    colours = {image.pixelColor(x, image.height() // 2).getRgb() for x in range(image.width())}
    assert any(red != blue for red, _, blue, _ in colours)
    select(widget, "tiny")
    assert widget.card.picture.empty
    select(widget, "tinyrgb")
    assert not widget.card.picture.empty
    assert listing(priors) == before


def test_a_damaged_prior_is_listed_with_its_fault(window, priors):
    _, widget = window
    (priors / "bad.safetensors").write_bytes(b"no prior")
    QApplication.sendEvent(widget, QEvent(QEvent.Type.Show))
    assert rows(widget)["bad"] == ("your own", "damaged")
    select(widget, "bad")
    assert "truncated" in widget.card.words.toPlainText()
    assert not widget.draw_button.isEnabled()
    assert widget.remove_button.isEnabled()


def test_a_registered_generator_is_told_without_being_built(window):
    _, widget = window

    def build():
        raise AssertionError("not for a card")

    register_generator("leaves", build, domain="leaves <b>in</b> autumn")
    try:
        widget.refresh("registered:leaves")
        assert rows(widget)["registered:leaves"] == ("Python", "")
        assert "leaves <b>in</b> autumn" in widget.card.words.toPlainText()
        assert not widget.remove_button.isEnabled()
    finally:
        forget_generator("leaves")


# Import


def test_the_layouts_offered_are_those_there_are():
    assert (*LAYOUTS, DESCRIBED) == (
        *(name for name in adapter_names() if name != "described"),
        DESCRIBED,
    )


def test_a_file_becomes_a_prior_that_every_open_form_offers(window, qtbot, stranger, priors, shown):
    viewer, widget = window
    _, form = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
    widget.offer(stranger)
    assert widget.card.isHidden()
    assert widget.form.name.value == "stranger"
    widget.form.licence.value = "CC0-1.0"
    widget.form.import_button.click()
    assert widget.panel.cancel_button.isEnabled()
    ended(qtbot, widget)
    assert shown == []
    assert "Imported 'stranger'" in said(widget)
    assert widget.selected == "stranger"
    assert widget.form.isHidden()
    assert not widget.card.picture.empty
    words = widget.card.words.toPlainText()
    assert "imported from stranger.pth, layout pggan" in words
    assert "CC0-1.0" in words
    assert "stranger" in form.fields.prior.choices
    assert {"stranger.safetensors", "stranger_grid.png"} < set(listing(priors))


def test_a_name_that_is_taken_is_not_offered(window, stranger):
    _, widget = window
    widget.offer(stranger.rename(stranger.with_name("tiny.pth")))
    assert widget.form.name.value == "tiny-2"


def test_what_the_form_says_is_what_is_asked_for(window, stranger, tmp_path, shown):
    _, widget = window
    widget.offer(stranger)
    assert widget.form.order() == ImportOrder(path=stranger, name="stranger")
    widget.form.layouts.value = "pggan"
    widget.form.number.value = "two"
    with pytest.raises(SettingsError, match="Got the class 'two'; wanted a whole number"):
        widget.form.order()
    widget.form.number.value = " 3 "
    widget.form.truncation.value = 0.5
    assert widget.form.order() == ImportOrder(
        path=stranger, name="stranger", layout="pggan", number=3, truncation=0.5
    )
    widget.form.layouts.value = DESCRIBED
    widget.form.import_button.click()
    assert "No architecture file" in said(widget)
    assert len(shown) == 1
    widget.form.description.value = tmp_path / "net.json"
    order = widget.form.order()
    assert (order.layout, order.description) == (None, tmp_path / "net.json")
    widget.offer(stranger)
    assert widget.form.layouts.value == RECOGNISE
    assert widget.form.order() == ImportOrder(path=stranger, name="stranger")


def test_options_reach_the_import(window, qtbot, stranger, shown):
    _, widget = window
    widget.offer(stranger)
    widget.form.number.value = "3"
    widget.form.import_button.click()
    ended(qtbot, widget)
    assert "which knows no such option" in said(widget)
    assert not widget.form.isHidden()  # to correct it
    widget.form.number.value = ""
    widget.form.layouts.value = DESCRIBED
    widget.form.description.value = stranger
    widget.form.import_button.click()
    ended(qtbot, widget)
    assert "Could not read the architecture file" in said(widget)
    assert len(shown) == 2


def test_a_hostile_file_gets_its_reason_and_nothing_happens(window, qtbot, tmp_path, priors, shown):
    """Law: nothing runs, nothing is written, the reason is one line."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (canary,))

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"weights": Evil()}))
    pickle.loads(path.read_bytes())  # a reader that obeys would do it
    canary.unlink()
    before = listing(priors)
    _, widget = window
    widget.offer(path)
    widget.form.import_button.click()
    ended(qtbot, widget)
    assert shown == [said(widget)]
    assert said(widget).startswith("Got evil.pkl")
    assert "\n" not in said(widget)
    assert listing(priors) == before
    assert not canary.exists()
    assert widget.form.import_button.isEnabled()


def test_what_no_one_foresaw_is_told_too(make_napari_viewer, qtbot, priors, shown, stranger):
    def broken(order):
        yield PriorStep(doing="trying")
        raise RuntimeError("superqt would swallow it")

    viewer = make_napari_viewer()
    widget = PriorsWidget(viewer, broken)
    viewer.window.add_dock_widget(widget, name="Priors")
    widget.offer(stranger)
    widget.start_import()
    ended(qtbot, widget)
    assert "superqt would swallow it" in said(widget)
    assert len(shown) == 1


@pytest.mark.parametrize("stages", [1, 4, "last"])
def test_cancel_leaves_nothing_behind(gated, gate, qtbot, stranger, priors, stages):
    """Law: at whatever stage, also when the prior is written already."""
    _, widget = gated
    before = listing(priors)
    widget.offer(stranger)
    widget.start_import()
    if stages == "last":
        for number in range(50):
            qtbot.waitUntil(lambda n=number: len(gate.reached) > n, timeout=20_000)
            if gate.reached[-1] == "done":
                break
            gate.open.release()
        assert "stranger.safetensors" in listing(priors)
    else:
        for _ in range(stages):
            gate.open.release()
        qtbot.waitUntil(lambda: "..." in said(widget), timeout=20_000)
    widget.panel.cancel_button.click()
    assert "Cancelling" in said(widget)
    assert not widget.panel.cancel_button.isEnabled()
    for _ in range(50):
        gate.open.release()
    ended(qtbot, widget)
    assert said(widget) == "Cancelled; nothing was written."
    assert listing(priors) == before
    assert widget.import_button.isEnabled()


def test_each_stage_is_told(gated, gate, qtbot, stranger):
    _, widget = gated
    widget.offer(stranger)
    widget.start_import()
    for words in ("Loading PyTorch ...", "Reading stranger.pth ...", "Taking over the weights ..."):
        gate.open.release()
        qtbot.waitUntil(lambda words=words: said(widget) == words, timeout=20_000)
    assert widget.panel.bar.maximum() == 5
    assert not widget.import_button.isEnabled()
    assert not drag(widget, stranger)
    for _ in range(50):
        gate.open.release()
    ended(qtbot, widget)
    assert widget.selected == "stranger"


# Drag and drop


def test_a_dropped_file_is_offered(window, stranger):
    _, widget = window
    assert drag(widget, stranger)
    assert not widget.form.isHidden()
    assert widget.form.order().path == stranger
    widget.form.close_button.click()
    assert widget.form.isHidden()
    assert not widget.card.isHidden()


def test_only_one_file_is_taken(window, stranger, priors):
    _, widget = window
    assert not drag(widget, "http://example.org/stranger.pth")
    assert drag(widget, stranger, stranger)
    assert "Got 2 files; wanted one" in said(widget)
    assert drag(widget, priors.parent / "gone.pth")
    assert "is no file" in said(widget)
    assert widget.form.isHidden()


def test_the_window_does_not_grow_when_card_and_form_change_places(
    make_napari_viewer, priors, stranger, qtbot
):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 700)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Priors")
    qtbot.wait(100)
    window = widget.window()
    height = window.height()
    assert height <= 768
    for _ in range(2):
        widget.offer(stranger)
        qtbot.wait(50)
        widget.form.close_button.click()
        qtbot.wait(50)
    assert window.height() == height


def test_selecting_a_prior_shows_its_card_again(window, stranger):
    _, widget = window
    widget.offer(stranger)
    select(widget, "tiny")
    assert widget.form.isHidden()
    assert not widget.card.isHidden()


# Remove, folder


def test_only_your_own_are_removed_and_not_by_one_click(window, priors):
    viewer, widget = window
    _, form = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
    assert not widget.remove_button.isEnabled()  # a bundled one
    select(widget, "tiny16")
    widget.remove_button.click()
    assert widget.remove_button.text() == "Really remove?"
    select(widget, "tiny")
    assert widget.remove_button.text() == "Remove"
    select(widget, "tiny16")
    widget.remove_button.click()
    assert (priors / "tiny16.safetensors").is_file()
    widget.remove_button.click()
    assert not (priors / "tiny16.safetensors").exists()
    assert "tiny16" not in rows(widget)
    assert "tiny16" not in form.fields.prior.choices
    assert widget.remove_button.text() == "Remove"
    assert "Removed 'tiny16'" in said(widget)


def test_the_question_is_withdrawn(window, qtbot, monkeypatch):
    _, widget = window
    select(widget, "tiny16")
    (timer,) = widget.findChildren(QTimer, options=Qt.FindChildOption.FindDirectChildrenOnly)
    assert timer.interval() == 5000
    timer.setInterval(50)
    widget.remove_button.click()
    qtbot.waitUntil(lambda: widget.remove_button.text() == "Remove", timeout=5000)
    assert "tiny16" in rows(widget)


def test_open_folder_makes_it_and_says_where(window, priors, monkeypatch):
    opened = []
    desk = "napari_mganprior.widgets.priors_view.QDesktopServices.openUrl"
    monkeypatch.setattr(desk, lambda url: opened.append(Path(url.toLocalFile())) or False)
    shutil.rmtree(priors)
    _, widget = window
    widget.folder_button.click()
    assert opened == [priors]
    assert priors.is_dir()
    assert said(widget) == f"Your own priors are in {priors}"


# Closing


@pytest.mark.parametrize("how", ["dock", "window"])
def test_closing_cancels_the_import(gated, gate, qtbot, stranger, priors, how):
    """Law: no thread, no running timer, no file is left."""
    viewer, widget = gated
    before = listing(priors)
    widget.offer(stranger)
    widget.start_import()
    gate.open.release()
    gate.open.release()
    qtbot.waitUntil(lambda: "Reading" in said(widget), timeout=20_000)
    panel = widget.panel
    threads = [t for t in threading.enumerate() if t.name == "napari-mganprior prior"]
    assert len(threads) == 1
    if how == "dock":
        viewer.window.remove_dock_widget(widget)
        for _ in range(50):
            gate.open.release()
        qtbot.waitUntil(lambda: not panel.busy, timeout=10_000)
        assert not any(timer.isActive() for timer in widget.findChildren(QTimer))
    else:
        viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        for _ in range(50):
            gate.open.release()  # the stage under way is longer than the window waits
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert gc.isenabled()
    assert listing(priors) == before


def test_it_opens_without_torch(prior_folder):
    """Law: the window is there at once; torch is loaded when something is computed."""
    code = (
        "import sys, napari\n"
        "viewer = napari.Viewer(show=False)\n"
        "_, widget = viewer.window.add_plugin_dock_widget('napari-mganprior', 'Priors')\n"
        "print(widget.selected, 'torch' in sys.modules)\n"
        "viewer.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip().endswith("blood False"), done.stderr
