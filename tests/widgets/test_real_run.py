"""The real engine, a tiny prior, a real window: from File > Open Sample to the new layer."""

import json

import numpy as np
import pytest
import torch

from napari_mganprior.errors import OutOfMemoryError
from napari_mganprior.runs import RunState
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


@pytest.fixture
def plugin(make_napari_viewer, monkeypatch):
    """Return a window with a crop of the sample and the widget, opened as a user opens them."""
    viewer = make_napari_viewer()
    viewer.open_sample("napari-mganprior", "nuclei_bubble")
    image, labels = viewer.layers
    rows, columns = np.nonzero(labels.data)
    top, left = max(0, rows[0] - 20), max(0, columns[0] - 20)
    for layer in (image, labels):
        layer.data = layer.data[top : top + 48, left : left + 40].copy()
        layer.scale = (0.5, 0.5)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    widget.fields.prior.value = "tiny16"
    widget.fields.quality.value = "fast"
    widget.fields.device.value = "cpu"
    return viewer, widget


@pytest.fixture
def shown(monkeypatch):
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.form.show_error", messages.append)
    return messages


def run(qtbot, widget):
    started = []
    widget.controller.started.connect(started.append)
    widget.panel.run_button.click()
    assert started, widget.panel.status.text()  # it may be over by now
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)


def test_the_sample_is_restored(plugin, qtbot, shown):
    viewer, widget = plugin
    run(qtbot, widget)
    assert not shown
    image, labels, result, invented = viewer.layers
    assert result.name == "bubbled nuclei inpainted"
    assert result.data.dtype == image.data.dtype
    assert np.allclose(result.scale, image.scale)
    measured = labels.data == 0
    assert np.array_equal(result.data[measured], image.data[measured])
    assert not np.array_equal(result.data[~measured], image.data[~measured])
    assert np.array_equal(invented.data > 0, ~measured)
    recipe = result.metadata[METADATA_KEY]
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["task"] == "inpaint"
    assert recipe["layers"]["image"] == "bubbled nuclei"
    assert len(recipe["prior"]["sha256"]) == 64


def test_the_widget_gives_the_pixels_the_function_gives(plugin, qtbot, priors):
    from napari_mganprior import inpaint

    viewer, widget = plugin
    widget.fields.seed.value = 3
    run(qtbot, widget)
    image, labels, result, _ = viewer.layers
    wanted = inpaint(image.data, labels.data, prior="tiny16", quality="fast", seed=3, device="cpu")
    assert np.array_equal(result.data, wanted)


def test_stop_keeps_and_cancel_drops(plugin, qtbot):
    viewer, widget = plugin
    widget.fields.quality.value = "best"
    for button, layers in ((widget.panel.cancel_button, 2), (widget.panel.stop_button, 4)):
        widget.panel.run_button.click()
        qtbot.waitUntil(lambda: "loss" in widget.panel.numbers.text(), timeout=60_000)
        assert widget.controller.state is RunState.RUNNING
        button.click()
        qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
        assert len(viewer.layers) == layers


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (RuntimeError("a kernel failed"), "a kernel failed"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 9 GiB"), "quality 'fast'"),
    ],
)
def test_a_torch_error_amid_the_search_reaches_the_user(
    plugin, qtbot, shown, monkeypatch, raised, message
):
    def fail(*args, **kwargs):
        raise raised

    monkeypatch.setattr("napari_mganprior.generators.pggan.PGGANGenerator.tail", fail)
    viewer, widget = plugin
    run(qtbot, widget)
    assert len(shown) == 1
    with pytest.raises(OutOfMemoryError, match=message):
        raise OutOfMemoryError(shown[0])
    assert len(viewer.layers) == 2


def test_a_stack_is_restored_slice_by_slice_and_goes_on(plugin, qtbot, shown):
    """Law: measured pixels of every slice stay; going on begins from the result."""
    viewer, widget = plugin
    image, labels = viewer.layers
    stack = viewer.add_image(np.stack([image.data, image.data[::-1], image.data]), name="stack")
    flat = viewer.add_labels(labels.data.copy(), name="flat")
    fields = widget.fields
    fields.image.value, fields.labels.value = stack, flat
    for field, value in (
        (fields.scope, "slices"), (fields.grow, 2), (fields.feather, 1), (fields.residual, True),
        (fields.uncertainty, True),
    ):  # fmt: skip
        field.value = value
    run(qtbot, widget)
    assert not shown
    result = viewer.layers["stack inpainted"]
    invented = viewer.layers["stack inpainted: invented"].data > 0
    assert invented.sum() > 3 * (flat.data > 0).sum()
    assert np.array_equal(result.data[~invented], stack.data[~invented])
    assert np.any(result.data != stack.data, axis=(1, 2)).all()
    assert viewer.layers["stack inpainted: residual"].data.any()
    recipe = result.metadata[METADATA_KEY]
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["damage"]["grow"] == 2
    widget.continue_button.click()
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
    assert not shown
    further = viewer.layers["stack inpainted 2"]
    assert np.array_equal(further.data[~invented], stack.data[~invented])


