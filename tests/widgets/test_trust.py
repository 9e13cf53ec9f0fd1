"""What helps to judge a result: uncertainty, a reference, before and after."""

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.widgets.blink import BlinkButton
from napari_mganprior.widgets.inputs import Choice, take_inputs
from napari_mganprior.widgets.reference import compare, take_reference
from napari_mganprior.widgets.results import METADATA_KEY
from napari_mganprior.widgets.trust_layers import add_uncertainty


def test_uncertainty_lies_over_its_image_and_hides_no_measured_pixel(model):
    image = model.add_image(np.ones((3, 9, 8)), name="cells", scale=(2, 0.5, 0.5))
    labels = model.add_labels(np.eye(9, 8, dtype=int), scale=(0.5, 0.5))
    inputs = take_inputs(Choice(image=image, damage=labels), model)
    spread = np.zeros((9, 8), np.float32)
    spread[2, 2] = 3
    layer = add_uncertainty(model, inputs, spread, "cells inpainted")
    assert layer.data.dtype == np.float32
    assert layer.colormap.name == "magma"
    assert layer.contrast_limits == [0, 3]
    assert str(layer.blending) == "additive"
    assert layer.name == "cells inpainted: uncertainty"
    at = inputs.plane.point[0]
    assert np.allclose(layer.data_to_world((0, 2, 2)), image.data_to_world((at, 2, 2)))
    assert add_uncertainty(model, inputs, spread * 0, "x").contrast_limits == [0, 1]


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_crop_around_the_hole_gives_the_figures_of_the_whole(colours):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 70, *colours))
    restored = truth + rng.normal(size=truth.shape)
    invented = np.zeros((60, 70), bool)
    invented[0:9, 20:31] = True
    invented[15, 33] = True
    span = truth.max() - truth.min()
    figures = compare(truth, restored, invented)
    assert figures["psnr"] == pytest.approx(psnr_in(invented, truth, restored, span))
    assert figures["ssim"] == pytest.approx(ssim_in(invented, truth, restored, span))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_without_a_range_of_values_there_is_no_figure(value):
    flat = np.full((20, 20), value)
    assert compare(flat, flat + 1, np.eye(20, dtype=bool)) == {}


def test_of_a_reference_stack_the_slice_on_screen_counts(model):
    truth = model.add_image(np.arange(4 * 9 * 8.0).reshape(4, 9, 8))
    model.dims.set_point(0, 3)
    assert np.array_equal(take_reference(truth, model.dims), truth.data[3:4])


pytestmark = pytest.mark.gui


def test_every_layer_ticked_is_added_and_the_result_is_selected(bench):
    bench.widget.fields.uncertainty.value = True
    bench.run()
    assert bench.names[2:] == [
        "cells inpainted",
        "cells inpainted: uncertainty",
        "cells inpainted: invented",
    ]
    assert bench.viewer.layers.selection.active is bench.viewer.layers["cells inpainted"]
    assert bench.viewer.layers["cells inpainted: uncertainty"].data.max() == 2.5


def test_the_result_is_compared_with_the_reference_taken_at_the_start(bench):
    truth = np.full((20, 16), 7, np.uint16)
    truth[4:8, 4:8] = np.arange(1, 17).reshape(4, 4)
    bench.viewer.add_image(truth.copy(), name="truth", scale=(0.5, 0.5))
    bench.widget.fields.reference.value = bench.viewer.layers["truth"]
    bench.widget.run()
    bench.viewer.layers["truth"].data[:] = 0
    bench.viewer.layers.remove("truth")
    bench.held.let()
    bench.idle()
    result = bench.viewer.layers["cells inpainted"]
    wanted = compare(truth, result.data, bench.viewer.layers["holes"].data > 0)["psnr"]
    kept = result.metadata[METADATA_KEY]["likeness"]
    assert kept["reference"] == "truth"
    assert kept["psnr"] == pytest.approx(wanted)
    assert "against 'truth': PSNR" in bench.said
    assert "SSIM" in bench.said


def test_a_reference_of_another_shape_greys_the_button(window):
    fields = window.widget.fields
    window.viewer.add_image(np.ones((20, 17)), name="other")
    fields.reference.value = window.viewer.layers["other"]
    assert window.widget.check() == (
        "The reference 'other' is 20 x 17 pixels, 'cells' 20 x 16 pixels; wanted the same. Choose "
        "another reference, or '-----'."
    )
    assert not window.widget.panel.run_button.isEnabled()
    fields.reference.value = window.viewer.layers["cells"]
    assert "its own reference" in window.widget.check()
    fields.reference.value = None
    assert window.widget.check() == ""
    assert window.widget.panel.run_button.isEnabled()


def test_blink_shows_and_hides_the_result_and_its_marks(window, qtbot):
    blink = window.widget.blink
    assert not blink.isEnabled()
    window.run()
    assert blink.isEnabled()
    result, mark = window.viewer.layers[2:]
    blink.click()
    assert (result.visible, mark.visible) == (False, False)
    qtbot.waitUntil(lambda: result.visible and mark.visible, timeout=3000)
    qtbot.waitUntil(lambda: not result.visible, timeout=3000)
    blink.click()
    assert (result.visible, mark.visible) == (True, True)
    qtbot.wait(700)
    assert result.visible
    assert window.viewer.layers["cells"].visible


def test_blink_gives_every_layer_its_own_visibility_back(bench):
    bench.run()
    result, mark = bench.viewer.layers[2:]
    result.visible = mark.visible = False
    blink = bench.widget.blink
    blink.click()
    blink.click()
    assert (result.visible, mark.visible) == (False, False)


def test_blink_takes_the_active_result(bench):
    bench.run()
    bench.run()
    first, second = (bench.viewer.layers[n] for n in ("cells inpainted", "cells inpainted 2"))
    bench.viewer.layers.selection.active = first
    bench.widget.blink.click()
    assert (first.visible, second.visible) == (False, True)
    bench.widget.blink.click()
    bench.viewer.layers.selection.active = bench.viewer.layers["holes"]
    bench.widget.blink.click()
    assert (first.visible, second.visible) == (True, False)


def test_blink_ends_when_the_result_is_deleted(bench):
    bench.run()
    result, mark = bench.viewer.layers[2:]
    bench.widget.blink.click()
    bench.viewer.layers.remove(result)
    assert not bench.widget.blink.isChecked()
    assert mark.visible
    assert not bench.widget.blink.isEnabled()


@pytest.mark.parametrize("how", ["dock", "window", "hide"])
def test_blink_ends_when_its_button_goes(window, how):
    window.run()
    layers = window.viewer.layers[2:]
    window.widget.blink.click()
    assert not layers[0].visible
    if how == "dock":
        window.viewer.window.remove_dock_widget(window.widget)
    elif how == "window":
        window.viewer.close()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    else:
        QCoreApplication.sendEvent(window.widget.blink, QEvent(QEvent.Type.Hide))
    assert all(layer.visible for layer in layers)


def test_blink_works_on_a_result_from_an_earlier_session(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    layer = viewer.add_image(np.ones((9, 9)), metadata={METADATA_KEY: {"task": "inpaint"}})
    blink = BlinkButton(viewer)
    qtbot.addWidget(blink)
    assert blink.isEnabled()
    blink.click()
    assert not layer.visible
    viewer.layers.selection.active = None
    blink.stop()
    blink.refresh()
    assert blink.isEnabled()
    assert layer.visible
