"""The data terms: mean square and the likelihood of noise that grows with the signal."""

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.losses import data_error, data_loss, mean_square
from napari_mganprior.operators.denoising import Denoising
from napari_mganprior.operators.inpainting import Inpainting

ONES = torch.ones(2, 1, 16, 16)


def numbers(seed, n=2, channels=1):
    return torch.randn((n, channels, 16, 16), generator=seeded(seed))


def test_read_noise_alone_makes_it_the_mean_square():
    """Law: a variance that is the same everywhere changes nothing."""
    operator = Denoising(noise=(0.0, 0.04, 0.001))
    d, y = numbers(0), numbers(1)
    for term in (data_loss, data_error):
        torch.testing.assert_close(
            term("poisson-gaussian", operator, d, y, ONES), mean_square(d, ONES)
        )
        assert torch.equal(term("mse", Inpainting(ONES), d, y, ONES), mean_square(d, ONES))


def test_it_is_the_negative_log_likelihood_up_to_a_line():
    """Law: differences of the loss are differences of -2 log p times v0 / n."""
    operator = Denoising(noise=(0.5, 1.0, 0.01))
    y, shape = numbers(1).clamp(-1, 1), (2, 1, 16, 16)

    def likelihood(x):
        normal = torch.distributions.Normal(x, operator.noise_variance(x).sqrt())
        return -2 * normal.log_prob(y).mean(dim=(1, 2, 3))

    drawn = [torch.zeros(shape), numbers(2).clamp(-1, 1)]
    loss = [data_loss("poisson-gaussian", operator, x - y, y, ONES) for x in drawn]
    typical = operator.noise_variance(y.mean(dim=(1, 2, 3)))
    wanted = typical * (likelihood(drawn[1]) - likelihood(drawn[0]))
    torch.testing.assert_close(loss[1] - loss[0], wanted, rtol=1e-4, atol=1e-5)


def test_the_error_of_the_truth_is_the_noise_s_own_variance():
    """Law: so a search that ends at it ends where only noise is left."""
    operator = Denoising(noise=(0.05, 0.06, 0.001))
    x = numbers(3, n=40).clamp(-1, 1)
    y = x + operator.noise_variance(x).sqrt() * numbers(4, n=40)
    w = torch.ones(40, 1, 16, 16)
    error = data_error("poisson-gaussian", operator, x - y, y, w).mean()
    assert float(error) == pytest.approx(float(operator.noise_variance(x).mean()), rel=0.03)


def test_a_bright_pixel_s_residual_counts_less():
    operator = Denoising(noise=(0.05, 0.06, 0.001))
    y = torch.zeros(1, 1, 1, 2)
    y[..., 0], y[..., 1] = -0.9, 0.9
    w, each = torch.ones(1, 1, 1, 2), []
    for pixel in (0, 1):
        d = torch.zeros_like(y)
        d[..., pixel] = 0.05
        each.append(float(data_error("poisson-gaussian", operator, d, y, w)))
    assert each[0] > 3 * each[1]


def test_pixels_of_no_weight_say_nothing_and_samples_stay_apart():
    operator = Denoising(noise=(0.05, 0.06, 0.001))
    d, y, w = numbers(0), numbers(1).clamp(-1, 1), ONES.clone()
    w[0, :, :8] = 0
    before = data_loss("poisson-gaussian", operator, d, y, w)
    d[0, :, :8] = 100.0
    y[0, :, :8] = -0.3
    torch.testing.assert_close(data_loss("poisson-gaussian", operator, d, y, w), before)


def test_no_photons_at_all_leave_the_variance_positive():
    operator = Denoising(noise=(0.5, 0.1, 0.02))
    assert float(operator.noise_variance(torch.tensor(-10.0))) == pytest.approx(0.02)
    loss = data_loss("poisson-gaussian", operator, torch.full((1, 1, 2, 2), -10.0),
                     torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))  # fmt: skip
    assert torch.isfinite(loss).all()


def test_some_samples_keep_the_noise():
    good = torch.ones(3, 1, 4, 4)
    operator = Denoising(good, noise=(0.5, 0.1, 0.02)).select(torch.tensor([2]))
    assert operator.noise == (0.5, 0.1, 0.02)


def test_an_operator_that_knows_no_noise_refuses():
    for operator in (Inpainting(ONES), Denoising()):
        with pytest.raises(SettingsError, match="Got the data term poisson-gaussian for"):
            data_loss("poisson-gaussian", operator, numbers(0), numbers(1), ONES)


@pytest.mark.parametrize(("name", "value"), [("features", "vgg19"), ("data_term", "poisson")])
def test_unknown_names_are_refused(name, value):
    with pytest.raises(SettingsError, match=f"Got {name} = '{value}'; wanted one of"):
        InversionConfig(**{name: value})
