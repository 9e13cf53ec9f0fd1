"""The widget in a real window. Runs are held by a gate, so that races happen where wanted."""

import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from napari_mganprior.errors import ImageError
from napari_mganprior.runs import RunState
from napari_mganprior.widgets.inpaint import InpaintWidget
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


@pytest.fixture
def shown(monkeypatch):
    """Collect the messages napari would pop up."""
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.form.show_error", messages.append)
    return messages


@pytest.fixture
def setup(make_napari_viewer, open_widget, held, qtbot):
    """Return a window with an image, its damage and the widget, ready to run."""
    viewer = make_napari_viewer()
    image = np.full((20, 16), 7, np.uint16)
    mask = np.zeros(image.shape, np.uint8)
    mask[4:8, 4:8] = 1
    viewer.add_image(image, name="cells", scale=(0.5, 0.5))
    viewer.add_labels(mask, name="holes", scale=(0.5, 0.5))
    widget = open_widget(viewer, held)
    assert widget.check() == ""
    return viewer, widget


@pytest.fixture
def desk(bench):
    """Return a viewer and the widget without napari's window."""
    return bench.viewer, bench.widget


def names(viewer):
    return [layer.name for layer in viewer.layers]


def idle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=10_000)


def running(qtbot, widget):
    qtbot.waitUntil(lambda: widget.controller.state is RunState.RUNNING, timeout=10_000)


def test_run_adds_the_result_over_the_image(setup, held, qtbot):
    viewer, widget = setup
    viewer.layers["cells"].data[5, 5] = 60000  # damage, to be replaced
    widget.fields.seed.value = 9
    widget.panel.run_button.click()
    held.let()
    idle(qtbot, widget)
    assert names(viewer) == ["cells", "holes", "cells inpainted", "cells inpainted: invented"]
    result = viewer.layers["cells inpainted"]
    assert result.data.dtype == np.uint16
    assert np.all(result.data == 7)
    assert np.allclose(result.scale, 0.5)
    assert result.metadata[METADATA_KEY]["seed"] == 9
    assert viewer.layers.selection.active is result
    assert "'cells inpainted' is there; 16 of its pixels are invented" in widget.panel.status.text()
    assert widget.panel.run_button.isEnabled()


def test_the_form_reaches_the_run(desk, held, qtbot):
    viewer, widget = desk
    viewer.layers["holes"].data[0, 0] = 4
    fields = widget.fields
    fields.labels_used.value = "4"
    fields.prior.value = "tiny16"
    fields.quality.value = "best"
    fields.estimate.value = True
    fields.device.value = "cpu"
    fields.mark.value = False
    assert not fields.zoom.enabled
    widget.run()
    held.let()
    idle(qtbot, widget)
    (request,) = held.requests
    assert (request.prior, request.quality, request.device) == ("tiny16", "best", "cpu")
    assert request.zoom is None
    assert request.preview_interval is None
    assert request.mask.sum() == 1
    assert names(viewer) == ["cells", "holes", "cells inpainted"]
    assert viewer.layers[-1].metadata[METADATA_KEY]["layers"]["damage_labels"] == 4


def test_the_tooltip_of_a_prior_names_its_hash(desk):
    _, widget = desk
    widget.fields.prior.value = "tiny16"
    tip = widget.fields.prior.tooltip
    assert "tiny16.safetensors, sha256 " in tip
    assert len(tip.split("sha256 ")[1]) == 64


def test_every_field_and_button_explains_itself(desk):
    _, widget = desk
    fields = widget.fields
    for field in (
        fields.image, fields.labels, fields.new, fields.prior, fields.quality,
        fields.labels_used, fields.invert, fields.grow, fields.feather, fields.scope,
        fields.region, fields.zoom, fields.estimate, fields.seed, fields.device, fields.mark,
        fields.preview, fields.uncertainty, fields.residual, fields.history, fields.reference,
    ):  # fmt: skip
        assert len(field.tooltip) > 15
    panel = widget.panel
    for button in (panel.run_button, panel.pause_button, panel.stop_button, panel.cancel_button):
        assert len(button.toolTip()) > 15


