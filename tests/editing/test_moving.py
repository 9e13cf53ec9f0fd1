"""Laws of codes that are moved, matched, and led from one picture to another."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.editing import Direction, between, match, move
from napari_mganprior.editing.moving import to_direction_space
from napari_mganprior.errors import DirectionError
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator
from napari_mganprior.inversion.codes import Codes, compose


@pytest.fixture(scope="module")
def style():
    generator = StyleGAN2Generator(
        resolution=16, widths=(6, 5, 4), code_dim=7, mapping=(8, 9), image_channels=1
    )
    rng = seeded(7)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(generator=rng).mul_(0.4)
    return generator.eval().requires_grad_(False)


def some(generator, layer, batch=2, n_codes=3, seed=0):
    rng = seeded(seed)
    z = torch.stack([generator.sample_codes(n_codes, rng=rng) for _ in range(batch)])
    alpha = torch.rand(batch, n_codes, generator.feature_shape(layer)[0], generator=rng)
    mixed = generator.n_mixed(layer)
    beta = torch.rand(batch, n_codes, mixed, generator=rng) if mixed else None
    return Codes(z, alpha, beta)


def along(length, number=0, **options):
    return Direction("d", np.eye(length)[number], **options)


def test_all_codes_move_alike(tiny_prior):
    """Law: c + s * unit * vector, sums of moves; importances stay."""
    generator = tiny_prior.generator
    codes = some(generator, 2)
    moves = [(along(16, unit=2.0), 1.5), (along(16, 3), -1.0)]
    _, moved = move(generator, codes, moves)
    step = torch.zeros(16)
    step[0], step[3] = 3.0, -1.0
    torch.testing.assert_close(moved.z - codes.z, step.expand_as(codes.z), atol=1e-5, rtol=0)
    assert moved.alpha is codes.alpha


def test_strength_zero_draws_the_same(tiny_prior, style):
    """Law: also where z is mapped to styles first."""
    for generator, space, length in (
        (tiny_prior.generator, "z", 16), (style, "w", 9), (style, "z", 7),
        (style.in_space("w+"), "w", 9),
    ):  # fmt: skip
        codes = some(generator, 2)
        there, moved = move(generator, codes, [(along(length, space=space), 0.0)])
        torch.testing.assert_close(
            compose(there, moved, 2), compose(generator, codes, 2), atol=1e-5, rtol=1e-4
        )
        there, moved = move(generator, codes, [(along(length, space=space), 3.0)])
        assert (compose(there, moved, 2) - compose(generator, codes, 2)).abs().max() > 1e-4


def test_mapping_codes_to_styles_changes_no_picture(style):
    codes = some(style, 3)
    there, mapped = to_direction_space(style, codes)
    assert there.code_space == "w"
    torch.testing.assert_close(compose(there, mapped, 3), compose(style, codes, 3))


def test_codes_and_directions_of_different_kinds_are_refused(tiny_prior, style):
    codes = some(tiny_prior.generator, 2)
    with pytest.raises(
        DirectionError, match=r"Got the direction 'd' of 15 numbers for codes of 16"
    ):
        move(tiny_prior.generator, codes, [(along(15), 1.0)])
    with pytest.raises(DirectionError, match=r"Got the direction 'd' for codes in w and a gen"):
        move(tiny_prior.generator, codes, [(along(16, space="w"), 1.0)])
    there = style.in_space("w+")
    with pytest.raises(DirectionError, match=r"for codes in z, and codes in w\+"):
        move(there, some(there, 2), [(along(7), 1.0)])


def test_matching_finds_the_order_again(tiny_prior, style):
    """Law: codes that were shuffled, and moved a little, come back in their order."""
    for generator in (tiny_prior.generator, style):
        codes = some(generator, 3, n_codes=6)
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        shuffled = codes.each(lambda part: part[:, order] + 0.001)  # noqa: B023  used at once
        back = match(generator, codes, shuffled, 3)
        for name in ("z", "alpha", "beta"):
            ours, theirs = getattr(codes, name), getattr(back, name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs, atol=0.002, rtol=0)
        torch.testing.assert_close(
            compose(generator, back, 3), compose(generator, shuffled, 3), atol=1e-4, rtol=1e-4
        )


def test_a_way_begins_and_ends_where_it_should(tiny_prior, style):
    """Law: on the sphere in z, straight in w."""
    for generator in (tiny_prior.generator, style, style.in_space("w")):
        first, second = some(generator, 2, seed=1), some(generator, 2, seed=2)
        for share, end in ((0.0, first), (1.0, second)):
            torch.testing.assert_close(
                compose(generator, between(generator, first, second, share), 2),
                compose(generator, end, 2), atol=1e-4, rtol=1e-4,
            )  # fmt: skip
        middle = between(generator, first, second, 0.5)
        if generator.code_space == "z":
            lengths = middle.z.norm(dim=2)
            torch.testing.assert_close(lengths, torch.full_like(lengths, generator.code_radius))
        else:
            torch.testing.assert_close(middle.z, (first.z + second.z) / 2)
        torch.testing.assert_close(middle.alpha, (first.alpha + second.alpha) / 2)


def test_equal_steps_turn_by_equal_angles(tiny_prior):
    generator = tiny_prior.generator
    first, second = some(generator, 2, seed=1), some(generator, 2, seed=2)
    ways = [
        between(generator, first, second, s).z / generator.code_radius for s in (0, 0.25, 0.5, 1)
    ]
    angle = [torch.arccos((a * b).sum(2)) for a, b in pairwise(ways)]
    torch.testing.assert_close(angle[0], angle[1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(2 * angle[0], angle[2], atol=1e-4, rtol=1e-3)


def test_opposite_and_equal_codes_have_a_way_too(tiny_prior):
    generator = tiny_prior.generator
    codes = some(generator, 2)
    for other in (codes, Codes(-codes.z, codes.alpha)):
        for share in (0.0, 0.3, 1.0):
            assert torch.isfinite(between(generator, codes, other, share).z).all()
