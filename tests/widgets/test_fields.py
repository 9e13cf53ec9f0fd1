"""The form's state, and how it fits on a small screen."""

import json

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_mganprior.widgets.fields import TaskFields

pytestmark = pytest.mark.gui

CHANGED = {
    "prior": "tiny16",
    "quality": "best",
    "seed": 12,
    "device": "cpu",
    "zoom": 1.5,
    "labels": "1, 3-5",
    "invert": True,
    "grow": 4,
    "feather": 2,
    "scope": "slices",
    "region": "view",
    "invented": False,
    "uncertainty": True,
    "residual": True,
    "best": True,
    "preview": True,
    "history": True,
    "pick": "best",
    "overrides": {"n_codes": 7, "layer": 0},
}


@pytest.fixture
def fields(model: ViewerModel, qtbot):
    model.add_image(np.ones((9, 8)), name="cells")
    model.add_shapes(name="box", ndim=2)
    model.add_labels(np.ones((9, 8), int), name="holes")
    form = TaskFields(lambda: list(model.layers))
    qtbot.addWidget(form)
    form.refresh_layers()
    return form


@pytest.mark.parametrize("more", [{}, {"zoom": None}, {"region": "box"}, {"scope": "channels"}])
def test_a_state_comes_back_as_it_was(fields, more):
    """Law: restore(state()) changes nothing, and state survives JSON."""
    assert fields.state().keys() == CHANGED.keys()
    state = {**CHANGED, **more}
    fields.restore(json.loads(json.dumps(state)))
    assert fields.state() == state
    fields.restore(fields.state())
    assert fields.state() == state


def test_what_is_unknown_or_unusable_is_skipped(fields):
    fields.restore(CHANGED)
    bad = {
        "prior": "gone",
        "quality": "perfect",
        "seed": -1,
        "device": 7,
        "zoom": 99.0,
        "invert": "yes",
        "grow": "many",
        "feather": 10**9,
        "scope": None,
        "region": "a layer that is gone",
        "preview": 1,
        "colour": "red",
        "pick": "worst",
        "overrides": [],
    }
    fields.restore(bad)
    assert fields.state() == CHANGED
    fields.restore({"seed": 3})
    assert fields.state() == {**CHANGED, "seed": 3}


def test_labels_are_offered_before_shapes(fields):
    assert [layer.name for layer in fields.labels.choices] == ["holes", "box"]
    assert fields.choice().damage.name == "holes"


def test_a_region_that_is_deleted_is_the_whole_picture_again(fields, model):
    fields.region.value = model.layers["box"]
    assert fields.choice().region is model.layers["box"]
    model.layers["box"].name = "frame"
    fields.refresh_layers()
    assert fields.state()["region"] == "frame"
    model.layers.remove("frame")
    fields.refresh_layers()
    assert fields.state()["region"] == "all"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_cut_off_or_scrolled_on_a_small_screen(
    make_napari_viewer, open_widget, held, qtbot, theme
):
    """At 1366 x 768 all of every page is in sight, whatever the layers are called."""
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(1366, 768)
    viewer.add_image(np.ones((20, 16)), name="a very long name " * 5)
    viewer.add_labels(np.eye(20, 16, dtype=int), name="another very long name " * 5)
    widget = open_widget(viewer, held)
    qtbot.wait(200)
    pages = widget.fields.pages
    scroll = widget.fields.parent().parent()
    for page in range(pages.count()):
        pages.setCurrentIndex(page)
        qtbot.wait(50)
        assert scroll.verticalScrollBar().maximum() == 0
        assert scroll.horizontalScrollBar().maximum() == 0
        bottom = widget.continue_button.mapTo(widget, widget.continue_button.rect().bottomLeft())
        assert bottom.y() <= widget.height()
        assert widget.width() < 480
        shown = pages.currentWidget()
        for child in shown.findChildren(QWidget):
            if child.window() is not shown.window() or not child.isVisible():
                continue  # the list that a box pops up
            assert child.width() >= child.minimumSizeHint().width(), child
            corner = child.mapTo(shown, child.rect().bottomRight())
            assert shown.rect().contains(corner), child
    bar = pages.tabBar()
    assert sum(bar.tabRect(at).width() for at in range(bar.count())) <= bar.width() <= pages.width()
    for button in (widget.panel.run_button, widget.panel.stop_button):
        assert button.width() >= button.minimumSizeHint().width()
