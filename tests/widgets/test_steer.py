"""Queue, continue, retry and what is remembered, in a real window with held runs."""

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from napari_mganprior.errors import OutOfMemoryError, SettingsError
from napari_mganprior.widgets.inpaint import InpaintWidget
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


@pytest.fixture
def shown(monkeypatch):
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.form.show_error", messages.append)
    return messages


def test_run_while_busy_waits_and_then_runs(window):
    """Law: every press of the button gives a result, one after the other."""
    panel = window.widget.panel
    panel.run_button.click()
    assert panel.run_button.text() == "Queue"
    panel.run_button.click()
    panel.run_button.click()
    assert window.widget.controller.waiting == 2
    assert window.said.endswith(" 2 waiting.")
    assert panel.drop_button.isVisibleTo(panel)
    window.held.let(9)
    window.until("cells inpainted", "cells inpainted 2", "cells inpainted 3")
    window.idle()
    assert len(window.held.requests) == 3
    assert panel.run_button.text() == "Run"
    assert not panel.drop_button.isVisibleTo(panel)
    assert "waiting" not in window.said


def test_a_waiting_run_keeps_what_was_chosen_when_it_was_queued(bench):
    viewer, fields = bench.viewer, bench.widget.fields
    viewer.add_image(np.full((3, 20, 16), 9.0), name="stack")
    bench.widget.run()
    fields.image.value = viewer.layers["stack"]
    flat = viewer.add_labels(np.eye(20, 16, dtype=int), name="lines")
    fields.choose(flat)
    fields.mark.value = False
    viewer.dims.set_point(0, 2)
    bench.widget.run()
    viewer.dims.set_point(0, 0)
    fields.image.value = viewer.layers["cells"]
    fields.mark.value = True
    viewer.layers.remove("stack")
    bench.held.let(6)
    bench.until("stack inpainted")
    bench.idle()
    result = viewer.layers["stack inpainted"]
    assert result.data.shape == (1, 20, 16)
    assert result.translate[0] == 2
    assert result.metadata[METADATA_KEY]["layers"]["mask"] == "lines"
    assert "cells inpainted: invented" in bench.names
    assert "stack inpainted: invented" not in bench.names


def test_cancel_ends_the_run_under_way_only(window):
    window.widget.run()
    window.widget.fields.seed.value = 5
    window.widget.run()
    window.running()
    window.widget.panel.cancel_button.click()
    window.held.let(4)
    window.until("cells inpainted")
    window.idle()
    result = window.viewer.layers["cells inpainted"]
    assert result.metadata[METADATA_KEY]["seed"] == 5
    assert "cells inpainted 2" not in window.names


def test_the_queue_is_dropped_and_the_run_under_way_goes_on(bench):
    for _ in range(3):
        bench.widget.run()
    bench.widget.panel.drop_button.click()
    assert bench.widget.controller.waiting == 0
    assert "waiting" not in bench.said
    bench.held.let(3)
    bench.idle()
    assert bench.names.count("cells inpainted") == 1
    assert len(bench.held.requests) == 1


def test_a_run_can_be_queued_only_where_the_form_can_run(bench):
    bench.widget.run()
    bench.viewer.layers["holes"].data[:] = 0
    assert bench.widget.check() != ""
    button = bench.widget.panel.run_button
    assert not button.isEnabled()
    assert "No labelled pixels" in button.toolTip()
    bench.widget.run()
    assert bench.widget.controller.waiting == 0
    bench.held.let(3)
    bench.idle()


@pytest.mark.parametrize("stopped", [False, True])
def test_continue_goes_on_from_the_last_result(window, stopped):
    """Law: same request, new start, a layer of its own."""
    button = window.widget.continue_button
    assert not button.isEnabled()
    window.widget.fields.seed.value = 4
    window.widget.run()
    assert not button.isEnabled()
    if stopped:
        window.running()
        window.widget.panel.stop_button.click()
    window.held.let(3)
    window.idle()
    first = window.viewer.layers["cells inpainted"]
    window.widget.fields.seed.value = 8
    window.viewer.layers.remove("cells")
    window.viewer.layers.remove("holes")
    assert button.isEnabled()
    button.click()
    assert not button.isEnabled()
    window.held.let(3)
    window.until("cells inpainted 2")
    window.idle()
    before, after = window.held.requests
    assert before.start is None
    assert np.array_equal(after.start.image, first.data)
    assert (after.seed, after.prior) == (4, before.prior)
    assert np.array_equal(after.image, before.image)
    assert first in window.viewer.layers
    assert button.isEnabled()


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_without_a_result_there_is_nothing_to_continue(bench, end, shown):
    bench.run()
    if end == "fail":
        bench.held.fail = ValueError("no")
    bench.widget.run()
    if end == "cancel":
        bench.running()
        bench.widget.controller.cancel()
    bench.held.let(3)
    bench.idle()
    assert not bench.widget.continue_button.isEnabled()
    bench.widget.go_on()
    assert not bench.widget.controller.busy


