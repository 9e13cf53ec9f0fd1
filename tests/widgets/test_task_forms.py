"""The forms of the other tasks: real engine, tiny priors, a real window."""

import json

import numpy as np
import pytest

import napari_mganprior
from napari_mganprior import replay
from napari_mganprior.cli import main
from napari_mganprior.files import read_stack, write_image
from napari_mganprior.runs.tasks import TASKS
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui

TOLD = {
    "denoise": {"noise": "poisson", "gain": 2.0, "offset": 5.0, "read_noise": 4.0},
    "super_resolve": {"factor": 2, "kernel": "gaussian", "sigma": 0.8},
    "colorize": {"proposals": 2},
    "invert": {},
}
SMALL = {"n_steps": 3, "n_restarts": 2, "n_codes": 3}


def scene(seed=0):
    rows, columns = np.mgrid[:20, :24]
    noise = np.random.default_rng(seed).normal(0, 4, rows.shape)
    return np.uint8(128 + 80 * np.sin(rows / 4) * np.cos(columns / 5) + noise)


@pytest.fixture
def form(make_napari_viewer, qtbot):
    """Return a function that opens a task's form over an image, ready to run quickly."""

    def open_form(task, data=None, *, show=False, **place):
        viewer = make_napari_viewer(show=show)
        viewer.add_image(scene() if data is None else data, name="cells", **place)
        spec = TASKS[task]
        _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", spec.title)
        prior = "tinyrgb" if spec.grey_only else "tiny16"
        widget.fields.restore(
            {
                "prior": prior, "quality": "fast", "device": "cpu", "seed": 5, "overrides": SMALL,
                "options": TOLD.get(task, {}),
            }
        )  # fmt: skip
        return viewer, widget

    return open_form


@pytest.fixture
def run(qtbot):
    def run(widget):
        assert widget.check() == ""
        widget.run()
        qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)

    return run


def corners(layer, axes=(-2, -1)):
    """Return where the outer corners of a layer's plane lie in the world."""
    shape = np.array(layer.data.shape[:-1] if getattr(layer, "rgb", False) else layer.data.shape)
    found = []
    for at in np.ndindex(2, 2):
        point = np.zeros(layer.ndim)
        for axis, end in zip(axes, at, strict=True):
            point[axis] = shape[axis] - 0.5 if end else -0.5
        found.append(layer.data_to_world(point))
    return np.array(found)


