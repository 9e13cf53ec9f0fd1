"""The form "Analyse": real studies in a real window, and what the form refuses."""

import csv

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from napari_mganprior.analysis import Study
from napari_mganprior.runs.analysing import AnalysisRequest, open_analysis
from napari_mganprior.widgets.analyse import AnalyseWidget
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui

PLUGIN = "napari-mganprior"


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:32, :40]
    return (127 + 60 * np.sin(rows / 4) + 50 * np.cos(columns / 5)).astype(np.uint8)


@pytest.fixture
def shown(monkeypatch):
    """Collect what napari would pop up."""
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.analyse.show_error", messages.append)
    return messages


def choose(widget, **values):
    for name, value in values.items():
        getattr(widget.fields, name).value = value


SMALL = {"prior": "tiny16", "cuts": "1, 3", "codes": "1 2", "restarts": 1, "steps": 3}


@pytest.fixture
def window(make_napari_viewer, picture, shown):
    """Return a window with a picture, and the form in it."""
    viewer = make_napari_viewer()
    viewer.add_image(picture, name="cells", scale=(0.5, 0.5), translate=(3, 4))
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Analyse")
    choose(widget, **SMALL)
    return viewer, widget


def ended(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)


def cells(widget):
    table = widget.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def test_a_study_becomes_a_stack_a_table_and_a_plot(window, qtbot, picture, tmp_path):
    viewer, widget = window
    choose(widget, task="missing")
    widget.run()
    ended(qtbot, widget)
    given, stack = (viewer.layers[f"cells missing {what}"] for what in ("given", "study"))
    assert stack.data.shape == (2, 2, 16, 16)
    assert given.data.shape == (16, 16)
    # rows 8 to 24 and columns 12 to 28 of the picture, at its pixel size
    assert np.allclose(stack.data_to_world((0, 0, 0, 0)), (0, 0, 3 + 4, 4 + 6))
    assert np.allclose(stack.data_to_world((1, 1, 2, 2)), (1, 1, 8, 11))
    assert np.array_equal(given.data, picture[8:24, 12:28])
    table = cells(widget)
    assert [row[0] for row in table] == ["1", "1", "3", "3"]
    assert "Best: cut" in widget.panel.status.text()
    assert widget.plot.document.count("<polyline") == 2
    assert widget.pages.currentWidget() is widget.plot
    recipe = stack.metadata[METADATA_KEY]
    assert recipe["table"].count("\n") == 5

    widget.table.cellClicked.emit(2, 0)
    assert viewer.dims.current_step[:2] == (1, 0)
    widget.save(tmp_path / "study.csv")
    rows = list(csv.DictReader((tmp_path / "study.csv").read_text().splitlines()))
    assert [f"{float(row['psnr']):.2f}" for row in rows] == [row[3] for row in table]
    assert (tmp_path / "study.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_scrolled_on_a_small_screen(make_napari_viewer, picture, shown, qtbot, theme):
    """At 1366 x 768 all fields of every page are in sight, and all columns of a study."""
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(1366, 768)
    viewer.add_image(picture, name="a very long name " * 5)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Analyse")
    choose(widget, **{**SMALL, "codes": "20", "task": "missing"})
    widget.run()
    ended(qtbot, widget)
    pages, scroll = widget.fields.pages, widget.fields.parent().parent()
    for page in range(pages.count()):
        pages.setCurrentIndex(page)
        qtbot.wait(50)
        assert scroll.verticalScrollBar().maximum() == 0
        assert widget.fields.width() <= scroll.viewport().width()
        for child in pages.currentWidget().findChildren(QLabel):
            assert child.width() >= child.minimumSizeHint().width(), child.text()
    widget.pages.setCurrentIndex(1)
    qtbot.wait(50)
    assert widget.table.horizontalScrollBar().maximum() == 0
    assert widget.width() < 480


def test_super_resolution_lies_on_its_picture(window, qtbot):
    viewer, widget = window
    choose(widget, task="super-resolve", factor=2, part="whole", codes="1", cuts="3")
    widget.run()
    ended(qtbot, widget)
    stack, given = (
        viewer.layers["cells super-resolve study"],
        viewer.layers["cells super-resolve given"],
    )
    assert stack.data.shape[2:] == (32, 40)
    assert given.data.shape == (16, 20)
    # centres of corners: the small image's pixels are twice as large
    assert np.allclose(stack.data_to_world((0, 0, 0.5, 0.5))[2:], given.data_to_world((0, 0)))
    assert np.allclose(stack.data_to_world((0, 0, 30.5, 38.5))[2:], given.data_to_world((15, 19)))


def test_a_picture_as_it_is_needs_its_damage(window, qtbot, picture):
    viewer, widget = window
    choose(widget, task="inpaint", trial=False)
    assert "No damage is chosen" in widget.check()
    assert not widget.panel.run_button.isEnabled()
    mask = np.zeros(picture.shape, np.uint8)
    mask[12:16, 16:22] = 1
    viewer.add_labels(mask, name="holes")
    widget.fields.damage.value = viewer.layers["holes"]
    widget.run()
    ended(qtbot, widget)
    assert all(row[3] == "" and row[5] != "" for row in cells(widget))


def test_roles_become_labels_and_stacks(window, qtbot):
    viewer, widget = window
    choose(widget, kind="roles", quality="fast")
    widget.run()
    ended(qtbot, widget)
    labels = viewer.layers["cells roles of codes"].data
    contributions = viewer.layers["cells contributions"].data
    assert contributions.shape == (20, 16, 16)
    assert np.array_equal(labels, np.abs(contributions).argmax(axis=0) + 1)
    assert viewer.layers["cells codes alone"].data.shape == (20, 16, 16)
    assert len(cells(widget)) == 20
    assert widget.pages.currentWidget() is widget.table
    assert not widget.pages.isTabEnabled(0)  # roles have no plot
    assert "is the first contributor of" in widget.panel.status.text()


def test_colours(make_napari_viewer, qtbot, picture, shown):
    viewer = make_napari_viewer()
    rgb = np.stack([picture, picture[::-1], picture[:, ::-1]], axis=-1)
    viewer.add_image(rgb, name="tissue", rgb=True)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Analyse")
    choose(widget, **{**SMALL, "prior": "tinyrgb", "task": "colorize"})
    widget.run()
    ended(qtbot, widget)
    assert not shown
    assert viewer.layers["tissue colorize study"].rgb
    assert viewer.layers["tissue colorize given"].data.shape == (16, 16)
    choose(widget, kind="roles", quality="fast")
    widget.run()
    ended(qtbot, widget)
    assert viewer.layers["tissue contributions"].rgb


def test_codes_of_another_prior_are_told_and_nothing_is_added(
    window, qtbot, shown, tmp_path, tiny_prior, picture
):
    from napari_mganprior.restore import Reconstruction, save_codes

    viewer, widget = window
    run = Reconstruction(picture, tiny_prior, quality="fast")
    next(iter(run))
    save_codes(tmp_path / "codes.npz", run.result().codes, tiny_prior.sha256)
    choose(widget, kind="roles", file=tmp_path / "codes.npz")
    widget.run()
    ended(qtbot, widget)
    assert "Got codes of the prior of sha256" in shown[0]
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_what_the_form_says_wrong_is_told_before_a_run(window):
    _, widget = window
    choose(widget, cuts="three")
    assert "Got the cuts 'three'; wanted whole numbers" in widget.check()
    choose(widget, cuts="all", codes="")
    assert "Got no numbers of codes" in widget.check()
    choose(widget, codes="99")
    assert "Got 99 among the codes" in widget.check()
    choose(widget, codes="1")
    assert widget.check() == ""
    choose(widget, prior="tinyrgb")
    assert "draws RGB images, 'cells' is grey" in widget.check()
    choose(widget, task="colorize", trial=False)
    assert widget.check() == ""


def test_what_the_engine_refuses_is_told(window, qtbot, shown):
    viewer, widget = window
    choose(widget, task="colorize")
    widget.run()
    ended(qtbot, widget)
    assert "Got a grey image of shape" in shown[0]
    assert len(viewer.layers) == 1


class Endless:
    """A study whose first combination never ends, until it is told to."""

    def __init__(self, request):
        self.inner = open_analysis(request)

    def __iter__(self):
        for step in self.inner:
            while step.row is None and step.window == 2:
                yield step
            yield step

    def preview(self):
        return self.inner.preview()

    def result(self):
        return self.inner.result()


@pytest.fixture
def endless(make_napari_viewer, picture, shown):
    viewer = make_napari_viewer()
    viewer.add_image(picture, name="cells")
    widget = AnalyseWidget(viewer, Endless)
    viewer.window.add_dock_widget(widget, name="Analyse")
    choose(widget, **SMALL)
    return viewer, widget


def test_a_study_that_is_stopped_keeps_what_is_finished(endless, qtbot):
    viewer, widget = endless
    widget.run()
    qtbot.waitUntil(lambda: "window 2 of 4" in widget.panel.numbers.text(), timeout=30_000)
    widget.panel.stop_button.click()
    ended(qtbot, widget)
    assert "Stopped before the end" in widget.panel.status.text()
    assert len(cells(widget)) == 1
    assert viewer.layers["cells invert study"].data.shape == (2, 2, 16, 16)


def test_a_study_that_is_cancelled_leaves_nothing(endless, qtbot):
    viewer, widget = endless
    widget.run()
    qtbot.waitUntil(lambda: "window 2 of 4" in widget.panel.numbers.text(), timeout=30_000)
    widget.panel.cancel_button.click()
    ended(qtbot, widget)
    assert len(viewer.layers) == 1
    assert "Nothing was kept" in widget.panel.status.text()


def test_closing_the_form_ends_the_study(endless, qtbot):
    viewer, widget = endless
    widget.run()
    qtbot.waitUntil(lambda: "window 2 of 4" in widget.panel.numbers.text(), timeout=30_000)
    viewer.window.remove_dock_widget(widget)
    ended(qtbot, widget)
    assert len(viewer.layers) == 1


def test_a_slice_of_a_stack_is_analysed_where_it_lies(make_napari_viewer, qtbot, picture, shown):
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([picture * 0, picture]), name="stack", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Analyse")
    choose(widget, **{**SMALL, "codes": "1", "cuts": "3"})
    widget.run()
    ended(qtbot, widget)
    assert not shown
    stack = viewer.layers["stack invert study"]
    assert np.allclose(stack.data_to_world((0, 0, 0, 0)), (0, 0, 4, 6))


def test_a_request_copies_what_it_is_given(picture):
    request = AnalysisRequest(kind="study", image=picture, prior="tiny16")
    picture[:] = 0
    assert request.image.any()


def test_a_study_crosses_to_another_process_and_back(window, qtbot):
    viewer, widget = window
    widget.controller.process_mode = True
    from napari_mganprior.settings import Preferences, save_preferences

    save_preferences(Preferences(process_mode=True, threads=1))
    choose(widget, codes="1", cuts="3")
    widget.run()
    ended(qtbot, widget)
    assert isinstance(widget._found, Study)
    assert "cells invert study" in viewer.layers
