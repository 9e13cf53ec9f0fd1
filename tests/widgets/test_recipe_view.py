"""The recipe of a result in the window, and its settings back in the form."""

import json

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtGui import QGuiApplication

from napari_mganprior.runs.recipe import parse
from napari_mganprior.widgets.recipe_view import RecipeDialog, find_recipe
from napari_mganprior.widgets.results import METADATA_KEY

RECIPE = {
    "task": "inpaint",
    "prior": {"name": "tiny16", "sha256": "ab"},
    "config": {},
    "quality": "fast",
    "seed": 5,
    "zoom": 1.25,
    "device": "cpu",
    "damage": {"grow": 3, "feather": 1},
    "layers": {"labels": "1, 3", "invert": True, "scope": "slice"},
}


def test_the_active_result_is_meant_else_the_latest(model):
    assert find_recipe(model) is None
    plain = model.add_image(np.ones((9, 9)))
    first = model.add_image(np.ones((9, 9)), metadata={METADATA_KEY: {"seed": 1}})
    second = model.add_image(np.ones((9, 9)), metadata={METADATA_KEY: {"seed": 2}})
    broken = model.add_image(np.ones((9, 9)), metadata={METADATA_KEY: "text"})
    for active, wanted in ((first, first), (plain, second), (broken, second), (None, second)):
        model.layers.selection.active = active
        assert find_recipe(model) == (wanted, wanted.metadata[METADATA_KEY])


pytestmark = pytest.mark.gui


@pytest.fixture
def dialog(qtbot, make_napari_viewer):
    make_napari_viewer()
    dialog = RecipeDialog("cells inpainted", RECIPE)
    qtbot.addWidget(dialog)
    return dialog


def test_it_is_told_in_words_and_copied_in_three_forms(dialog):
    assert "Seed: 5" in dialog.words.toPlainText()
    clipboard = QGuiApplication.clipboard()
    dialog.copy_json.click()
    assert parse(clipboard.text()) == RECIPE
    assert "clipboard" in dialog.said.text()
    dialog.copy_shell.click()
    assert clipboard.text().startswith("napari-mganprior run - ")
    dialog.copy_python.click()
    compile(clipboard.text(), "copied", "exec")


def test_it_is_saved_or_the_reason_is_told(dialog, tmp_path):
    dialog.save_to(tmp_path / "recipe.json")
    assert json.loads((tmp_path / "recipe.json").read_text()) == RECIPE
    assert "napari-mganprior run recipe.json" in dialog.said.text()
    (tmp_path / "file").write_text("")
    dialog.save_to(tmp_path / "file" / "recipe.json")
    assert "Could not write" in dialog.said.text()


def test_the_buttons_follow_the_results(window):
    row = window.widget.results
    assert not row.recipe_button.isEnabled()
    assert not row.load_button.isEnabled()
    window.run()
    assert row.recipe_button.isEnabled()
    row.recipe_button.click()
    assert "cells inpainted" in row.dialog.windowTitle()
    row.dialog.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert row.dialog is None
    window.viewer.layers.remove("cells inpainted")
    assert not row.recipe_button.isEnabled()


def test_the_recipe_closes_with_the_form(window):
    window.run()
    window.widget.results.recipe_button.click()
    window.widget.results.recipe_button.click()  # a second one takes the first one's place
    window.viewer.window.remove_dock_widget(window.widget)
    assert window.widget.results.dialog is None


def test_the_settings_of_a_result_are_loaded(window):
    window.run()
    layer = window.viewer.layers["cells inpainted"]
    layer.metadata[METADATA_KEY] = RECIPE
    window.viewer.layers.selection.active = layer
    window.widget.results.load_button.click()
    state = window.widget.fields.state()
    for key, value in (
        ("prior", "tiny16"), ("quality", "fast"), ("seed", 5), ("zoom", 1.25), ("device", "cpu"),
        ("grow", 3), ("feather", 1), ("labels", "1, 3"), ("invert", True), ("scope", "slice"),
    ):  # fmt: skip
        assert state[key] == value
    assert window.said == "The settings of 'cells inpainted' are loaded."


def test_what_the_form_has_not_got_is_named(window):
    window.run()
    layer = window.viewer.layers["cells inpainted"]
    layer.metadata[METADATA_KEY] = {**RECIPE, "prior": {"name": "cats"}, "quality": None}
    window.widget.results.load_button.click()
    assert (
        window.said == "The settings of 'cells inpainted' are loaded, except: prior cats, quality."
    )
