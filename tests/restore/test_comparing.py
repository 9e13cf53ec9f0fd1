"""Networks that compare: chosen, opened without running anything, and measured with."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_mganprior import deep_distance, fetch_weights
from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.inversion.config import overridden, preset
from napari_mganprior.inversion.perceptual import VGG16
from napari_mganprior.priors import WEIGHTS
from napari_mganprior.restore import Denoising, Inpainting, NoiseConfig
from napari_mganprior.restore.comparing import choose_distance, comparing_network

NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
WIDTHS = (4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8)


def save_vgg16(path, legacy=True):
    """Write a small random VGG16 as torchvision's file is written, before torch 1.6."""
    rng, weights, width = seeded(3), {}, 3
    for number, wide in zip(NUMBERS, WIDTHS, strict=True):
        weight = torch.randn((wide, width, 3, 3), generator=rng) / (3 * width**0.5)
        weights[f"features.{number}.weight"] = torch.nn.Parameter(weight)
        weights[f"features.{number}.bias"] = torch.nn.Parameter(torch.zeros(wide))
        width = wide
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    return {key: value.detach() for key, value in weights.items()}


def save_linear(path):
    weights = {
        f"lin{i}.model.1.weight": torch.rand((1, w, 1, 1), generator=seeded(i))
        for i, w in enumerate((4, 5, 6, 7, 8))
    }
    torch.save(weights, path)


@pytest.fixture
def vgg16(tmp_path, monkeypatch):
    """Let a small VGG16 be here."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_VGG16", str(tmp_path / "vgg16.pth"))
    return save_vgg16(tmp_path / "vgg16.pth")


@pytest.fixture
def lpips(vgg16, tmp_path, monkeypatch):
    """Let LPIPS be here too."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_LPIPS_VGG", str(tmp_path / "lpips.pth"))
    save_linear(tmp_path / "lpips.pth")


def picture(channels=1, side=32, seed=0):
    shape = (side, side) if channels == 1 else (side, side, channels)
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def config(**changes):
    base = replace(preset("fast", (3, 5)), n_steps=4, n_restarts=2, n_candidates=1)
    return replace(base, **changes)


@pytest.mark.parametrize("legacy", [True, False])
def test_the_file_is_read_without_running_anything(legacy, tmp_path, monkeypatch, tiny_prior):
    """Law: both of torch's formats give the weights that are in them."""
    path = tmp_path / "vgg16.pth"
    weights = save_vgg16(path, legacy)
    monkeypatch.setenv("NAPARI_MGANPRIOR_VGG16", str(path))
    network = comparing_network(config(features="vgg16", feature_weight=1.0), tiny_prior)
    x = torch.rand(1, 3, 32, 32, generator=seeded(1)) * 2 - 1
    for got, wanted in zip(network.features(x), VGG16(weights).features(x), strict=True):
        assert torch.equal(got, wanted)


def test_a_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch, tiny_prior):
    path = tmp_path / "vgg16.pth"
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    monkeypatch.setenv("NAPARI_MGANPRIOR_VGG16", str(path))
    with pytest.raises(PriorError, match=r"names 'os\.system'"):
        comparing_network(config(features="vgg16", feature_weight=1.0), tiny_prior)


def test_the_discriminator_compares_unless_vgg16_is_asked_for(vgg16, tiny_prior):
    assert comparing_network(config(), tiny_prior) is tiny_prior.discriminator
    assert comparing_network(config(feature_weight=1.0), tiny_prior) is tiny_prior.discriminator
    chosen = comparing_network(config(features="vgg16", feature_weight=1.0), tiny_prior)
    assert isinstance(chosen, VGG16)
    again = comparing_network(config(features="vgg16", feature_weight=1.0), tiny_prior)
    assert again is chosen


@pytest.mark.parametrize("kind", ["grey", "rgb"])
def test_a_search_with_vgg16_draws_something_else(kind, vgg16, tiny_prior, tiny_rgb_prior):
    """Law: it changes the result, and the same seed gives the same again."""
    prior = tiny_prior if kind == "grey" else tiny_rgb_prior
    image = picture(1 if kind == "grey" else 3)
    mask = np.zeros((32, 32), bool)
    mask[12:20, 12:20] = True
    options = {"features": "vgg16", "feature_weight": 1.0}
    pixels = []
    for changes in ({}, options, options):
        run = Inpainting(image, mask, prior, config=config(**changes))
        for _ in run:
            pass
        pixels.append(run.result().image)
    assert not np.array_equal(pixels[0], pixels[1])
    assert np.array_equal(pixels[1], pixels[2])


def test_vgg16_that_is_not_here_is_told_when_the_run_is_made(tiny_prior):
    mask = np.zeros((32, 32), bool)
    mask[12:20, 12:20] = True
    asked = config(features="vgg16", feature_weight=1.0)
    with pytest.raises(PriorError, match="which are not here"):
        Inpainting(picture(), mask, tiny_prior, config=asked)
    Inpainting(picture(), mask, tiny_prior, config=config(features="vgg16"))  # of no weight


