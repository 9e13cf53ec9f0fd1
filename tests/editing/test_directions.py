"""Laws of directions: what they are, where they are found, how they are read and learnt."""

import json

import numpy as np
import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.editing import (
    Direction,
    check_strength,
    find_directions,
    known_directions,
    learn_direction,
    read_boundary,
    save_boundary,
)
from napari_mganprior.editing.finding import unit_along
from napari_mganprior.errors import DirectionError, SettingsError, StorageError
from napari_mganprior.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from napari_mganprior.generators.chain import split_module
from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.generators.described import DescribedGenerator
from napari_mganprior.generators.pggan import PGGANGenerator
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator


def random(generator):
    """Fill a network with seeded numbers."""
    rng = seeded(7)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.normal_(generator=rng).mul_(0.3)
    return generator.eval().requires_grad_(False)


STYLE = {
    "resolution": 16,
    "widths": (6, 5, 4),
    "code_dim": 7,
    "mapping": (8, 9),
    "image_channels": 1,
}
LAYERS = [
    {"kind": "dense", "units": 32, "activation": "relu"},
    {"kind": "reshape", "shape": [8, 2, 2]},
    {"kind": "convtranspose", "filters": 1, "kernel": 4, "stride": 2, "padding": 1},
]
GENERATORS = {
    "pggan": lambda: PGGANGenerator(resolution=8, widths=(6, 4), code_dim=10, image_channels=1),
    "dcgan": lambda: DCGANGenerator(widths=(6, 4), code_dim=10, image_channels=1),
    "described": lambda: DescribedGenerator(
        code_dim=10, image_channels=1, resolution=4, layers=LAYERS
    ),
    "biggan": lambda: BigGANGenerator(
        widths=(8, 8, 8), attention=(), code_dim=12, chunk=4, image_channels=1
    ),
    "biggan-deep": lambda: BigGANDeepGenerator(
        widths=(8, 8), upsample=(True,), attention=(), code_dim=12, image_channels=1
    ),
    "stylegan": lambda: StyleGANGenerator(**STYLE),
    "stylegan2": lambda: StyleGAN2Generator(**STYLE),
}  # fmt: skip


@pytest.mark.parametrize("architecture", GENERATORS)
def test_the_strongest_direction_of_the_weights_moves_what_codes_are_turned_into_most(architecture):
    """Law: |A n| of row-normalised A falls from direction to direction; none beats the first."""
    generator = random(GENERATORS[architecture]())
    weight = generator.entry_weight()
    moving = generator.in_space(generator.direction_space)
    assert weight.shape[1] == moving.code_dim
    found = find_directions(generator, 5)
    assert [d.name for d in found] == ["1", "2", "3", "4", "5"]
    assert {d.source["kind"] for d in found} == {"sefa"}
    rows = torch.nn.functional.normalize(weight.double(), dim=1)
    reach = [float((rows @ torch.from_numpy(d.vector.copy()).double()).norm()) for d in found]
    assert reach == sorted(reach, reverse=True)
    others = torch.nn.functional.normalize(
        torch.randn(200, weight.shape[1], generator=seeded(1), dtype=torch.float64), dim=1
    )
    assert float((rows @ others.T).norm(dim=0).max()) <= reach[0] + 1e-6
    again = find_directions(generator, 5)
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(found, again, strict=True))


def test_the_weights_are_those_that_codes_come_in_through():
    """Law: BigGAN's first map is the dense layer of the code's first part; nothing else there."""
    generator = random(GENERATORS["biggan"]())
    weight = generator.entry_weight()
    assert torch.equal(weight[:, :4][: 16 * 8], generator.start.weight)
    assert not weight[: 16 * 8, 4:].any()


