"""The form "Batch": selected layers, or the files of a folder."""

import csv

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from napari_mganprior.files import read_image, write_image
from napari_mganprior.settings import remember
from napari_mganprior.widgets.batch import FOLDER, LAYERS, OWN_DAMAGE, BatchWidget
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


def scene(seed=0):
    rows, columns = np.mgrid[:40, :36]
    noise = np.random.default_rng(seed).normal(0, 3, rows.shape)
    return np.uint8(120 + 80 * np.sin(rows / 5) * np.cos(columns / 7) + noise)


def hole(at=10):
    mask = np.zeros((40, 36), np.uint8)
    mask[at : at + 5, 8:14] = 1
    return mask


@pytest.fixture(autouse=True)
def last_settings(priors):
    remember("inpaint", {"prior": "tiny16", "quality": "fast", "device": "cpu", "seed": 3})


@pytest.fixture
def batch(make_napari_viewer):
    """Return a window with two images and their damage, one without, and the form."""
    viewer = make_napari_viewer()
    for name in ("a", "b", "c"):
        viewer.add_image(scene(ord(name)), name=name)
    viewer.add_labels(hole(), name="a damage")
    viewer.add_labels(hole(20), name="b damage")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Batch")
    select(viewer, "a", "b", "c")
    return viewer, widget


def select(viewer, *names):
    viewer.layers.selection.clear()
    viewer.layers.selection.update(viewer.layers[name] for name in names)


def cells(widget, column):
    return [widget.table.item(row, column).text() for row in range(widget.table.rowCount())]


def run(qtbot, widget):
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: bool(widget.table.rowCount()), timeout=5000)
    ended(qtbot, widget)


def ended(qtbot, widget):
    qtbot.waitUntil(
        lambda: not widget.controller.busy and "images restored" in widget.panel.status.text(),
        timeout=60_000,
    )


def test_selected_layers_are_restored_with_their_own_damage(batch, qtbot):
    """Law: each result is what its form would give; what cannot be restored is named."""
    from napari_mganprior import inpaint

    viewer, widget = batch
    run(qtbot, widget)
    assert cells(widget, 0) == ["a", "b", "c"]
    assert cells(widget, 1) == ["restored", "restored", "refused"]
    assert "No layer 'c damage'" in cells(widget, 2)[2]
    assert cells(widget, 3)[:2] == ["30", "30"]
    assert widget.panel.status.text() == "2 of 3 images restored."
    for name, at in (("a", 10), ("b", 20)):
        wanted = inpaint(
            viewer.layers[name].data, hole(at), prior="tiny16", quality="fast", seed=3,
            device="cpu",
        )  # fmt: skip
        assert np.array_equal(viewer.layers[f"{name} inpainted"].data, wanted)
    assert {layer.name for layer in viewer.layers.selection} == {"a", "b", "c"}


def test_every_column_is_in_sight_on_a_small_screen(batch, qtbot):
    """At 1366 x 768, whatever the images are called; what is cut is whole in the tooltip."""
    viewer, widget = batch
    viewer.window.resize(1366, 768)
    for name in ("a", "c"):
        viewer.layers[name].name = f"{name} very long name " * 3
    run(qtbot, widget)
    viewer.window._qt_window.show()
    qtbot.wait(200)
    table, header = widget.table, widget.table.horizontalHeader()
    assert table.horizontalScrollBar().maximum() == 0
    last = table.columnCount() - 1
    assert header.sectionViewportPosition(last) + header.sectionSize(last) <= header.width()
    for column in range(table.columnCount()):
        assert header.sectionSize(column) >= header.sectionSizeHint(column)
    assert table.item(2, 2).toolTip() == cells(widget, 2)[2]
    assert widget.width() < 480


def test_one_layer_may_mark_the_damage_of_all(batch, qtbot):
    viewer, widget = batch
    select(viewer, "a", "c")
    widget.damage.value = viewer.layers["b damage"]
    run(qtbot, widget)
    assert cells(widget, 1) == ["restored", "restored"]
    changed = viewer.layers["c inpainted"].data != viewer.layers["c"].data
    assert changed[20:25, 8:14].any()
    assert not changed[:20].any()


def test_settings_come_from_a_result(batch, qtbot):
    viewer, widget = batch
    select(viewer, "a")
    run(qtbot, widget)
    first = viewer.layers["a inpainted"]
    remember("inpaint", {"prior": "tiny16", "quality": "best", "seed": 9})
    widget.settings.value = first
    select(viewer, "b")
    run(qtbot, widget)
    recipe = viewer.layers["b inpainted"].metadata[METADATA_KEY]
    assert (recipe["quality"], recipe["seed"]) == ("fast", 3)


def test_the_form_says_what_is_missing(batch, tmp_path):
    viewer, widget = batch
    assert widget.panel.status.text() == "3 images selected."
    viewer.layers.selection.clear()
    assert "No image layer is selected" in widget.panel.status.text()
    assert not widget.panel.run_button.isEnabled()
    widget.source.value = FOLDER
    assert not widget.damage.enabled
    assert "No image folder" in widget.check()
    widget.images.value = tmp_path
    assert "No mask folder" in widget.check()
    widget.masks.value = tmp_path / "none"
    assert "No output folder" in widget.check()
    widget.output.value = tmp_path / "out"
    assert "is not there; wanted masks" in widget.check()
    widget.masks.value = tmp_path
    assert widget.check() == ""


