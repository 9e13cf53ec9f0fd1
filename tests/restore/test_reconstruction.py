"""Laws of inverting an image, and of codes in files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_mganprior import Reconstruction, invert, load_codes, replay, save_codes
from napari_mganprior.errors import ImageError, PriorError, StorageError
from napari_mganprior.restore.codes_file import image_sha256_in


def result_of(run):
    for _ in run:
        pass
    return run.result()


def test_the_drawing_is_the_result(scene, tiny_prior, quick):
    """Law: image = input + residual, where nothing was cut off."""
    image = scene.astype(np.float32)
    result = result_of(Reconstruction(image, tiny_prior, config=quick, device="cpu"))
    inside = (result.image > image.min()) & (result.image < image.max())
    np.testing.assert_allclose(
        (image + result.residual)[inside], result.image[inside], rtol=1e-4, atol=1e-3
    )
    assert not result.invented.any()
    assert (result.uncertainty > 0).all()


def test_codes_come_back_from_a_file_and_are_begun_at(scene, tiny_prior, quick, tmp_path):
    """Law: bit by bit; a search that begins at them is at its first step no worse than before."""
    quick = replace(quick, held_out=0.0)  # with another seed other pixels would be held out
    first = result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu"))
    path = tmp_path / "codes.npz"
    save_codes(path, first.codes, tiny_prior.sha256)
    codes = load_codes(path, tiny_prior.sha256)
    assert len(codes) == len(first.codes)
    for one, other in zip(codes, first.codes, strict=True):
        assert (one.top, one.left, one.layer, one.code_space) == (
            other.top, other.left, other.layer, other.code_space
        )  # fmt: skip
        assert np.array_equal(one.z, other.z)
        assert np.array_equal(one.alpha, other.alpha)
    again = Reconstruction(scene, tiny_prior, config=quick, device="cpu", codes=codes, seed=9)
    assert next(iter(again)).loss <= first.history[quick.n_steps - 1] * 1.01


def test_files_that_hold_no_codes_are_refused(tiny_prior, tmp_path, scene, quick):
    path = tmp_path / "codes.npz"
    with pytest.raises(StorageError, match="Got no codes to save"):
        save_codes(path, (), "0" * 64)
    path.write_bytes(b"nothing")
    with pytest.raises(StorageError, match="Could not read codes from"):
        load_codes(path)
    np.savez(path, format=1, prior_sha256="a", n_windows=1)
    with pytest.raises(StorageError, match="Could not read codes from"):
        load_codes(path)
    result = result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu"))
    save_codes(path, result.codes, "f" * 64)
    with pytest.raises(PriorError, match=r"Got codes of the prior of sha256 fff.* wanted the same"):
        load_codes(path, tiny_prior.sha256)
    with np.load(path) as held:
        arrays = dict(held)
    np.savez(path, **{**arrays, "0/z": arrays["0/z"] * np.nan})
    with pytest.raises(StorageError, match="0/z is float32"):
        load_codes(path)


def test_codes_in_a_file_know_their_image(tiny_prior, tmp_path, scene, quick):
    """Law: refused for another image or another number type; a file without the hash passes."""
    path = tmp_path / "codes.npz"
    result = result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu"))
    sha256 = result.recipe["image"]["sha256"]
    assert image_sha256_in(result.recipe) == sha256
    assert image_sha256_in({**result.recipe, "planes": {}}) is None
    assert image_sha256_in({}) is None
    save_codes(path, result.codes, tiny_prior.sha256, sha256)
    assert len(load_codes(path, tiny_prior.sha256, scene)) == len(result.codes)
    assert len(load_codes(path)) == len(result.codes)
    for other in (scene[::-1], scene.astype(float)):
        with pytest.raises(ImageError, match=rf"Got codes of another image, .* {sha256}, for one"):
            load_codes(path, image=other)
    save_codes(path, result.codes, tiny_prior.sha256)
    assert len(load_codes(path, image=scene[::-1])) == len(result.codes)


def test_a_recipe_gives_the_same_pixels(scene, tiny_prior, quick, monkeypatch, prior_folder):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    result = result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu", zoom=1.2))
    second = replay(json.loads(json.dumps(result.recipe)), scene)
    assert np.array_equal(second.image, result.image)


def test_the_public_function_draws(scene, tiny16_prior_path):
    options = {"prior": tiny16_prior_path, "quality": "fast", "device": "cpu"}
    drawn = invert(scene[:16, :16], **options)
    assert (drawn.shape, drawn.dtype) == ((16, 16), scene.dtype)
    assert np.array_equal(drawn, invert(scene[:16, :16], **options))


def test_bad_input_is_refused_at_the_door(scene, tiny_prior, quick):
    with pytest.raises(ImageError, match="Got a constant image"):
        Reconstruction(np.zeros((20, 20)), tiny_prior)
    codes = result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu")).codes
    longer = replace(codes[0], z=np.repeat(codes[0].z, 2, axis=2))
    with pytest.raises(PriorError, match="Got codes of 32 numbers for the prior 'tiny'"):
        Reconstruction(scene, tiny_prior, codes=[longer])
