"""Laws of the Deep Image Prior."""

import torch
import torch.nn.functional as F  # noqa: N812

from napari_mganprior.arrays import seeded
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.untrained import deep_image_prior
from napari_mganprior.operators import Denoising, Inpainting, SuperResolution

CONFIG = InversionConfig(n_restarts=1, n_steps=120, patience=120, precision="float32")


def _picture() -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    return 0.7 * (rows / 4).sin()[None, None] * (columns / 5).cos()


def _run(y, operator, weight=None, seed=0, config=CONFIG, **more):
    return list(
        deep_image_prior(y, operator, weight, rng=seeded(seed), config=config, width=16, **more)
    )


def test_missing_pixels_are_drawn():
    """Law: far nearer to the truth than the mean of what was measured; same seed, same bits."""
    x, known = _picture(), (torch.rand(1, 1, 24, 20, generator=seeded(1)) > 0.5).float()
    steps = _run(x * known, Inpainting(known), known)
    hidden = 1 - known
    error = ((steps[-1].image[0] - x) * hidden).square().sum()
    mean = (x * known).sum() / known.sum()
    assert error < 0.2 * ((mean - x) * hidden).square().sum()
    assert steps[-1].loss < 0.2 * steps[0].loss
    short = InversionConfig(n_restarts=1, n_steps=4, precision="float32")
    first, second, other = (
        _run(x * known, Inpainting(known), known, seed=seed, config=short)[-1].image
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_noise_is_drawn_later_than_the_picture():
    """Law: chosen by held-out pixels, the drawing is nearer to the truth than the measurement."""
    x = _picture()
    y = x + 0.3 * torch.randn(x.shape, generator=seeded(2))
    steps = _run(y, Denoising())
    assert (steps[-1].image[0] - x).square().mean() < 0.5 * (y - x).square().mean()


def test_searches_end_one_by_one_and_images_may_be_larger():
    """Law: restarts have weights of their own; the drawing has the shape asked for."""
    x = _picture()
    y = F.avg_pool2d(x, 2)
    config = InversionConfig(
        n_restarts=3, n_steps=60, patience=5, tolerance=0.3, held_out=0.0, precision="float32"
    )
    steps = _run(y, SuperResolution(2), shape=(1, 24, 20), config=config)
    assert steps[-1].image.shape == (1, 3, 1, 24, 20)
    assert len(steps) < 60
    assert not torch.allclose(steps[-1].image[0, 0], steps[-1].image[0, 1])
    assert steps[-1].codes.z.numel() == 0
