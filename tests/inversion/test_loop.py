"""Laws of the search for codes."""

import pytest
import torch
from torch import Tensor

from napari_mganprior.arrays import network_dtype, seeded
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.codes import Codes, compose
from napari_mganprior.inversion.config import QUALITIES, InversionConfig, preset
from napari_mganprior.inversion.loop import Step, invert
from napari_mganprior.inversion.losses import FeatureDistance, mean_square
from napari_mganprior.operators import Denoising, Inpainting


def _config(**changes: object) -> InversionConfig:
    settings: dict[str, object] = {
        "layer": 3,
        "n_codes": 3,
        "n_restarts": 2,
        "n_candidates": 2,
        "n_steps": 12,
        "held_out": 0.0,
        "precision": "float32",
    }
    return InversionConfig(**{**settings, **changes})  # type: ignore[arg-type]


def _drawn(prior: LoadedPrior, n: int = 1) -> Tensor:
    """Images the generator can draw, so that an inversion can succeed."""
    return prior.generator(prior.generator.sample_codes(n, rng=seeded(11)))


def _run(prior: LoadedPrior, y: Tensor, config: InversionConfig, seed: int = 0) -> list[Step]:
    return list(
        invert(
            prior.generator,
            Denoising(),
            y,
            config,
            rng=seeded(seed),
            discriminator=prior.discriminator,
        )
    )


