"""Laws of several codes composed in a style generator: features, styles, image so far, noise."""

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.base import Features
from napari_mganprior.generators.style import StyleGenerator
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator
from napari_mganprior.inversion.codes import Codes, compose, normalised
from napari_mganprior.inversion.config import CODE_SPACES, InversionConfig
from napari_mganprior.inversion.loop import Step, invert
from napari_mganprior.operators import Denoising

NETWORKS = (StyleGANGenerator, StyleGAN2Generator)


def _made(
    network: type[StyleGenerator], widths: tuple[int, ...] = (12, 12, 8), code_dim: int = 10
) -> StyleGenerator:
    generator = network(
        resolution=2 * 2 ** len(widths),
        widths=widths,
        code_dim=code_dim,
        mapping=(12, 12),
        image_channels=1,
    )
    generator.initialise(seeded(0))
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.endswith("strength"):
                value.fill_(0.1)
    generator.fold_scales()
    return generator.eval().requires_grad_(False)


@pytest.fixture(params=NETWORKS, ids=lambda network: network.architecture)
def generator(request) -> StyleGenerator:
    return _made(request.param)


def _run(
    generator: StyleGenerator, seed: int = 0, n_images: int = 1, **changes: object
) -> list[Step]:
    settings: dict[str, object] = {
        "layer": 3,
        "n_codes": 4,
        "n_restarts": 2,
        "n_candidates": 2,
        "n_steps": 40,
        "held_out": 0.0,
        "precision": "float32",
    }
    config = InversionConfig(**{**settings, **changes})  # type: ignore[arg-type]
    y = generator(generator.sample_codes(n_images, rng=seeded(11)))
    return list(invert(generator, Denoising(), y, config, rng=seeded(seed)))


@pytest.mark.parametrize("space", CODE_SPACES)
def test_one_code_told_n_times_is_one_code(generator, space):
    """Law: equal codes with importances 1 / N draw what one of them draws, at every cut."""
    generator = generator.in_space(space)
    z = generator.sample_codes(2, rng=seeded(3))
    whole = generator(z)
    for layer in range(generator.n_layers + 1):
        channels, n_mixed = generator.feature_shape(layer)[0], generator.n_mixed(layer)
        repeated = z[:, None].expand(-1, 3, -1)
        for beta in (None, torch.full((2, 3, n_mixed), 1 / 3)):
            codes = Codes(repeated, torch.full((2, 3, channels), 1 / 3), beta)
            torch.testing.assert_close(
                compose(generator, codes, layer), whole, atol=2e-5, rtol=1e-5
            )


