"""Laws of the split generator and its discriminator."""

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator

SPECS = {
    "grey16": {"resolution": 16, "widths": (8, 8, 4), "code_dim": 6, "image_channels": 1},
    "rgb32": {"resolution": 32, "widths": (8, 6, 6, 3), "code_dim": 5, "image_channels": 3},
    "grey128": {
        "resolution": 128,
        "widths": (8, 8, 6, 4, 4, 3),
        "code_dim": 16,
        "image_channels": 1,
    },
    "smallest": {"resolution": 4, "widths": (5,), "code_dim": 3, "image_channels": 3},
}


@pytest.fixture(params=SPECS.values(), ids=SPECS.keys())
def generator(request) -> PGGANGenerator:
    made = PGGANGenerator(**request.param)
    made.initialise(seeded(0))
    with torch.no_grad():  # a bias of 0 would hide mistakes
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=seeded(1)).mul_(0.1)
    return made.eval().requires_grad_(False)


def codes(generator: PGGANGenerator, n: int = 4) -> torch.Tensor:
    return generator.sample_codes(n, rng=seeded(2))


def test_split_law(generator):
    """Law: tail(head(z, k), k) == G(z) for every cut."""
    z = codes(generator)
    whole = generator(z)
    side = generator.resolution
    assert whole.shape == (4, generator.image_channels, side, side)
    for layer in range(generator.n_layers + 1):
        again = generator.tail(generator.head(z, layer), layer)
        for end in range(layer, generator.n_layers + 1):  # also in two pieces above the cut
            there = generator.between(generator.head(z, layer), layer, end)
            assert torch.equal(generator.tail(there, end), again)
        assert (again - whole).abs().max() <= 1e-6


def test_feature_shape_is_what_the_head_draws(generator):
    z = codes(generator, 2)
    for layer in range(generator.n_layers + 1):
        features = generator.head(z, layer)
        assert features.styles is None
        assert tuple(features.map.shape) == (2, *generator.feature_shape(layer))


def test_every_block_matters(generator):
    """Law: features at a cut decide the image; other features give another image."""
    first, second = codes(generator, 2)[:, None]
    for layer in range(generator.n_layers + 1):
        one, other = (generator.tail(generator.head(z, layer), layer) for z in (first, second))
        assert (one - other).abs().max() > 1e-3


def test_the_length_of_a_code_does_not_matter(generator):
    """Law: G(c z) == G(z) for c > 0, because PixelNorm comes first."""
    z = codes(generator)
    for factor in (0.1, 7.0):
        # the mean: a tiny network's PixelNorm magnifies rounding where a pixel is nearly 0
        assert (generator(factor * z) - generator(z)).abs().mean() < 2e-6


def test_folding_changes_no_image(generator):
    z = codes(generator)
    before = generator(z)
    generator.fold_scales()
    assert (generator(z) - before).abs().max() <= 1e-5
    generator.fold_scales()  # twice is once
    assert (generator(z) - before).abs().max() <= 1e-5


def test_the_spec_builds_it_again(generator):
    again = PGGANGenerator(**generator.spec())
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again(codes(generator)), generator(codes(generator)))


def test_images_of_a_batch_do_not_know_each_other(generator):
    z = codes(generator)
    alone = torch.cat([generator(one[None]) for one in z])
    assert (alone - generator(z)).abs().mean() < 2e-6


def test_codes_lie_on_the_sphere_and_come_from_the_seed(generator):
    z = codes(generator, 50)
    lengths = torch.linalg.vector_norm(z, dim=1)
    assert torch.allclose(lengths, torch.tensor(generator.code_dim**0.5))
    assert torch.equal(z, codes(generator, 50))
    assert (z.mean(dim=0).abs() < 0.6).all()  # no side is preferred