def test_finds_codes_of_what_the_generator_drew(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    steps = _run(tiny_prior, y, _config(n_codes=10, n_steps=80))
    assert steps[-1].loss < 0.3 * steps[0].loss
    assert steps[-1].loss < 0.2 * y.var().item()


def test_the_best_iterate_is_kept(tiny_prior: LoadedPrior) -> None:
    losses = [s.loss for s in _run(tiny_prior, _drawn(tiny_prior), _config())]
    assert losses == sorted(losses, reverse=True)


def test_image_and_error_are_those_of_the_codes(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    step = _run(tiny_prior, y, _config())[-1]
    flat = Codes(step.codes.z.flatten(0, 1), step.codes.alpha.flatten(0, 1))
    x = compose(tiny_prior.generator, flat, 3)
    torch.testing.assert_close(x, step.image.flatten(0, 1), atol=1e-4, rtol=1e-4)
    error = mean_square(x - y, torch.ones(2, 1, 32, 32))
    torch.testing.assert_close(error, step.error.flatten(), atol=1e-5, rtol=1e-3)


def test_codes_lie_on_the_sphere(tiny_prior: LoadedPrior) -> None:
    z = _run(tiny_prior, _drawn(tiny_prior), _config())[-1].codes.z
    torch.testing.assert_close(z.norm(dim=-1), torch.full(z.shape[:-1], 4.0))  # sqrt(16)


def test_same_seed_same_bits(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    first, second = (_run(tiny_prior, y, _config(held_out=0.05), seed=7)[-1] for _ in range(2))
    other = _run(tiny_prior, y, _config(held_out=0.05), seed=8)[-1]
    assert torch.equal(first.image, second.image)
    assert not torch.equal(first.image, other.image)


def test_unmeasured_pixels_do_not_matter(tiny_prior: LoadedPrior) -> None:
    known = (torch.rand(1, 1, 32, 32, generator=seeded(1)) > 0.4).float()
    y = _drawn(tiny_prior)
    results = [
        list(
            invert(
                tiny_prior.generator,
                Inpainting(known),
                Inpainting(known)(y + rubbish * (1 - known)),
                _config(n_steps=6),
                rng=seeded(0),
                weight=known,
            )
        )[-1].image
        for rubbish in (0.0, 5.0)
    ]
    assert torch.equal(*results)


def test_several_images_are_searched_as_one_batch(tiny_prior: LoadedPrior) -> None:
    step = _run(tiny_prior, _drawn(tiny_prior, 3), _config(n_steps=4))[-1]
    assert step.image.shape == (3, 2, 1, 32, 32)
    assert step.error.shape == (3, 2)
    assert step.codes.alpha.shape == (3, 2, 3, 16)


def test_more_candidates_start_lower(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    one, many = (
        _run(tiny_prior, y, _config(n_candidates=k, n_steps=1))[0].error.mean() for k in (1, 40)
    )
    assert many < one


def test_more_codes_explain_more(tiny_prior: LoadedPrior) -> None:
    """The paper's central finding, on an image the generator cannot draw with one code."""
    a, b = _drawn(tiny_prior, 2)
    y = ((a + b.flip(2)) / 2)[None]
    one, many = (_run(tiny_prior, y, _config(n_codes=n, n_steps=40))[-1].loss for n in (1, 8))
    assert many < 0.7 * one


def test_stops_at_the_noise_level(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    level = 0.5 * y.std().item()
    steps = _run(tiny_prior, y, _config(n_steps=100, noise_level=level))
    assert len(steps) < 100
    assert (steps[-1].error <= level**2).all()


def test_stops_when_nothing_is_gained(tiny_prior: LoadedPrior) -> None:
    steps = _run(tiny_prior, _drawn(tiny_prior), _config(n_steps=400, patience=5, tolerance=0.5))
    assert len(steps) < 100


def test_held_out_pixels_choose_the_iterate(tiny_prior: LoadedPrior) -> None:
    """With random rubbish to fit, the loss keeps falling while held-out pixels get worse."""
    y = torch.randn(1, 1, 32, 32, generator=seeded(2))
    fitted = _run(tiny_prior, y, _config(n_steps=40))[-1].loss
    checked = _run(tiny_prior, y, _config(n_steps=40, held_out=0.3))[-1].loss
    assert checked > fitted


def test_feature_distance_is_zero_for_the_target_only(tiny_prior: LoadedPrior) -> None:
    assert tiny_prior.discriminator is not None
    y, weight = _drawn(tiny_prior, 2), torch.ones(2, 1, 32, 32)
    distance = FeatureDistance(tiny_prior.discriminator, y, weight)
    rounding = 1e-9  # a convolution of one image need not round as one of two does
    assert (distance(y) < rounding).all()
    assert (distance(y.flip(3)) > 1e3 * rounding).all()
    distance.keep(torch.tensor([1]))
    assert (distance(y[1:]) < rounding).all()


def test_features_compare_what_was_measured_as_the_discriminator_knows_pictures(
    tiny_rgb_prior: LoadedPrior,
) -> None:
    """Law: a luma counts as a grey picture of its brightness, a pixel as a square of them."""
    assert tiny_rgb_prior.discriminator is not None
    y, x = (torch.rand((2, 1, 4, 4), generator=seeded(seed)) * 2 - 1 for seed in (3, 4))
    weight = torch.rand((2, 1, 4, 4), generator=seeded(5))

    def shown(picture: Tensor) -> Tensor:
        return picture.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)

    network = tiny_rgb_prior.discriminator
    small = FeatureDistance(network, y, weight)
    whole = FeatureDistance(network, shown(y).repeat(1, 3, 1, 1), shown(weight))
    torch.testing.assert_close(small(x), whole(shown(x).repeat(1, 3, 1, 1)))
    assert (small(y) < 1e-9).all()


def test_feature_loss_is_searched_with(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    steps = _run(tiny_prior, y, _config(feature_weight=0.1, n_steps=40))
    assert steps[-1].loss < 0.5 * steps[0].loss


def test_networks_stay_frozen(tiny_prior: LoadedPrior) -> None:
    before = [p.clone() for p in tiny_prior.generator.parameters()]
    _run(tiny_prior, _drawn(tiny_prior), _config(n_steps=3))
    for p, q in zip(tiny_prior.generator.parameters(), before, strict=True):
        assert not p.requires_grad
        assert p.grad is None
        assert torch.equal(p, q)


def test_bfloat16_takes_the_same_course(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    exact, rough = (
        _run(tiny_prior, y, _config(precision=p, n_steps=30))[-1].loss
        for p in ("float32", "bfloat16")
    )
    assert rough < 3 * exact + 1e-3


def test_bfloat16_ends_in_float32_where_rounding_would_stop_it(tiny_prior: LoadedPrior) -> None:
    y = _drawn(tiny_prior)
    many = {"n_codes": 8, "n_restarts": 1, "n_steps": 250, "patience": 250}
    exact, rough = (
        _run(tiny_prior, y, _config(precision=p, **many))[-1].loss for p in ("float32", "bfloat16")
    )
    assert rough < 4 * exact


def test_precision_names() -> None:
    cpu = torch.device("cpu")
    assert network_dtype("float32", cpu) is torch.float32
    assert network_dtype("bfloat16", cpu) is torch.bfloat16
    assert network_dtype("auto", cpu) in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("quality", QUALITIES)
def test_settings_survive_being_written(quality: str) -> None:
    config = preset(quality)
    assert InversionConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_codes": 0}, "Got n_codes = 0; wanted 1 to 64"),
        ({"n_steps": 2.5}, "Got n_steps = 2.5; wanted a number of type"),
        ({"held_out": 0.9}, "Got held_out = 0.9"),
        ({"n_restarts": True}, "Got n_restarts = True"),
        ({"precision": "float16"}, "Got precision = 'float16'"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        _config(**changes)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"Got unknown settings \['speed'\]"):
        InversionConfig.from_dict({"speed": 3})
    with pytest.raises(SettingsError, match="Got the quality 'superb'; wanted one of fast"):
        preset("superb")
