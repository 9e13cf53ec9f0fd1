"""What is taken from layers, and what is refused. No window."""

import dask.array as da
import numpy as np
import pytest
from napari.components import Dims

from napari_mganprior.errors import ImageError, MaskError
from napari_mganprior.widgets.inputs import Choice, check_inputs, describe_choice, take_inputs
from napari_mganprior.widgets.planes import cut_layer, describe_cut


def layers(model, image, mask, *, rgb=False, **place):
    """Add an image and its mask at the same place."""
    added = model.add_image(image, name="cells", rgb=rgb, **place)
    return added, model.add_labels(mask, name="holes", **place)


def hole(*shape):
    mask = np.zeros(shape, np.uint8)
    mask[..., 2:4, 2:4] = 1
    mask[..., 6, 6] = 5
    return mask


def test_layers_that_fit_are_accepted(model):
    image, labels = layers(model, np.ones((9, 8)), hole(9, 8), scale=(0.3, 0.2), rotate=30)
    assert check_inputs(Choice(image=image, damage=labels), model) == ""


def bad_forms():
    flat = np.ones((9, 8))
    return {
        "no image": ({}, {}, None, "No image layer. Open a picture"),
        "no labels": ({"data": flat}, {}, None, "No labels layer. Press 'New'"),
        "empty mask": (
            {"data": flat},
            {"data": np.zeros((9, 8), int)},
            None,
            "No labelled pixels in 'holes' here; wanted some. Paint",
        ),
        "label absent": (
            {"data": flat},
            {"data": hole(9, 8)},
            "3",
            "No label 3 in 'holes' here; wanted some. Paint",
        ),
        "full mask": (
            {"data": flat},
            {"data": np.ones((9, 8), int)},
            None,
            "cover the whole picture; wanted some measured pixels beside them. Erase",
        ),
        "shape": (
            {"data": flat},
            {"data": hole(9, 9)},
            None,
            "'holes' is 9 x 9 pixels, 'cells' 9 x 8; wanted the same. Press 'New'",
        ),
        "scale": (
            {"data": flat, "scale": (0.5, 0.5)},
            {"data": hole(9, 8)},
            None,
            "another scale or position .*1 x 1 against 0.5 x 0.5.*; wanted the same. Give it",
        ),
        "half a pixel out": (
            {"data": flat},
            {"data": hole(9, 8), "translate": (0, 0.5)},
            None,
            "another scale or position",
        ),
        "rotated": ({"data": flat, "rotate": 5}, {"data": hole(9, 8)}, None, "another scale or"),
        "affine": (
            {"data": flat},
            {"data": hole(9, 8), "affine": np.diag([1, 1.1, 1])},
            None,
            "another scale or",
        ),
        "3-D mask": (
            {"data": flat},
            {"data": hole(4, 9, 8)},
            None,
            "'holes' has 3 axes, 'cells' 2; wanted as many",
        ),
    }


@pytest.mark.parametrize("case", bad_forms())
def test_every_bad_form_says_why(model, case):
    """Got, wanted, what to do: for each."""
    image, labels, label, message = bad_forms()[case]
    image = model.add_image(name="cells", **image) if image else None
    labels = model.add_labels(name="holes", **labels) if labels else None
    with pytest.raises(MaskError, match=message):
        raise MaskError(
            check_inputs(Choice(image=image, damage=labels, labels=label or "all"), model)
        )


def test_a_rounding_difference_in_scale_is_none(model):
    image = model.add_image(np.ones((9, 8)), scale=(0.1, 0.1))
    labels = model.add_labels(hole(9, 8), scale=(0.1000001, 0.1000001))
    assert check_inputs(Choice(image=image, damage=labels), model) == ""


def test_all_labels_or_one_count_as_damage(model):
    image, labels = layers(model, np.ones((9, 8)), hole(9, 8))
    assert take_inputs(Choice(image=image, damage=labels), model).mask.sum() == 5
    assert take_inputs(Choice(image=image, damage=labels, labels="5"), model).mask.sum() == 1


