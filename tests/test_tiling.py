"""Laws of the tile plan."""

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_mganprior.tiling import plan_grid, plan_tiles


def _disc(shape: tuple[int, int], row: int, column: int, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.indices(shape)
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)


def _random(share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random((150, 203)) < share


MASKS = {
    "one pixel in a corner": np.pad(np.ones((1, 1), bool), ((0, 149), (202, 0))),
    "one disc": _disc((150, 203), 70, 90, 9),
    "two discs side by side": _disc((150, 203), 70, 90, 9) | _disc((150, 203), 70, 115, 9),
    "a hole larger than a window": _disc((150, 203), 80, 100, 60),
    "a scratch across": np.eye(150, 203, dtype=bool),
    "80 % of the pixels": _random(0.8),
    "5 % of the pixels": _random(0.05),
    "a frame along the border": ~np.pad(np.ones((146, 199), bool), 2),
}


@pytest.fixture(params=MASKS, ids=str)
def mask(request: pytest.FixtureRequest) -> NDArray[np.bool_]:
    return MASKS[request.param]


def test_every_damaged_pixel_is_covered(mask: NDArray[np.bool_]) -> None:
    covered = np.zeros(mask.shape, bool)
    for window in plan_tiles(mask, size=32).windows:
        covered[window.slices] = True
    assert covered[mask].all()


def test_every_window_lies_inside_and_holds_damage(mask: NDArray[np.bool_]) -> None:
    plan = plan_tiles(mask, size=32)
    for window in plan.windows:
        assert mask[window.slices].shape == (32, 32)
        assert mask[window.slices].any()
    assert len(set(plan.windows)) == len(plan.windows)


def test_blending_leaves_a_constant_constant(mask: NDArray[np.bool_]) -> None:
    plan = plan_tiles(mask, size=32)
    total, weight = np.zeros(mask.shape), np.zeros(mask.shape)
    for window in plan.windows:
        total[window.slices] += 3.0 * plan.weights
        weight[window.slices] += plan.weights
    np.testing.assert_allclose(total[mask] / weight[mask], 3.0)


def test_no_more_windows_than_a_full_grid_takes(mask: NDArray[np.bool_]) -> None:
    full = plan_tiles(np.ones_like(mask), size=32)
    assert len(plan_tiles(mask, size=32).windows) <= 2 * len(full.windows)


def test_a_piece_that_fits_gets_one_centred_window() -> None:
    (window,) = plan_tiles(_disc((150, 203), 70, 90, 9), size=32).windows
    assert abs(window.top + 16 - 70) <= 1
    assert abs(window.left + 16 - 90) <= 1


def test_small_neighbours_share_a_window() -> None:
    mask = np.zeros((100, 100), bool)
    mask[40:44, 40:44] = mask[50:54, 50:54] = True
    assert len(plan_tiles(mask, size=32).windows) == 1


def test_only_windows_that_touch_damage_are_planned() -> None:
    mask = np.zeros((500, 500), bool)
    mask[10:14, 10:14] = mask[480:484, 480:484] = True
    assert len(plan_tiles(mask, size=32).windows) == 2


def test_weights_fall_towards_the_rim_and_stay_above_zero() -> None:
    weights = plan_tiles(np.ones((64, 64), bool), size=32).weights
    assert weights.min() > 0
    assert weights.max() == 1
    assert weights[16, 0] < weights[16, 4] < weights[16, 16]


def test_overlapping_names_windows_that_share_pixels() -> None:
    plan = plan_tiles(np.ones((64, 200), bool), size=64)
    seen = np.zeros((64, 200), int)
    first = plan.windows[0]
    seen[first.slices] = 1
    expected = [n for n, w in enumerate(plan.windows) if seen[w.slices].any()]
    assert list(plan.overlapping(first)) == expected
    assert len(expected) < len(plan.windows)


def test_no_damage_no_windows() -> None:
    assert plan_tiles(np.zeros((40, 40), bool), size=32).windows == ()


def test_an_image_smaller_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="no window of 32 px fits"):
        plan_tiles(np.ones((31, 40), bool), size=32)


@pytest.mark.parametrize(
    ("shape", "size", "step"), [((64, 64), 64, 8), ((160, 96), 32, 16), ((70, 33), 33, 1)]
)
def test_a_grid_covers_everything_in_whole_steps(
    shape: tuple[int, int], size: int, step: int
) -> None:
    plan = plan_grid(shape, size=size, step=step)
    covered = np.zeros(shape, bool)
    for window in plan.windows:
        assert window.top % step == window.left % step == 0
        covered[window.slices] = True
    assert covered.all()
    assert plan.weights.min() > 0


def test_a_grid_of_parts_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole steps"):
        plan_grid((64, 60), size=32, step=8)
