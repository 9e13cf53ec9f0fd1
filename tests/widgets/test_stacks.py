"""All slices of a stack, channels and colours one by one, and the way back. No window."""

import dask.array as da
import numpy as np
import pytest

from napari_mganprior.widgets.inputs import Choice, check_inputs, describe_choice, take_inputs
from napari_mganprior.widgets.outcome import Wanted, show_result
from napari_mganprior.widgets.planes import cut_layer
from napari_mganprior.widgets.reference import check_reference, compare_planes, take_reference
from napari_mganprior.widgets.results import METADATA_KEY, add_preview, add_result

PLACE_3D = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (7.0, 3.0, -4.0),
    "rotate": (10, 20, 30),
    "shear": [0.1, 0.2, 0.3],
}


def numbered(*shape):
    """Return an array where every value is another."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def holes(*shape):
    mask = np.zeros(shape, np.uint8)
    mask[..., 2:4, 3] = 1
    return mask


def taken(model, data, mask, scope, *, rgb=False, **place):
    image = model.add_image(data, rgb=rgb, name="stack", **place)
    labels = model.add_labels(mask, name="holes", **place)
    choice = Choice(image=image, damage=labels, scope=scope)
    assert check_inputs(choice, model) == ""
    return image, take_inputs(choice, model)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("scope", ["slices", "channels"])
def test_all_slices_of_a_stack_are_taken_in_order_and_lie_over_it(model, order, scope):
    """Law: what is taken and put back is the layer, whichever axes are shown."""
    data = numbered(5, 9, 8)
    model.add_image(data)
    model.dims.order = order
    image, inputs = taken(model, data, holes(5, 9, 8), scope, scale=(2.0, 0.5, 0.25))
    other = order[0]
    assert inputs.cut.planes == scope
    assert inputs.image.shape[0] == inputs.mask.shape[0] == data.shape[other]
    for at in range(data.shape[other]):
        assert np.array_equal(inputs.image[at], data.take(at, axis=other))
    result = add_result(model, inputs, inputs.image, {})
    assert np.array_equal(result.data, data)
    for corner in ((0, 0, 0), (4, 8, 7)):
        assert np.allclose(result.data_to_world(corner), image.data_to_world(corner))
    assert result.metadata[METADATA_KEY]["layers"]["slice"] == [None, None, None]
    assert result.metadata[METADATA_KEY]["layers"]["scope"] == scope


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
def test_a_turned_stack_comes_back_where_it_was(model):
    image, inputs = taken(model, numbered(5, 9, 8), holes(5, 9, 8), "slices", **PLACE_3D)
    result = add_result(model, inputs, inputs.image, {})
    for corner in ((0, 0, 0), (4, 8, 7)):
        assert np.allclose(result.data_to_world(corner), image.data_to_world(corner))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 1, 3)])
def test_four_axes_count_in_c_order(model, order):
    data = numbered(2, 3, 9, 8)
    model.add_image(data)
    model.dims.order = order
    image, inputs = taken(model, data, holes(2, 3, 9, 8), "slices")
    first, second = sorted(order[:2])
    n = data.shape[first], data.shape[second]
    assert len(inputs.image) == n[0] * n[1]
    at = n[1] + 1  # one on along both
    assert np.array_equal(inputs.image[at], data.take(1, axis=second).take(1, axis=first))
    assert np.array_equal(add_result(model, inputs, inputs.image, {}).data, data)
    assert describe_choice(Choice(image=image, damage=None, scope="slices"), model) == (
        f"All {len(inputs.image)} slices are restored, each from its neighbour."
    )


def test_a_flat_picture_is_one_plane_whatever_is_asked(model):
    _, inputs = taken(model, numbered(9, 8), holes(9, 8), "slices")
    assert inputs.cut.planes == "one"
    assert inputs.image.shape == inputs.mask.shape == (9, 8)
    assert add_result(model, inputs, inputs.image, {}).data.shape == (9, 8)


def test_a_flat_mask_serves_all_slices_and_clean_slices_are_passed(model):
    _, inputs = taken(model, numbered(5, 9, 8), holes(9, 8), "slices")
    assert np.array_equal(inputs.mask, holes(5, 9, 8) > 0)
    mask = holes(5, 9, 8)
    mask[1:4] = 0
    _, inputs = taken(model, numbered(5, 9, 8), mask, "slices")
    assert inputs.image.shape == (5, 9, 8)
    assert np.array_equal(inputs.mask.any(axis=(1, 2)), [True, False, False, False, True])


@pytest.mark.parametrize("n_channels", [3, 4])
def test_colours_are_restored_as_three_grey_pictures(model, n_channels):
    """Law: taken apart and put together, the colours and the opacity are what they were."""
    data = numbered(9, 8, n_channels).astype(np.uint8)
    image, inputs = taken(model, data, holes(9, 8), "channels", rgb=True)
    assert inputs.cut.planes == "channels"
    assert inputs.image.shape == inputs.mask.shape == (3, 9, 8)
    assert np.array_equal(inputs.image[1], data[..., 1])
    assert np.array_equal(inputs.mask, holes(3, 9, 8) > 0)
    result = add_result(model, inputs, inputs.image, {})
    assert result.rgb
    assert np.array_equal(result.data, data)
    assert add_preview(model, inputs, inputs.image).data.shape == data.shape
    assert describe_choice(Choice(image=image, damage=None, scope="channels"), model) == (
        "The 3 colours are restored one by one."
    )


def test_the_colours_of_a_stack_are_restored_one_by_one(model):
    data = numbered(4, 9, 8, 3)
    image, inputs = taken(model, data, holes(4, 9, 8), "channels", rgb=True)
    assert inputs.image.shape == inputs.mask.shape == (12, 9, 8)
    assert np.array_equal(inputs.image[7], data[2, ..., 1])
    assert np.array_equal(add_result(model, inputs, inputs.image, {}).data, data)
    assert "of each of the 4 planes" in describe_choice(
        Choice(image=image, damage=None, scope="channels"), model
    )


def test_a_coloured_stack_keeps_its_colours_slice_by_slice(model):
    data = numbered(4, 9, 8, 4)
    _, inputs = taken(model, data, holes(4, 9, 8), "slices", rgb=True)
    assert inputs.image.shape == (4, 9, 8, 3)
    assert np.array_equal(add_result(model, inputs, inputs.image, {}).data, data)


def test_a_lazy_stack_stays_lazy_and_is_read_plane_by_plane(model):
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones((1, 1, 9, 8))

    lazy = da.map_blocks(
        block, chunks=((1,) * 3, (1,) * 4, (9,), (8,)), dtype=float, meta=np.empty(0)
    )
    image = model.add_image(lazy, contrast_limits=(0, 1))
    labels = model.add_labels(holes(3, 4, 9, 8))
    read.clear()
    inputs = take_inputs(Choice(image=image, damage=labels, scope="slices"), model)
    assert isinstance(inputs.image, da.Array)
    assert inputs.image.shape == (12, 9, 8)
    assert not read
    assert np.asarray(inputs.image[7]).shape == (9, 8)
    assert set(read) == {(1, 3, 0, 0)}


def test_of_a_multiscale_stack_all_slices_are_full_size(model):
    levels = [numbered(3, 16, 16), numbered(3, 8, 8)]
    image = model.add_image(levels, multiscale=True)
    labels = model.add_labels(holes(3, 16, 16))
    inputs = take_inputs(Choice(image=image, damage=labels, scope="slices"), model)
    assert np.array_equal(inputs.image, levels[0])


def test_what_is_taken_of_a_stack_shares_nothing_with_it(model):
    image, inputs = taken(model, np.ones((4, 9, 8)), holes(4, 9, 8), "slices")
    image.data[:] = 7
    model.layers["holes"].data[:] = 1
    assert inputs.image.max() == 1
    assert inputs.mask.sum() == 8


def test_a_stack_says_what_is_wrong_with_it(model):
    image = model.add_image(np.ones((4, 9, 8)), name="stack")
    empty = model.add_labels(np.zeros((4, 9, 8), int), name="empty")
    full = model.add_labels(holes(4, 9, 8), name="full")
    full.data[2] = 1
    every = model.add_labels(np.ones((4, 9, 8), int), name="every")
    every.data[1] = 0
    short = model.add_labels(holes(3, 9, 8), name="short")

    def says(layer):
        return check_inputs(Choice(image=image, damage=layer, scope="slices"), model)

    assert says(empty).startswith("No labelled pixels in 'empty' in any slice; wanted some.")
    assert says(full) == ""  # the others can be restored
    assert "cover the whole picture in every slice they are in; wanted" in says(every)
    assert "'short' is 3 x 9 x 8 pixels, 'stack' 4 x 9 x 8; wanted the same" in says(short)


class Done:
    """A result of a run that changed nothing."""

    stopped = False
    frames = None

    def __init__(self, inputs):
        spread = np.zeros(inputs.mask.shape, np.float32)
        spread.flat[:] = np.arange(spread.size)
        self.restoration = self
        self.image, self.invented, self.recipe = inputs.image, inputs.mask, {}
        self.uncertainty, self.residual, self.estimated = spread, spread - 5, None


@pytest.mark.parametrize(
    ("shape", "rgb", "scope"),
    [
        ((4, 9, 8), False, "slices"),
        ((2, 2, 9, 8), False, "channels"),
        ((9, 8, 3), True, "channels"),
    ],
)
def test_every_layer_of_a_stack_lies_over_the_whole_stack(model, shape, rgb, scope):
    spatial = shape[:-1] if rgb else shape
    image, inputs = taken(model, numbered(*shape), holes(*spatial), scope, rgb=rgb)
    wanted = Wanted(uncertainty=True, residual=True, truth=None)
    layers, said = show_result(model, inputs, Done(inputs), wanted)
    result, residual, uncertainty, invented = layers
    assert result.data.shape == shape
    for layer in (residual, uncertainty, invented):
        assert layer.data.shape == spatial
        assert np.allclose(layer.data_to_world((1,) * len(spatial)), image.data_to_world(
            (1,) * len(spatial)
        ))  # fmt: skip
    assert np.array_equal(invented.data > 0, holes(*spatial) > 0)
    assert f"{int(holes(*spatial).sum())} of its pixels are invented" in said


def test_planes_that_were_left_are_counted(model):
    _, inputs = taken(model, numbered(4, 9, 8), holes(4, 9, 8), "slices")
    done = Done(inputs)
    done.recipe = {"planes": {"n": 4, "skipped": {"1": "a blank slice"}}}
    assert "1 plane is as before; the recipe says why." in show_result(
        model, inputs, done, Wanted()
    )[1]  # fmt: skip


def test_a_stack_is_compared_plane_by_plane(model):
    truth = numbered(3, 20, 20)
    restored = truth.copy()
    invented = np.zeros(truth.shape, bool)
    invented[0, 4:8, 4:8] = invented[2, 4:8, 4:8] = True
    restored[0][invented[0]] += 10
    restored[2][invented[2]] += 100
    figures = compare_planes(truth, restored, invented)
    assert [one["plane"] for one in figures["planes"]] == [0, 2]
    assert figures["planes"][0]["psnr"] == pytest.approx(figures["planes"][1]["psnr"] + 20)
    assert figures["psnr"] == pytest.approx(np.mean([one["psnr"] for one in figures["planes"]]))
    lazy = compare_planes(da.from_array(truth, chunks=(1, 20, 20)), restored, invented)
    assert lazy == figures


def test_a_reference_for_all_slices_is_as_large_as_the_stack(model):
    image = model.add_image(numbered(4, 9, 8), name="stack")
    short = model.add_image(numbered(3, 9, 8), name="short")
    fits = model.add_image(numbered(4, 9, 8), name="fits")
    assert check_reference(image, short, model.dims) == ""
    assert "'short' is 3 x 9 x 8 pixels, 'stack' 4 x 9 x 8 pixels; wanted" in check_reference(
        image, short, model.dims, "slices"
    )
    assert check_reference(image, fits, model.dims, "slices") == ""
    assert np.array_equal(take_reference(fits, model.dims, "slices"), fits.data)
    assert cut_layer(fits, model.dims, "slices").n_planes == 4


def test_a_result_in_colours_is_compared_in_colours(model):
    data = numbered(20, 20, 3)
    image, inputs = taken(model, data, holes(20, 20), "channels", rgb=True)
    truth = take_reference(image, model.dims, "channels")
    assert truth.shape == (1, 20, 20, 3)
    wanted = Wanted(truth=truth + 1, truth_name="truth")
    layers, said = show_result(model, inputs, Done(inputs), wanted)
    likeness = layers[0].metadata[METADATA_KEY]["likeness"]
    assert likeness["psnr"] == pytest.approx(20 * np.log10(data.max() - data.min()), abs=1e-3)
    assert "planes" not in likeness
    assert "mean of" not in said