def test_what_is_taken_shares_nothing_with_the_layers(model):
    image, labels = layers(model, np.ones((9, 8)), hole(9, 8))
    taken = take_inputs(Choice(image=image, damage=labels), model)
    image.data[:] = 7
    labels.data[:] = 1
    assert taken.image.max() == 1
    assert taken.mask.sum() == 5


def test_of_a_stack_the_slice_on_screen_is_taken(model):
    stack = np.arange(4)[:, None, None] * np.ones((4, 9, 8))
    image, labels = layers(model, stack, hole(4, 9, 8), scale=(2.0, 0.5, 0.5), translate=(10, 0, 0))
    model.dims.set_point(0, 10 + 2.0 * 3)
    said = describe_choice(Choice(image=image, damage=labels), model)
    assert said == "The current slice is restored (axis 0, slice 3)."
    taken = take_inputs(Choice(image=image, damage=labels), model)
    assert taken.image.shape == (9, 8)
    assert np.all(taken.image == 3)


def test_the_slice_across_another_axis_is_taken_when_that_is_shown(model):
    stack = np.arange(4 * 9 * 8.0).reshape(4, 9, 8)
    mask = np.zeros(stack.shape, np.uint8)
    mask[1, 5, 2] = 1
    image, labels = layers(model, stack, mask)
    model.dims.order = (1, 0, 2)
    model.dims.set_point(1, 5)
    taken = take_inputs(Choice(image=image, damage=labels), model)
    assert np.array_equal(taken.image, stack[:, 5, :])
    assert np.array_equal(np.argwhere(taken.mask), [[1, 2]])


def test_a_flat_mask_serves_every_slice(model):
    image = model.add_image(np.ones((4, 9, 8)), scale=(3, 0.5, 0.5))
    labels = model.add_labels(hole(9, 8), scale=(0.5, 0.5))
    model.dims.set_point(0, 6)
    assert check_inputs(Choice(image=image, damage=labels), model) == ""
    assert take_inputs(Choice(image=image, damage=labels), model).mask.sum() == 5


def test_an_axis_with_a_name_is_called_by_it(model):
    image = model.add_image(np.ones((4, 9, 8)), axis_labels=("time", "y", "x"))
    assert describe_cut(image, cut_layer(image, Dims(ndim=3))) == (
        "The current slice is restored (time 0)."
    )


def test_a_lazy_stack_is_cut_before_it_is_computed(model):
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        return np.ones((1, 9, 8))

    stack = da.map_blocks(block, chunks=((1,) * 50, (9,), (8,)), dtype=float, meta=np.empty(0))
    image = model.add_image(stack, contrast_limits=(0, 1))
    labels = model.add_labels(hole(50, 9, 8))
    model.dims.set_point(0, 30)
    computed.clear()
    taken = take_inputs(Choice(image=image, damage=labels), model)
    assert type(taken.image) is np.ndarray
    assert set(computed) <= {(30, 0, 0)}


def test_data_that_cannot_be_read_is_named(model):
    def block():
        raise OSError("the file is gone")

    stack = da.map_blocks(block, chunks=((9,), (8,)), dtype=float, meta=np.empty((0, 0)))
    image, labels = layers(model, np.ones((9, 8)), hole(9, 8))
    image._data = stack  # napari would read it at once
    with pytest.raises(ImageError, match=r"the pixels of 'cells'.*file is gone.*Check"):
        take_inputs(Choice(image=image, damage=labels), model)


def test_of_a_multiscale_layer_the_full_resolution_is_taken(model):
    levels = [np.ones((16, 16)), np.zeros((8, 8))]
    image = model.add_image(levels, multiscale=True)
    labels = model.add_labels(hole(16, 16))
    taken = take_inputs(Choice(image=image, damage=labels), model)
    assert taken.image.shape == (16, 16)
    assert taken.image.min() == 1


def test_colours_and_opacity_are_kept_apart(model):
    rgba = np.zeros((9, 8, 4), np.uint8)
    rgba[..., 3] = 200
    image, labels = layers(model, rgba, hole(9, 8), rgb=True)
    taken = take_inputs(Choice(image=image, damage=labels), model)
    assert taken.image.shape == (9, 8, 3)
    assert taken.alpha is not None
    assert taken.alpha.min() == 200
