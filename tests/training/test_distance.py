"""Laws of the sliced Wasserstein distance."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import TrainingError
from napari_mganprior.training.distance import laplacian_pyramid, sliced_wasserstein


def pictures(n: int, seed: int, *, channels: int = 1, side: int = 32) -> torch.Tensor:
    """Smooth random pictures with an edge, so that every level of the pyramid has something."""
    coarse = torch.randn(n, channels, side // 4, side // 4, generator=seeded(seed))
    return torch.tanh(4 * F.interpolate(coarse, size=(side, side), mode="bilinear"))


def distance(first, second, seed=0):
    return sliced_wasserstein(first, second, rng=seeded(seed), n_patches=16, n_directions=64)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_set_is_at_distance_0_from_itself(channels):
    images = pictures(20, 0, channels=channels)
    result = distance(images, images.clone())
    assert result.levels == (0.0, 0.0)
    assert result.sides == (32, 16)
    assert result.mean == 0.0


def test_symmetric():
    first, second = pictures(20, 0), pictures(20, 1)
    assert distance(first, second) == distance(second, first)


def test_repeatable_from_the_seed():
    first, second = pictures(20, 0), pictures(20, 1)
    assert distance(first, second, seed=5) == distance(first, second, seed=5)
    assert distance(first, second, seed=5) != distance(first, second, seed=6)


def test_more_blur_is_further_away():
    """Law: d(a, b) < d(a, blurred b) < d(a, more blurred b)."""
    first, second = pictures(200, 0), pictures(200, 1)
    blurred = F.avg_pool2d(F.pad(second, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    more = F.interpolate(F.avg_pool2d(second, 8), scale_factor=8.0, mode="bilinear")
    means = [distance(first, other).mean for other in (second, blurred, more)]
    assert 0 < 1.5 * means[0] < means[1]
    assert means[1] < means[2]


def test_more_noise_is_further_away_and_finest_first():
    """Law: distance grows with white noise, most at the finest level."""
    first, second = pictures(200, 0), pictures(200, 1)
    noise = torch.randn(second.shape, generator=seeded(2))
    results = [distance(first, second + s * noise) for s in (0.0, 0.1, 0.4)]
    assert results[0].mean < results[1].mean < results[2].mean
    assert results[2].levels[0] > results[2].levels[1]


def test_more_images_lower_the_floor():
    """Two draws of the same kind come closer as they grow: the floor is a matter of size."""
    small, large = (distance(pictures(n, 0), pictures(n, 1)).mean for n in (10, 1000))
    assert large < small / 2


def test_the_pyramid_adds_up_to_the_images():
    """Law: x = L0 + enlarged(L1 + enlarged(L2))."""
    images = pictures(3, 0, channels=3, side=64)
    levels = laplacian_pyramid(images)
    assert [level.shape[2] for level in levels] == [64, 32, 16]
    from napari_mganprior.training.distance import _enlarge

    total = levels[-1]
    for level in levels[-2::-1]:
        total = level + _enlarge(total)
    assert torch.allclose(total, images, atol=1e-5)


def test_enlarging_keeps_a_constant():
    flat = torch.full((1, 1, 64, 64), 0.7)
    fine, middle, coarse = laplacian_pyramid(flat)
    assert coarse.allclose(torch.tensor(0.7), atol=1e-5)
    for level in (fine, middle):
        # away from the lower right border, where the mirror meets an inserted zero
        assert level[..., :-4, :-4].abs().max() < 1e-5


def test_to_dict_holds_every_level_and_the_mean():
    result = distance(pictures(20, 0), pictures(20, 1))
    raw = result.to_dict()
    assert list(raw["levels"]) == ["32", "16"]
    assert raw["mean"] == pytest.approx(result.mean, abs=0.006)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.zeros(4, 1, 16, 16), torch.zeros(3, 1, 16, 16), "wanted the same"),
        (torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), "at least 2 images"),
        (torch.zeros(4, 16, 16), torch.zeros(4, 16, 16), "wanted the same"),
        (torch.zeros(4, 1, 6, 16), torch.zeros(4, 1, 6, 16), "images of 6x16 px"),
        (torch.zeros(4, 1, 16, 16), torch.full((4, 1, 16, 16), float("nan")), "NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, message):
    with pytest.raises(TrainingError, match=message):
        distance(first, second)
