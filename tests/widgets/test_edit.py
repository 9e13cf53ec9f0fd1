"""Laws of the form Edit: real inversions with a tiny prior, real drawings, a real window once."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from napari_mganprior.inversion.config import preset
from napari_mganprior.restore.codes_file import unpack_codes
from napari_mganprior.settings import Preferences, save_preferences
from napari_mganprior.widgets.edit import EditWidget
from napari_mganprior.widgets.invert import InvertWidget
from napari_mganprior.widgets.kept_codes import CODES_KEY
from napari_mganprior.widgets.results import METADATA_KEY

CROP = np.s_[:16, :20]


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:40, :50]
    return np.uint8(128 + 90 * np.sin(rows / 5) * np.cos(columns / 7))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let inversions take no time."""

    def short(quality, cuts):
        from dataclasses import replace

        return replace(preset(quality, cuts), n_steps=2, n_restarts=2, n_candidates=1)

    monkeypatch.setattr("napari_mganprior.restore.reconstruction.preset", short)


class Form:
    def __init__(self, viewer, widget, qtbot):
        self.viewer, self.widget, self.qtbot = viewer, widget, qtbot

    def settle(self):
        """Wait until nothing is being inverted or drawn, and all of it was told."""
        widget = self.widget
        self.qtbot.waitUntil(
            lambda: not widget.controller.busy and not widget.latest.busy, timeout=60_000
        )

    def invert(self):
        self.widget.invert()
        self.settle()
        assert self.widget.rows.directions, self.said

    @property
    def said(self):
        return self.widget.status.text()

    @property
    def names(self):
        return [layer.name for layer in self.viewer.layers]


@pytest.fixture
def inverted(form, qtbot):
    """Invert 'cells' with the form Invert; return that form and the layer it made."""
    invert = InvertWidget(form.viewer, remember=lambda _: None, recall=dict)
    qtbot.addWidget(invert)
    invert.fields.restore({"prior": "tiny16", "quality": "fast", "zoom": 1.1})
    invert.run()
    qtbot.waitUntil(lambda: not invert.controller.busy, timeout=60_000)
    form.widget.reset_choices()
    yield invert, form.viewer.layers["cells inverted"]
    invert.controller.close(10.0)


@pytest.fixture
def form(model, qtbot, picture):
    model.add_image(picture[CROP], name="cells", scale=(0.5, 0.25), colormap="magma")
    widget = EditWidget(model)
    qtbot.addWidget(widget)
    widget.prior.value = "tiny16"
    yield Form(model, widget, qtbot)
    widget.controller.close(10.0)
    assert widget.latest.close(10.0)


def test_reading_the_form_loads_no_torch():
    code = "import sys, napari_mganprior.widgets.edit; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_can_be_moved_before_the_picture_is_inverted(form):
    widget = form.widget
    assert widget.invert_button.isEnabled()
    for part in (widget.rows, widget.keep_button, widget.boundary_button, widget.way_button):
        assert not part.isEnabled()
    assert "Press 'Invert' first" in form.said


def test_a_slider_draws_into_a_layer_that_lies_on_the_picture(form):
    """Law: at 0 the picture itself; the layer keeps its type, place and look."""
    form.invert()
    widget, cells = form.widget, form.viewer.layers["cells"]
    assert len(widget.rows.directions) == 8
    widget.rows.set_strength(0, 4.0)
    form.settle()
    preview = form.viewer.layers["cells edit preview"]
    assert preview.data.dtype == cells.data.dtype
    assert preview.data.shape == cells.data.shape
    np.testing.assert_allclose(preview.scale, cells.scale)
    np.testing.assert_allclose(preview.translate, cells.translate)
    assert preview.colormap.name == "magma"
    assert not np.array_equal(preview.data, cells.data)
    widget.reset()
    form.settle()
    assert np.array_equal(preview.data, cells.data)
    assert form.names.count("cells edit preview") == 1


def test_fast_sliders_end_at_the_last_place(form):
    """Law: pictures are never queued, and the last one drawn belongs to the last move."""
    form.invert()
    seen = []
    form.widget.drawn.connect(lambda drawn: seen.append(drawn.image))
    for strength in np.linspace(-6, 6, 60):
        form.widget.rows.set_strength(0, float(strength))
    form.settle()
    assert 1 <= len(seen) < 30
    form.widget.rows.set_strength(0, 0.0)
    form.settle()
    last = seen[-2] if len(seen) > 1 else seen[-1]
    form.widget.rows.set_strength(0, 6.0)
    form.settle()
    assert np.array_equal(seen[-1], last)


