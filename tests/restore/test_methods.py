"""The methods through the tasks: their codes kept, gone on from, repeated, and refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_mganprior import invert, load_codes, replay, save_codes
from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError, StorageError
from napari_mganprior.generators.checkpoint import LoadedPrior, add_encoder, load_prior
from napari_mganprior.generators.encoder import Encoder
from napari_mganprior.inversion.codes import compose
from napari_mganprior.inversion.config import METHODS
from napari_mganprior.restore import Inpainting, Reconstruction, SuperResolution
from napari_mganprior.restore.search import tensor_codes


@pytest.fixture(scope="module")
def encoding_path(prior_folder, tiny_prior_path, tmp_path_factory):
    generator = load_prior(tiny_prior_path).generator
    encoder = Encoder(
        resolution=32, widths=(8, 8, 8), code_dim=16, code_radius=generator.code_radius,
        image_channels=1,
    )  # fmt: skip
    encoder.initialise(seeded(0))
    path = tmp_path_factory.mktemp("encoding") / "encoding.safetensors"
    add_encoder(tiny_prior_path, path, encoder, {})
    return path


@pytest.fixture(scope="module")
def prior(encoding_path) -> LoadedPrior:
    return load_prior(encoding_path)


@pytest.fixture(autouse=True)
def own_priors(encoding_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(encoding_path.parent))


@pytest.fixture
def small(quick):
    return replace(quick, n_codes=3, n_steps=6)


def finished(run):
    for _ in run:
        pass
    return run.result()


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_repeats_every_method(scene, holes, prior, small, method):
    """Law: the recipe names the method, and gives the same pixels again."""
    config = replace(small, method=method, tune_steps=2)
    run = Inpainting(scene, holes, prior, config=config, device="cpu", seed=3)
    steps = list(run)
    result = run.result()
    assert max(step.index for step in steps) <= steps[-1].n_steps == 2 * config.n_evaluations
    assert result.recipe["config"]["method"] == method
    again = replay(json.loads(json.dumps(result.recipe)), scene)
    assert np.array_equal(again.image, result.image)
    assert np.array_equal(again.image[~holes], scene[~holes])


@pytest.mark.parametrize("method", METHODS)
def test_codes_of_every_method_come_back_and_draw_the_image(scene, prior, small, tmp_path, method):
    """Law: saved and loaded, composed at their cut, they draw what was found."""
    config = replace(small, method=method, held_out=0.0)
    run = Reconstruction(scene, prior, config=config, device="cpu")
    steps = iter(run)
    for _ in range(1 if method == "encoder" else 3):
        next(steps)
    _, step = run._current
    codes = run.result().codes
    save_codes(tmp_path / "codes.npz", codes, prior.sha256)
    (loaded,) = load_codes(tmp_path / "codes.npz", prior.sha256)
    assert (loaded.method, loaded.layer) == (method, step.layer)
    restarts = np.arange(len(loaded.z))
    drawn = compose(prior.generator, tensor_codes(loaded, restarts), loaded.layer)
    torch.testing.assert_close(drawn, step.image[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "method", ["single-code", "pulse", "features", "multi-cut", "encoder-optimised"]
)
def test_a_continued_run_begins_where_the_first_ended(scene, prior, small, method):
    config = replace(small, method=method, held_out=0.0, n_candidates=1)
    first = finished(Reconstruction(scene, prior, config=config, device="cpu"))
    second = Reconstruction(scene, prior, config=config, device="cpu", start=first)
    begun = next(iter(second)).loss
    assert begun <= first.history[config.n_steps - 1] * (1 + 1e-4)


def test_codes_of_another_method_are_left_alone(scene, prior, small):
    """Law: a run begins the same with and without codes that another method found."""
    first = finished(Reconstruction(scene, prior, config=small, device="cpu"))
    config = replace(small, method="single-code")
    alone, begun = (
        next(iter(Reconstruction(scene, prior, config=config, device="cpu", codes=codes))).loss
        for codes in ((), first.codes)
    )
    assert alone == begun


def test_a_small_measurement_is_encoded_too(scene, prior, small):
    """Law: the encoder is shown pixels of the drawing's size, whatever the operator's are."""
    config = replace(small, method="encoder")
    low = scene[:16, :16]
    result = finished(SuperResolution(low, prior, factor=2, config=config, device="cpu"))
    assert result.image.shape == (32, 32)


def test_functions_take_a_method(scene, encoding_path):
    """Law: the method is searched by, so that results differ."""
    part, options = scene[:32, :32], {"prior": encoding_path, "device": "cpu", "quality": "fast"}
    single, encoded = (invert(part, method=m, **options) for m in ("single-code", "encoder"))
    assert not np.array_equal(single, encoded)
    with pytest.raises(SettingsError, match="Got method = 'magic'"):
        invert(part, method="magic", **options)


def test_methods_without_what_they_need_are_refused_at_the_door(scene, holes, tiny_prior, small):
    """Law: before a step is made; also at the cut for thin damage."""
    with pytest.raises(SettingsError, match="Got the method 'encoder' for a prior without an enc"):
        Inpainting(scene, holes, tiny_prior, config=replace(small, method="encoder"))
    config = replace(small, method="multi-cut", layer=4, fine_layer=1)
    with pytest.raises(SettingsError, match="'multi-cut' at the cut 1; wanted 2 or deeper"):
        Inpainting(scene, holes, tiny_prior, config=config)


def test_damaged_codes_are_refused(scene, prior, small, tmp_path):
    path = tmp_path / "codes.npz"
    config = replace(small, method="multi-cut")
    codes = finished(Reconstruction(scene[:32, :32], prior, config=config, device="cpu")).codes
    save_codes(path, codes, prior.sha256)
    held = dict(np.load(path))
    assert "0/early/z" in held
    for change in ({"0/method": np.array("magic")}, {"0/early/z": held["0/early/z"][:1]}):
        np.savez(path, **{**held, **change})
        with pytest.raises(StorageError, match="Could not read codes from"):
            load_codes(path)
