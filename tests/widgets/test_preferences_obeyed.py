"""What is preferred holds for the runs of both forms."""

import sys

import numpy as np
import pytest

from napari_mganprior.settings import Preferences, remember, save_preferences
from napari_mganprior.widgets.inpaint import InpaintWidget
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


@pytest.fixture
def prefer():
    def set_to(**values):
        save_preferences(Preferences(**values))

    return set_to


def test_device_precision_and_previews_are_those_preferred(window, prefer):
    prefer(device="cpu", precision="float32", preview_rate=10.0, threads=1)
    window.widget.fields.preview.value = True
    request, _, _ = window.widget.request()
    assert (request.device, request.precision) == ("cpu", "float32")
    assert request.preview_interval == pytest.approx(0.1)
    window.widget.fields.device.value = "cuda"
    assert window.widget.request()[0].device == "cuda"
    window.run()
    assert window.widget.controller.threads == 1


def test_a_new_form_offers_the_preferred_prior_until_another_was_used(
    make_napari_viewer, held, prefer, qtbot
):
    prefer(default_prior="tiny16")
    viewer = make_napari_viewer()
    first = InpaintWidget(viewer, held)
    qtbot.addWidget(first)
    assert first.fields.prior.value == "tiny16"
    remember("inpaint", {"prior": "tinyrgb"})
    second = InpaintWidget(viewer, held)
    qtbot.addWidget(second)
    assert second.fields.prior.value == "tinyrgb"


@pytest.mark.slow
def test_in_process_mode_the_pixels_are_the_same(make_napari_viewer, qtbot, prefer):
    """Law: a process of its own gives what a thread gives, and what the recipe gives."""
    rows, columns = np.mgrid[:40, :36]
    image = np.uint8(120 + 80 * np.sin(rows / 5) * np.cos(columns / 7))
    mask = np.zeros(image.shape, np.uint8)
    mask[10:15, 8:14] = 1
    viewer = make_napari_viewer()
    viewer.add_image(image, name="cells")
    viewer.add_labels(mask, name="holes")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    widget.fields.restore({"prior": "tiny16", "quality": "fast", "device": "cpu"})
    pictures = []
    for process_mode in (False, True):
        prefer(process_mode=process_mode)
        widget.run()
        assert widget.controller.process_mode is process_mode
        qtbot.waitUntil(lambda: not widget.controller.busy, timeout=120_000)
        layer = viewer.layers["cells inpainted 2" if process_mode else "cells inpainted"]
        pictures.append(layer.data)
        recipe = layer.metadata[METADATA_KEY]
    assert np.array_equal(*pictures)

    from napari_mganprior import replay

    assert np.array_equal(replay(recipe, image).image, pictures[0])
    assert "torch" in sys.modules