def test_an_edit_is_kept_with_its_recipe(form):
    """Law: the layer is what the slider showed, and its recipe gives it again."""
    from napari_mganprior import replay

    form.invert()
    widget = form.widget
    widget.rows.set_strength(1, -5.0)
    form.settle()
    shown = form.viewer.layers["cells edit preview"].data.copy()
    widget.keep()
    form.settle()
    assert form.names == ["cells", "cells edited"]
    edited = form.viewer.layers["cells edited"]
    assert np.array_equal(edited.data, shown)
    recipe = edited.metadata[METADATA_KEY]
    assert recipe["task"] == "edit"
    assert recipe["layers"]["image"] == "cells"
    changed = int((shown != form.viewer.layers["cells"].data).sum())
    assert f"{changed} of its pixels changed, and all of these are invented" in form.said
    assert np.array_equal(replay(recipe, form.viewer.layers["cells"].data).image, shown)


def test_what_waits_to_be_kept_outlives_another_inversion(form, picture):
    """Law: Keep is of the picture that was open when it was pressed, whatever ends meanwhile."""
    form.invert()
    viewer, widget = form.viewer, form.widget
    widget.rows.set_strength(1, -5.0)
    form.settle()
    shown = viewer.layers["cells edit preview"].data.copy()
    gate = threading.Event()

    def busy():
        assert gate.wait(60.0)
        yield None

    widget.latest.ask(busy)
    viewer.add_image(picture[16:32, :20], name="others")
    widget.image.value = viewer.layers["others"]
    widget.invert()
    assert widget.keep_button.isEnabled()
    widget.keep()
    form.qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
    gate.set()
    form.settle()
    assert np.array_equal(viewer.layers["cells edited"].data, shown)
    assert viewer.layers["cells edited"].metadata[METADATA_KEY]["layers"]["image"] == "cells"
    widget.rows.set_strength(0, 2.0)
    form.settle()
    assert "others edit preview" in form.names


def test_drawing_takes_as_many_threads_as_preferred(form):
    save_preferences(Preferences(threads=3))
    form.invert()
    assert (form.widget.controller.threads, form.widget.latest.threads) == (3, 3)


def test_detail_can_be_left_out(form):
    form.invert()
    form.widget.rows.set_strength(0, 1.0)
    form.settle()
    with_detail = form.viewer.layers["cells edit preview"].data.copy()
    form.widget.detail.value = False
    form.settle()
    assert not np.array_equal(form.viewer.layers["cells edit preview"].data, with_detail)


def test_a_preview_that_was_removed_comes_back(form):
    form.invert()
    form.widget.rows.set_strength(0, 1.0)
    form.settle()
    form.viewer.layers.remove("cells edit preview")
    form.widget.rows.set_strength(0, 2.0)
    form.settle()
    assert "cells edit preview" in form.names


def test_a_boundary_gets_a_slider_and_a_wrong_one_a_reason(form, tmp_path):
    form.invert()
    np.save(tmp_path / "smile.npy", np.ones((1, 16)))
    form.widget.load_boundary(tmp_path / "smile.npy")
    form.settle()
    assert form.widget.rows.directions[-1].name == "smile"
    np.save(tmp_path / "wrong.npy", np.ones((1, 17)))
    form.widget.load_boundary(tmp_path / "wrong.npy")
    form.settle()
    assert "Got a boundary of 17 numbers in wrong.npy; wanted 16 (z)" in form.said
    assert len(form.widget.rows.directions) == 9


def test_a_direction_is_learnt_from_layers_and_crops(form, picture):
    form.invert()
    viewer, widget = form.viewer, form.widget
    for number in range(2):
        viewer.add_image(picture[number : number + 16, :16], name=f"these {number}")
    corners = [
        [[0, 0], [0, 4.5], [7.5, 4.5], [7.5, 0]],
        [[0, 0.5], [0, 4.75], [7.5, 4.75], [7.5, 0.5]],
    ]
    shapes = viewer.add_shapes([np.array(c) for c in corners], name="those")
    widget.learn()
    assert "Got 0 examples in the group 'like these'; wanted at least 2" in form.said
    viewer.layers.selection = {viewer.layers["these 0"], viewer.layers["these 1"]}
    widget.examples.add_selected(0)
    viewer.layers.selection = {shapes}
    widget.examples.add_selected(1)
    assert [pixels.shape for _, pixels in widget.examples.unlike] == [(16, 19), (16, 18)]
    widget.examples.name.setText("round")
    widget.learn()
    form.settle()
    assert widget.rows.directions[-1].name == "round"
    assert "of 4 examples are told apart by what the others teach" in form.said


