"""Damage from labels and shapes, and the region that may change. No window."""

import numpy as np
import pytest

from napari_mganprior.errors import MaskError, SettingsError
from napari_mganprior.widgets.damage import parse_labels, write_labels
from napari_mganprior.widgets.inputs import Choice, check_inputs, describe_choice, take_inputs
from napari_mganprior.widgets.region import camera_of

SQUARE = np.array([[2, 1], [2, 5], [6, 5], [6, 1]])
PLACE = {"scale": (0.5, 0.25), "translate": (3.0, -4.0), "rotate": 30, "shear": [0.2]}


def mask_of(model, image, damage, **more):
    choice = Choice(image=image, damage=damage, **more)
    assert check_inputs(choice, model) == ""
    return take_inputs(choice, model).mask


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        ("all", None, "all"),
        (" All ", None, "all"),
        ("4", ((4, 4),), "4"),
        ("3-5, 1", ((1, 1), (3, 5)), "1, 3-5"),
        ("1 , 3 - 5", ((1, 1), (3, 5)), "1, 3-5"),
    ],
)
def test_labels_are_read_and_written(text, read, written):
    assert parse_labels(text) == read
    assert write_labels(read) == written
    assert parse_labels(written) == read


@pytest.mark.parametrize("text", ["", "0", "5-3", "1,", "one", "-1", "1.5", "1-", "all, 2"])
def test_other_words_are_no_labels(text):
    with pytest.raises(SettingsError, match=r"wanted 'all', or whole numbers.*Write those"):
        parse_labels(text)


def test_chosen_labels_count_and_the_others_do_not(model):
    values = np.arange(80).reshape(8, 10) % 7
    image, labels = model.add_image(np.ones((8, 10))), model.add_labels(values)
    assert np.array_equal(
        mask_of(model, image, labels, labels="2, 4-5"), np.isin(values, (2, 4, 5))
    )
    assert np.array_equal(mask_of(model, image, labels), values != 0)


@pytest.mark.parametrize("labels", ["all", "2"])
def test_inverted_damage_is_the_rest(model, labels):
    image = model.add_image(np.ones((8, 10)))
    layer = model.add_labels(np.arange(80).reshape(8, 10) % 7)
    damage = mask_of(model, image, layer, labels=labels)
    assert np.array_equal(mask_of(model, image, layer, labels=labels, invert=True), ~damage)


def says(model, **choice):
    with pytest.raises(MaskError) as caught:
        raise MaskError(check_inputs(Choice(**choice), model))
    return str(caught.value)


def test_feather_and_growth_are_checked_together(model):
    image = model.add_image(np.ones((9, 8)))
    labels = model.add_labels(np.eye(9, 8, dtype=int))
    form = {"image": image, "damage": labels}
    assert check_inputs(Choice(**form, grow=3, feather=3), model) == ""
    assert "feather of 4 px for damage grown by 3 px; wanted at most 3" in says(
        model, **form, grow=3, feather=4
    )
    with pytest.raises(SettingsError, match="Grow more, or feather less"):
        take_inputs(Choice(**form, grow=3, feather=4), model)
    assert "Got labels 'x'" in says(model, **form, labels="x")


def test_what_is_marked_is_called_by_its_name(model):
    image = model.add_image(np.ones((9, 8)), name="cells")
    full = model.add_labels(np.ones((9, 8), int), name="holes")
    shapes = model.add_shapes(name="marks", ndim=2)
    form = {"image": image, "damage": full}
    assert says(model, **form, invert=True).startswith("No pixels without a label in 'holes' here")
    assert "untick 'invert'" in says(model, **form, invert=True)
    assert says(model, **form, labels="1").startswith("The label 1 in 'holes' cover")
    assert says(model, **form, labels="2", invert=True).startswith("The pixels without label 2")
    assert says(model, image=image, damage=shapes) == (
        "No pixels under a shape in 'marks' here; wanted some. Draw a shape over the damage."
    )
    assert "pixels outside the shapes" in says(model, image=image, damage=shapes, invert=True)


def inside(kind, rows, columns):
    """Say which points a shape with the corners of SQUARE has in it."""
    if kind == "ellipse":
        return ((rows - 4) / 2) ** 2 + ((columns - 3) / 2) ** 2 < 0.995
    return (rows > 2) & (rows < 6) & (columns > 1) & (columns < 5)


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon"])
@pytest.mark.parametrize("image_place", [{}, PLACE])
def test_a_pixel_is_damaged_where_its_centre_lies_in_a_shape(model, kind, image_place):
    """Law: wherever the two layers lie, the world decides."""
    image = model.add_image(np.ones((40, 50)), **image_place)
    place = {"scale": (0.9, 1.1), "translate": (2.13, -3.04), "rotate": 20}
    shapes = model.add_shapes([SQUARE], shape_type=kind, **place)
    mask = mask_of(model, image, shapes)
    at = [shapes.world_to_data(image.data_to_world(p)) for p in np.ndindex(mask.shape)]
    rows, columns = np.reshape(at, (*mask.shape, 2)).transpose(2, 0, 1)
    wanted = inside(kind, rows, columns)
    assert wanted.sum() > 8
    # the polygon that stands for an ellipse may miss a pixel at its very rim
    assert (mask != wanted).sum() <= (1 if kind == "ellipse" else 0)


@pytest.mark.parametrize("kind", ["line", "path"])
def test_a_line_counts_with_the_width_of_its_edge(model, kind):
    image = model.add_image(np.ones((30, 40)))
    shapes = model.add_shapes([[[5, 5], [5, 30]]], shape_type=kind, edge_width=4.2)
    rows, columns = np.nonzero(mask_of(model, image, shapes))
    assert (rows.min(), rows.max()) == (3, 7)
    assert (columns.min(), columns.max()) == (3, 32)