def test_where_there_are_no_such_weights_features_are_taken():
    """Law: of a linear network whose code has one loud number, the first direction is that one."""

    class Loud(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(6, 16, bias=False)
            self.last = torch.nn.Unflatten(1, (1, 4, 4))

        def forward(self, z):
            return self.last(self.first(z * self.scale()))

        def scale(self):
            return torch.tensor([0.1, 0.1, 5.0, 0.1, 0.1, 0.1])

    module = Loud()
    torch.nn.init.orthogonal_(module.first.weight, generator=seeded(0))
    generator = split_module(module, ["first"], code_shape=6)
    assert generator.entry_weight() is None
    first, second = find_directions(generator, 2, seed=3)
    assert first.source["kind"] == "pca"
    assert abs(first.vector[2]) > 0.99
    assert first.vector[2] > 0
    assert abs(second.vector[2]) < 0.2
    assert first.source["share"] > 0.9
    assert np.array_equal(first.vector, find_directions(generator, 2, seed=3)[0].vector)
    with pytest.raises(DirectionError, match="Got the method 'sefa' for the architecture"):
        find_directions(generator, 2, method="sefa")


def test_a_unit_is_the_deviation_of_random_codes():
    generator = random(GENERATORS["stylegan2"]())
    for space, radius in (("z", 1.0), ("w", None)):
        there = generator.in_space(space)
        vector = np.eye(there.code_dim)[1]
        measured = there.sample_codes(4000, rng=seeded(9))[:, 1].std()
        unit = unit_along(generator, vector, space)
        assert unit == pytest.approx(float(measured), rel=0.1)
        assert radius is None or unit == radius


def test_found_directions_are_remembered(tiny_prior, tmp_path, monkeypatch):
    """Law: the second time nothing is computed; a damaged file is no matter."""
    first = known_directions(tiny_prior, 3, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr("napari_mganprior.editing.finding.find_directions", None)
    second = known_directions(tiny_prior, 3, folder=tmp_path)
    for one, other in zip(first, second, strict=True):
        assert one.to_dict() == other.to_dict()
    monkeypatch.undo()
    path.write_bytes(b"nothing")
    assert len(known_directions(tiny_prior, 3, folder=tmp_path)) == 3
    assert known_directions(tiny_prior, 3, folder=path / "no")[0].name == "1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 0}, "Got 0 directions; wanted 1 to 16"),
        ({"n": 17}, "Got 17 directions"),
        ({"method": "magic"}, "Got the method 'magic'; wanted one of auto, sefa, pca"),
    ],
)
def test_what_cannot_be_found_is_said(tiny_prior, options, told):
    with pytest.raises(SettingsError, match=told):
        find_directions(tiny_prior.generator, **options)


def test_a_boundary_comes_back_from_a_file(tiny_prior, tmp_path):
    """Law: (1, D) as InterFaceGAN writes it, of length 1, and named by its file and hash."""
    path = tmp_path / "round.npy"
    np.save(path, np.arange(16.0)[None] * 3)
    direction = read_boundary(path, tiny_prior.generator)
    assert (direction.name, direction.space, direction.unit) == ("round", "z", 1.0)
    assert np.linalg.norm(direction.vector) == pytest.approx(1)
    assert direction.source["file"] == "round.npy"
    assert len(direction.source["sha256"]) == 64
    save_boundary(tmp_path / "again.npy", direction)
    assert np.load(tmp_path / "again.npy").shape == (1, 16)
    again = read_boundary(tmp_path / "again.npy", tiny_prior.generator)
    np.testing.assert_allclose(again.vector, direction.vector, atol=1e-7)
    read = Direction.from_dict(json.loads(json.dumps(direction.to_dict())))
    assert np.array_equal(read.vector, direction.vector)


def test_a_boundary_of_styles_is_told_by_its_length(tmp_path):
    generator = random(GENERATORS["stylegan"]())
    for length, space in ((9, "w"), (7, "z")):
        np.save(tmp_path / "b.npy", np.ones(length))
        assert read_boundary(tmp_path / "b.npy", generator).space == space
    with pytest.raises(DirectionError, match=r"Got a boundary of 7 numbers in b\.npy; wanted 9"):
        read_boundary(tmp_path / "b.npy", generator, space="w")


class Pickled:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.ones((1, 17)), r"Got a boundary of 17 numbers in b\.npy; wanted 16 \(z\)"),
        (np.ones((16, 16)), r"Got b\.npy with float64 of shape \(16, 16\)"),
        (np.ones((1, 16)) * np.nan, "NaN, infinite or all 0"),
        (np.full((1, 16), np.inf), "NaN, infinite or all 0"),
        (np.zeros((1, 16)), "NaN, infinite or all 0"),
        (np.array([["a"] * 16]), r"Got b\.npy with <U1 of shape"),
        (np.ones((1, 16), complex), r"Got b\.npy with complex128"),
        (np.ones((1, 0)), r"Got b\.npy with float64 of shape \(1, 0\)"),
    ],
)
def test_a_boundary_that_is_none_is_refused(tiny_prior, tmp_path, array, told):
    np.save(tmp_path / "b.npy", array)
    with pytest.raises(DirectionError, match=told):
        read_boundary(tmp_path / "b.npy", tiny_prior.generator)