@pytest.mark.parametrize("how", ["dock", "window"])
def test_a_closed_widget_keeps_no_request(window, how):
    """Law: arrays that a run was asked with are let go when the widget closes."""
    window.run()
    kept = weakref.ref(window.held.requests[0].image)
    window.held.requests.clear()
    gc.collect()
    assert kept() is not None
    if how == "dock":
        window.viewer.window.remove_dock_widget(window.widget)
        assert not window.widget.continue_button.isEnabled()
        window.widget.go_on()
        assert not window.widget.controller.busy
    else:
        window.viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("how", ["dock", "window"])
def test_closing_drops_the_queue(window, how):
    window.widget.run()
    window.widget.run()
    window.running()
    controller = window.widget.controller
    if how == "dock":
        window.viewer.window.remove_dock_widget(window.widget)
    else:
        window.held.let(1)
        window.viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    window.held.let(6)
    window.qtbot.waitUntil(lambda: not controller.busy, timeout=10_000)
    window.qtbot.wait(50)
    assert controller.waiting == 0
    assert len(window.held.requests) == 1
    if how == "dock":
        assert window.names == ["cells", "holes"]


def visible(window):
    retry = window.widget.panel.retry
    return [
        button.text()
        for button in (retry.smaller_button, retry.cpu_button)
        if button.isVisibleTo(window.widget.panel)
    ]


def test_out_of_memory_offers_one_press_to_try_again(bench, shown):
    assert visible(bench) == []
    bench.widget.fields.quality.value = "best"
    bench.held.fail = OutOfMemoryError("Got 9 GiB; wanted 20.")
    bench.widget.run()
    bench.idle()
    assert len(shown) == 1
    assert shown[0].startswith("Got 9 GiB; wanted 20.")
    assert bench.said == shown[0]
    assert visible(bench) == ["Retry smaller", "Retry on CPU"]
    bench.held.fail = None
    bench.viewer.layers.remove("cells")
    bench.widget.panel.retry.cpu_button.click()
    assert visible(bench) == []
    bench.held.let(3)
    bench.until("cells inpainted")
    bench.idle()
    first, second = bench.held.requests
    assert (second.device, second.quality) == ("cpu", "best")
    assert np.array_equal(first.image, second.image)


def test_retry_smaller_asks_for_less_until_there_is_nothing_less(bench, shown):
    bench.widget.fields.device.value = "cpu"
    bench.widget.fields.quality.value = "fast"
    bench.held.fail = OutOfMemoryError("Got 9 GiB; wanted 20.")
    bench.widget.run()
    bench.idle()
    presses = 0
    while "Retry smaller" in visible(bench):
        assert visible(bench) == ["Retry smaller"]  # it was on the CPU already
        asked = bench.held.requests[-1]
        bench.widget.panel.retry.smaller_button.click()
        bench.idle()
        presses += 1
        assert bench.held.requests[-1] is not asked
        assert bench.held.requests[-1].smaller() is not asked.smaller() or presses > 9
    assert visible(bench) == []


def test_where_auto_was_the_cpu_the_cpu_is_not_offered(bench, shown):
    bench.widget.fields.quality.value = "best"
    bench.held.fail = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 GB")
    bench.widget.run()
    bench.idle()
    assert visible(bench) == ["Retry smaller"]


def test_another_run_takes_the_retry_away(bench, shown):
    bench.held.fail = OutOfMemoryError("Got 9 GiB; wanted 20.")
    bench.widget.run()
    bench.idle()
    assert visible(bench)
    bench.held.fail = None
    bench.run()
    assert visible(bench) == []
    bench.widget.retry_on_cpu()
    bench.widget.retry_smaller()
    assert not bench.widget.controller.busy


def test_any_other_error_offers_no_retry(bench, shown):
    bench.held.fail = ValueError("no")
    bench.widget.run()
    bench.idle()
    assert len(shown) == 1
    assert visible(bench) == []


def test_the_settings_of_a_run_are_remembered_and_come_back(bench, qtbot):
    """Law: what recall returns is what remember was given."""
    kept = []
    first = InpaintWidget(bench.viewer, bench.held, remember=kept.append, recall=dict)
    qtbot.addWidget(first)
    first.fields.seed.value = 77
    first.fields.quality.value = "best"
    first.fields.estimate.value = True
    assert not kept
    first.run()
    bench.held.let(3)
    qtbot.waitUntil(lambda: not first.controller.busy, timeout=10_000)
    assert kept == [first.fields.state()]
    second = InpaintWidget(bench.viewer, bench.held, recall=lambda: kept[0])
    qtbot.addWidget(second)
    assert second.fields.state() == first.fields.state()
    assert second.fields.seed.value == 77
    assert not second.fields.zoom.enabled


def test_a_result_is_announced_once_it_is_there(bench):
    heard = []
    bench.widget.result_added.connect(
        lambda layer: heard.append((layer.name, layer in bench.viewer.layers))
    )
    bench.run()
    bench.widget.run()
    bench.running()
    bench.widget.controller.cancel()
    bench.held.let(1)
    bench.idle()
    assert heard == [("cells inpainted", True)]


