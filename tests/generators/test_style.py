"""Laws of style generators: the split, the code spaces, noise, and their files."""

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError, SettingsError
from napari_mganprior.generators.base import Features
from napari_mganprior.generators.checkpoint import PriorCard, load_prior, save_prior
from napari_mganprior.generators.pggan import PGGANGenerator
from napari_mganprior.generators.style import StyleGenerator
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator

SMALL = {"resolution": 16, "widths": (9, 8, 6), "code_dim": 7, "mapping": (11, 10)}
SPECS = {
    "grey": {**SMALL, "image_channels": 1},
    "truncated": {**SMALL, "image_channels": 3, "truncation": 0.6},
    "smallest": {
        "resolution": 4,
        "widths": (5,),
        "code_dim": 3,
        "mapping": (4,),
        "image_channels": 1,
    },
}
CASES = [
    pytest.param((network, spec), id=f"{network.architecture}-{name}")
    for network in (StyleGANGenerator, StyleGAN2Generator)
    for name, spec in SPECS.items()
]


def made(network: type[StyleGenerator], spec: dict) -> StyleGenerator:
    """Random weights; nothing is at a value that would hide a mistake."""
    generator = network(**spec)
    generator.initialise(seeded(0))
    with torch.no_grad():
        for name, value in generator.state_dict().items():
            if name.endswith(("bias", "strength", "w_avg", "const")):
                value.add_(torch.randn(value.shape, generator=seeded(1)), alpha=0.3)
    return generator.eval().requires_grad_(False)


@pytest.fixture(params=CASES)
def generator(request) -> StyleGenerator:
    network, spec = request.param
    return made(network, spec)


def codes(generator: StyleGenerator, n: int = 3) -> torch.Tensor:
    return generator.sample_codes(n, rng=seeded(2))


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_split_law(generator, space):
    """Law: tail(head(z, k), k) == G(z) for every cut, wherever codes live."""
    generator = generator.in_space(space)
    z = codes(generator)
    assert z.shape == (3, generator.code_dim)
    whole = generator(z)
    side = generator.resolution
    assert whole.shape == (3, generator.image_channels, side, side)
    for layer in range(generator.n_layers + 1):
        again = generator.tail(generator.head(z, layer), layer)
        torch.testing.assert_close(again, whole, atol=1e-6, rtol=1e-6)
        for end in range(layer, generator.n_layers + 1):  # also in two pieces above the cut
            there = generator.between(generator.head(z, layer), layer, end)
            torch.testing.assert_close(generator.tail(there, end), whole, atol=1e-6, rtol=1e-6)


def test_all_spaces_draw_what_z_draws(generator):
    """Law: the styles that z is mapped to draw the same image, given as w and as w+."""
    z = codes(generator)
    whole = generator(z)
    for space in ("w", "w+"):
        other = generator.in_space(space)
        torch.testing.assert_close(other(codes(other)), whole, atol=1e-6, rtol=1e-6)


def test_features_are_as_announced(generator):
    """Law: shapes at a cut are those of feature_shape, n_mixed and noise_above."""
    z = codes(generator, 2)
    for layer in range(generator.n_layers + 1):
        features = generator.head(z, layer)
        assert tuple(features.map.shape) == (2, *generator.feature_shape(layer))
        styles = 0 if features.styles is None else features.styles.shape[1]
        assert generator.n_mixed(layer) == styles + (features.image is not None)
        sides = [generator.noise_of(i).shape[-1] for i in range(layer, generator.n_layers)]
        assert generator.noise_above(layer).shape == (sum(side**2 for side in sides),)


def test_every_part_of_the_features_matters():
    """Law: another map, other styles, another image so far or other noise: another picture."""
    for network, has_image in ((StyleGANGenerator, False), (StyleGAN2Generator, True)):
        generator = made(network, SPECS["grey"])
        first, second = (generator.head(z[None], 3) for z in codes(generator, 2))
        whole = generator.tail(first, 3)
        others = [
            Features(second.map, first.styles, first.image),
            Features(first.map, first.styles, first.image, -generator.noise_above(3)[None]),
        ]
        assert first.styles is not None
        for index in range(first.styles.shape[1]):
            styles = first.styles.clone()
            styles[:, index] = second.styles[:, index]
            others.append(Features(first.map, styles, first.image))
        assert (first.image is not None) == has_image
        if has_image:
            others.append(Features(first.map, first.styles, second.image))
        for other in others:
            assert (generator.tail(other, 3) - whole).abs().max() > 1e-3


def test_own_noise_given_changes_nothing(generator):
    """Law: the noise that noise_above lists is the noise that is used, in that order."""
    z = codes(generator)
    for layer in range(generator.n_layers + 1):
        features = generator.head(z, layer)
        given = Features(
            features.map,
            features.styles,
            features.image,
            generator.noise_above(layer).expand(len(z), -1),
        )
        assert torch.equal(generator.tail(given, layer), generator.tail(features, layer))


