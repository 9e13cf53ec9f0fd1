"""Laws of reading windows and blending them back."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import resize

from napari_mganprior.canvas import Canvas, Sheet, corrected


def _scene(shape: tuple[int, int] = (100, 120)) -> NDArray[np.float32]:
    rows, columns = np.indices(shape)
    smooth = np.sin(rows / 9) * np.cos(columns / 13) * 0.8
    return smooth.astype(np.float32)


def _hole(shape: tuple[int, int] = (100, 120), side: int = 50) -> NDArray[np.bool_]:
    hole = np.zeros(shape, bool)
    hole[20 : 20 + side, 30 : 30 + side] = True
    return hole


def _fill_with_truth(canvas: Canvas, truth: NDArray[np.float32], noise: float = 0.0) -> None:
    rng = np.random.default_rng(0)
    for window in canvas.in_order():
        drawn = truth[window.slices][None, ..., None]
        fluctuation = rng.normal(0, noise, (4, *drawn.shape[1:])) if noise else 0.0
        canvas.fill(window, (drawn + fluctuation).astype(np.float32))


def test_windows_filled_with_the_truth_give_the_truth() -> None:
    truth, hole = _scene(), _hole()
    canvas = Canvas(np.where(hole, 0, truth), hole, zoom=1, size=32)
    _fill_with_truth(canvas, truth)
    picture, deviation, filled = canvas.picture()
    np.testing.assert_allclose(picture, truth, atol=1e-5)
    assert filled.all()
    assert deviation.max() < 1e-6


def test_no_step_at_seams() -> None:
    """Every window errs by an offset of its own: blending must hide where windows end."""
    truth, hole = _scene(), _hole(side=70)
    canvas = Canvas(np.where(hole, 0, truth), hole, zoom=1, size=32)
    offsets = np.random.default_rng(1)
    for window in canvas.in_order():
        drawn = truth[window.slices] + offsets.normal(0, 0.2)
        canvas.fill(window, drawn[None, ..., None].astype(np.float32))
    error = canvas.picture()[0] - truth
    steps = np.abs(np.diff(error, axis=0))[hole[1:]], np.abs(np.diff(error, axis=1))[hole[:, 1:]]
    assert max(s.max() for s in steps) < 0.1  # half of one offset's standard deviation
    assert np.abs(error[~hole]).max() < 1e-6


def test_a_hole_is_filled_from_its_rim_inwards() -> None:
    hole = np.zeros((160, 160), bool)
    hole[10:150, 10:150] = True
    canvas = Canvas(np.zeros((160, 160), np.float32), hole, zoom=1, size=32)
    known = np.array([])
    for window in canvas.in_order():
        weight = canvas.read(window)[1]
        known = np.append(known, (weight > 0).mean())
        canvas.fill(window, np.zeros((1, 32, 32, 1), np.float32))
    assert len(known) == len(canvas.plan.windows)
    assert (known > 0).all()  # though many windows hold no measured pixel


def test_measured_pixels_weigh_one_and_filled_ones_less() -> None:
    truth, hole = _scene(), _hole()
    canvas = Canvas(np.where(hole, 0, truth), hole, zoom=1, size=32)
    first, second = list(canvas.plan.windows)[:2]
    assert set(np.unique(canvas.read(second)[1])) <= {0.0, 1.0}
    canvas.fill(first, truth[first.slices][None, ..., None])
    values, weight = canvas.read(second)
    some = (weight > 0) & (weight < 1)
    assert some.any()
    assert (some <= hole[second.slices]).all()
    np.testing.assert_allclose(values[some][:, 0], truth[second.slices][some], atol=1e-5)


def test_the_spread_over_restarts_is_the_uncertainty() -> None:
    truth, hole = _scene(), _hole(side=20)
    canvas = Canvas(np.where(hole, 0, truth), hole, zoom=1, size=32)
    _fill_with_truth(canvas, truth, noise=0.1)
    deviation = canvas.picture()[1]
    assert 0.05 < deviation[hole].mean() < 0.2
    assert not deviation[~hole].any()


def test_a_preview_changes_nothing() -> None:
    truth, hole = _scene(), _hole()
    canvas = Canvas(np.where(hole, 0, truth), hole, zoom=1, size=32)
    window = canvas.plan.windows[0]
    drawn = truth[window.slices][None, ..., None]
    shown = canvas.picture(window, drawn)[2]
    assert shown[hole].any()
    assert not canvas.picture()[2][hole].any()


@pytest.mark.parametrize("shape", [(16, 16), (16, 70), (40, 20)])
def test_an_image_smaller_than_a_window_is_padded_with_unmeasured_pixels(
    shape: tuple[int, int],
) -> None:
    truth = _scene(shape)
    hole = np.zeros(shape, bool)
    hole[4:9, 5:10] = True
    canvas = Canvas(np.where(hole, 9, truth), hole, zoom=1, size=64)
    for window in canvas.in_order():
        values, weight = canvas.read(window)
        assert weight.sum() <= (~hole).sum()
        canvas.fill(window, values[None])
    picture, _, filled = canvas.picture()
    assert picture.shape == shape
    np.testing.assert_array_equal(picture[~hole], truth[~hole])
    assert filled.all()


@pytest.mark.parametrize("zoom", [0.5, 1.7, 3.0])
def test_zoom_keeps_place_and_values(zoom: float) -> None:
    truth, hole = _scene(), _hole(side=15)
    canvas = Canvas(np.where(hole, 50, truth), hole, zoom=zoom, size=32)
    scaled = resize(truth, [round(n * zoom) for n in truth.shape], anti_aliasing=zoom < 1)
    _fill_with_truth(canvas, scaled)
    picture, _, filled = canvas.picture()
    assert picture.shape == truth.shape
    assert filled.all()
    assert np.abs(picture - truth).max() < 0.05


def test_correction_restores_what_was_measured_and_carries_it_on() -> None:
    truth = _scene((32, 32))[..., None]
    measured = np.ones((32, 32), bool)
    measured[10:20, 10:20] = False
    drawn = np.stack([truth + 0.3, truth - 0.1])  # two restarts, each off by a constant
    result = corrected(drawn, truth, measured)
    np.testing.assert_allclose(result, np.stack([truth, truth]), atol=2e-2)
    np.testing.assert_allclose(
        result[:, measured], np.stack([truth, truth])[:, measured], atol=1e-6
    )


def test_correction_without_measured_pixels_changes_nothing() -> None:
    drawn = np.random.default_rng(0).random((2, 8, 8, 1)).astype(np.float32)
    blank = np.zeros((8, 8, 1), np.float32)
    np.testing.assert_array_equal(corrected(drawn, blank, np.zeros((8, 8), bool)), drawn)


@pytest.mark.parametrize(("zoom", "factor"), [(1.0, 1), (2.0, 1), (1.0, 2), (1.0, 8)])
def test_a_sheet_filled_with_the_truth_gives_the_truth(zoom: float, factor: int) -> None:
    """Law: windows drawn anew, however placed and weighted, add up to the whole."""
    fine = _scene((96, 112)) if factor > 1 else _scene((48, 56))
    rows, columns = (n // factor for n in fine.shape)
    coarse = fine.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    sheet = Sheet(coarse, np.ones(coarse.shape), size=32, zoom=zoom, factor=factor)
    for window in sheet.in_order():
        values = sheet.read(window)[0]
        assert values.shape == (32 // factor, 32 // factor, 1)
        drawn = fine[window.slices] if zoom == 1 else values[..., 0]
        sheet.fill(window, np.stack([drawn, drawn])[..., None])
    picture, deviation, there = sheet.picture()
    np.testing.assert_allclose(picture, fine, atol=0.02 if zoom != 1 else 1e-5)
    assert there.all()
    assert not deviation.any()


def test_a_small_sheet_is_padded_with_what_was_not_measured() -> None:
    sheet = Sheet(_scene((20, 9)), np.ones((20, 9)), size=32)
    (window,) = sheet.in_order()
    values, weight = sheet.read(window)
    assert weight.sum() == 180
    sheet.fill(window, values[None])
    np.testing.assert_allclose(sheet.picture()[0], _scene((20, 9)), atol=1e-6)
