"""Results lie where their image lay and look like it. No window."""

import json

import numpy as np
import pytest

from napari_mganprior.widgets.inputs import Choice, take_inputs
from napari_mganprior.widgets.results import (
    METADATA_KEY,
    add_mask,
    add_preview,
    add_result,
    unused_name,
    update_preview,
)
from napari_mganprior.widgets.trust_layers import add_invented

PLACE = {
    "scale": (0.5, 0.25),
    "translate": (3.0, -4.0),
    "rotate": 30,
    "shear": [0.2],
    "affine": np.array([[1.0, 0.1, 5.0], [0.0, 0.9, 2.0], [0.0, 0.0, 1.0]]),
    "units": ("um", "um"),
    "axis_labels": ("y", "x"),
}
STACK_PLACE = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (7.0, 3.0, -4.0),
    "rotate": np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]),
    "shear": [0, 0, 0.3],
    "affine": np.array([[1, 0, 0, 5.0], [0, 1, 0.1, 2.0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    "units": ("um", "um", "um"),
}
OBLIQUE = {**STACK_PLACE, "rotate": (10, 20, 30), "shear": [0.1, 0.2, 0.3]}


def taken(model, image, *, rgb=False, place=None, look=None, at=None):
    place = place or {}
    layer = model.add_image(image, name="cells", rgb=rgb, **place, **(look or {}))
    mask = np.zeros(image.shape[: layer.ndim], np.uint8)
    mask[..., 2:4, 2:4] = 1
    labels = model.add_labels(mask, name="holes", **place)
    if at is not None:
        point = layer.data_to_world(at)
        for axis, value in enumerate(point):
            model.dims.set_point(axis, value)
    return layer, take_inputs(Choice(image=layer, damage=labels), model)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_result_lies_and_looks_like_its_image(model, dtype):
    look = {"colormap": "magma", "contrast_limits": (1, 30), "blending": "additive", "gamma": 0.7}
    image, inputs = taken(model, np.ones((9, 8), dtype), place=PLACE, look=look)
    result = add_result(model, inputs, inputs.image * 2, {"task": "inpaint"})
    assert result.data.dtype == dtype
    assert result.data.max() == 2
    for key in ("scale", "translate", "rotate", "shear"):
        assert np.allclose(getattr(result, key), getattr(image, key)), key
    assert np.allclose(result.affine.affine_matrix, image.affine.affine_matrix)
    assert result.units == image.units
    assert result.axis_labels == image.axis_labels
    assert result.colormap.name == "magma"
    assert result.contrast_limits == [1, 30]
    assert (str(result.blending), result.gamma) == ("additive", 0.7)
    for corner in ((0, 0), (8, 7)):
        assert np.allclose(result.data_to_world(corner), image.data_to_world(corner))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize("place", [STACK_PLACE, OBLIQUE])
def test_the_restored_slice_lies_over_its_slice_and_no_other(model, place):
    """Law: a pixel of the result has the world coordinates of the pixel it restores."""
    image, inputs = taken(model, np.ones((5, 9, 8)), place=place, at=(3, 4, 4))
    at = inputs.plane.point[0]
    assert at == 3 or place is OBLIQUE
    for layer in (
        add_result(model, inputs, inputs.image, {}),
        add_invented(model, inputs, inputs.mask, "x"),
        add_preview(model, inputs, inputs.image),
    ):
        assert layer.data.shape == (1, 9, 8)
        for row, column in ((0, 0), (8, 7)):
            assert np.allclose(
                layer.data_to_world((0, row, column)), image.data_to_world((at, row, column))
            )


def test_a_slice_across_another_axis_goes_back_there(model):
    image = model.add_image(np.arange(4 * 9 * 8.0).reshape(4, 9, 8))
    labels = model.add_labels(np.eye(4, 8, dtype=int)[:, None] * np.ones((1, 9, 1), int))
    model.dims.order = (1, 0, 2)
    model.dims.set_point(1, 5)
    inputs = take_inputs(Choice(image=image, damage=labels), model)
    result = add_result(model, inputs, inputs.image, {})
    assert np.array_equal(result.data, image.data[:, 5:6, :])
    assert np.allclose(result.data_to_world((2, 0, 3)), image.data_to_world((2, 5, 3)))
    assert result.metadata[METADATA_KEY]["layers"]["slice"] == [None, 5, None]


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_stay_colours(model, channels):
    image, inputs = taken(model, np.full((9, 8, channels), 9, np.uint8), rgb=True)
    result = add_result(model, inputs, inputs.image, {})
    assert result.rgb
    assert np.array_equal(result.data, image.data)


def test_a_thin_grey_picture_is_not_taken_for_colours(model):
    _, inputs = taken(model, np.ones((9, 4)))
    assert not add_result(model, inputs, inputs.image, {}).rgb


def test_the_recipe_is_kept_with_the_layers_names(model):
    _, inputs = taken(model, np.ones((9, 8)))
    recipe = {"task": "inpaint", "config": {"n_codes": 3}}
    result = add_result(model, inputs, inputs.image, recipe)
    kept = result.metadata[METADATA_KEY]
    assert json.loads(json.dumps(kept)) == {
        **recipe,
        "layers": {
            "image": "cells",
            "mask": "holes",
            "region": "all",
            "kind": "labels",
            "labels": "all",
            "invert": False,
            "scope": "slice",
            "damage_labels": "all",
            "slice": [None, None],
        },
        "damage": {"grow": 0, "feather": 0, "region": None},
    }
    recipe["config"]["n_codes"] = 4
    assert kept["config"]["n_codes"] == 3


def test_results_never_take_a_name_in_use(model):
    _, inputs = taken(model, np.ones((9, 8)))
    names = [add_result(model, inputs, inputs.image, {}).name for _ in range(3)]
    assert names == ["cells inpainted", "cells inpainted 2", "cells inpainted 3"]
    assert len(model.layers) == 5
    assert unused_name("a", {"a", "a 2", "a 4"}) == "a 3"


def test_invented_pixels_are_outlined_so_that_they_stay_visible(model):
    _, inputs = taken(model, np.ones((9, 8)), place=PLACE)
    layer = add_invented(model, inputs, inputs.mask, "cells inpainted")
    assert layer.name == "cells inpainted: invented"
    assert np.array_equal(layer.data > 0, inputs.mask)
    assert layer.contour == 1
    assert np.allclose(layer.scale, PLACE["scale"])


def test_a_new_mask_fits_its_image_and_can_be_painted(model):
    image = model.add_image(np.ones((4, 9, 8)), name="cells", **STACK_PLACE)
    labels = add_mask(model, image)
    assert labels.name == "cells damage"
    assert labels.data.shape == (4, 9, 8)
    assert labels.data.max() == 0
    assert labels.mode == "paint"
    assert model.layers.selection.active is labels
    assert np.allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))


def test_a_preview_is_replaced_in_place(model):
    _, inputs = taken(model, np.ones((9, 8)))
    layer = add_preview(model, inputs, inputs.image)
    update_preview(layer, inputs, inputs.image * 5)
    assert layer.data.max() == 5
    assert layer.name == "cells preview"
