"""Counting the windows of a run before it begins."""

import numpy as np
import pytest

from napari_mganprior.damage import DamageConfig
from napari_mganprior.inversion.config import preset
from napari_mganprior.restore import Inpainting
from napari_mganprior.runs.windows import Windows, count_windows, plan_windows

SHAPE = (70, 93)


def spots(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, bool)
    for _ in range(int(rng.integers(1, 12))):
        top, left = rng.integers(0, 60, 2)
        height, width = rng.integers(1, 30, 2)
        mask[top : top + height, left : left + width] = True
    return mask


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)


@pytest.mark.parametrize("zoom", [1.0, 0.5, 0.9, 1.7])
@pytest.mark.parametrize("seed", range(6))
def test_the_count_is_that_of_the_run(tiny16_prior, image, seed, zoom):
    """Law: plan_windows(mask) = Inpainting(image, mask).n_windows."""
    mask = spots(seed)
    run = Inpainting(image, mask, tiny16_prior, zoom=zoom, device="cpu")
    assert plan_windows(mask, resolution=16, zoom=zoom) == run.n_windows


@pytest.mark.parametrize("zoom", [1.0, 1.7])
@pytest.mark.parametrize("grow", [0, 4])
@pytest.mark.parametrize("region", [None, (0, 0, 45, 50)])
def test_grown_damage_in_a_region_is_counted_as_it_is_searched(
    tiny16_prior, image, zoom, grow, region
):
    """Law: the same with damage grown and a region chosen."""
    mask = spots(2)
    damage = DamageConfig(grow=grow, region=region)
    run = Inpainting(image, mask, tiny16_prior, zoom=zoom, damage=damage, device="cpu")
    counted = plan_windows(mask, resolution=16, zoom=zoom, grow=grow, region=region)
    assert counted == run.n_windows


@pytest.mark.parametrize("zoom", [1.0, 1.7])
def test_thick_and_thin_add_up_and_are_told_as_the_run_tells_them(zoom):
    """Law: thick + thin = all; thin is what no pixel is deeper in than fine_depth."""
    seen = Windows()
    for seed in range(6):
        mask = spots(seed)
        counted = count_windows(mask, resolution=16, zoom=zoom)
        assert counted.total == plan_windows(mask, resolution=16, zoom=zoom)
        seen = Windows(seen.thick + counted.thick, seen.thin + counted.thin)
    assert seen.thick > 0
    assert seen.thin > 0
    line = np.zeros(SHAPE, bool)
    line[30:33, 5:80] = True
    disc = np.hypot(*(np.indices(SHAPE) - 35)) < 2 * preset("fast").fine_depth
    assert count_windows(line, resolution=32).thick == 0
    assert count_windows(disc, resolution=32) == Windows(1, 0)


def test_many_windows_are_all_counted_though_few_are_looked_at():
    mask = np.random.default_rng(0).random((512, 512)) < 0.02
    counted = count_windows(mask, resolution=16)
    assert counted.thin == counted.total == plan_windows(mask, resolution=16)
    assert counted.total > 300


def test_a_stack_is_the_sum_of_its_planes():
    """Law: plan(stack) = sum of plan(plane); a plane without damage costs nothing."""
    stack = np.stack([spots(0), np.zeros(SHAPE, bool), spots(3)])
    single = [plan_windows(plane, resolution=16) for plane in stack]
    assert single[1] == 0
    assert plan_windows(stack, resolution=16) == sum(single)
    assert count_windows(stack, resolution=16).total == sum(single)


def test_growing_is_growing_the_mask():
    """Law: plan(mask, grow) = plan(every pixel within that distance)."""
    mask = np.zeros(SHAPE, bool)
    mask[30, 40] = True
    disc = np.hypot(*(np.indices(SHAPE) - np.array([30, 40])[:, None, None])) <= 20
    wanted = plan_windows(disc, resolution=16)
    assert plan_windows(mask, resolution=16, grow=20) == wanted
    assert wanted > plan_windows(mask, resolution=16) == 1
    assert plan_windows(np.zeros(SHAPE, bool), resolution=16, grow=20) == 0


def test_only_damage_inside_a_region_counts():
    """Law: plan(mask, region) = plan(mask and region)."""
    mask = spots(2)
    mask[5, 5] = mask[60, 85] = True
    top, left, bottom, right = region = (0, 0, 40, 40)
    inside = np.zeros(SHAPE, bool)
    inside[top:bottom, left:right] = True
    counted = plan_windows(mask, resolution=16, region=region)
    assert counted == plan_windows(mask & inside, resolution=16)
    assert 0 < counted < plan_windows(mask, resolution=16)
    assert plan_windows(mask & ~inside, resolution=16, region=region) == 0