def test_fresh_weights_keep_the_variance_and_come_from_the_seed():
    """The equalised learning rate's aim: maps of about unit size at every layer."""
    made = PGGANGenerator(resolution=64, widths=(64,) * 5, code_dim=64, image_channels=1)
    made.initialise(seeded(0))
    other = PGGANGenerator(**made.spec())
    other.initialise(seeded(0))
    for one, two in zip(made.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    with torch.no_grad():
        z = made.sample_codes(8, rng=seeded(1))
        for layer in range(1, made.n_layers + 1):
            power = made.head(z, layer).map.square().mean()
            # the first map's border sees only part of a 4x4 kernel's taps
            assert (0.02 if layer == 1 else 0.5) < power < 1.5


@pytest.mark.parametrize("layer", [-1, 7, 99])
def test_cuts_that_do_not_exist_are_refused(layer):
    made = PGGANGenerator(**SPECS["grey16"])
    message = rf"Got cut {layer}; this generator has cuts 0 to 6"
    z = torch.zeros(1, 6)
    with pytest.raises(PriorError, match=message):
        made.head(z, layer)
    with pytest.raises(PriorError, match=message):
        made.tail(made.head(z, 2), layer)
    with pytest.raises(PriorError, match=message):
        made.feature_shape(layer)


@pytest.mark.parametrize("network", [PGGANGenerator, PGGANDiscriminator])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "resolution of 48 px; a PGGAN needs a power of two"),
        ({"resolution": 2, "widths": (8,)}, "resolution of 2 px"),
        ({"resolution": 0, "widths": ()}, "resolution of 0 px"),
        ({"resolution": -16}, "resolution of -16 px"),
        ({"widths": (8, 8)}, r"channel widths \(8, 8\) for 16 px; wanted 3 positive"),
        ({"widths": (8, 0, 4)}, r"channel widths \(8, 0, 4\)"),
        ({"image_channels": 0}, "0 image channels; a PGGAN here draws 1 to 4"),
        ({"image_channels": 5}, "5 image channels"),
    ],
)
def test_impossible_networks_are_refused(network, change, message):
    spec = {**SPECS["grey16"], **change}
    if network is PGGANDiscriminator:
        del spec["code_dim"]
    with pytest.raises(PriorError, match=message):
        network(**spec)


@pytest.fixture(params=["grey16", "rgb32", "smallest"])
def discriminator(request) -> PGGANDiscriminator:
    spec = {key: value for key, value in SPECS[request.param].items() if key != "code_dim"}
    made = PGGANDiscriminator(**spec)
    made.initialise(seeded(0))
    return made.eval().requires_grad_(False)


def pictures(discriminator: PGGANDiscriminator, n: int = 8) -> torch.Tensor:
    side = discriminator.resolution
    shape = (n, discriminator.image_channels, side, side)
    return torch.rand(shape, generator=seeded(3)) * 2 - 1


def test_discriminator_maps_halve(discriminator):
    """Law: map i is (B, width of that size, H / 2**i, W / 2**i)."""
    widths = discriminator.widths[::-1]
    x = pictures(discriminator)
    maps = discriminator.features(x, len(widths))
    side = discriminator.resolution
    wanted = [(8, w, side >> i, side >> i) for i, w in enumerate(widths)]
    assert [tuple(m.shape) for m in maps] == wanted
    for n_maps in range(1, len(widths) + 1):
        fewer = discriminator.features(x, n_maps)
        assert len(fewer) == n_maps
        assert all(torch.equal(a, b) for a, b in zip(fewer, maps, strict=False))


def test_discriminator_scores_are_one_a_picture(discriminator):
    scores = discriminator(pictures(discriminator))
    assert scores.shape == (8,)
    assert scores.dtype == torch.float32
    assert scores.std() > 0


def test_folding_changes_no_score(discriminator):
    x = pictures(discriminator)
    before = discriminator(x)
    discriminator.fold_scales()
    assert (discriminator(x) - before).abs().max() <= 1e-5


def test_discriminator_sees_a_lack_of_variety(discriminator):
    """Law: a picture's score depends on its group, through the minibatch deviation."""
    x = pictures(discriminator, 4)
    among_others = discriminator(x)[0]
    among_copies = discriminator(x[:1].expand(4, -1, -1, -1))
    assert (among_others - among_copies[0]).abs() > 1e-5
    assert torch.allclose(among_copies, among_copies[0].expand(4), atol=1e-5)


