"""Laws of the methods: what each searches, where it stays, and what it leaves alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.base import Features, SplitGenerator
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.generators.encoder import Encoder
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator
from napari_mganprior.inversion.codes import Codes, assembled, compose, normalised
from napari_mganprior.inversion.config import METHODS, InversionConfig
from napari_mganprior.inversion.lbfgs import BatchedLBFGS
from napari_mganprior.inversion.loop import Step, invert
from napari_mganprior.inversion.losses import mean_square
from napari_mganprior.inversion.maps import in_ball
from napari_mganprior.inversion.methods import check_method, methods_for
from napari_mganprior.operators import Denoising

SEARCHING = tuple(method for method in METHODS if method != "encoder")


def _config(**changes: object) -> InversionConfig:
    settings: dict[str, object] = {
        "layer": 4, "n_codes": 3, "n_restarts": 2, "n_candidates": 2, "n_steps": 16,
        "held_out": 0.0, "precision": "float32",
    }  # fmt: skip
    return InversionConfig(**{**settings, **changes})  # type: ignore[arg-type]


def _style(network: type) -> SplitGenerator:
    generator = network(
        resolution=16, widths=(12, 12, 8), code_dim=10, mapping=(12, 12), image_channels=1
    )
    generator.initialise(seeded(0))
    generator.fold_scales()
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def encoder(tiny_prior: LoadedPrior) -> Encoder:
    generator = tiny_prior.generator
    made = Encoder(
        resolution=32, widths=(8, 8, 8), code_dim=generator.code_dim,
        code_radius=generator.code_radius, image_channels=1,
    )  # fmt: skip
    made.initialise(seeded(5))
    return made.eval().requires_grad_(False)


@pytest.fixture(params=["pggan", "stylegan", "stylegan2"])
def generator(request: pytest.FixtureRequest, tiny_prior: LoadedPrior) -> SplitGenerator:
    if request.param == "pggan":
        return tiny_prior.generator
    return _style(StyleGANGenerator if request.param == "stylegan" else StyleGAN2Generator)


def _drawn(generator: SplitGenerator, n: int = 1) -> Tensor:
    return generator(generator.sample_codes(n, rng=seeded(11)))


def _run(
    generator: SplitGenerator,
    config: InversionConfig,
    encoder: Encoder | None = None,
    y: Tensor | None = None,
) -> list[Step]:
    y = _drawn(generator) if y is None else y
    return list(invert(generator, Denoising(), y, config, rng=seeded(0), encoder=encoder))


def _again(generator: SplitGenerator, step: Step) -> Tensor:
    return compose(generator, step.codes.each(lambda part: part.flatten(0, 1)), step.layer)


@pytest.mark.parametrize("method", [m for m in SEARCHING if m != "encoder-optimised"])
def test_every_method_improves_on_its_start_and_keeps_what_it_found(generator, method):
    """Law: the error falls, never rises, and the codes draw the image again."""
    config = _config(method=method, layer=4, n_steps=24)
    steps = _run(generator, config)
    losses = [step.loss for step in steps]
    # where one search hands over to the next, an image may differ in its last bits
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(losses))
    assert losses[-1] < 0.8 * losses[0]
    assert [step.index for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].index <= steps[-1].n_steps == config.n_evaluations
    again = _again(generator, steps[-1])
    torch.testing.assert_close(again, steps[-1].image.flatten(0, 1), atol=1e-4, rtol=1e-3)


def test_the_first_method_searches_as_it_always_did(tiny_prior):
    """Law: multi-code is, to the last bit, L-BFGS on z and alpha from the best candidate."""
    generator, y = tiny_prior.generator, _drawn(tiny_prior.generator)
    config = _config(n_restarts=1)
    step = _run(generator, config, y=y)[-1]
    rng, ones, chosen = seeded(0), torch.ones(1, 1, 32, 32), None
    for _ in range(config.n_candidates):
        z = generator.sample_codes(3, rng=rng)[None]
        codes = Codes(z, torch.full((1, 3, generator.feature_shape(4)[0]), 1 / 3))
        error = mean_square(compose(generator, codes, 4) - y, ones)
        if chosen is None or error < chosen[0]:
            chosen = error, codes.flat()
    assert chosen is not None
    optimiser, best = BatchedLBFGS(chosen[1], history=config.history), None
    for _ in range(config.n_steps):
        flat = optimiser.ask().detach().requires_grad_(True)
        image = compose(generator, Codes.from_flat(flat, 3, generator.code_dim), 4)
        error = mean_square(image - y, ones)
        optimiser.tell(error.detach(), torch.autograd.grad(error.sum(), flat)[0])
        if best is None or error < best[0]:
            best = error.detach(), image.detach()
    assert best is not None
    assert torch.equal(step.image[0], best[1])


def test_a_single_code_begins_at_the_first_layer(tiny_prior):
    step = _run(tiny_prior.generator, _config(method="single-code"))[-1]
    assert (step.layer, step.codes.z.shape) == (0, (1, 2, 1, 16))
    assert torch.equal(step.codes.alpha, torch.ones(1, 2, 1, 16))


def test_pulse_stays_on_the_sphere(generator):
    """Law: every code of every iterate has the generator's radius."""
    for step in _run(generator, _config(method="pulse", n_steps=6)):
        length = step.codes.z.norm(dim=-1)
        torch.testing.assert_close(length, torch.full_like(length, generator.code_radius))


