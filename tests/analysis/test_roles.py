"""The roles of codes: what changes without each, and which codes are refused."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_mganprior import code_roles
from napari_mganprior.analysis import CodeRoles
from napari_mganprior.errors import ComputeError, PriorError
from napari_mganprior.inversion.codes import Codes, compose
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore import Reconstruction, save_codes

CONFIG = InversionConfig(
    layer=3, fine_layer=3, n_codes=3, n_restarts=2, n_steps=3, held_out=0.0, precision="float32"
)


@pytest.fixture
def image():
    rows, columns = np.mgrid[:16, :24]
    return (127 + 60 * np.sin(rows / 4) + 50 * np.cos(columns / 5)).astype(np.uint8)


def run(roles):
    for _ in roles:
        pass
    return roles.result()


def test_every_pixel_has_the_code_whose_removal_changes_it_most(image, tiny16_prior):
    """Law: contribution n is the drawing minus that with alpha_n = 0; the label is the largest."""
    roles = run(CodeRoles(image, tiny16_prior, config=CONFIG))
    assert roles.labels.shape == (16, 16)
    assert roles.contributions.shape == roles.alone.shape == (3, 16, 16)
    (codes,) = roles.codes
    z, alpha = torch.from_numpy(codes.z), torch.from_numpy(codes.alpha)
    with torch.no_grad():
        whole = compose(tiny16_prior.generator, Codes(z, alpha), 3)
        for n in range(3):
            without = alpha.clone()
            without[:, n] = 0
            change = whole - compose(tiny16_prior.generator, Codes(z, without), 3)
            only = torch.zeros_like(alpha)
            only[:, n] = alpha[:, n]
            alone = compose(tiny16_prior.generator, Codes(z, only), 3)
            low, high = np.percentile(image[:, 4:20], [1.0, 99.8])
            wanted = change[0, 0].numpy() * (high - low) / 2
            assert np.allclose(roles.contributions[n], wanted, atol=1e-3)
            wanted = low + (alone[0, 0].numpy() + 1) / 2 * (high - low)
            assert np.allclose(roles.alone[n], wanted, atol=1e-2)
    assert np.array_equal(roles.labels, np.abs(roles.contributions).argmax(axis=0) + 1)
    assert sum(roles.shares()) == pytest.approx(1)
    rows = list(csv.DictReader(io.StringIO(roles.to_csv())))
    assert [int(row["code"]) for row in rows] == [1, 2, 3]


def test_codes_of_a_file_are_those_looked_at(image, tiny16_prior, tiny16_prior_path, tmp_path):
    """Law: codes found before give the same roles as the search that found them."""
    part = image[:, 4:20]
    found = Reconstruction(part, tiny16_prior, config=CONFIG)
    for _ in found:
        pass
    codes = found.result().codes
    save_codes(tmp_path / "codes.npz", codes, tiny16_prior.sha256)
    given = code_roles(image, prior=tiny16_prior_path, codes=tmp_path / "codes.npz")
    searched = run(CodeRoles(image, tiny16_prior, config=CONFIG))
    assert np.array_equal(given.labels, searched.labels)
    assert given.recipe["inversion"] is None
    assert searched.recipe["inversion"]["seed"] == 0


def test_the_best_restart_is_looked_at(image, tiny16_prior):
    codes = run(CodeRoles(image, tiny16_prior, config=CONFIG)).codes[0]
    rng = np.random.default_rng(0)
    worse = replace(
        codes,
        z=np.concatenate([rng.normal(size=codes.z.shape).astype(np.float32), codes.z]),
        alpha=np.concatenate([codes.alpha * 0 + 1 / 3, codes.alpha]),
    )
    kept = run(CodeRoles(image, tiny16_prior, codes=[worse])).codes[0]
    assert np.array_equal(kept.z, codes.z)


def test_colours_and_windows(image, tiny_rgb_prior):
    rgb = np.stack([image, image[::-1], image[:, ::-1]], axis=-1)
    roles = run(CodeRoles(rgb, tiny_rgb_prior, config=CONFIG, region="whole"))
    assert roles.labels.shape == image.shape
    assert roles.contributions.shape == (3, *rgb.shape)
    assert len(roles.codes) == 2
    assert roles.labels.min() >= 1


def test_it_may_be_abandoned(image, tiny16_prior):
    roles = CodeRoles(image, tiny16_prior, config=CONFIG)
    with pytest.raises(ComputeError, match="Got no code taken out yet"):
        roles.result()
    for step in roles:
        assert roles.preview().shape == (16, 16)
        if step.doing == "taking out code 2 of 3":
            break
    assert len(roles.result().contributions) == 2


def test_codes_of_another_prior_are_refused(image, tiny16_prior, tiny_prior_path, tmp_path):
    """By the hash where they come from a file, by their numbers where they do not."""
    codes = run(CodeRoles(image, tiny16_prior, config=CONFIG)).codes
    save_codes(tmp_path / "codes.npz", codes, tiny16_prior.sha256)
    with pytest.raises(PriorError, match="Got codes of the prior of sha256"):
        code_roles(image, prior=tiny_prior_path, codes=tmp_path / "codes.npz")
    for wrong in (
        {"z": codes[0].z[..., :5]},
        {"alpha": codes[0].alpha[..., :5]},
        {"layer": 60},
    ):
        with pytest.raises(PriorError, match="which do not fit the prior 'tiny16'"):
            CodeRoles(image, tiny16_prior, codes=[replace(codes[0], **wrong)])


def test_codes_of_another_part_are_refused(image, tiny16_prior):
    codes = run(CodeRoles(image, tiny16_prior, config=CONFIG)).codes
    elsewhere = [replace(codes[0], top=64)]
    with pytest.raises(PriorError, match="Got codes of no window of this image"):
        run(CodeRoles(image, tiny16_prior, codes=elsewhere))
    mixed = [codes[0], replace(codes[0], left=8, z=codes[0].z[:, :2], alpha=codes[0].alpha[:, :2])]
    with pytest.raises(PriorError, match="Got codes of several cuts or numbers"):
        run(CodeRoles(image, tiny16_prior, codes=mixed, region="whole"))


def test_a_search_without_codes_is_refused_and_one_at_two_cuts_has_one_more(image, tiny16_prior):
    """Of codes at a shallower cut, all that they draw together counts as one more code."""
    codes = run(CodeRoles(image, tiny16_prior, config=CONFIG)).codes[0]
    none = replace(codes, z=codes.z[:, :0], alpha=codes.alpha[:, :0], method="features")
    with pytest.raises(PriorError, match="found by the method 'features', which has none"):
        CodeRoles(image, tiny16_prior, codes=[none])
    config = replace(CONFIG, method="multi-cut")
    roles = run(CodeRoles(image, tiny16_prior, config=config))
    assert len(roles.contributions) == roles.codes[0].alpha.shape[1]