def test_stop_and_keep_keeps_the_best_so_far(setup, held, qtbot):
    viewer, widget = setup
    widget.run()
    held.let(1)
    running(qtbot, widget)
    widget.panel.stop_button.click()
    held.let(1)
    idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)
    assert widget.panel.status.text().startswith("Stopped early")


def test_cancel_leaves_nothing_behind(setup, held, qtbot):
    viewer, widget = setup
    widget.fields.preview.value = True
    widget.run()
    held.let(1)
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=10_000)
    widget.panel.cancel_button.click()
    held.let(1)
    idle(qtbot, widget)
    assert names(viewer) == ["cells", "holes"]
    assert "Cancelled" in widget.panel.status.text()
    assert widget.panel.run_button.isEnabled()


def test_pause_and_resume(desk, held, qtbot):
    viewer, widget = desk
    widget.run()
    held.let(1)
    running(qtbot, widget)
    widget.panel.pause_button.click()
    assert widget.panel.pause_button.text() == "Resume"
    assert widget.controller.state is RunState.PAUSED
    widget.panel.pause_button.click()
    held.let(2)
    idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)


def test_progress_names_step_loss_and_time_left(desk, held, qtbot):
    _, widget = desk
    widget.run()
    held.let(2)
    qtbot.waitUntil(lambda: "step 2 of 3" in widget.panel.numbers.text(), timeout=10_000)
    assert widget.panel.numbers.text().endswith(" left · window 2 of 7 · step 2 of 3 · loss 0.5")
    assert widget.panel.numbers.toolTip() == widget.panel.numbers.text()
    assert widget.panel.bar.value() == 667
    held.let(1)
    idle(qtbot, widget)


def test_the_buttons_follow_the_run(desk, held, qtbot):
    _, widget = desk
    panel = widget.panel
    steer = (panel.pause_button, panel.stop_button, panel.cancel_button)
    assert panel.run_button.isEnabled()
    assert not any(button.isEnabled() for button in steer)
    widget.run()
    held.let(1)
    running(qtbot, widget)
    assert panel.run_button.isEnabled()
    assert panel.run_button.text() == "Queue"
    assert all(button.isEnabled() for button in steer)
    held.let(2)
    idle(qtbot, widget)
    assert panel.run_button.isEnabled()
    assert not any(button.isEnabled() for button in steer)


def test_a_second_result_takes_a_name_of_its_own(desk, held, qtbot):
    viewer, widget = desk
    for _ in range(2):
        widget.run()
        held.let()
        idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)
    assert "cells inpainted 2" in names(viewer)


@pytest.mark.parametrize("deleted", ["cells", "holes"])
def test_a_layer_deleted_during_the_run_does_not_matter(setup, held, qtbot, deleted):
    viewer, widget = setup
    widget.run()
    held.let(1)
    running(qtbot, widget)
    viewer.layers.remove(deleted)
    held.let(2)
    idle(qtbot, widget)
    assert deleted not in names(viewer)
    assert np.all(viewer.layers["cells inpainted"].data == 7)


def test_a_layer_renamed_during_the_run_stays_chosen(setup, held, qtbot):
    viewer, widget = setup
    viewer.add_image(np.ones((20, 16)), name="another")
    widget.fields.image.value = viewer.layers["cells"]
    widget.run()
    held.let(1)
    running(qtbot, widget)
    viewer.layers["cells"].name = "nuclei"
    assert widget.fields.image.value is viewer.layers["nuclei"]
    held.let(2)
    idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)


def test_painting_during_the_run_does_not_reach_it(desk, held, qtbot):
    viewer, widget = desk
    widget.run()
    viewer.layers["holes"].data[:] = 1
    viewer.layers["cells"].data[:] = 0
    held.let()
    idle(qtbot, widget)
    assert np.all(viewer.layers["cells inpainted"].data == 7)


