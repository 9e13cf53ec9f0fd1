"""Where people find us: menus, command palette, Preferences, links to the guide."""

import re
from pathlib import Path

import napari
import numpy as np
import pytest
from napari import settings as napari_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_mganprior.errors import SettingsError
from napari_mganprior.settings import (
    Preferences,
    load_preferences,
    remember,
    save_preferences,
)
from napari_mganprior.widgets.commands import inpaint_active_layer, open_inpaint
from napari_mganprior.widgets.help import GUIDE, TOPICS, help_label, help_url
from napari_mganprior.widgets.inpaint import InpaintWidget
from napari_mganprior.widgets.preferences import current_preferences
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui

PLUGIN = "mGANprior restoration"
OPEN = f"Inpaint ({PLUGIN})"
AGAIN = f"Inpaint the active layer with the last settings ({PLUGIN})"
MANY = f"Batch ({PLUGIN})"
PRIORS = f"Priors ({PLUGIN})"
TRAIN = f"Train a prior ({PLUGIN})"
ANALYSE = f"Analyse ({PLUGIN})"
GUIDE_FILE = Path(__file__).parents[2] / "docs" / "using.md"

with_page = pytest.mark.skipif(
    not hasattr(napari_settings, "get_plugin_settings"),
    reason="napari before 0.9 has no Preferences page for plugins",
)


@pytest.fixture
def warned(monkeypatch):
    """Collect the reasons napari would pop up."""
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.commands.show_warning", messages.append)
    return messages


def open_menu(menu, *titles):
    """Return the actions of a submenu by title; menus fill themselves when they open."""
    for title in titles:
        menu.aboutToShow.emit()
        (menu,) = (action.menu() for action in menu.actions() if action.text() == title)
    menu.aboutToShow.emit()
    return {action.text(): action for action in menu.actions() if action.text()}


def filter_menu(viewer):
    return open_menu(viewer.window.layers_menu, "Filter", PLUGIN)


def forms(viewer):
    return viewer.window._qt_window.findChildren(InpaintWidget)


# Menus


def test_layers_filter_has_our_submenu(make_napari_viewer):
    titles = list(filter_menu(make_napari_viewer()))
    assert OPEN in titles[:-5]  # the tasks come first
    assert titles[-5:] == [AGAIN, MANY, PRIORS, TRAIN, ANALYSE]


def test_the_menu_opens_the_form_and_the_command_finds_it(make_napari_viewer):
    """Whichever comes first, there is one form in a window, and the menu's tick tells of it."""
    for command_first in (False, True):
        viewer = make_napari_viewer()
        if not command_first:
            filter_menu(viewer)[OPEN].trigger()
        widget = open_inpaint(viewer)
        assert open_inpaint(viewer) is widget
        assert forms(viewer) == [widget]
        filter_menu(viewer)[OPEN].trigger()  # there already: napari hides it, or shows it again
        assert forms(viewer) == [widget]
        viewer.close()


def test_a_form_docked_by_its_plugin_name_is_found(make_napari_viewer):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    assert open_inpaint(viewer) is widget