def test_a_thin_slanted_line_has_no_gap(model):
    image = model.add_image(np.ones((30, 40)))
    shapes = model.add_shapes([[[2.3, 1.2], [20.4, 35.3]]], shape_type="line", edge_width=0.1)
    mask = mask_of(model, image, shapes)
    assert np.all(mask[:, 2:35].any(axis=0))
    assert mask.sum() < 60


def test_shapes_may_hang_over_the_rim(model):
    image = model.add_image(np.ones((9, 8)))
    shapes = model.add_shapes(
        [SQUARE - 4, np.array([[-5, 3], [30, 3]])], shape_type=["rectangle", "line"]
    )
    mask = mask_of(model, image, shapes)
    assert mask[0, 0]
    assert np.all(mask[:, 3])


def test_shapes_count_on_their_slice_and_flat_ones_on_all(model):
    image = model.add_image(np.ones((5, 9, 8)), scale=(2, 1, 1))
    corners = np.insert(SQUARE.astype(float), 0, 3, axis=1)
    deep = model.add_shapes([corners], shape_type="rectangle", scale=(2, 1, 1))
    flat = model.add_shapes([SQUARE], shape_type="rectangle")
    model.dims.set_point(0, 2 * 3)
    wanted = mask_of(model, image, deep)
    assert wanted.sum() == 5 * 5
    model.dims.set_point(0, 2 * 1)
    assert "No pixels under a shape" in says(model, image=image, damage=deep)
    assert np.array_equal(mask_of(model, image, flat), wanted)
    stack = mask_of(model, image, deep, scope="slices")
    assert [bool(plane.any()) for plane in stack] == [False, False, False, True, False]
    assert np.array_equal(stack[3], wanted)
    assert np.array_equal(mask_of(model, image, flat, scope="slices"), [wanted] * 5)


def test_shapes_of_other_axes_are_refused(model):
    image = model.add_image(np.ones((9, 8)), name="cells")
    shapes = model.add_shapes([np.insert(SQUARE, 0, 3, axis=1)], name="marks")
    assert "'marks' has 3 axes, 'cells' 2; wanted as many, or 2. Draw" in says(
        model, image=image, damage=shapes
    )


@pytest.fixture
def cells(model):
    """Return an image of half a unit a pixel and labels with one damaged pixel."""
    mask = np.zeros((30, 40), np.uint8)
    mask[20, 30] = 1
    image = model.add_image(np.ones((30, 40)), name="cells", scale=(0.5, 0.5))
    return {"image": image, "damage": model.add_labels(mask, name="holes", scale=(0.5, 0.5))}


def test_a_rectangle_bounds_the_region(model, cells):
    box = model.add_shapes([[[9, 13], [11.1, 99]]], shape_type="rectangle", name="box")
    inputs = take_inputs(Choice(**cells, region=box), model)
    assert inputs.region == (18, 26, 23, 40)
    assert inputs.names["region"] == "box"
    assert describe_choice(Choice(**cells, region=box), model) == (
        "Only damage in a region of 5 x 14 pixels is restored."
    )


def test_of_several_rectangles_the_selected_one_counts(model, cells):
    box = model.add_shapes(
        [[[0, 0], [2, 2]], [[9, 13], [11, 16]]], shape_type="rectangle", name="box"
    )
    box.selected_data = set()
    assert "'box' has 2 shapes; wanted one around the region. Draw" in says(
        model, **cells, region=box
    )
    box.selected_data = {0, 1}
    assert "'box' has 2 selected shapes" in says(model, **cells, region=box)
    box.selected_data = {1}
    assert take_inputs(Choice(**cells, region=box), model).region == (18, 26, 23, 33)


def test_a_region_beside_damage_or_picture_is_refused(model, cells):
    box = model.add_shapes([[[0, 0], [2, 2]]], shape_type="rectangle", name="box")
    told = says(model, **cells, region=box)
    assert told.startswith("The labelled pixels in 'holes' are all outside the region")
    assert check_inputs(Choice(**cells, region=box, grow=26), model) == ""
    box.data = [np.array([[90, 90], [90, 95], [95, 95], [95, 90]])]
    assert "'box' has no pixel of 'cells' in it; wanted some. Move it" in says(
        model, **cells, region=box
    )


@pytest.fixture
def camera(model):
    """Return the camera of a window of 100 x 200 screen pixels."""
    if not hasattr(model, "canvas"):
        pytest.skip("before napari 0.9 the size of the window is not public")
    model.canvas.size = (100, 200)
    return camera_of(model)


def test_the_view_bounds_the_region(model, camera, cells):
    camera.zoom = 20  # screen pixels a unit: 5 x 10 units, 10 x 20 pixels are seen
    camera.center = (10, 15)
    assert take_inputs(Choice(**cells, region="view"), model).region == (15, 20, 26, 40)
    camera.center = (2, 2)
    assert "outside the region" in says(model, **cells, region="view")
    camera.center = (200, 200)
    assert "The current view has no pixel of 'cells'" in says(model, **cells, region="view")
    model.dims.ndisplay = 3
    assert "Got a view in 3-D; wanted a flat one" in says(model, **cells, region="view")


def test_in_a_stack_the_view_is_that_of_the_axes_shown(model, camera):
    image = model.add_image(np.ones((30, 9, 40)))
    labels = model.add_labels(np.ones((30, 9, 40), int) * (np.arange(40) < 30))
    model.dims.order = (1, 0, 2)
    camera.zoom = 10
    camera.center = (10, 15)
    form = Choice(image=image, damage=labels, region="view")
    assert take_inputs(form, model).region == (5, 5, 16, 26)
