"""Laws of the forward operators."""

import pytest
import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImageError, MaskError, SettingsError
from napari_mganprior.operators import (
    Colorization,
    Denoising,
    Inpainting,
    Operator,
    SuperResolution,
)


def _mask(batch: int = 1) -> Tensor:
    return torch.rand(batch, 1, 16, 16, generator=seeded(5)) > 0.3


OPERATORS = {
    "inpainting": lambda: Inpainting(_mask()),
    "inpainting, a mask a sample": lambda: Inpainting(_mask(2)),
    "denoising": lambda: Denoising(),
    "denoising with bad pixels": lambda: Denoising(_mask()),
    "colorization": lambda: Colorization(),
    "binning": lambda: SuperResolution(4),
    "bicubic": lambda: SuperResolution(2, kernel="bicubic"),
    "a microscope's blur": lambda: SuperResolution(4, kernel="gaussian", sigma=1.5),
}


@pytest.fixture(params=OPERATORS, ids=str)
def operator(request: pytest.FixtureRequest) -> Operator:
    return OPERATORS[request.param]()


def _images(seed: int) -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=seeded(seed), dtype=torch.float64)


def test_output_shape_is_what_forward_returns(operator: Operator) -> None:
    assert tuple(operator(_images(0)).shape[1:]) == operator.output_shape((3, 16, 16))


def test_linear(operator: Operator) -> None:
    x1, x2 = _images(1), _images(2)
    together = operator(2 * x1 - 3 * x2)
    torch.testing.assert_close(together, 2 * operator(x1) - 3 * operator(x2))


def test_adjoint(operator: Operator) -> None:
    """<A(x), y> == <x, A*(y)>."""
    x = _images(3)
    y = torch.randn(operator(x).shape, generator=seeded(4), dtype=torch.float64)
    left, right = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-6)


def test_select_takes_samples_in_the_order_given(operator: Operator) -> None:
    x = _images(6)
    swapped = operator.select(torch.tensor([1, 0]))
    torch.testing.assert_close(swapped(x[[1, 0]]), operator(x)[[1, 0]])


@pytest.mark.parametrize("kernel", ["binning", "bicubic"])
def test_a_constant_image_stays_constant_when_made_smaller(kernel: str) -> None:
    y = SuperResolution(4, kernel=kernel)(torch.full((1, 1, 16, 16), 0.7))  # type: ignore[arg-type]
    torch.testing.assert_close(y, torch.full((1, 1, 4, 4), 0.7))


def test_binning_is_the_mean_of_squares() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert SuperResolution(2)(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_luma_of_grey_is_that_grey() -> None:
    grey = torch.rand(1, 1, 4, 4, generator=seeded(0))
    torch.testing.assert_close(Colorization()(grey.expand(1, 3, 4, 4)), grey)


def test_missing_pixels_read_zero_and_others_are_untouched() -> None:
    mask, x = _mask(), _images(7).float()
    y = Inpainting(mask)(x)
    known = mask.expand_as(x)
    assert torch.equal(y[known], x[known])
    assert not y[~known].any()


@pytest.mark.parametrize(
    ("make", "shape", "error", "match"),
    [
        (lambda: SuperResolution(3), (1, 16, 16), ImageError, "Got images of 16x16.*15x15"),
        (lambda: Colorization(), (1, 16, 16), ImageError, "Got images of 1 channels"),
        (lambda: Inpainting(_mask()), (1, 8, 16), ImageError, "8x16 px for a mask of 16x16"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(make, shape, error, match) -> None:
    with pytest.raises(error, match=match):
        make().output_shape(shape)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: SuperResolution(1), SettingsError, "Got a factor of 1; wanted a whole number"),
        (lambda: SuperResolution(2, kernel="nearest"), SettingsError, "Got the kernel 'nearest'"),
        (
            lambda: SuperResolution(2, kernel="gaussian", sigma=0),
            SettingsError,
            "Got a sigma of 0; wanted above 0",
        ),
        (lambda: Inpainting(torch.ones(16, 16)), MaskError, r"shape \(16, 16\); wanted"),
    ],
)
def test_bad_parameters_are_refused(make, error, match) -> None:
    with pytest.raises(error, match=match):
        make()
