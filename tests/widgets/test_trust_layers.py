"""Residual and history layers. No window."""

import numpy as np
import pytest

from napari_mganprior.widgets.inputs import Choice, take_inputs
from napari_mganprior.widgets.trust_layers import add_history, add_residual

PLACES = {
    "flat": ((9, 8), {"scale": (0.5, 0.25), "translate": (3.0, -4.0)}),
    "turned": ((9, 8), {"scale": (0.5, 0.25), "rotate": 30, "shear": [0.2], "units": ("um", "um")}),
    "affine": ((9, 8), {"affine": np.array([[1.0, 0.1, 5.0], [0.0, 0.9, 2.0], [0.0, 0.0, 1.0]])}),
    "slice": ((4, 9, 8), {"scale": (2.0, 0.5, 0.25), "axis_labels": ("z", "y", "x")}),
}


def taken(model, shape, place, *, rgb=False, scope="slice"):
    data = np.ones((*shape, 3) if rgb else shape, np.float32)
    image = model.add_image(data, name="cells", rgb=rgb, **place)
    mask = np.zeros(shape, int)
    mask[..., 2, 3] = 1
    labels = model.add_labels(mask, **place)
    return image, take_inputs(Choice(image=image, damage=labels, scope=scope), model)


@pytest.mark.parametrize("case", PLACES)
def test_the_pictures_of_a_history_lie_over_their_image(model, case):
    """Law: scrubbing changes the picture, not its place."""
    image, inputs = taken(model, *PLACES[case])
    frames = [inputs.image * number for number in range(6)]
    layer = add_history(model, inputs, frames, (1, 2, 4, 8, 16, 32), "cells inpainted")
    assert layer.name == "cells inpainted: history"
    assert layer.data.shape == (6, *(1,) * (image.ndim - 2), 9, 8)
    assert layer.metadata == {"steps": [1, 2, 4, 8, 16, 32]}
    for row, column in ((0, 0), (8, 7)):
        rest = (0,) * (image.ndim - 2)
        at = inputs.plane.point[: image.ndim - 2]
        there = layer.data_to_world((3, *rest, row, column))
        assert there[0] == pytest.approx(3)
        assert np.allclose(there[1:], image.data_to_world((*at, row, column)))
    assert model.dims.current_step[0] == 5
    if case == "slice":
        assert layer.axis_labels == ("iteration", "z", "y", "x")


@pytest.mark.parametrize("scope", ["slice", "channels"])
def test_a_history_keeps_its_colours(model, scope):
    _, inputs = taken(model, (9, 8), {}, rgb=True, scope=scope)
    layer = add_history(model, inputs, [inputs.image] * 2, (1, 2), "x")
    assert layer.rgb
    assert layer.data.shape == (2, 9, 8, 3)


def test_a_residual_shows_too_dark_and_too_bright_alike(model):
    image, inputs = taken(model, *PLACES["flat"])
    residual = np.zeros((9, 8), np.float32)
    residual[1, 1], residual[2, 2] = -3, 2
    layer = add_residual(model, inputs, residual, "cells inpainted")
    assert layer.name == "cells inpainted: residual"
    assert layer.contrast_limits == [-3, 3]
    assert np.array_equal(layer.data, residual)
    assert layer.data_to_world((1, 1)) == image.data_to_world((1, 1))
    dark, clear, bright = layer.colormap.map(np.array([0.0, 0.5, 1.0]))
    assert clear[3] == pytest.approx(0, abs=0.02)
    assert dark[0] > dark[1]
    assert bright[1] > bright[0]
    assert add_residual(model, inputs, residual * 0, "x").contrast_limits == [-1, 1]


@pytest.mark.parametrize("scope", ["slice", "channels"])
def test_the_residual_of_colours_is_their_mean(model, scope):
    _, inputs = taken(model, (9, 8), {}, rgb=True, scope=scope)
    residual = np.zeros(inputs.image.shape, np.float32)
    residual[(slice(None), 1, 1) if scope == "channels" else (1, 1)] = (3, 6, -3)
    layer = add_residual(model, inputs, residual, "x")
    assert not layer.rgb
    assert layer.data[1, 1] == pytest.approx(2)