def test_every_layer_has_its_style():
    """Law: each of the styles of w+ changes the picture."""
    for network in (StyleGANGenerator, StyleGAN2Generator):
        generator = made(network, SPECS["grey"]).in_space("w+")
        first, second = codes(generator, 2)
        for index in range(generator.n_styles):
            mixed = first.clone().unflatten(0, (generator.n_styles, -1))
            mixed[index] = second.unflatten(0, (generator.n_styles, -1))[index]
            assert (generator(mixed.flatten()[None]) - generator(first[None])).abs().max() > 1e-4


def test_the_length_of_a_code_in_z_does_not_matter(generator):
    z = codes(generator)
    torch.testing.assert_close(generator(5 * z), generator(z), atol=1e-5, rtol=1e-5)


def test_truncation_goes_to_the_mean_style():
    """Law: truncation 0 draws one image for all codes, that of w_avg."""
    for network in (StyleGANGenerator, StyleGAN2Generator):
        generator = made(network, {**SMALL, "image_channels": 1, "truncation": 0.0})
        mean = generator.in_space("w")(generator.w_avg[None])
        torch.testing.assert_close(generator(codes(generator)), mean.expand(3, -1, -1, -1))


def test_spaces_share_weights(generator):
    """Law: what in_space returns sees later changes of the weights, and the original its own."""
    other = generator.in_space("w")
    w = codes(other)
    before = other(w)
    assert generator.code_space == "z"
    assert generator.code_dim == generator.spec()["code_dim"] == other.spec()["code_dim"]
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.startswith("to_image") and name.endswith("bias"):
                value.add_(1.0)
    assert torch.equal(other(w), generator.in_space("w")(w))
    assert (other(w) - before).abs().min() > 0


def test_folding_changes_no_image(generator):
    z = codes(generator)
    before = generator(z)
    keys = generator.state_dict().keys()
    for _ in range(2):
        generator.fold_scales()
        torch.testing.assert_close(generator(z), before, atol=1e-6, rtol=1e-6)
    assert generator.state_dict().keys() == keys


def test_images_of_a_batch_do_not_know_each_other(generator):
    z = codes(generator)
    alone = torch.cat([generator(one[None]) for one in z])
    torch.testing.assert_close(generator(z), alone, atol=1e-5, rtol=1e-5)


def test_bfloat16_draws_nearly_the_same(generator):
    z = codes(generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = generator(z).float()
    exact = generator(z)
    assert (rough - exact).square().mean() < 0.01 * exact.var()


def test_a_prior_file_brings_it_back(generator, tmp_path):
    """Law: what is saved and loaded draws the same image, without a discriminator."""
    card = PriorCard(
        name="style",
        architecture=generator.architecture,
        generator=generator.spec(),
        discriminator={},
        domain="random drawings",
    )
    path = tmp_path / "style.safetensors"
    save_prior(path, card, generator, None, dtype=torch.float32)
    loaded = load_prior(path)
    assert loaded.discriminator is None
    z = codes(generator)
    torch.testing.assert_close(loaded.generator(z), generator(z), atol=1e-6, rtol=1e-6)


def test_a_discriminator_where_there_is_none_is_refused(tmp_path):
    generator = made(StyleGANGenerator, SPECS["smallest"])
    card = PriorCard(
        name="style",
        architecture="stylegan",
        generator=generator.spec(),
        discriminator={"resolution": 4},
        domain="random drawings",
    )
    path = tmp_path / "style.safetensors"
    save_prior(path, card, generator, None)
    with pytest.raises(PriorError, match=r"Got a discriminator in style\.safetensors"):
        load_prior(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"resolution": 24}, "Got a resolution of 24 px; a style generator needs"),
        ({"widths": (9, 8)}, r"Got channel widths \(9, 8\) for 16 px; wanted 3"),
        ({"mapping": ()}, r"Got lengths \(7,\) of code and mapping layers"),
        ({"image_channels": 5}, "Got 5 image channels"),
        ({"truncation": 1.5}, "Got a truncation of 1.5; wanted 0"),
    ],
)
@pytest.mark.parametrize("network", [StyleGANGenerator, StyleGAN2Generator])
def test_impossible_descriptions_are_refused(network, change, match):
    with pytest.raises(PriorError, match=match):
        network(**{**SPECS["grey"], **change})


def test_impossible_cuts_and_spaces_are_refused():
    generator = made(StyleGAN2Generator, SPECS["grey"])
    for layer in (-1, 6):
        with pytest.raises(PriorError, match=f"Got cut {layer}; this generator has cuts 0 to 5"):
            generator.head(codes(generator), layer)
    with pytest.raises(SettingsError, match=r"Got the code space 'y' .* wanted one of z, w, w\+"):
        generator.in_space("y")
    plain = PGGANGenerator(resolution=8, widths=(4, 4), code_dim=3, image_channels=1)
    assert plain.in_space("z") is plain
    with pytest.raises(SettingsError, match=r"Got the code space 'w' .*'pggan'; wanted one of z"):
        plain.in_space("w")
