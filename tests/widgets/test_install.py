"""The form "Priors": installing from a file, a folder and an address."""

import hashlib
import shutil
from pathlib import Path

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_mganprior.settings import Preferences, save_preferences

pytestmark = pytest.mark.gui


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """Let the user have no prior yet."""
    folder = tmp_path / "own"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


@pytest.fixture
def shown(monkeypatch):
    """Collect what napari would pop up."""
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.work_panel.show_error", messages.append)
    return messages


@pytest.fixture
def window(make_napari_viewer, own, shown):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Priors")
    return viewer, widget


def ended(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.panel.busy, timeout=30_000)


def said(widget):
    return widget.panel.status.text()


def listing(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def drop(widget, *urls):
    """Drag URLs into the form and drop them where they are taken; returns whether they were."""
    mime = QMimeData()
    mime.setUrls([QUrl(url) if "://" in str(url) else QUrl.fromLocalFile(str(url)) for url in urls])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(5, 5), copy, mime, left, none)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(5, 5), copy, mime, left, none))
    return enter.isAccepted()


def test_an_address_becomes_a_prior_that_every_open_form_offers(
    window, qtbot, server, tiny_rgb_prior_path, shown, own
):
    viewer, widget = window
    _, form = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    data = tiny_rgb_prior_path.read_bytes()
    server.files["/leaves.safetensors"] = data
    widget.install_button.click()
    assert widget.card.isHidden()
    assert not widget.install_form.isHidden()
    widget.install_form.source.value = f"{server.url}/leaves.safetensors"
    widget.install_form.sha256.value = hashlib.sha256(data).hexdigest()
    widget.install_form.install_button.click()
    assert not widget.install_form.isEnabled()
    ended(qtbot, widget)
    assert shown == []
    assert said(widget).startswith("Installed 'leaves', sha256 ")
    assert widget.selected == "leaves"
    assert widget.install_form.isHidden()
    assert not widget.card.picture.empty
    words = widget.card.words.toPlainText()
    assert f"from {server.url}/leaves.safetensors on 20" in words
    assert hashlib.sha256(data).hexdigest() in words
    assert "leaves" in form.fields.prior.choices


@pytest.mark.parametrize(
    ("source", "sha256", "words"),
    [
        ("", "", "Got nothing to install; wanted a file, a folder or an https address"),
        ("none.safetensors", "", "neither a file, a folder nor an address"),
        ("http://example.org/a", "", "wanted one that begins with https://"),
        ("URL/none.safetensors", "", "the server has no such file"),
        ("URL/a.safetensors", "12", "wanted 64 hexadecimal digits"),
        ("URL/a.safetensors", "0" * 64, "wanted 0000"),
        ("URL/bad.safetensors", "", "truncated"),
    ],
)
def test_what_is_refused_is_told_and_leaves_nothing(
    window, qtbot, server, tiny16_prior_path, shown, own, source, sha256, words
):
    """Law: the form stays open with what was typed, so that it can be corrected."""
    _, widget = window
    server.files["/a.safetensors"] = tiny16_prior_path.read_bytes()
    server.files["/bad.safetensors"] = b"x" * 100
    widget.offer_install(source.replace("URL", server.url))
    widget.install_form.sha256.value = sha256
    widget.install_form.install_button.click()
    ended(qtbot, widget)
    assert words in said(widget)
    assert shown == [said(widget)]
    assert not widget.install_form.isHidden()
    assert widget.install_form.isEnabled()
    assert listing(own) == []


def test_a_download_is_cancelled_and_gone_on_with(
    window, qtbot, server, tiny16_prior_path, shown, own
):
    _, widget = window
    data = tiny16_prior_path.read_bytes()
    server.files["/a.safetensors"] = data
    server.faults["/a.safetensors"] = ("slow", 0.05)
    widget.offer_install(f"{server.url}/a.safetensors")
    widget.install_form.install_button.click()
    qtbot.waitUntil(lambda: widget.panel.bar.value() > 0, timeout=10_000)
    assert widget.panel.bar.maximum() == -(-len(data) // 1000)
    widget.panel.cancel_button.click()
    ended(qtbot, widget)
    assert said(widget).startswith("Cancelled; no prior was installed; what was downloaded is kept")
    assert listing(own) == []
    del server.faults["/a.safetensors"]
    widget.install_form.install_button.click()
    ended(qtbot, widget)
    assert widget.selected == "a"
    assert server.asked[-1][1]["Range"].startswith("bytes=")
    assert shown == []


def test_the_preference_offline_is_obeyed(window, qtbot, server, shown, own):
    _, widget = window
    save_preferences(Preferences(offline=True))
    widget.offer_install(f"{server.url}/a.safetensors")
    widget.install_form.install_button.click()
    ended(qtbot, widget)
    assert "downloads are switched off" in said(widget)
    assert server.asked == []


def test_a_dropped_prior_folder_or_address_is_offered_for_installation(
    window, qtbot, tiny16_prior_path, prior_folder, shown, own, tmp_path
):
    _, widget = window
    for source in (tiny16_prior_path, prior_folder, "https://example.org/a.safetensors"):
        assert drop(widget, source)
        assert widget.install_form.source.value == str(source)
        assert widget.form.isHidden()
        assert not widget.install_form.isHidden()
    assert not drop(widget, "http://example.org/a.safetensors")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"somebody else's")
    assert drop(widget, other)
    assert widget.install_form.isHidden()
    assert not widget.form.isHidden()
    widget.form.close_button.click()
    assert not widget.card.isHidden()


def test_a_folder_is_installed_with_its_bad_files_told(
    window, qtbot, prior_folder, shown, own, tmp_path
):
    _, widget = window
    source = tmp_path / "offered"
    shutil.copytree(prior_folder, source)
    (source / "bad.safetensors").write_bytes(b"12345678")
    widget.offer_install(str(source))
    widget.install_form.install_button.click()
    ended(qtbot, widget)
    assert "Installed 'tiny', 'tiny16', 'tinyrgb'" in said(widget)
    assert "Left out bad.safetensors: Got bad.safetensors" in said(widget)
    assert widget.table.rowCount() == 7  # four bundled ones, and what the folder held
