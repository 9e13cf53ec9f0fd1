"""Generators from Python: any feed-forward network is split, and is a prior by its name."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import napari_mganprior
from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError
from napari_mganprior.generators import registry
from napari_mganprior.generators.chain import split_module
from napari_mganprior.generators.checkpoint import load_prior, read_card
from napari_mganprior.generators.pggan import PGGANGenerator
from napari_mganprior.generators.registry import (
    forget_generator,
    register_generator,
    registered_names,
)
from napari_mganprior.inversion.codes import Codes, compose
from napari_mganprior.priors import find_prior, list_priors, prior_names, read_entry


class Net(nn.Module):
    """A network with functions, a weight of its own and a shortcut between its submodules."""

    def __init__(self, channels=1):
        super().__init__()
        self.dense = nn.Linear(6, 8 * 16)
        self.body = nn.ModuleDict(
            {"conv": nn.Conv2d(8, 8, 3, padding=1), "norm": nn.BatchNorm2d(8)}
        )
        self.up = nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.offset = nn.Parameter(torch.tensor(0.3))
        self.last = nn.Conv2d(4, channels, 3, padding=1)

    def forward(self, z):
        x = F.relu(self.dense(z) + self.offset).view(-1, 8, 4, 4)
        x = x + self.body["norm"](self.body["conv"](x))
        x = F.interpolate(F.leaky_relu(self.up(F.relu(x)), 0.1), scale_factor=2)
        return torch.sigmoid(self.last(x) * self.offset)


def net(channels=1):
    made = Net(channels).eval()
    rng = seeded(0)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.is_floating_point():
                value.normal_(generator=rng).abs_().mul_(0.3).sub_(0.05)
        made.body["norm"].running_var.abs_().add_(0.5)
    return made


CUTS = ["dense", "body.norm", "up"]


@pytest.fixture
def name():
    """Return a name that is free again afterwards."""
    yield "leaves"
    forget_generator("leaves")


def test_a_network_is_split_at_every_cut_point():
    """Law: tail(head(z, k), k) == G(z), with functions and weights between the submodules.

    The shortcut around ``body`` is no cut: ``body.norm`` lies inside it.
    """
    made = split_module(net(), ["dense", "up"], code_shape=6, value_range=(0, 1))
    z = made.sample_codes(4, rng=seeded(1))
    whole = made(z)
    assert (whole - (2 * net()(z) - 1)).abs().max() <= 1e-6
    assert [made.feature_shape(k) for k in range(3)] == [(6, 1, 1), (128, 1, 1), (4, 8, 8)]
    assert (made.n_layers, made.resolution, made.image_channels) == (2, 16, 1)
    for layer in range(3):
        features = made.head(z, layer)
        assert tuple(features.map.shape[1:]) == made.feature_shape(layer)
        assert (made.tail(features, layer) - whole).abs().max() <= 1e-6
        for end in range(layer, 3):
            there = made.tail(made.between(features, layer, end), end)
            assert (there - whole).abs().max() <= 1e-6
        alpha = torch.ones(2, 2, made.feature_shape(layer)[0]) / 2
        mixed = compose(made, Codes(z.reshape(2, 2, 6), alpha), layer)
        assert (mixed - whole[::2]).abs().max() > 1e-4


def test_codes_may_have_a_shape_and_a_length():
    layers = [nn.ConvTranspose2d(5, 4, 4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()]
    network = nn.Sequential(*layers)
    made = split_module(network, ["0", "1"], code_shape=(5, 1, 1), code_radius=1.5)
    z = made.sample_codes(3, rng=seeded(0))
    assert torch.allclose(torch.linalg.vector_norm(z, dim=1), torch.tensor(1.5))
    assert torch.allclose(made(z), network(z[:, :, None, None]))


def test_only_what_is_above_a_cut_is_run():
    """Law: a tail does not run what lies below its cut."""
    calls = []
    network = net()
    network.dense.register_forward_hook(lambda *_: calls.append("dense"))
    made = split_module(network, ["dense", "up"], code_shape=6)
    features = made.head(torch.zeros(1, 6), 2)
    calls.clear()
    made.tail(features, 2)
    assert calls == []


class Clock(nn.Module):
    """A network whose images depend on what it drew before."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 16)

    def forward(self, z):
        x = self.dense(z) + torch.rand(1)
        return x.view(-1, 1, 4, 4)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 16)

    def forward(self, z):
        x = self.dense(z)
        return x.view(-1, 1, 4, 4) if z.sum() > 0 else -x.view(-1, 1, 4, 4)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 16)

    def forward(self, z, label):
        return self.dense(z).view(-1, 1, 4, 4) + label


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 16)

    def forward(self, z):
        x = self.dense(z).view(-1, 1, 4, 4)
        return x, x