def test_minibatch_deviation_takes_groups_of_four_strided():
    """Two batches of 4, interleaved, get the scores they get alone."""
    made = PGGANDiscriminator(resolution=8, widths=(4, 4), image_channels=1)
    made.initialise(seeded(0))
    first, second = torch.randn(2, 4, 1, 8, 8, generator=seeded(4))
    mixed = torch.stack([first, 3 * second], dim=1).flatten(0, 1)
    with torch.no_grad():
        scores = made(mixed)
        assert torch.allclose(scores[0::2], made(first), atol=1e-5)
        assert torch.allclose(scores[1::2], made(3 * second), atol=1e-5)
        assert made(first[:3]).isfinite().all()  # no whole group: all of them are one


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_published_forms_of_the_discriminator_have_no_shortcut(form):
    """Law: their maps halve as ours do; the two forms differ in the order of mean and ReLU."""
    made = PGGANDiscriminator(resolution=16, widths=(8, 8, 4), image_channels=1, form=form)
    made.initialise(seeded(0))
    assert not [key for key in made.state_dict() if key.startswith("skip")]
    x = torch.rand(4, 1, 16, 16, generator=seeded(3)) * 2 - 1
    assert [tuple(m.shape[1:]) for m in made.features(x, 3)] == [(4, 16, 16), (8, 8, 8), (8, 4, 4)]
    other = PGGANDiscriminator(
        resolution=16,
        widths=(8, 8, 4),
        image_channels=1,
        form="fused" if form == "plain" else "plain",
    )
    other.load_state_dict(made.state_dict())
    assert (made(x) - other(x)).abs().max() > 1e-4


def test_unknown_forms_of_the_discriminator_are_refused():
    with pytest.raises(PriorError, match="a discriminator of form 'round'; wanted one of residual"):
        PGGANDiscriminator(resolution=8, widths=(4, 4), image_channels=1, form="round")


@pytest.mark.parametrize("resolution", [8, 16, 64, 256])
def test_cuts_are_counted_from_the_image(resolution: int) -> None:
    """Law: the map is a quarter of the image's side for shapes, half of it for thin damage."""
    widths = (4,) * (resolution.bit_length() - 2)
    generator = PGGANGenerator(resolution=resolution, widths=widths, code_dim=4, image_channels=1)
    sides = [generator.feature_shape(cut)[1] for cut in generator.cuts]
    assert sides == [max(resolution // 4, 4), max(resolution // 2, 4)]
    if resolution == 64:
        assert generator.cuts == (5, 7)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_folding_the_pixels_keeps_the_scores(spec):
    """Law: standardise, then fold: the same scores; and the maps are those of plain pixels."""
    made = PGGANDiscriminator(**{k: v for k, v in spec.items() if k != "code_dim"})
    made.initialise(seeded(0))
    channels, side = spec["image_channels"], spec["resolution"]
    mean, std = [-0.8, 0.1, 0.3][:channels], [0.4, 0.9, 0.2][:channels]
    standard = torch.randn(4, channels, side, side, generator=seeded(1))
    images = standard * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    plain = made(standard).detach()
    keys = made.state_dict().keys()
    made.standardise(mean, std)
    torch.testing.assert_close(made(images), plain, rtol=1e-4, atol=1e-4)
    assert made.state_dict().keys() == keys  # the format of checkpoints and priors stays
    made.fold_pixels()
    assert made.pixel_mean is None
    torch.testing.assert_close(made(images), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("mean", "std"), [([0.0, 0.0], [1.0]), ([0.0], [0.0]), ([0.0], [-1.0])])
def test_pixels_that_cannot_be_standardised_are_refused(mean, std):
    made = PGGANDiscriminator(resolution=4, widths=(5,), image_channels=1)
    with pytest.raises(PriorError, match="for 1 image channels; wanted one of each"):
        made.standardise(mean, std)