def test_fetched_weights_are_found(server, tmp_path, monkeypatch, tiny_prior):
    save_vgg16(tmp_path / "published.pth")
    data = (tmp_path / "published.pth").read_bytes()
    server.files["/vgg16.pth"] = data
    here = replace(
        WEIGHTS["vgg16"],
        url=f"{server.url}/vgg16.pth",
        sha256=hashlib.sha256(data).hexdigest(),
        n_bytes=len(data),
    )
    monkeypatch.setitem(WEIGHTS, "vgg16", here)
    server.faults["/vgg16.pth"] = ("cut", len(data) // 2)
    fetch_weights("vgg16")
    network = comparing_network(config(features="vgg16", feature_weight=1.0), tiny_prior)
    assert isinstance(network, VGG16)


def test_features_of_no_weight_are_refused_rather_than_passed_over():
    with pytest.raises(SettingsError, match="Got features 'vgg16' of no weight; wanted a weight"):
        overridden(config(), {"features": "vgg16"})
    chosen = overridden(config(), {"features": "vgg16", "feature_weight": 0.1})
    assert (chosen.features, chosen.feature_weight) == ("vgg16", 0.1)


# Distances


def test_lpips_is_taken_where_it_is_and_the_discriminator_elsewhere(lpips, tiny_prior):
    assert choose_distance(tiny_prior) == "lpips-vgg"
    value = deep_distance(picture(), picture(seed=1))
    assert value == deep_distance(picture(), picture(seed=1), tiny_prior, kind="lpips-vgg")
    assert value > 0
    assert value != deep_distance(picture(), picture(seed=1), tiny_prior, kind="discriminator")


def test_without_lpips_the_discriminator_compares(tiny_prior, tiny_rgb_prior):
    """Law: 0 for the same, the same both ways over one range, more where more differs."""
    assert choose_distance(tiny_prior) == "discriminator"
    for prior, channels in ((tiny_prior, 1), (tiny_rgb_prior, 3)):
        a, b = picture(channels), picture(channels, seed=1)
        near = (0.9 * a + 0.1 * b).astype(np.uint8)
        ends = {"value_range": (0, 255)}
        assert deep_distance(a, a, prior) == 0
        assert 0 < deep_distance(a, near, prior) < deep_distance(a, b, prior)
        assert deep_distance(a, b, prior, **ends) == pytest.approx(
            deep_distance(b, a, prior, **ends), rel=1e-5
        )
    with pytest.raises(PriorError, match="which are not here"):
        choose_distance()


def test_units_do_not_matter(tiny_prior):
    a, b = picture().astype(float), picture(seed=1).astype(float)
    wanted = deep_distance(a, b, tiny_prior)
    assert deep_distance(1000 + 7 * a, 1000 + 7 * b, tiny_prior) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "options", "error", "words"),
    [
        (picture(), picture(side=16), {}, ImageError, "Got pictures of shapes"),
        (picture(side=8), picture(side=8), {}, ImageError, "at least 16x16"),
        (picture(2), picture(2), {}, ImageError, r"wanted \(H, W\) or"),
        (np.full((32, 32), np.nan), picture(), {}, ImageError, "Got NaN or infinity"),
        (picture(), picture(), {"kind": "ssim"}, SettingsError, "Got the distance 'ssim'"),
        (picture(), picture(), {"value_range": (1, 1)}, SettingsError, "Got the value range"),
        (picture(3), picture(3), {}, PriorError, "Got pictures of 3 channels"),
        (picture(), picture(), {"prior": None, "kind": "discriminator"}, PriorError, "no prior"),
        (picture(), picture(), {"kind": "lpips-vgg"}, PriorError, "which are not here"),
    ],
)
def test_what_cannot_be_compared_is_told(a, b, options, error, words, tiny_prior):
    with pytest.raises(error, match=words):
        deep_distance(a, b, **{"prior": tiny_prior, **options})


# The likelihood


def photons(seed=0, peak=10.0):
    rows, columns = np.mgrid[:32, :32]
    clean = peak * (0.5 + 0.4 * np.sin(rows / 4) * np.cos(columns / 5))
    return np.random.default_rng(seed).poisson(clean).astype(np.float32)


def test_denoising_by_the_likelihood_knows_its_noise(tiny_prior):
    """Law: the operator's variance, back in the image's units, is that of the noise's numbers."""
    noise = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.5)
    run = Denoising(photons(), tiny_prior, noise=noise, config=config(data_term="poisson-gaussian"))
    slope, constant, least = run._noise_line()
    unit = (run._values.high - run._values.low) / 2
    signal = np.array([4.0, 8.0])
    x = run._values.encode(signal, clip=False)
    np.testing.assert_allclose((slope * x + constant) * unit**2, signal + 0.25, rtol=1e-5)
    assert least * unit**2 == pytest.approx(1 + 0.25)
    assert np.isfinite(list(run)[-1].loss)


def test_the_likelihood_changes_the_result(tiny_prior):
    noise = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.0)
    results = []
    for term in ("mse", "poisson-gaussian"):
        run = Denoising(photons(), tiny_prior, noise=noise, config=config(data_term=term))
        for _ in run:
            pass
        results.append(run.result())
    assert not np.array_equal(results[0].image, results[1].image)
    assert results[1].image.min() >= 0


def test_photon_noise_is_denoised_by_the_likelihood_unless_told_otherwise(tiny_prior):
    poisson = NoiseConfig(model="poisson", gain=1.0, offset=0.0, read_noise=0.5)
    for noise, overrides, wanted in (
        (poisson, {}, "poisson-gaussian"),
        (poisson, {"data_term": "mse"}, "mse"),
        (NoiseConfig(level=1.0), {}, "mse"),
    ):
        run = Denoising(photons(), tiny_prior, noise=noise, quality="fast", overrides=overrides)
        assert run._config.data_term == wanted


def test_the_likelihood_of_noise_that_does_not_grow_is_refused(tiny_prior):
    asked = config(data_term="poisson-gaussian")
    with pytest.raises(SettingsError, match="Got the data term poisson-gaussian for denoise"):
        Denoising(photons(), tiny_prior, config=asked)
    mask = np.zeros((32, 32), bool)
    mask[12:20, 12:20] = True
    with pytest.raises(SettingsError, match="Got the data term poisson-gaussian for inpaint"):
        Inpainting(picture(), mask, tiny_prior, config=asked)