def flat():
    return nn.Sequential(nn.Linear(4, 16), nn.Unflatten(1, (4, 4)), nn.Unflatten(1, (1, 4)))


@pytest.mark.parametrize(
    ("network", "cuts", "settings", "message"),
    [
        (net(), ["dense", "nothing"], {}, r"of which \['nothing'\] are no submodules"),
        (net(), [], {}, r"the cut points \[\]"),
        (net(), [""], {}, r"of which \[''\] are no submodules"),
        (net(), ["up", "dense"], {}, "'dense', which runs 1 times or before the one in front"),
        (net(), CUTS, {}, "the result of '.*' is used behind a later cut point"),
        (net(), ["body"], {}, "'body', which runs 0 times"),
        (net(), ["dense"], {"code_shape": 0}, "codes of shape 0; wanted a positive number"),
        (net(), ["dense"], {"code_shape": 5}, "cannot be recorded or run"),
        (net(), ["dense"], {"value_range": (1, 1)}, r"value range \(1, 1\)"),
        (net(), ["dense"], {"code_radius": 0.0}, "code radius 0.0"),
        (net(5), ["dense"], {}, r"images of shape \(2, 5, 16, 16\)"),
        (Clock(), ["dense"], {"code_shape": 4}, "draws another image in one piece than in parts"),
        (Branches(), ["dense"], {"code_shape": 4}, "cannot be recorded"),
        (TwoInputs(), ["dense"], {"code_shape": 4}, "a network with 2 inputs"),
        (Pair(), ["dense"], {"code_shape": 4}, "a network that returns tuple"),
        (flat(), ["1"], {"code_shape": 4}, r"features of shape \(4, 4\).* at a cut point"),
    ],
)
def test_networks_that_cannot_be_split_are_refused(network, cuts, settings, message):
    with pytest.raises(PriorError, match=message):
        split_module(network, cuts, **{"code_shape": 6, **settings})


def test_a_registered_network_is_a_prior(name):
    """Law: found, listed, opened and used by its name, as a file is."""
    known = {
        "cut_points": ["dense", "up"],
        "code_shape": 6,
        "value_range": (0, 1),
        "domain": "leaves",
        "licence": "CC0-1.0",
    }
    called = register_generator(name, net, **known)
    assert called == "registered:leaves"
    assert called in prior_names()
    assert prior_names()[-len(registered_names()) :] == registered_names()
    path = find_prior(called)
    prior = load_prior(path)
    assert prior.card.name == "leaves"
    assert (prior.card.domain, prior.card.licence) == ("leaves", "CC0-1.0")
    assert read_card(path) == (prior.card, prior.sha256)
    entry = read_entry(called)
    assert (entry.name, entry.source, entry.sha256) == (called, "registered", prior.sha256)
    assert entry in list_priors()
    z = prior.generator.sample_codes(2, rng=seeded(0))
    assert torch.allclose(prior.generator(z), 2 * net()(z) - 1, atol=1e-6)
    assert not any(p.requires_grad for p in prior.generator.parameters())

    forget_generator(name)
    assert called not in prior_names()
    with pytest.raises(PriorError, match="'registered:leaves', which nobody registered in this"):
        find_prior(called)