def test_pickles_archives_and_lies_are_refused(tiny_prior, tmp_path):
    """Law: nothing in a file is run; a header that promises too much is not believed."""
    path = tmp_path / "b.npy"
    np.save(path, np.array([[Pickled()] * 16], dtype=object), allow_pickle=True)
    with pytest.raises(DirectionError, match=r"Pickled objects are not read"):
        read_boundary(path, tiny_prior.generator)
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(DirectionError, match=r"Pickled objects are not read"):
        read_boundary(path, tiny_prior.generator)
    with path.open("wb") as file:
        np.savez(file, a=np.ones((1, 16)))
    with pytest.raises(DirectionError, match="which holds several arrays"):
        read_boundary(path, tiny_prior.generator)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1, 10**13)}
        )
    with pytest.raises(DirectionError, match="which holds no plain numbers"):
        read_boundary(path, tiny_prior.generator)
    path.write_bytes(b"")
    with pytest.raises(DirectionError, match="which holds no plain numbers"):
        read_boundary(path, tiny_prior.generator)
    with pytest.raises(StorageError, match="Could not read the boundary"):
        read_boundary(tmp_path / "none.npy", tiny_prior.generator)


def test_a_learnt_direction_separates_the_groups():
    """Law: groups that differ in one number, in noise elsewhere, are told apart by that number."""
    rng = np.random.default_rng(0)
    like, unlike = rng.normal(size=(2, 8, 32))
    like[:, 5] += 4
    unlike[:, 5] -= 4
    found = learn_direction(like, unlike, name="round")
    assert found.name == "round"
    assert found.vector[5] > 0.8
    assert ((like @ found.vector).min()) > (unlike @ found.vector).max()
    assert found.source == {"kind": "groups", "examples": [8, 8], "left_out_right": 16}
    back = learn_direction(unlike, like)
    np.testing.assert_allclose(back.vector, -found.vector, atol=1e-6)


def test_two_examples_are_enough_and_noise_is_shrunk_away():
    """Law: of two examples a group it is nearly the difference of the means."""
    rng = np.random.default_rng(1)
    like, unlike = rng.normal(size=(2, 2, 32)) * 0.1
    like += np.eye(32)[3]
    found = learn_direction(like, unlike)
    difference = like.mean(0) - unlike.mean(0)
    assert found.vector @ (difference / np.linalg.norm(difference)) > 0.9


def test_a_loud_number_that_says_nothing_counts_less():
    """Law: with many examples, the covariance matters: the difference of means would be wrong."""
    rng = np.random.default_rng(2)
    like, unlike = rng.normal(size=(2, 200, 4)) * np.array([1, 20, 1, 1])
    like[:, 0] += 3
    like[:, 1] += 3
    found = learn_direction(like, unlike)
    assert abs(found.vector[0]) > 5 * abs(found.vector[1])


@pytest.mark.parametrize(
    ("n", "m", "told"),
    [
        (1, 2, "Got 1 example in the group 'like these'; wanted at least 2"),
        (2, 0, "Got 0 examples in the group 'like those'"),
    ],
)
def test_groups_that_are_too_small_are_refused(n, m, told):
    with pytest.raises(DirectionError, match=told):
        learn_direction(np.ones((n, 4)), np.zeros((m, 4)))


def test_groups_that_are_alike_or_of_two_kinds_are_refused():
    with pytest.raises(DirectionError, match="Got two groups with the same codes"):
        learn_direction(np.ones((2, 4)), np.ones((2, 4)))
    with pytest.raises(DirectionError, match=r"Got codes of shapes \(2, 4\) and \(2, 5\)"):
        learn_direction(np.ones((2, 4)), np.ones((2, 5)))


@pytest.mark.parametrize(
    ("vector", "options", "told"),
    [
        (np.ones((2, 3)), {}, r"of shape \(2, 3\)"),
        (np.zeros(3), {}, "of length 0"),
        (np.array([np.nan, 1]), {}, "of length nan"),
        (np.ones(3), {"space": "y"}, "in the space 'y'"),
        (np.ones(3), {"unit": 0}, "with the unit 0"),
    ],
)
def test_what_is_no_direction_is_refused(vector, options, told):
    with pytest.raises(DirectionError, match=told):
        Direction("d", vector, **options)


@pytest.mark.parametrize(
    "raw",
    [{}, {"vector": "!"}, {"vector": "AAAA", "name": "", "space": "z", "unit": 1, "source": {}}],
)
def test_a_damaged_direction_of_a_recipe_is_refused(raw):
    with pytest.raises(DirectionError, match="Got a"):
        Direction.from_dict(raw)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 101, "2", True, None])
def test_strengths_that_mean_nothing_are_refused(strength):
    with pytest.raises(SettingsError, match="Got the strength"):
        check_strength(strength)