@pytest.fixture
def folders(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        write_image(tmp_path / "images" / f"{name}.png", scene(ord(name)))
    for name in ("a", "c"):
        write_image(tmp_path / "masks" / f"{name}_mask.png", hole())
    return tmp_path


def choose_folders(widget, folders):
    widget.source.value = FOLDER
    widget.images.value = folders / "images"
    widget.masks.value = folders / "masks"
    widget.output.value = folders / "out"


def test_a_folder_is_restored_into_another(batch, qtbot, folders):
    viewer, widget = batch
    choose_folders(widget, folders)
    n_layers = len(viewer.layers)
    run(qtbot, widget)
    assert cells(widget, 1) == ["restored", "refused", "restored"], cells(widget, 2)
    assert "Got no mask for b.png" in cells(widget, 2)[1]
    rows = list(csv.DictReader((folders / "out" / "summary.csv").read_text().splitlines()))
    assert [row["outcome"] for row in rows] == ["restored", "refused", "restored"]
    before = read_image(folders / "images" / "a.png").array
    after = read_image(folders / "out" / "a_restored.png").array
    assert np.array_equal(before[hole() == 0], after[hole() == 0])
    assert (before != after).any()
    assert len(viewer.layers) == n_layers


def test_existing_results_are_not_replaced(batch, qtbot, folders, monkeypatch):
    shown = []
    monkeypatch.setattr("napari_mganprior.widgets.batch.show_error", shown.append)
    _, widget = batch
    choose_folders(widget, folders)
    (folders / "out").mkdir()
    (folders / "out" / "a_restored.png").write_bytes(b"mine")
    widget.panel.run_button.click()
    assert "exists already" in shown[0]
    assert (folders / "out" / "a_restored.png").read_bytes() == b"mine"


def test_cancel_ends_the_batch_and_names_what_was_not_done(batch, qtbot):
    viewer, widget = batch
    remember("inpaint", {"prior": "tiny16", "quality": "best", "device": "cpu"})
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: "%" in widget.table.item(0, 1).text(), timeout=30_000)
    widget.panel.cancel_button.click()
    ended(qtbot, widget)
    assert cells(widget, 1) == ["cancelled"] * 3
    assert not any("inpainted" in layer.name for layer in viewer.layers)
    assert widget.panel.run_button.isEnabled()


def test_stop_keeps_the_image_under_way_and_ends_the_batch(batch, qtbot):
    viewer, widget = batch
    remember("inpaint", {"prior": "tiny16", "quality": "best", "device": "cpu"})
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: "%" in widget.table.item(0, 1).text(), timeout=30_000)
    widget.panel.stop_button.click()
    ended(qtbot, widget)
    assert cells(widget, 1) == ["stopped", "cancelled", "cancelled"]
    assert "a inpainted" in viewer.layers


@pytest.mark.parametrize("how", ["dock", "window"])
def test_closing_ends_the_batch(batch, qtbot, how):
    viewer, widget = batch
    remember("inpaint", {"prior": "tiny16", "quality": "best", "device": "cpu"})
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: "%" in widget.table.item(0, 1).text(), timeout=30_000)
    controller = widget.controller
    if how == "dock":
        viewer.window.remove_dock_widget(widget)
        qtbot.waitUntil(lambda: not controller.busy, timeout=10_000)
        assert len(viewer.layers) == 5
    else:
        viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert not controller.busy


def test_layers_that_come_and_go_are_offered(batch):
    viewer, widget = batch
    assert isinstance(widget, BatchWidget)
    assert widget.source.value == LAYERS
    damage = viewer.layers["a damage"]
    widget.damage.value = damage
    viewer.layers.remove("b damage")
    assert widget.damage.value is damage
    viewer.layers.remove(damage)
    assert widget.damage.value == OWN_DAMAGE


def test_the_region_of_the_settings_is_kept_to(batch, qtbot):
    viewer, widget = batch
    select(viewer, "a")
    marks = viewer.add_shapes([[[9, 7], [12, 11]]], shape_type="rectangle", name="here")
    remember("inpaint", {"prior": "tiny16", "quality": "fast", "device": "cpu", "region": "here"})
    select(viewer, "a")
    run(qtbot, widget)
    changed = viewer.layers["a inpainted"].data != viewer.layers["a"].data
    assert changed.any()
    assert not changed[13:].any()
    viewer.layers.remove(marks)
    select(viewer, "a")
    run(qtbot, widget)
    assert "No shapes layer 'here' for the region" in cells(widget, 2)[0]


def test_files_have_no_region(batch, qtbot, folders, monkeypatch):
    shown = []
    monkeypatch.setattr("napari_mganprior.widgets.batch.show_error", shown.append)
    _, widget = batch
    remember("inpaint", {"prior": "tiny16", "region": "view"})
    choose_folders(widget, folders)
    widget.panel.run_button.click()
    assert "settings with the region 'view' for files" in shown[0]


def test_a_form_closed_as_an_image_ends_says_nothing_more(batch, qtbot):
    """The result is posted, but not collected yet, when the form goes."""
    viewer, widget = batch
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: "%" in widget.table.item(0, 1).text(), timeout=30_000)
    widget.panel._timer.stop()
    assert widget.controller._job.join(30)
    viewer.window.remove_dock_widget(widget)
    widget.controller.poll()
    assert not widget.controller.busy


def test_nothing_can_be_queued_behind_a_batch(batch, qtbot):
    _, widget = batch
    widget.panel.run_button.click()
    qtbot.waitUntil(lambda: "%" in widget.table.item(0, 1).text(), timeout=30_000)
    assert widget.panel.run_button.text() == "Run"
    assert not widget.panel.run_button.isEnabled()
    widget.panel.cancel_button.click()
    ended(qtbot, widget)
