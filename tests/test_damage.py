"""From marked damage to what a run may change."""

import numpy as np
import pytest

from napari_mganprior.damage import (
    DamageConfig,
    grown,
    in_region,
    mixing_share,
    pack_mask,
    unpack_mask,
)
from napari_mganprior.errors import MaskError, SettingsError


def _disc(radius: float = 4.0) -> np.ndarray:
    rows, columns = np.indices((30, 34))
    return np.hypot(rows - 15, columns - 16) <= radius


@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_a_disc_grows_into_a_larger_disc(pixels):
    """Law: what was marked stays marked, and nothing further away than asked for is added."""
    mask = grown(_disc(), pixels)
    assert (mask >= _disc()).all()
    assert (mask <= _disc(4.0 + pixels + 1e-9)).all()
    assert mask.sum() > _disc(3.5 + pixels).sum() - 1


def test_without_damage_nothing_grows():
    assert not grown(np.zeros((5, 5), bool), 3).any()


def test_the_share_falls_from_the_marked_damage_to_the_rim():
    """Law: 1 on what was marked, between 0 and 1 on the feathered ring, 0 outside."""
    config = DamageConfig(grow=5, feather=3)
    mask = _disc()
    share = mixing_share(mask, config)
    ring = grown(mask, 5) & ~grown(mask, 2)
    assert (share[mask] == 1).all()
    assert (share[grown(mask, 2)] == 1).all()
    assert ((share[ring] > 0) & (share[ring] < 1)).all()
    assert (share[~grown(mask, 6)] == 0).all()
    assert share[ring].min() >= 1 / 4 - 1e-9
    assert mixing_share(mask, DamageConfig(grow=5)) is None


def test_a_region_leaves_other_damage_out():
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[10:12, 10:12] = True
    inside = in_region(mask, (0, 0, 8, 8))
    assert inside[2:4, 2:4].all()
    assert inside.sum() == 4
    assert in_region(mask, None) is mask
    with pytest.raises(MaskError, match=r"no damage inside the region \(rows 5 to 9"):
        in_region(mask, (5, 5, 9, 9))


@pytest.mark.parametrize("dimensions", [(1, 1), (7, 9), (3, 16, 11)])
def test_a_packed_mask_unpacks_to_itself(dimensions):
    mask = np.random.default_rng(0).random(dimensions) < 0.3
    assert np.array_equal(unpack_mask(pack_mask(mask), dimensions), mask)


@pytest.mark.parametrize(
    ("text", "dimensions"),
    [
        ("no base 64!", (4, 4)),
        ("aGVsbG8=", (4, 4)),
        (pack_mask(np.ones((4, 4), bool)), (40, 40)),
        # more than the mask it claims to be: it must not be unpacked
        (pack_mask(np.zeros((4000, 4000), bool)), (4, 4)),
        (pack_mask(np.ones((4, 4), bool)), (0, 4)),
        (pack_mask(np.ones((4, 4), bool)), (2**20, 2**20)),
    ],
)
def test_a_damaged_packed_mask_is_refused(text, dimensions):
    with pytest.raises(MaskError, match="whose mask is damaged"):
        unpack_mask(text, dimensions)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grow": -1}, "grow = -1; wanted 0 to 1000"),
        ({"grow": 1.5}, "whole number of pixels"),
        ({"grow": True}, "whole number of pixels"),
        ({"grow": 2, "feather": 3}, "feather = 3 with grow = 2; wanted 0 to 2"),
        ({"region": (0, 0, 5)}, "four whole numbers"),
        ({"region": (0, 0, 5, 5.5)}, "four whole numbers"),
        ({"region": (5, 0, 5, 5)}, "wanted 0 <= top < bottom"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        DamageConfig(**wrong)


def test_settings_come_back_from_json():
    config = DamageConfig(grow=3, feather=1, region=(1, 2, 3, 4))
    assert DamageConfig.from_dict(config.to_dict()) == config
    assert DamageConfig.from_dict({}) == DamageConfig()
    with pytest.raises(SettingsError, match="unknown settings"):
        DamageConfig.from_dict({"blur": 1})