def test_a_preview_deleted_during_the_run_stays_away(setup, held, qtbot):
    viewer, widget = setup
    held.n_steps = 6
    active = viewer.layers.selection.active
    widget.fields.preview.value = True
    widget.run()
    held.let(1)
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=10_000)
    assert viewer.layers.selection.active is active
    viewer.layers.remove("cells preview")
    qtbot.wait(300)
    held.let(2)
    qtbot.waitUntil(lambda: "step 3" in widget.panel.numbers.text(), timeout=10_000)
    assert "cells preview" not in names(viewer)
    held.let(3)
    idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)


def test_a_preview_is_gone_when_the_result_is_there(setup, held, qtbot):
    viewer, widget = setup
    widget.fields.preview.value = True
    widget.run()
    held.let(1)
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=10_000)
    held.let(2)
    idle(qtbot, widget)
    assert names(viewer) == ["cells", "holes", "cells inpainted", "cells inpainted: invented"]


def test_a_torch_error_reaches_the_user(make_napari_viewer, open_widget, shown, qtbot):
    """superqt's workers swallow RuntimeError; ours must not."""

    def fail(request):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    viewer = make_napari_viewer()
    viewer.add_image(np.ones((20, 16)))
    viewer.add_labels(np.eye(20, 16, dtype=int))
    widget = open_widget(viewer, fail)
    widget.run()
    idle(qtbot, widget)
    assert "mat1 and mat2" in widget.panel.status.text()
    assert shown == [widget.panel.status.text()]
    assert "Traceback" not in shown[0]
    assert len(viewer.layers) == 2
    assert widget.panel.run_button.isEnabled()


def test_a_refused_input_reaches_the_user_and_changes_nothing(
    make_napari_viewer, open_widget, shown, qtbot
):
    def refuse(request):
        raise ImageError("Got NaN in the image; wanted numbers. Replace them.")

    viewer = make_napari_viewer()
    viewer.add_image(np.ones((20, 16)))
    viewer.add_labels(np.eye(20, 16, dtype=int))
    widget = open_widget(viewer, refuse)
    widget.run()
    idle(qtbot, widget)
    assert shown == ["Got NaN in the image; wanted numbers. Replace them."]
    assert len(viewer.layers) == 2


def test_the_reason_stands_beside_the_greyed_button(make_napari_viewer, open_widget, held, qtbot):
    """From an empty window to a form that can run, the form says what to do next."""
    viewer = make_napari_viewer()
    widget = open_widget(viewer, held)
    panel = widget.panel

    def says(text):
        qtbot.waitUntil(lambda: text in panel.status.text(), timeout=5000)
        assert not panel.run_button.isEnabled()

    says("No image layer")
    assert not widget.fields.new.enabled
    viewer.add_image(np.ones((3, 20, 16)), name="stack")
    says("No labels layer")
    widget.fields.new.changed.emit(True)
    assert widget.fields.labels.value is viewer.layers["stack damage"]
    says("No labelled pixels")
    viewer.layers["stack damage"].paint((1, 5, 5), 1)
    qtbot.waitUntil(panel.run_button.isEnabled, timeout=5000)
    assert panel.status.text() == "The current slice is restored (axis 0, slice 1)."
    viewer.dims.set_point(0, 2)
    says("No labelled pixels")
    widget.run()
    assert not held.requests


def test_without_a_prior_the_folder_for_one_is_named(
    make_napari_viewer, open_widget, held, monkeypatch, tmp_path
):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path))
    monkeypatch.setattr("napari_mganprior.widgets.fields.prior_names", lambda: ())
    viewer = make_napari_viewer()
    viewer.add_image(np.ones((20, 16)))
    viewer.add_labels(np.eye(20, 16, dtype=int))
    widget = open_widget(viewer, held)
    assert widget.check().startswith("No prior found.")
    assert str(tmp_path) in widget.check()
    assert not widget.panel.run_button.isEnabled()