def test_a_grey_prior_restores_colours_one_by_one(plugin, qtbot, shown):
    viewer, widget = plugin
    image, labels = viewer.layers
    colours = viewer.add_image(
        np.dstack([image.data, image.data // 2, image.data[::-1]]), name="colours", rgb=True,
        scale=image.scale,
    )  # fmt: skip
    widget.fields.image.value = colours
    widget.fields.scope.value = "channels"
    run(qtbot, widget)
    assert not shown
    result = viewer.layers["colours inpainted"]
    hole = labels.data > 0
    assert result.rgb
    assert np.array_equal(result.data[~hole], colours.data[~hole])
    assert np.any(result.data[hole] != colours.data[hole], axis=0).all()


def test_only_the_region_is_restored(plugin, qtbot, shown):
    viewer, widget = plugin
    image, labels = viewer.layers
    labels.data[30:34, 30:34] = 1
    box = viewer.add_shapes([[[14, 14], [18, 18]]], shape_type="rectangle", name="box")
    widget.fields.region.value = box
    run(qtbot, widget)
    assert not shown
    changed = viewer.layers["bubbled nuclei inpainted"].data != image.data
    assert changed[28:, 28:].any()
    assert not changed[:27].any()
    assert not changed[:, :27].any()


def bad_pictures():
    picture = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.float32)
    nan = picture.copy()
    nan[3, 3] = np.nan
    inf = picture.copy()
    inf[3, 3] = np.inf
    return {
        "nan": (nan, "tiny16", "cpu", r"(?i)nan"),
        "inf": (inf, "tiny16", "cpu", r"(?i)inf"),
        "constant": (np.ones((40, 40), np.uint8), "tiny16", "cpu", r"(?i)constant|one value"),
        "small": (picture[:12, :12], "tiny16", "cpu", "12 ?x ?12"),
        "no such device": (
            picture,
            "tiny16",
            "mps" if torch.cuda.is_available() else "cuda",
            "not available here",
        ),
        "truncated prior": (picture, "truncated", "cpu", "truncated"),
        "pickle": (picture, "pickle", "cpu", "pickle"),
    }


@pytest.mark.parametrize("case", bad_pictures())
def test_bad_input_says_what_to_do_and_changes_nothing(
    make_napari_viewer, qtbot, shown, priors, tmp_path, monkeypatch, case
):
    picture, prior, device, message = bad_pictures()[case]
    folder = tmp_path / "priors"
    folder.mkdir()
    whole = (priors / "tiny16.safetensors").read_bytes()
    for name, data in (
        ("tiny16", whole),
        ("tinyrgb", (priors / "tinyrgb.safetensors").read_bytes()),
        ("truncated", whole[: len(whole) // 2]),
        ("pickle", b"\x80\x04K\x01."),
    ):
        (folder / f"{name}.safetensors").write_bytes(data)
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    viewer = make_napari_viewer()
    viewer.add_image(picture, rgb=picture.ndim == 3, contrast_limits=(0, 255))
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[1, 1] = 1
    viewer.add_labels(mask)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    widget.fields.prior.value = prior
    widget.fields.device.value = device
    widget.fields.quality.value = "fast"
    run(qtbot, widget)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(*shown)
    assert len(shown) == 1
    assert widget.panel.status.text() == shown[0]
    assert len(viewer.layers) == 2


@pytest.mark.parametrize(
    ("rgb", "prior", "scope", "message"),
    [
        (False, "tinyrgb", "slice", "draws RGB images, 'cells' is grey"),
        (True, "tiny16", "slice", r"draws grey images, 'cells' is RGB.*'channels one by one'"),
        (True, "tinyrgb", "channels", "is taken colour by colour; wanted the same"),
        (True, "tiny16", "channels", None),
        (True, "tinyrgb", "slice", None),
    ],
)
def test_a_prior_that_draws_something_else_greys_the_button(
    make_napari_viewer, priors, rgb, prior, scope, message
):
    """Law: colours that do not fit are told before a run, without opening the weights."""
    picture = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    viewer = make_napari_viewer()
    viewer.add_image(np.dstack([picture] * 3) if rgb else picture, rgb=rgb, name="cells")
    mask = np.zeros(picture.shape, np.uint8)
    mask[1, 1] = 1
    viewer.add_labels(mask)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    widget.fields.restore({"prior": prior, "scope": scope})
    fault = widget.check()
    assert widget.panel.run_button.isEnabled() is (message is None)
    if message is None:
        assert fault == ""
    else:
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(fault)
