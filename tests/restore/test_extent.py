"""Growing, feathering, regions, the residual: what of an image a run may touch."""

import numpy as np
import pytest

from napari_mganprior.damage import DamageConfig, grown, mixing_share
from napari_mganprior.errors import MaskError
from napari_mganprior.restore import Inpainting


def finished(*args, **keywords):
    run = Inpainting(*args, device="cpu", **keywords)
    for _ in run:
        pass
    return run.result()


def test_only_damage_inside_the_region_is_restored(scene, holes, tiny_prior, quick):
    """Law: what lies outside the region stays, and the hole outside is not taken for measured."""
    other = scene.copy()
    other[holes & (np.indices(holes.shape)[0] > 20)] = 255  # differs in the hole outside only
    region = DamageConfig(region=(0, 0, 20, 30))
    result, same = (
        finished(image, holes, tiny_prior, config=quick, damage=region) for image in (scene, other)
    )
    assert result.invented[5:11, 4:12].all()
    assert result.invented.sum() == 48
    assert np.array_equal(result.image[~result.invented], scene[~result.invented])
    assert np.array_equal(result.image[5:11, 4:12], same.image[5:11, 4:12])
    assert result.recipe["damage"]["region"] == [0, 0, 20, 30]


def test_grown_damage_is_invented_and_feathered_into_what_was_measured(
    scene, holes, tiny_prior, quick
):
    """Law: outside the grown damage nothing changes; feathered pixels lie between both images."""
    plain = finished(scene, holes, tiny_prior, config=quick, damage=DamageConfig(grow=3))
    mixed = finished(scene, holes, tiny_prior, config=quick, damage=DamageConfig(grow=3, feather=2))
    wide = grown(holes, 3)
    assert np.array_equal(plain.invented, wide)
    assert np.array_equal(mixed.invented, wide)
    for result in (plain, mixed):
        assert np.array_equal(result.image[~wide], scene[~wide])
    share = mixing_share(holes, DamageConfig(grow=3, feather=2))
    wanted = share * plain.image.astype(float) + (1 - share) * scene
    assert np.abs(mixed.image - wanted)[wide].max() <= 1.0  # rounded once more
    assert np.array_equal(mixed.image[holes], plain.image[holes])


def test_what_was_not_measured_cannot_be_mixed_in(scene, holes, tiny_prior, quick):
    image = scene.astype(np.float32)
    image[4, 4:12] = np.nan  # in the ring that is grown
    config = DamageConfig(grow=1, feather=1)
    result = finished(image, holes, tiny_prior, config=quick, damage=config)
    assert np.isfinite(result.image).all()


def test_a_region_without_damage_is_refused(scene, holes, tiny_prior, quick):
    with pytest.raises(MaskError, match="no damage inside the region"):
        Inpainting(
            scene, holes, tiny_prior, config=quick, damage=DamageConfig(region=(12, 0, 20, 50))
        )


def test_damage_that_grows_over_everything_is_refused(scene, holes, tiny_prior, quick):
    with pytest.raises(MaskError, match="leaves 0 of 2000 pixels"):
        Inpainting(scene, holes, tiny_prior, config=quick, damage=DamageConfig(grow=100))


@pytest.mark.parametrize("zoom", [1.0, 1.5])
def test_the_residual_is_what_was_drawn_minus_what_was_measured(
    scene, holes, tiny_prior, quick, zoom
):
    """Law: 0 in holes and where no window was; elsewhere the misfit, in the image's units."""
    image = scene.astype(np.float32) * 7
    result = finished(image, holes, tiny_prior, config=quick, zoom=zoom)
    assert result.residual.shape == image.shape
    assert (result.residual[holes] == 0).all()
    seen = result.residual != 0
    assert seen.sum() > 500
    assert 1 < np.abs(result.residual).max() < 7 * 255


def test_a_stopped_run_has_a_residual_where_it_has_drawn(scene, holes, tiny_prior, quick):
    run = Inpainting(scene, holes, tiny_prior, config=quick, device="cpu")
    next(iter(run))
    residual = run.result().residual
    assert 0 < (residual != 0).sum() < residual.size - holes.sum()