def test_pulse_gives_every_style_its_code():
    """Law: equal codes draw what one draws; and they are as many as there are styles."""
    made = _style(StyleGAN2Generator)
    step = _run(made, _config(method="pulse", n_steps=2))[-1]
    assert step.codes.z.shape[2] == made.n_styles
    z = made.sample_codes(1, rng=seeded(2))
    codes = step.codes.each(lambda part: part[0, :1])
    codes = replace(codes, z=z[:, None].expand(-1, made.n_styles, -1))
    torch.testing.assert_close(compose(made, codes, step.layer), made(z), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_layer_by_layer_stays_in_its_ball(tiny_prior, norm):
    """Law: no map leaves what the search below it drew by more than the ball's radius."""
    generator = tiny_prior.generator
    config = _config(method="layer-by-layer", layer=6, n_steps=40, ball=0.05, ball_norm=norm)
    step = _run(generator, config)[-1]
    codes, layer = step.codes.each(lambda part: part.flatten(0, 1)), step.layer
    cuts = []
    while codes.early is not None:
        cuts.append(layer)
        at_rest = replace(codes, offset=torch.zeros_like(codes.offset))
        base = _map(generator, at_rest, layer).flatten(1)
        away, p = codes.offset.flatten(1), 1 if norm == "l1" else 2
        assert (away.norm(p=p, dim=1) <= 0.0501 * base.norm(p=p, dim=1)).all()
        assert away.abs().sum() > 0
        codes, layer = codes.early, codes.early_layer
    assert cuts == [6, 5]
    assert layer == 3


def _map(generator: SplitGenerator, codes: Codes, layer: int) -> Tensor:
    return assembled(generator, normalised(generator, codes), layer).map


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_point_is_brought_to_the_nearest_in_the_ball(norm):
    """Law: points inside stay; others come to the rim, nearer than any other point of the ball."""
    rng = seeded(3)
    x, radius = torch.randn(3, 20, generator=rng), torch.tensor([1e3, 2.0, 0.5])
    inside = in_ball(x, radius, norm)
    p = 1 if norm == "l1" else 2
    assert torch.equal(inside[0], x[0])
    torch.testing.assert_close(inside[1:].norm(p=p, dim=1), radius[1:])
    for _ in range(200):
        other = torch.randn(3, 20, generator=rng)
        other = other * (radius / other.norm(p=p, dim=1))[:, None]
        assert ((other - x).norm(dim=1)[1:] >= (inside - x).norm(dim=1)[1:]).all()


def test_maps_are_kept_near_those_of_the_generator(tiny_prior):
    """Law: the heavier the weight, the nearer the map is to what the generator draws."""
    generator, far = tiny_prior.generator, []
    maps = generator.head(generator.sample_codes(64, rng=seeded(1)), 4).map
    mean = maps.mean(dim=0)
    for weight in (0.0, 1.0):
        step = _run(generator, _config(method="features", map_weight=weight))[-1]
        found = _map(generator, step.codes.each(lambda part: part.flatten(0, 1)), 4)
        far.append((found - mean).square().mean().item())
    assert far[1] < 0.8 * far[0]


def test_multi_cut_composes_at_two_cuts(tiny_prior):
    codes = _run(tiny_prior.generator, _config(method="multi-cut", n_codes=5))[-1].codes
    assert codes.early is not None
    assert (codes.early.z.shape[2], codes.z.shape[2], codes.alpha.shape[2]) == (2, 3, 4)
    assert codes.early_layer == 2


def test_an_encoder_takes_one_evaluation(tiny_prior, encoder):
    """Law: the drawing is that of the encoder's code, in one step, with one search."""
    generator, y = tiny_prior.generator, _drawn(tiny_prior.generator)
    steps = _run(generator, _config(method="encoder"), encoder, y)
    assert (len(steps), steps[0].n_steps, steps[0].image.shape[:2]) == (1, 1, (1, 1))
    wanted = generator(encoder(y, torch.ones_like(y)))
    torch.testing.assert_close(steps[0].image[0], wanted, atol=1e-5, rtol=1e-4)


def test_a_search_begins_at_the_encoders_code(tiny_prior, encoder):
    """Law: the first of the codes is the encoder's; from there the error falls."""
    generator, y = tiny_prior.generator, _drawn(tiny_prior.generator)
    config = _config(method="encoder-optimised", n_candidates=1)
    steps = _run(generator, config, encoder, y)
    wanted = encoder(y, torch.ones_like(y))[0]
    torch.testing.assert_close(steps[0].codes.z[0, :, 0], wanted.expand(2, -1))
    assert steps[-1].loss < 0.8 * steps[0].loss


def test_fitting_a_copy_leaves_the_prior_alone(generator):
    """Law: not a bit of the prior changes, the error falls, and codes are those found before."""
    y = _drawn(generator, 2) + 0.3 * _drawn(generator, 2).flip(3)
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    config = _config(method="single-code", n_steps=6, tune_steps=20, tune_rate=0.01)
    steps = _run(generator, config, y=y)
    assert len(steps) == config.n_evaluations == 26
    assert steps[-1].loss < 0.9 * steps[5].loss
    assert torch.equal(steps[-1].codes.z, steps[5].codes.z)
    for key, value in generator.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any(p.requires_grad or p.grad is not None for p in generator.parameters())


def test_images_fitted_together_are_fitted_apart(tiny_prior):
    """Law: an image has a copy of its own, so that its neighbour does not matter."""
    generator, y = tiny_prior.generator, _drawn(tiny_prior.generator, 2)
    config = _config(method="single-code", n_steps=1, n_candidates=1, tune_steps=6, n_restarts=1)
    both = _run(generator, config, y=y)[-1]
    first = _run(generator, config, y=y[:1])[-1]
    torch.testing.assert_close(both.image[:1], first.image, atol=1e-4, rtol=1e-3)


def test_the_noise_level_ends_all_searches(tiny_prior):
    y = _drawn(tiny_prior.generator)
    level = 0.9 * y.std().item()
    config = _config(method="layer-by-layer", n_steps=40, tune_steps=10, noise_level=level)
    steps = _run(tiny_prior.generator, config, y=y)
    assert len(steps) < 20
    assert (steps[-1].error <= level**2).all()


@pytest.mark.parametrize("method", SEARCHING)
def test_same_seed_same_bits(tiny_prior, encoder, method):
    config = _config(method=method, n_steps=5, tune_steps=2, held_out=0.1)
    first, second = (_run(tiny_prior.generator, config, encoder)[-1].image for _ in range(2))
    assert torch.equal(first, second)


class _Whole(SplitGenerator):
    """A generator that cannot be run between two cuts."""

    architecture = "whole"
    code_dim, image_channels, resolution, n_layers = 3, 1, 4, 2

    def head(self, z, layer):
        return Features(z[:, :, None, None])

    def tail(self, features, layer):
        return features.map.mean(dim=1, keepdim=True).expand(-1, 1, 4, 4)

    def feature_shape(self, layer):
        return 3, 1, 1

    def spec(self):
        return {}


def test_an_unknown_method_is_refused(tiny_prior, encoder):
    with pytest.raises(SettingsError, match="Got method = 'magic'; wanted one of multi-code, sin"):
        _config(method="magic")
    with pytest.raises(SettingsError, match="Got ball_norm = 'l3'"):
        _config(ball_norm="l3")
    with pytest.raises(SettingsError, match="'multi-cut', unknown for the architecture 'whole'"):
        check_method(_Whole(), None, _config(method="multi-cut"))
    with pytest.raises(SettingsError, match="Got two cuts, 1 and 2, for a generator of archi"):
        _Whole().between(Features(torch.zeros(1, 3, 1, 1)), 1, 2)
    assert "layer-by-layer" not in methods_for(_Whole(), encoder)
    assert methods_for(tiny_prior.generator, encoder) == METHODS


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"method": "encoder"}, "'encoder' for a prior without an encoder; wanted one of multi"),
        ({"method": "pulse", "code_space": "w"}, "'pulse' in the code space 'w'; wanted z"),
        ({"method": "multi-cut", "layer": 1}, "'multi-cut' at the cut 1; wanted 2 or deeper"),
        ({"method": "features", "layer": 0}, "'features' at the cut 0; wanted 1 or deeper"),
        ({"method": "features", "optimise_noise": True}, "Got optimise_noise for the method"),
    ],
)
def test_settings_that_do_not_go_with_a_method_are_refused(changes, match):
    with pytest.raises(SettingsError, match=match):
        _run(_style(StyleGANGenerator), _config(**changes))