def test_importances_choose_a_code_for_each_layer(generator):
    """Law: alpha takes the map from one code, beta every style from another, as by hand."""
    layer = 3
    first, second = (
        generator.head(z[None], layer) for z in generator.sample_codes(2, rng=seeded(4))
    )
    z = generator.sample_codes(2, rng=seeded(4))[None]
    alpha = torch.zeros(1, 2, generator.feature_shape(layer)[0])
    alpha[:, 0] = 1
    beta = torch.zeros(1, 2, generator.n_mixed(layer))
    beta[:, 1] = 1
    by_hand = generator.tail(Features(first.map, second.styles, second.image), layer)
    drawn = compose(generator, Codes(z, alpha, beta), layer)
    torch.testing.assert_close(drawn, by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("network", NETWORKS)
def test_four_codes_explain_much_more_than_one(network, space):
    """Law: of images that the generator drew, after the same few evaluations."""
    generator = _made(network, (16, 16, 8, 8), code_dim=16)
    one, four = (
        _run(generator, n_images=3, n_codes=n, code_space=space, layer=5)[-1].loss for n in (1, 4)
    )
    assert four < 0.5 * one


def test_all_spaces_find_what_the_generator_drew(generator):
    for space in CODE_SPACES:
        steps = _run(generator, code_space=space)
        assert steps[-1].loss < 0.1 * steps[0].loss


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("space", CODE_SPACES)
def test_image_is_that_of_the_codes(generator, space, noise):
    step = _run(generator, code_space=space, optimise_noise=noise, n_steps=5)[-1]
    codes = step.codes.each(lambda part: part.flatten(0, 1))
    assert codes.beta is not None
    assert codes.beta.shape == (2, 4, generator.n_mixed(3))
    assert (codes.noise is not None) == noise
    x = compose(generator.in_space(space), codes, 3)
    torch.testing.assert_close(x, step.image.flatten(0, 1), atol=1e-4, rtol=1e-4)


def test_layer_importances_are_learned(generator):
    """Law: they begin at the mean and do not stay there."""
    first, *_, last = _run(generator, n_steps=15, n_candidates=1)
    assert first.codes.beta is not None
    assert (first.codes.beta == 0.25).all()
    assert last.codes.beta is not None
    assert (last.codes.beta != 0.25).all()


def test_only_codes_in_z_lie_on_the_sphere(generator):
    z = _run(generator, n_steps=8)[-1].codes.z
    torch.testing.assert_close(z.norm(dim=-1), torch.full(z.shape[:-1], 10**0.5))
    w = _run(generator, n_steps=8, code_space="w")[-1].codes.z
    assert w.shape[-1] == generator.style_dim
    assert w.norm(dim=-1).std() > 0.1


def test_same_seed_same_bits(generator):
    first, second, other = (
        _run(generator, seed, n_steps=8, code_space="w+", optimise_noise=True)[-1].image
        for seed in (7, 7, 8)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_searched_noise_explains_another_noise(generator):
    """Law: where only the noise differs, searching it too comes nearer."""
    codes = Codes(
        generator.sample_codes(1, rng=seeded(11))[None],
        torch.ones(1, 1, generator.feature_shape(1)[0]),
        noise=torch.randn(1, len(generator.noise_above(1)), generator=seeded(5)),
    )
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.endswith("strength"):
                value.fill_(1.0)
    y = compose(generator, codes, 1)
    losses = []
    for searched in (False, True):
        config = InversionConfig(
            layer=1, n_codes=1, n_restarts=1, n_candidates=1, n_steps=40, held_out=0.0,
            precision="float32", optimise_noise=searched,
        )  # fmt: skip
        start = Codes(
            codes.z, codes.alpha, torch.ones(1, 1, generator.n_mixed(1)),
            generator.noise_above(1)[None] if searched else None,
        )  # fmt: skip
        steps = invert(generator, Denoising(), y, config, rng=seeded(0), start=start)
        losses.append(list(steps)[-1].loss)
    assert losses[1] < 0.5 * losses[0]


def test_searched_noise_keeps_its_length(generator):
    noise = _run(generator, n_steps=5, optimise_noise=True)[-1].codes.noise
    assert noise is not None
    torch.testing.assert_close(noise.square().mean(dim=-1), torch.ones(1, 2))


def test_own_noise_stays_where_it_is_not_searched(generator):
    before = generator.noise_above(0)
    _run(generator, n_steps=3)
    assert torch.equal(generator.noise_above(0), before)


@pytest.mark.parametrize(("n_mixed", "n_noise"), [(0, 0), (3, 0), (0, 5), (3, 5)])
def test_codes_survive_being_flattened(n_mixed, n_noise):
    rng = seeded(1)
    codes = Codes(
        torch.randn(2, 4, 6, generator=rng),
        torch.randn(2, 4, 7, generator=rng),
        torch.randn(2, 4, n_mixed, generator=rng) if n_mixed else None,
        torch.randn(2, n_noise, generator=rng) if n_noise else None,
    )
    again = Codes.from_flat(codes.flat(), 4, 6, n_mixed, n_noise)
    for name in ("z", "alpha", "beta", "noise"):
        one, other = getattr(codes, name), getattr(again, name)
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_normalised_leaves_styles_alone(generator):
    codes = Codes(torch.full((1, 2, 12), 3.0), torch.ones(1, 2, 5))
    assert torch.equal(normalised(generator.in_space("w"), codes).z, codes.z)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"code_space": "y"}, r"Got code_space = 'y'; wanted one of z, w, w\+"),
        ({"optimise_noise": 1}, "Got optimise_noise = 1; wanted True or False"),
    ],
)
def test_settings_out_of_range_are_refused(changes, match):
    with pytest.raises(SettingsError, match=match):
        InversionConfig(**changes)


def test_a_space_the_generator_has_not_is_refused(tiny_prior):
    config = InversionConfig(code_space="w")
    y = torch.zeros(1, 1, 32, 32)
    with pytest.raises(SettingsError, match="Got the code space 'w' for a generator"):
        next(invert(tiny_prior.generator, Denoising(), y, config, rng=seeded(0)))