def test_examples_need_a_selection_and_room(form):
    viewer, examples = form.viewer, form.widget.examples
    viewer.layers.selection.clear()
    examples.add_selected(0)
    assert "Got no image or shapes layer in the selection" in form.said
    small = viewer.add_shapes([np.array([[0, 0], [0, 1], [1, 1], [1, 0]])], name="small")
    viewer.layers.selection = {small}
    examples.add_selected(0)
    assert "wanted at least 16 x 16" in form.said
    assert not examples.like


def test_a_way_leads_to_another_layer(form, picture):
    """Law: a stack of one axis more; its ends are the two pictures; they lie on each other."""
    form.invert()
    viewer, widget = form.viewer, form.widget
    viewer.add_image(picture[16:32, :20], name="others")
    viewer.add_image(picture, name="larger")
    widget.other.value = viewer.layers["larger"]
    widget.draw_way()
    assert "wanted two alike" in form.said
    widget.other.value = viewer.layers["others"]
    widget.pictures.value = 4
    widget.draw_way()
    form.settle()
    way = viewer.layers["cells to others"]
    assert way.data.shape == (4, 16, 20)
    assert np.array_equal(way.data[0], viewer.layers["cells"].data)
    assert np.array_equal(way.data[-1], viewer.layers["others"].data)
    np.testing.assert_allclose(
        way.data_to_world((0, 3, 4))[1:], viewer.layers["cells"].data_to_world((3, 4))
    )


def test_a_prior_of_another_kind_is_refused_and_the_form_lives_on(form):
    form.widget.prior.value = "tinyrgb"
    form.widget.invert()
    form.settle()
    assert "Got a grey image for the prior 'tinyrgb'" in form.said
    assert form.widget.invert_button.isEnabled()
    form.widget.prior.value = "tiny16"
    form.invert()


def test_cancel_ends_an_inversion(form):
    form.widget.invert()
    form.widget.cancel_button.click()
    form.settle()
    assert "Cancelled; nothing was changed" in form.said
    assert not form.widget.rows.directions


def test_a_layer_of_an_inversion_is_edited_without_inverting_again(form, inverted):
    """Law: the picture it was made from is edited, found by its pixels, with these very codes."""
    (_, layer), widget, cells = inverted, form.widget, form.viewer.layers["cells"]
    assert widget.codes_button.text() == "Open codes…"
    widget.image.value, widget.prior.value = layer, "tiny"
    assert widget.codes_button.text() == "Open its codes"
    cells.name = "renamed"
    widget.codes_button.click()
    assert not widget.controller.busy
    form.settle()
    assert widget.rows.directions, form.said
    assert (widget.image.value, widget.prior.value) == (cells, "tiny16")
    widget.rows.set_strength(0, 4.0)
    form.settle()
    assert "renamed edit preview" in form.names
    widget.keep()
    form.settle()
    recipe = form.viewer.layers["renamed edited"].metadata[METADATA_KEY]
    assert recipe["zoom"] == layer.metadata[METADATA_KEY]["zoom"] == 1.1
    packed = unpack_codes(recipe["edit"]["codes"])
    held = unpack_codes(layer.metadata[CODES_KEY], recipe["prior"]["sha256"])
    for one, all_of_them in zip(packed, held, strict=True):
        assert any(np.array_equal(one.z[0], z) for z in all_of_them.z)


