"""PSNR and SSIM inside the hole."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_mganprior.errors import ImageError, MaskError
from napari_mganprior.metrics import psnr_in, ssim_in


def example(*shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, shape).astype(np.uint8)
    restored = np.clip(truth + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
    return rng.random(shape[:2]) < 0.2, truth, restored


@pytest.mark.parametrize("shape", [(32, 40), (32, 40, 3)], ids=["grey", "rgb"])
def test_a_mask_of_everything_gives_the_figure_of_the_whole_image(shape):
    """Law: with every pixel masked both agree with scikit-image's own figures."""
    _, truth, restored = example(*shape)
    everything = np.ones(shape[:2], bool)
    expected = peak_signal_noise_ratio(truth, restored, data_range=255)
    assert psnr_in(everything, truth, restored, 255) == pytest.approx(expected)
    _, similarity = structural_similarity(
        truth, restored, data_range=255, full=True, channel_axis=-1 if len(shape) == 3 else None
    )
    assert ssim_in(everything, truth, restored, 255) == pytest.approx(similarity.mean())


@pytest.mark.parametrize("shape", [(32, 40), (32, 40, 3)], ids=["grey", "rgb"])
def test_pixels_outside_the_hole_do_not_count(shape):
    """Law: PSNR sees only masked pixels; SSIM only windows around them."""
    mask, truth, restored = example(*shape)
    other = np.where(mask if len(shape) == 2 else mask[..., None], restored, 255 - truth)
    assert psnr_in(mask, truth, restored, 255) == psnr_in(mask, truth, other, 255)
    corner = np.zeros(shape[:2], bool)
    corner[:4, :4] = True
    elsewhere = restored.copy()
    elsewhere[10:] = 0
    assert ssim_in(corner, truth, restored, 255) == ssim_in(corner, truth, elsewhere, 255)


def test_a_perfect_restoration():
    """Law: equal images have infinite PSNR and SSIM 1."""
    mask, truth, _ = example(32, 40)
    assert psnr_in(mask, truth, truth, 255) == float("inf")
    assert ssim_in(mask, truth, truth, 255) == pytest.approx(1)


@pytest.mark.parametrize("measure", [psnr_in, ssim_in])
def test_what_cannot_be_compared_is_named(measure):
    mask, truth, restored = example(32, 40)
    with pytest.raises(ImageError, match=r"shapes \(32, 40\) and \(31, 40\) to compare"):
        measure(mask, truth, restored[1:], 255)
    with pytest.raises(MaskError, match=r"mask of shape \(31, 40\)"):
        measure(mask[1:], truth, restored, 255)
    with pytest.raises(MaskError, match="empty mask"):
        measure(np.zeros_like(mask), truth, restored, 255)


def test_structure_needs_some_room():
    with pytest.raises(ImageError, match="at least 7x7 px"):
        ssim_in(np.ones((6, 9)), np.zeros((6, 9)), np.zeros((6, 9)), 1)