def test_the_request_is_what_run_would_start(bench):
    bench.widget.fields.grow.value = 3
    bench.widget.fields.feather.value = 2
    bench.widget.fields.history.value = True
    request, inputs, wanted = bench.widget.request()
    assert not bench.held.requests
    assert (request.grow, request.feather, request.planes) == (3, 2, "one")
    assert request.region is None
    assert request.history
    assert wanted.history
    assert inputs.image is request.image
    bench.viewer.layers["holes"].data[:] = 0
    with pytest.raises(SettingsError, match="No labelled pixels in 'holes' here"):
        bench.widget.request()


def test_every_layer_asked_for_is_added(bench):
    fields = bench.widget.fields
    for box in (fields.uncertainty, fields.residual, fields.history):
        box.value = True
    bench.run()
    assert bench.names[2:] == [
        "cells inpainted",
        "cells inpainted: history",
        "cells inpainted: residual",
        "cells inpainted: uncertainty",
        "cells inpainted: invented",
    ]
    assert bench.viewer.layers["cells inpainted: history"].data.shape == (3, 20, 16)
    assert bench.viewer.layers["cells inpainted: residual"].contrast_limits == [-1.5, 1.5]


def test_all_slices_of_a_stack_reach_the_run_and_come_back(bench):
    viewer, fields = bench.viewer, bench.widget.fields
    stack = viewer.add_image(np.arange(3.0)[:, None, None] * np.ones((3, 20, 16)), name="stack")
    marks = viewer.add_shapes(
        [[[2, 2], [6, 9]]], shape_type="rectangle", name="marks", scale=(1, 1)
    )
    fields.image.value, fields.labels.value = stack, marks
    fields.scope.value = "slices"
    fields.preview.value = True
    assert bench.widget.check() == ""
    assert bench.said == "All 3 slices are restored, each from its neighbour."
    bench.widget.run()
    bench.held.let(1)
    bench.until("stack preview")
    assert viewer.layers["stack preview"].data.shape == (3, 20, 16)
    viewer.dims.set_point(0, 1)
    bench.held.let(2)
    bench.idle()
    (request,) = bench.held.requests
    assert request.planes == "slices"
    assert request.mask.shape == (3, 20, 16)
    assert np.array_equal(viewer.layers["stack inpainted"].data, stack.data)
    kept = viewer.layers["stack inpainted"].metadata[METADATA_KEY]["layers"]
    assert (kept["kind"], kept["scope"], kept["slice"]) == ("shapes", "slices", [None] * 3)


def test_the_region_in_view_follows_the_camera(window):
    viewer, widget = window.viewer, window.widget
    if not hasattr(viewer, "canvas"):
        pytest.skip("before napari 0.9 the size of the window is not public")
    widget.fields.region.value = "view"
    assert widget.check() == ""
    viewer.scene.camera.zoom = 400
    viewer.scene.camera.center = (9.0, 7.0)
    window.qtbot.waitUntil(lambda: "outside the region" in window.said, timeout=5000)
    viewer.scene.camera.center = (2.5, 2.5)
    window.qtbot.waitUntil(lambda: "Only damage in a region" in window.said, timeout=5000)
    top, left, bottom, right = widget.request()[0].region
    assert 0 < top <= 5 < bottom < 20
    assert 0 < left <= 5 < right < 16
    widget.fields.region.value = "all"
    viewer.scene.camera.center = (9.0, 7.0)
    assert widget.check() == ""


def test_a_shape_drawn_is_seen_at_once(bench):
    viewer, widget = bench.viewer, bench.widget
    marks = viewer.add_shapes(ndim=2, name="marks")
    widget.fields.labels.value = marks
    assert not widget.fields.labels_used.enabled
    bench.qtbot.waitUntil(lambda: "No pixels under a shape" in bench.said, timeout=5000)
    marks.add_rectangles([[2, 2], [6, 6]])
    bench.qtbot.waitUntil(widget.panel.run_button.isEnabled, timeout=5000)


def test_the_theme_may_change_during_a_run(window):
    window.widget.run()
    window.running()
    window.viewer.theme = "light"
    window.held.let(2)
    window.idle()
    window.viewer.theme = "dark"
    assert "cells inpainted" in window.names
    assert window.said.startswith("Done")


def test_a_layer_of_the_results_name_added_during_the_run_is_left_alone(window):
    window.widget.run()
    window.running()
    own = window.viewer.add_image(np.zeros((3, 3)), name="cells inpainted")
    window.held.let(2)
    window.idle()
    assert own in window.viewer.layers
    assert own.data.shape == (3, 3)
    assert "cells inpainted 2" in window.names


def test_the_slice_changed_during_a_run_does_not_move_the_result(window):
    viewer, fields = window.viewer, window.widget.fields
    viewer.add_image(np.ones((3, 20, 16)), name="stack")
    viewer.layers["holes"].scale = (1, 1)
    fields.image.value = viewer.layers["stack"]
    viewer.dims.set_point(0, 2)
    window.widget.run()
    window.running()
    viewer.dims.set_point(0, 0)
    window.held.let(2)
    window.idle()
    assert viewer.layers["stack inpainted"].translate[0] == 2