def test_the_active_layer_is_the_first_choice(make_napari_viewer, open_widget, held):
    viewer = make_napari_viewer()
    viewer.add_image(np.ones((20, 16)), name="a")
    b = viewer.add_image(np.ones((20, 16)), name="b")
    viewer.add_image(np.ones((20, 16)), name="c")
    viewer.layers.selection.active = b
    assert open_widget(viewer, held).fields.image.value is b


def test_a_prior_put_into_the_folder_is_offered_when_one_looks(desk, priors, tmp_path):
    _, widget = desk
    new = priors / "late.safetensors"
    new.write_bytes(b"")
    try:
        QCoreApplication.sendEvent(widget, QEvent(QEvent.Type.Enter))
        assert "late" in widget.fields.prior.choices
    finally:
        new.unlink()


def test_closing_the_dock_ends_the_run(setup, held, qtbot):
    viewer, widget = setup
    widget.run()
    held.let(1)
    running(qtbot, widget)
    viewer.window.remove_dock_widget(widget)
    held.let(1)
    idle(qtbot, widget)
    qtbot.wait(50)
    assert names(viewer) == ["cells", "holes"]


def test_hiding_the_dock_does_not_end_the_run(setup, held, qtbot):
    viewer, widget = setup
    widget.run()
    held.let(1)
    running(qtbot, widget)
    widget.parent().setVisible(False)
    held.let(2)
    idle(qtbot, widget)
    assert "cells inpainted" in names(viewer)


def test_closing_the_window_ends_the_run(setup, held, qtbot):
    viewer, widget = setup
    widget.run()
    held.let(1)
    running(qtbot, widget)
    controller = widget.controller
    emitted = []
    controller.finished.connect(emitted.append)
    held.let(1)
    viewer.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: not controller.busy, timeout=10_000)
    qtbot.wait(200)
    assert not emitted


def test_a_run_knows_only_its_own_viewer(make_napari_viewer, open_widget, held, qtbot):
    viewers = [make_napari_viewer(), make_napari_viewer()]
    widgets = []
    for number, viewer in enumerate(viewers):
        viewer.add_image(np.ones((20, 16)), name=f"cells of {number}")
        viewer.add_labels(np.eye(20, 16, dtype=int), name="holes")
        widgets.append(open_widget(viewer, held))
    for widget in widgets:
        widget.run()
    held.let(6)
    for widget in widgets:
        idle(qtbot, widget)
    for number, viewer in enumerate(viewers):
        assert f"cells of {number} inpainted" in names(viewer)
        assert len(viewer.layers) == 4


def test_colours_go_through(make_napari_viewer, open_widget, held, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(np.full((20, 16, 3), 9, np.uint8), name="cells", rgb=True)
    viewer.add_labels(np.eye(20, 16, dtype=int), name="holes")
    widget = open_widget(viewer, held)
    widget.fields.prior.value = "tinyrgb"
    widget.run()
    held.let()
    idle(qtbot, widget)
    result = viewer.layers["cells inpainted"]
    assert result.rgb
    assert result.data.shape == (20, 16, 3)


def test_opening_the_widget_imports_no_torch():
    code = (
        "import sys, numpy as np, napari\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.open_sample('napari-mganprior', 'nuclei_bubble')\n"
        "_, widget = viewer.window.add_plugin_dock_widget('napari-mganprior', 'Inpaint')\n"
        "print(type(widget).__name__, 'torch' in sys.modules)\n"
        "viewer.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip().splitlines()[-1] == "InpaintWidget False", done.stderr


def test_the_widget_works_before_it_is_docked(make_napari_viewer, held, qtbot):
    viewer = make_napari_viewer()
    widget = InpaintWidget(viewer, held)
    qtbot.addWidget(widget)
    assert widget.check() != ""
    viewer.add_image(np.ones((4, 4)))
    assert widget.fields.image.value is viewer.layers[0]