def test_a_hidden_form_is_shown_and_a_closed_one_made_anew(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    widget = open_inpaint(viewer)
    widget.parent().hide()
    assert open_inpaint(viewer) is widget
    assert widget.isVisible()
    viewer.window.remove_dock_widget(widget)
    again = open_inpaint(viewer)
    assert again is not widget
    assert again.isVisible()


def test_the_menu_runs_the_active_layer(window):
    window.viewer.layers.selection.active = window.viewer.layers["cells"]
    filter_menu(window.viewer)[AGAIN].trigger()
    window.held.let()
    window.idle()
    assert "cells inpainted" in window.names


# Command palette


def palette_for(viewer, text):
    """Type into the palette; return it and what it offers."""
    palette = viewer.window._qt_window._command_palette
    palette.update_context(viewer.window._qt_window)
    palette.show()
    palette._line.setText(text)
    return palette, [command.title for command in palette._list.iter_command()]


def test_the_palette_opens_the_form(make_napari_viewer):
    viewer = make_napari_viewer()
    palette, offered = palette_for(viewer, OPEN)
    palette._list.execute(offered.index(OPEN))
    assert len(forms(viewer)) == 1


def test_the_palette_runs_the_active_layer(window, qtbot):
    window.viewer.layers.selection.active = window.viewer.layers["cells"]
    palette, offered = palette_for(window.viewer, "Inpaint the active layer with the last settings")
    assert offered == [AGAIN]
    qtbot.keyClick(palette._line, Qt.Key.Key_Return)
    window.held.let()
    window.idle()
    assert "cells inpainted" in window.names


# The command


def test_the_command_opens_the_form_and_does_what_was_done_last(
    make_napari_viewer, monkeypatch, qtbot, warned
):
    """The real engine and a tiny prior, from a window without a form to the new layer."""
    remember("inpaint", {"prior": "tiny16", "quality": "fast", "seed": 7, "device": "cpu"})
    viewer = make_napari_viewer()
    image = viewer.add_image(np.random.default_rng(0).random((20, 16), np.float32), name="cells")
    viewer.add_labels(np.eye(20, 16, dtype=np.uint8))
    viewer.layers.selection.active = image
    inpaint_active_layer()
    assert not warned
    (widget,) = forms(viewer)
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
    recipe = viewer.layers["cells inpainted"].metadata[METADATA_KEY]
    assert (recipe["prior"]["name"], recipe["seed"]) == ("tiny16", 7)
    assert recipe["layers"]["image"] == "cells"


@pytest.fixture
def pairs(window):
    """Return a window with two images of different size, each with labels that fit it."""
    window.viewer.add_image(np.ones((10, 12)), name="other")
    window.viewer.add_labels(np.eye(10, 12, dtype=np.uint8), name="other holes")
    return window


@pytest.mark.parametrize(
    ("active", "image", "labels"),
    [
        ("cells", "cells", "holes"),
        ("holes", "cells", "holes"),
        ("other", "other", "other holes"),
        ("other holes", "other", "other holes"),
    ],
)
def test_the_layer_that_fits_the_active_one_is_chosen(pairs, warned, active, image, labels):
    pairs.viewer.layers.selection.active = pairs.viewer.layers[active]
    inpaint_active_layer()
    assert not warned
    assert pairs.widget.controller.busy
    assert pairs.widget.fields.image.value.name == image
    assert pairs.widget.fields.labels.value.name == labels
    pairs.held.let()
    pairs.idle()
    assert f"{image} inpainted" in pairs.names


def test_labels_chosen_by_hand_stay_chosen_where_they_fit(window):
    by_hand = window.viewer.add_labels(np.eye(20, 16, dtype=np.uint8), scale=(0.5, 0.5))
    window.widget.fields.choose(by_hand)
    window.viewer.layers.selection.active = window.viewer.layers["cells"]
    inpaint_active_layer()
    assert window.widget.fields.labels.value is by_hand


def test_where_it_cannot_run_the_reason_is_shown(window, warned):
    """And the form is left as it was, but for the layer that was asked for."""
    alone = window.viewer.add_image(np.ones((5, 5)), name="alone")
    window.viewer.layers.selection.active = alone
    inpaint_active_layer()
    (said,) = warned
    assert said == window.widget.check()
    assert said.startswith("'holes' is 20 x 16 pixels, 'alone' 5 x 5; wanted the same.")
    assert not window.widget.controller.busy
    assert window.widget.fields.labels.value.name == "holes"


def test_an_empty_mask_is_named_as_the_reason(window, warned):
    window.viewer.layers["holes"].data = np.zeros((20, 16), np.uint8)
    window.viewer.layers.selection.active = window.viewer.layers["cells"]
    inpaint_active_layer()
    assert warned == [window.widget.check()]
    assert warned[0].startswith("No labelled pixels in 'holes' here; wanted some.")


def test_an_image_without_any_labels(make_napari_viewer, warned):
    make_napari_viewer().add_image(np.ones((5, 5)))
    inpaint_active_layer()
    assert warned == ["No labels layer. Press 'New' beside Damage, then paint over the damage."]


def test_without_an_active_image_nothing_is_opened(make_napari_viewer, warned):
    viewer = make_napari_viewer()
    inpaint_active_layer()
    viewer.add_points(np.ones((1, 2)))
    inpaint_active_layer()
    assert [said.partition(".")[0] for said in warned] == ["No image layer is active"] * 2
    assert not forms(viewer)


def test_active_shapes_are_the_damage_or_the_reason_is_shown(window, warned):
    """Never is another layer taken in silence."""
    shapes = window.viewer.add_shapes(np.array([[1, 1], [5, 6]]), scale=(0.5, 0.5))
    window.viewer.layers.selection.active = shapes
    inpaint_active_layer()
    taken = window.widget.controller.busy and window.widget.fields.labels.value is shapes
    assert taken != bool(warned)


def test_without_a_window_the_reason_is_shown(monkeypatch, warned):
    monkeypatch.setattr("napari_mganprior.widgets.commands.current_viewer", lambda: None)
    inpaint_active_layer()
    assert len(warned) == 1


def test_of_two_windows_the_current_one_is_meant(make_napari_viewer, warned):
    first, second = make_napari_viewer(), make_napari_viewer()
    for viewer in (first, second):
        viewer.add_image(np.ones((5, 5)))
    current, other = (first, second) if napari.current_viewer() is first else (second, first)
    inpaint_active_layer()
    assert len(warned) == 1
    assert len(forms(current)) == 1
    assert not forms(other)


# Preferences


def preferences_page(viewer):
    """Open File > Preferences and return the dialog and the fields on our page."""
    viewer.window._open_preferences_dialog()
    (dialog,) = (
        widget
        for widget in QApplication.topLevelWidgets()
        if type(widget).__name__ == "PreferencesDialog" and widget.isVisible()
    )
    titles = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    dialog._list.setCurrentRow(titles.index(PLUGIN))
    page = dialog._stack.currentWidget()
    titles = {label.text() for label in page.findChildren(QLabel) if label.text()}
    assert titles == {
        "Device", "Threads", "Cache folder", "Precision", "Default prior", "Previews a second",
        "Process mode", "Offline",
    }  # fmt: skip
    return dialog, {
        field._name: field for field in page.findChildren(QWidget) if hasattr(field, "_name")
    }


@with_page
def test_napari_shows_our_page_and_what_is_set_there_holds(
    make_napari_viewer, napari_page, tmp_path
):
    """Also in the shell, which reads the file."""
    dialog, page = preferences_page(make_napari_viewer())
    assert current_preferences() == Preferences()
    page["device"].setCurrentText("cpu")
    page["threads"].setValue(3)
    page["cache_folder"].setText(str(tmp_path))
    page["precision"].setCurrentText("float32")
    page["default_prior"].setText("tiny16")
    page["preview_rate"].setValue(2.5)
    page["process_mode"].setChecked(True)
    page["offline"].setChecked(True)
    wanted = Preferences(
        device="cpu",
        threads=3,
        cache_folder=str(tmp_path),
        precision="float32",
        default_prior="tiny16",
        preview_rate=2.5,
        process_mode=True,
        offline=True,
    )
    assert current_preferences() == wanted
    assert load_preferences() == wanted
    dialog.accept()
    assert napari_page.exists()
    napari_settings._clear_plugin_settings_cache()  # as in the next session
    assert current_preferences() == wanted


@with_page
def test_a_page_that_is_cancelled_changes_nothing(make_napari_viewer):
    dialog, page = preferences_page(make_napari_viewer())
    page["threads"].setValue(3)
    assert current_preferences().threads == 3
    dialog.reject()
    assert current_preferences() == Preferences()
    assert load_preferences() == Preferences()


@with_page
def test_half_a_path_on_the_page_falls_back_until_it_is_whole(make_napari_viewer, caplog):
    dialog, page = preferences_page(make_napari_viewer())
    page["threads"].setValue(3)
    page["cache_folder"].setText("somewhere")
    assert current_preferences() == Preferences(threads=3)
    assert "Got cache_folder 'somewhere'; wanted an absolute path" in caplog.text
    dialog.reject()


@with_page
def test_a_page_nobody_touched_takes_over_the_file(make_napari_viewer):
    """Who comes from an older napari keeps what the file says, and sees it on the page."""
    stored = Preferences(device="cpu", threads=2)
    save_preferences(stored)
    viewer = make_napari_viewer()
    assert current_preferences() == stored
    dialog, page = preferences_page(viewer)
    assert page["threads"].value() == 2
    page["threads"].setValue(0)
    page["device"].setCurrentText("auto")
    assert current_preferences() == Preferences()  # defaults count, too, once chosen
    dialog.accept()


@pytest.mark.parametrize("fault", ["old napari", "switched off"])
def test_without_the_page_the_file_holds(monkeypatch, fault):
    stored = Preferences(threads=5)
    save_preferences(stored)
    if fault == "old napari":
        monkeypatch.delattr(napari_settings, "get_plugin_settings", raising=False)
    else:
        monkeypatch.setattr(napari_settings, "get_plugin_settings", {}.__getitem__, raising=False)
    assert current_preferences() == stored


@with_page
def test_preferences_hold_where_the_file_cannot_be_written(
    make_napari_viewer, monkeypatch, tmp_path, caplog
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", str(tmp_path / "file"))
    dialog, page = preferences_page(make_napari_viewer())
    page["threads"].setValue(3)
    assert current_preferences() == Preferences(threads=3)
    assert "The shell will not know these preferences: Could not write" in caplog.text
    dialog.reject()


# Help


def test_every_topic_has_an_address_in_the_guide():
    for topic in TOPICS:
        assert help_url(topic) == f"{GUIDE}#{topic}"
        assert re.fullmatch(r"[a-z0-9-]+", topic)
    with pytest.raises(SettingsError, match="Got the help topic 'soup'; wanted one of: inpaint"):
        help_url("soup")


@pytest.mark.skipif(not GUIDE_FILE.exists(), reason="the guide is not written yet")
def test_every_topic_is_a_heading_of_the_guide():
    headings = re.findall(r"^#+ +(.+?)\s*$", GUIDE_FILE.read_text("utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
    assert set(TOPICS) <= slugs


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
@pytest.mark.parametrize("browser", [True, False])
def test_the_link_opens_the_browser_or_tells_the_address(qtbot, monkeypatch, how, browser):
    opened, said = [], []

    class Services:
        @staticmethod
        def openUrl(url):  # noqa: N802  Qt's name
            opened.append(url.toString())
            return browser

    monkeypatch.setattr("napari_mganprior.widgets.help.QDesktopServices", Services)
    monkeypatch.setattr("napari_mganprior.widgets.help.show_info", said.append)
    label = help_label("quality")
    qtbot.addWidget(label)
    label.show()
    qtbot.waitExposed(label)
    if how == "mouse":
        qtbot.mouseClick(label, Qt.MouseButton.LeftButton, pos=label.rect().center())
    else:
        label.setFocus()
        qtbot.keyClick(label, Qt.Key.Key_Tab)
        qtbot.keyClick(label, Qt.Key.Key_Return)
    url = f"{GUIDE}#quality"
    assert opened == [url]
    assert said == ([] if browser else [f"No browser could be opened. The guide is at {url}"])


def test_the_link_has_the_colour_of_the_text_in_either_theme(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    label = help_label("prior")
    viewer.window.add_dock_widget(label)
    colours = []
    for theme in ("dark", "light"):
        viewer.theme = theme
        QApplication.processEvents()
        (colour,) = re.findall("color: (#[0-9a-f]{6})", label.text())
        assert colour == label.palette().color(label.foregroundRole()).name()
        colours.append(int(colour[1:3], 16))
    assert colours[0] > 200
    assert colours[1] < 80