def test_saved_codes_are_edited(form, inverted, tmp_path, monkeypatch):
    invert, widget = inverted[0], form.widget
    invert.save_codes(tmp_path / "codes.npz")
    chosen = [str(tmp_path / "codes.npz"), "", str(tmp_path / "gone.npz")]
    monkeypatch.setattr(
        "napari_mganprior.widgets.edit.QFileDialog.getOpenFileName",
        lambda *_: (chosen.pop(0), ""),
    )
    widget.zoom.value = 1.1
    widget.codes_button.click()
    form.settle()
    assert widget.rows.directions, form.said
    widget.codes_button.click()
    assert widget.rows.isEnabled()
    widget.codes_button.click()
    assert "Could not read codes from" in form.said
    widget.prior.value = "tiny"
    widget.open_codes(tmp_path / "codes.npz")
    assert "Got codes of the prior of sha256" in form.said
    assert widget.rows.isEnabled()  # what was open stays open
    cells = form.viewer.layers["cells"]
    cells.data = cells.data[::-1].copy()
    widget.prior.value = "tiny16"
    widget.open_codes(tmp_path / "codes.npz")
    assert "Got codes of another image" in form.said
    cells.data = cells.data[::-1].copy()
    widget.zoom.value = 2.0
    widget.open_codes(tmp_path / "codes.npz")
    form.settle()
    assert "Choose the image and the zoom that were inverted" in form.said


def test_codes_without_their_picture_or_prior_are_refused(form, inverted, monkeypatch):
    (_, layer), widget, cells = inverted, form.widget, form.viewer.layers["cells"]
    widget.image.value = layer
    cells.data = cells.data + 1
    widget.open_codes()
    assert "Got the codes of 'cells' in 'cells inverted' and no layer with its" in form.said
    cells.data = cells.data - 1
    monkeypatch.setattr("napari_mganprior.widgets.kept_codes.prior_names", lambda: ("tiny",))
    widget.open_codes()
    assert "Got 'cells inverted', inverted with the prior 'tiny16' of sha256" in form.said
    layer.metadata[CODES_KEY] = "damaged"
    widget.open_codes()
    assert "Could not read the codes in a recipe" in form.said
    layer.metadata[METADATA_KEY]["planes"] = {}
    widget.open_codes()
    assert "whose slices were inverted in one run; wanted one picture" in form.said


def test_very_many_codes_are_left_to_a_file(form, inverted, monkeypatch):
    invert, layer = inverted
    monkeypatch.setattr("napari_mganprior.widgets.kept_codes._MOST_KEPT", 10)
    invert.run()
    form.qtbot.waitUntil(lambda: not invert.controller.busy, timeout=60_000)
    assert CODES_KEY in layer.metadata
    assert CODES_KEY not in form.viewer.layers["cells inverted 2"].metadata


def test_the_slice_that_was_inverted_is_edited(form, picture, qtbot):
    """Law: also after another slice was put on screen."""
    stack = np.stack([picture[:16, :20], picture[4:20, 4:24], picture[8:24, :20]])
    stacked = form.viewer.add_image(stack, name="stack")
    form.viewer.dims.set_current_step(0, 1)
    invert = InvertWidget(form.viewer, remember=lambda _: None, recall=dict)
    qtbot.addWidget(invert)
    invert.fields.restore({"prior": "tiny16", "quality": "fast"})
    invert.fields.choose(stacked)
    invert.run()
    qtbot.waitUntil(lambda: not invert.controller.busy, timeout=60_000)
    form.viewer.dims.set_current_step(0, 2)
    form.widget.reset_choices()
    form.widget.image.value = form.viewer.layers["stack inverted"]
    form.widget.open_codes()
    form.settle()
    form.widget.rows.set_strength(0, 4.0)
    form.settle()
    preview = form.viewer.layers["stack edit preview"]
    assert preview.translate[0] == 1
    assert preview.data.shape == (1, 16, 20)
    invert.controller.close(10.0)


@pytest.mark.gui
def test_in_a_real_window_with_a_slice_of_colours(make_napari_viewer, qtbot):
    """Law: a slice of an RGBA stack stays in its place and keeps its opacity."""
    viewer = make_napari_viewer()
    stack = np.random.default_rng(0).integers(0, 255, (3, 18, 20, 4), np.uint8)
    stack[..., 3] = 200
    viewer.add_image(stack, name="stack", rgb=True, scale=(2, 1, 1), translate=(5, 0, 0))
    viewer.dims.set_current_step(0, 1)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Edit")
    form = Form(viewer, widget, qtbot)
    widget.prior.value = "tinyrgb"
    form.invert()
    widget.rows.set_strength(0, 5.0)
    form.settle()
    widget.keep()
    form.settle()
    edited = viewer.layers["stack edited"]
    assert edited.data.shape == (1, 18, 20, 4)
    assert (edited.data[..., 3] == 200).all()
    np.testing.assert_allclose(edited.translate, (7, 0, 0))
    viewer.window.remove_dock_widget(widget)