def test_the_hash_is_that_of_the_weights(name):
    """Law: the same weights have the same hash, others another."""

    def other():
        made = net()
        with torch.no_grad():
            made.last.bias += 1e-6
        return made

    hashes = []
    for builder in (net, net, other):
        known = {"cut_points": ["dense"], "code_shape": 6, "overwrite": True}
        hashes.append(load_prior(find_prior(register_generator(name, builder, **known))).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_image_is_restored_with_a_registered_prior(name):
    """Law: the name is enough for the public functions, as that of a file is."""
    network = PGGANGenerator(resolution=16, widths=(8, 8, 8), code_dim=6, image_channels=1)
    network.initialise(seeded(0))
    called = napari_mganprior.register_generator(name, lambda: network)
    image = np.tile(np.arange(24.0), (24, 1)).astype(np.float32)
    mask = np.zeros((24, 24), bool)
    mask[8:12, 8:12] = True
    restored = napari_mganprior.inpaint(image, mask, prior=called, quality="fast")
    assert np.array_equal(restored[~mask], image[~mask])
    assert (restored[mask] != image[mask]).any()


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (("a/b", net), {}, "the name 'a/b' for a generator"),
        (("", net), {}, "the name '' for a generator"),
        ((3, net), {}, "the name 3 for a generator"),
        (("x", net()), {"cut_points": ["dense"]}, "code_shape None for 'x'"),
        (("x", 3), {}, "a int as the builder of 'x'"),
        (("x", net), {"code_shape": 6}, r"cut_points \(\) and code_shape 6"),
        (("x", net), {"cut_points": "dense", "code_shape": 6}, "cut_points 'dense'"),
        (("x", net), {"value_range": (0, 1)}, "without cut_points"),
        (("x", net), {"code_radius": 2.0}, "without cut_points"),
    ],
)
def test_impossible_registrations_are_refused(arguments, keywords, message):
    with pytest.raises(PriorError, match=message):
        register_generator(*arguments, **keywords)
    assert "registered:x" not in registered_names()


def test_a_name_is_taken_once(name):
    register_generator(name, net, cut_points=["dense"], code_shape=6)
    with pytest.raises(PriorError, match="'leaves' for a generator, which is registered already"):
        register_generator(name, net, cut_points=["dense"], code_shape=6)


def fail():
    raise KeyError("weights are gone")


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (fail, r"KeyError \('weights are gone'\) from the builder of registered:leaves"),
        (net, "a Net from the builder of registered:leaves; wanted a SplitGenerator"),
    ],
)
def test_builders_that_fail_are_named(name, builder, message):
    """Law: the message names the generator; others are still listed."""
    register_generator(name, builder)
    with pytest.raises(PriorError, match=message):
        load_prior(find_prior("registered:leaves"))
    assert "nuclei" in [entry.name for entry in list_priors()]


def make_leaves():
    return split_module(net(), ["dense"], code_shape=6)


@pytest.fixture
def installed(monkeypatch):
    """Pretend that another package has entry points, one of them broken."""

    def load(point):
        if point.name == "broken":
            raise ModuleNotFoundError("No module named 'no_such_package'")
        return make_leaves

    points = [
        EntryPoint(name, "package:make", registry.ENTRY_POINTS)
        for name in ("plants", "broken", "bad name")
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", load)


def test_entry_points_are_priors(installed):
    """Law: listed without being imported; a broken one is named when it is asked for."""
    assert registered_names() == ("registered:broken", "registered:plants")
    prior = load_prior(find_prior("registered:plants"))
    assert prior.generator.feature_shape(1) == (128, 1, 1)
    with pytest.raises(PriorError, match=r"ModuleNotFoundError .* the entry point of registered:b"):
        find_prior("registered:broken")
    assert "registered:plants" in [entry.name for entry in list_priors()]


def test_listing_names_imports_no_torch():
    code = (
        "import sys, napari_mganprior.priors as p, napari_mganprior.generators.registry as r; "
        "p.prior_names(); r.registered_names(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