@pytest.mark.parametrize("task", TOLD)
def test_form_shell_and_python_agree_and_the_settings_come_back(form, run, tmp_path, capsys, task):
    """Law: identical arrays from every door; a form set from the result makes it again."""
    image = scene()
    write_image(tmp_path / "cells.tif", image)
    viewer, widget = form(task, image)
    run(widget)
    layer = viewer.layers[f"cells {TASKS[task].done}"]
    assert layer.data.dtype == image.dtype
    recipe = json.loads(json.dumps(layer.metadata[METADATA_KEY]))
    assert recipe["task"] == task
    np.testing.assert_array_equal(replay(recipe, image).image, layer.data)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    here = [str(tmp_path / file) for file in ("recipe.json", "cells.tif", "again.tif")]
    assert main(["run", *here[:2], "-o", here[2], "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out

    options = [
        part
        for option in TASKS[task].options
        if TOLD[task].get(option.name) is not None
        for part in (option.shell, str(TOLD[task][option.name]))
    ]
    options += ["--n-steps", "3", "--n-restarts", "2", "--n-codes", "3", "--seed", "5"]
    engine = ["--prior", widget.fields.prior.value, "--quality", "fast", "--device", "cpu"]
    out = str(tmp_path / "shell.tif")
    command = [TASKS[task].command, str(tmp_path / "cells.tif"), "-o", out, "--quiet"]
    assert main([*command, *options, *engine]) == 0
    np.testing.assert_array_equal(read_stack(tmp_path / "shell.tif").array, layer.data)

    before = widget.fields.state()
    widget.fields.restore({"seed": 1, "quality": "best", "overrides": {}, "options": {}})
    assert widget.fields.state() != before
    viewer.layers.selection.active = layer
    widget.results.load_button.click()
    assert widget.panel.status.text() == f"The settings of '{layer.name}' are loaded."
    assert widget.fields.state() == before
    run(widget)
    np.testing.assert_array_equal(viewer.layers[f"{layer.name} 2"].data, layer.data)


@pytest.mark.parametrize("task", ["denoise", "super_resolve", "invert"])
def test_the_form_gives_the_pixels_the_function_gives(form, run, task):
    viewer, widget = form(task)
    widget.fields.restore({"overrides": {}})
    run(widget)
    made = getattr(napari_mganprior, task)(
        scene(), prior="tiny16", quality="fast", seed=5, device="cpu", **TOLD[task]
    )
    np.testing.assert_array_equal(viewer.layers[f"cells {TASKS[task].done}"].data, made)


PLACES = {
    "scaled": {"scale": (0.5, 0.25), "translate": (3, -7)},
    "turned": {"scale": (0.5, 0.25), "rotate": 30, "shear": [0.4], "translate": (3, -7)},
    "affine": {"scale": (2, 3), "affine": [[0.8, 0.3, 5], [-0.2, 1.1, -4], [0, 0, 1]]},
}


@pytest.mark.parametrize("place", PLACES)
def test_finer_pixels_cover_the_same_area(form, run, place):
    """Law: the corners of picture, preview and trust layers lie where those of the image lie."""
    viewer, widget = form("super_resolve", **PLACES[place])
    for field in (widget.fields.uncertainty, widget.fields.residual, widget.fields.best):
        field.value = True
    run(widget)
    image, *others = viewer.layers
    assert [layer.name.removeprefix("cells super-resolved") for layer in others] == [
        "", ": best", ": residual", ": uncertainty", ": invented",
    ]  # fmt: skip
    for layer in others:
        np.testing.assert_allclose(corners(layer), corners(image), atol=1e-9)
    assert others[0].data.shape == (40, 48)
    assert others[2].data.shape == (20, 24)  # the residual has measured pixels
    # the centre of a pixel is the mean of those of its four
    fine, coarse = others[0], image
    four = [fine.data_to_world((4 + i, 6 + j)) for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(np.mean(four, axis=0), coarse.data_to_world((2, 3)), atol=1e-9)


def test_a_stack_is_enlarged_slice_by_slice_where_it_lies(form, run):
    stack = np.stack([scene(1), scene(2)])
    viewer, widget = form("super_resolve", stack, scale=(3, 0.5, 0.25), translate=(1, 2, 3))
    widget.fields.scope.value = "slices"
    run(widget)
    image, layer = viewer.layers[:2]
    assert layer.data.shape == (2, 40, 48)
    np.testing.assert_allclose(corners(layer), corners(image))
    np.testing.assert_allclose(layer.scale, (3, 0.25, 0.125))
    np.testing.assert_array_equal(replay(layer.metadata[METADATA_KEY], stack).image, layer.data)


@pytest.mark.parametrize("scope", ["slice", "slices"])
def test_slices_are_denoised(form, run, scope):
    """Law: the slice on screen alone, or all of them; the frame says that all are estimates."""
    viewer, widget = form("denoise", np.stack([scene(1), scene(2)]))
    viewer.dims.set_point(0, 1)
    widget.fields.restore({"scope": scope, "options": {"noise": "gaussian"}})
    run(widget)
    _, layer, invented = viewer.layers
    assert layer.data.shape == ((1 if scope == "slice" else 2), 20, 24)
    assert (invented.data == 2).all()
    told = "level " if scope == "slice" else "measured in each plane."
    assert f"every pixel is an estimate. The noise: {told}" in widget.panel.status.text()


def test_the_noise_is_told_before_and_after_alike(form, run):
    """Law: what the form says before Run is what the run finds."""
    viewer, widget = form("denoise")
    widget.fields.restore({"options": {"noise": "gaussian"}})
    widget.check()
    before = widget.panel.status.text()
    run(widget)
    level = viewer.layers["cells denoised"].metadata[METADATA_KEY]["noise"]["used"]["level"]
    assert f"The noise's level (about {level:.3g}) will be measured" in before
    assert f"The noise: level {level:.4g}" in widget.panel.status.text()
    viewer.layers["cells"].data = np.full((20, 24), 9, np.uint8)
    assert widget.check() == ""
    assert "The noise's level will be measured" in widget._describe(widget.fields.choice())


def test_bad_pixels_are_filled_and_marked(form, run):
    viewer, widget = form("denoise")
    widget.fields.restore({"options": {"noise": "gaussian", "level": 4.0}})
    widget.add_mask()
    marks = widget.fields.labels.value
    marks.data[3:5, 3:5] = 1
    run(widget)
    invented = viewer.layers["cells denoised: invented"].data
    assert np.array_equal(invented == 1, marks.data > 0)
    assert (invented[marks.data == 0] == 2).all()
    assert "4 bad pixels were filled" in widget.panel.status.text()


def test_proposals_are_a_stack_over_the_image(form, run):
    viewer, widget = form("colorize", scale=(0.5, 0.25), rotate=20)
    widget.fields.residual.value = True
    run(widget)
    layer = viewer.layers["cells colorized"]
    assert layer.data.shape == (2, 20, 24, 3)
    assert layer.rgb
    np.testing.assert_allclose(corners(layer)[:, 1:], corners(viewer.layers["cells"]), atol=1e-9)
    assert not np.array_equal(layer.data[0], layer.data[1])
    assert viewer.layers["cells colorized: residual"].data.shape == (2, 20, 24)
    assert (viewer.layers["cells colorized: invented"].data == 1).all()
    assert "2 proposals, one a step of the slider" in widget.panel.status.text()
    assert "all colours are invented" in widget.panel.status.text()
    widget.go_on()


def test_codes_are_kept_in_a_file_and_begun_at(form, run, tmp_path, monkeypatch):
    viewer, widget = form("invert")
    assert not widget.save_button.isEnabled()
    run(widget)
    widget.save_codes(tmp_path / "codes.npz")
    assert "The codes of" in widget.panel.status.text()
    widget.fields.restore({"options": {"codes": tmp_path / "codes.npz"}})
    run(widget)
    recipe = viewer.layers["cells inverted 2"].metadata[METADATA_KEY]
    assert recipe["codes_given"] > 0
    viewer.layers.selection.active = viewer.layers["cells inverted 2"]
    widget.results.load_button.click()
    assert "are loaded, except: codes given" in widget.panel.status.text()
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.form.show_error", messages.append)
    widget.save_codes(tmp_path / "codes.npz" / "in a file.npz")
    assert messages == [widget.panel.status.text()]
    assert messages[0].startswith("Could not write")


def wrong(widget, message):
    """Assert that Run is greyed for a reason, and that pressing it all the same does nothing."""
    said = widget.check()
    assert message in said, said
    assert not widget.panel.run_button.isEnabled()
    assert widget.panel.status.text() == said
    widget.run()
    assert not widget.controller.busy


def test_what_cannot_be_run_is_said_before(form, tmp_path):
    _viewer, widget = form("denoise")
    for options, message in (
        ({"level": 0.0}, "Got level = 0.0; wanted more than 0"),
        ({"level": -3.0}, "Got level = -3.0; wanted more than 0"),
        ({"noise": "poisson", "gain": 0.0}, "Got gain = 0.0"),
        ({"noise": "poisson", "read_noise": -1.0}, "Got read_noise = -1.0"),
    ):
        widget.fields.restore({"options": options})
        wrong(widget, message)
    widget.fields.restore({"options": {}})
    widget.fields.options.fields["level"].value = "twelve"
    wrong(widget, "Got 'twelve' for Level; wanted a number")
    widget.fields.restore({"options": {}, "overrides": {}})
    widget.fields.advanced.fields["n_codes"].value = "2.5"
    wrong(widget, "Got '2.5' for Codes; wanted a whole number")
    widget.fields.restore({"overrides": {"n_codes": 99}})
    wrong(widget, "Got n_codes = 99; wanted 1 to 64")
    widget.fields.restore({"overrides": {}})
    assert widget.check() == ""


def test_too_large_a_factor_says_size_and_memory(form):
    viewer, widget = form("super_resolve")
    wrong_prior = {"options": {"factor": 16}}
    widget.fields.restore(wrong_prior)
    wrong(widget, "Got a factor of 16 for the prior 'tiny16'")
    widget.fields.restore({"options": {"factor": 2}})
    assert widget.check() == ""
    assert "The result will have 40 x 48 pixels and take about" in widget.panel.status.text()
    viewer.layers["cells"].data = np.broadcast_to(np.uint8(3), (9000, 9000))
    wrong(widget, "the result would have 18000x18000 and take about")
    widget.fields.restore({"options": {"factor": 2, "kernel": "gaussian", "sigma": 0.0}})
    viewer.layers["cells"].data = scene()
    wrong(widget, "Got a blur of 0.0 px")


def test_colours_are_not_coloured(form):
    viewer, widget = form("colorize", np.stack([scene()] * 3, axis=-1), rgb=True)
    wrong(widget, "'cells' has colours already; wanted a grey image")
    viewer.add_image(np.stack([scene()] * 2), name="stack")
    widget.reset_choices()
    widget.fields.image.value = viewer.layers["stack"]
    assert widget.check() == ""
    widget.fields.scope.value = "slices"
    wrong(widget, "Got 2 proposals for each of several slices")
    widget.fields.scope.value = "slice"
    widget.fields.prior.value = "tiny16"
    wrong(widget, "The prior 'tiny16' draws grey images; wanted one of RGB images")


def test_codes_of_another_prior_and_other_files_are_refused(form, run, tmp_path):
    _viewer, widget = form("invert")
    run(widget)
    widget.save_codes(tmp_path / "codes.npz")
    widget.fields.restore({"options": {"codes": tmp_path / "codes.npz"}, "prior": "tiny"})
    wrong(widget, "Got codes of the prior of sha256")
    (tmp_path / "text.npz").write_text("no codes")
    for name in ("text.npz", "gone.npz"):
        widget.fields.restore({"options": {"codes": tmp_path / name}})
        wrong(widget, "Could not read codes from")
    widget.fields.restore({"options": {}})
    assert widget.check() == ""


def test_settings_of_another_task_are_not_taken(form, run):
    viewer, widget = form("invert")
    run(widget)
    _, other = viewer.window.add_plugin_dock_widget("napari-mganprior", "Denoise")
    before = other.fields.state()
    viewer.layers.selection.active = viewer.layers["cells inverted"]
    other.results.load_button.click()
    assert "is a result of Invert; wanted one of Denoise" in other.panel.status.text()
    assert other.fields.state() == before


def test_a_run_that_fails_is_told_and_nothing_is_added(form, run, monkeypatch):
    messages = []
    monkeypatch.setattr("napari_mganprior.widgets.form.show_error", messages.append)
    viewer, widget = form("denoise", np.full((20, 24), 7, np.uint8))
    run(widget)
    assert len(messages) == 1
    assert messages[0].startswith("Got ")
    assert len(viewer.layers) == 1


@pytest.mark.parametrize("task", TASKS)
def test_every_form_fits_a_small_screen(form, qtbot, task):
    """At 1366 x 768 nothing is scrolled on any page before Run."""
    viewer, widget = form(task, show=True)
    viewer.window.resize(1366, 768)
    qtbot.wait(200)
    pages, scroll = widget.fields.pages, widget.fields.parent().parent()
    for page in range(pages.count()):
        pages.setCurrentIndex(page)
        qtbot.wait(30)
        assert scroll.verticalScrollBar().maximum() == 0
        assert scroll.horizontalScrollBar().maximum() == 0
    assert widget.width() < 480
    last = widget.results.mapTo(widget, widget.results.rect().bottomLeft())
    assert last.y() <= widget.height()


def test_active_labels_are_no_bad_pixels_unasked(make_napari_viewer):
    """Law: a segmentation that happens to be selected when Denoise opens is not filled."""
    viewer = make_napari_viewer()
    viewer.add_image(np.ones((32, 32)), name="cells")
    viewer.layers.selection.active = viewer.add_labels(np.ones((32, 32), int), name="cells seen")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Denoise")
    assert widget.fields.labels.value is None
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    assert widget.fields.labels.value.name == "cells seen"
