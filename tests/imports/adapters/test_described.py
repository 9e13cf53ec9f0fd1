"""Architecture files: chains built from their description, drawn plainly, compared."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused, PriorError
from napari_mganprior.generators.described import DescribedGenerator
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.adapters.described import DescribedAdapter
from napari_mganprior.imports.base import Foreign

EXAMPLES = Path(__file__).parents[3] / "examples" / "architectures"


def convert(tensors, description, kind="torch"):
    foreign = Foreign(kind, tensors, source="their.file")
    return DescribedAdapter().convert(foreign, {"description": description})


# ---------------------------------------------------------------------------------------------
# Keras


def same(x, kernel, stride, *, transposed):
    """Convolve as Keras with padding "same" on (B, H, W, C) arrays, written out.

    A transposed convolution is what carries gradients back through a convolution: every pixel
    of ``x`` adds the kernel at stride times its place, less the padding of that convolution.
    Kernels are (H, W, in, out), transposed ones (H, W, out, in).
    """
    batch, height, width, _ = x.shape
    side = kernel.shape[0]
    if transposed:
        total = max(side - stride, 0)
        large = np.zeros((batch, height * stride, width * stride, kernel.shape[2]))
        for i in range(height):
            for j in range(width):
                for a in range(side):
                    for b in range(side):
                        y = i * stride + a - total // 2
                        z = j * stride + b - total // 2
                        if 0 <= y < large.shape[1] and 0 <= z < large.shape[2]:
                            large[:, y, z] += x[:, i, j] @ kernel[a, b].T
        return large
    rows = -(-height // stride)
    total = max((rows - 1) * stride + side - height, 0)
    out = np.zeros((batch, rows, rows, kernel.shape[3]))
    for i in range(rows):
        for j in range(rows):
            for a in range(side):
                for b in range(side):
                    y, z = i * stride + a - total // 2, j * stride + b - total // 2
                    if 0 <= y < height and 0 <= z < width:
                        out[:, i, j] += x[:, y, z] @ kernel[a, b]
    return out


def keras(draw, kernel, stride):
    """Dense, reshape (3, 3, 8), transposed (norm behind ReLU), transposed, convolution, sigmoid."""
    draw("model.dense.dense.kernel:0", 6, 72, spread=0.4)
    draw("model.dense.dense.bias:0", 72, spread=0.4)
    draw("model.up_1.up_1.kernel:0", kernel, kernel, 5, 8, spread=0.3)
    draw("model.up_1.up_1.bias:0", 5)
    draw("model.norm.norm.gamma:0", 5)
    draw("model.norm.norm.beta:0", 5)
    draw("model.norm.norm.moving_mean:0", 5)
    draw.positive("model.norm.norm.moving_variance:0", 5)
    draw("model.up_2.up_2.kernel:0", kernel, kernel, 4, 5, spread=0.3)
    draw("model.conv.conv.kernel:0", 3, 3, 4, 3, spread=0.3)
    draw("model.conv.conv.bias:0", 3)
    up = {"kind": "convtranspose", "kernel": kernel, "stride": stride, "padding": "same"}
    return draw.tensors, {
        "comment": "for a test",
        "code": {"length": 6},
        "image": {"channels": 3, "size": 3 * stride * stride, "range": [0, 1]},
        "order": "keras",
        "layers": [
            {"kind": "dense", "units": 72, "tensors": "dense", "activation": "elu"},
            {"kind": "reshape", "shape": [8, 3, 3]},
            {
                **up,
                "filters": 5,
                "tensors": "up_1",
                "activation": "relu",
                "norm": {"tensors": "norm", "eps": 1e-3, "place": "after"},
            },
            {**up, "filters": 4, "tensors": {"weight": "up_2.kernel"}, "bias": False},
            {
                "kind": "conv",
                "filters": 3,
                "kernel": 3,
                "padding": "same",
                "tensors": "conv.conv",
                "activation": "sigmoid",
            },
        ],
    }


def draw_keras(tensors, z, stride):
    t = {key.split(".", 2)[2]: value.double().numpy() for key, value in tensors.items()}
    x = z.double().numpy() @ t["dense.kernel:0"] + t["dense.bias:0"]
    x = np.where(x > 0, x, np.exp(x) - 1).reshape(-1, 3, 3, 8)
    x = np.maximum(same(x, t["up_1.kernel:0"], stride, transposed=True) + t["up_1.bias:0"], 0)
    x = (x - t["norm.moving_mean:0"]) / np.sqrt(t["norm.moving_variance:0"] + 1e-3)
    x = x * t["norm.gamma:0"] + t["norm.beta:0"]
    x = same(x, t["up_2.kernel:0"], stride, transposed=True)
    x = same(x, t["conv.kernel:0"], 1, transposed=False) + t["conv.bias:0"]
    return torch.from_numpy(2 / (1 + np.exp(-x)) - 1).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("kernel", "stride"), [(4, 2), (4, 1), (3, 2), (5, 2), (2, 2), (5, 1), (2, 3), (1, 2)]
)
def test_keras_draws_the_same(drawn, built, obeys_the_split_law, kernel, stride):
    """Even and odd overlaps are cut off where Keras cuts; kernels may be shorter than strides."""
    tensors, description = keras(drawn(0), kernel, stride)
    made = convert(tensors, description, "keras-h5")
    generator, _ = built(made)
    z = torch.randn(4, 6, generator=seeded(1))
    assert (generator(z) - draw_keras(tensors, z, stride)).abs().max() <= 1e-5
    assert [generator.feature_shape(k)[0] for k in range(4)] == [6, 8, 5, 4]
    if stride > 1:
        obeys_the_split_law(generator, z)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(6, 4, 2), (7, 3, 2), (5, 5, 3), (6, 2, 1)])
def test_keras_convolutions_pad_the_same(drawn, built, side, kernel, stride):
    draw = drawn(0)
    draw("dense.kernel", 4, 2 * side * side)
    draw("conv.kernel", kernel, kernel, 2, 1, spread=0.3)
    rows = -(-side // stride)
    description = {
        "code": {"length": 4},
        "image": {"channels": 1, "size": rows},
        "order": "keras",
        "layers": [
            {"kind": "dense", "units": 2 * side * side, "tensors": "dense", "bias": False},
            {"kind": "reshape", "shape": [2, side, side]},
            {
                "kind": "conv",
                "filters": 1,
                "kernel": kernel,
                "stride": stride,
                "padding": "same",
                "bias": False,
                "tensors": "conv",
            },
        ],
    }
    generator, _ = built(convert(draw.tensors, description))
    z = torch.randn(2, 4, generator=seeded(1))
    t = {key: value.double().numpy() for key, value in draw.tensors.items()}
    x = (z.double().numpy() @ t["dense.kernel"]).reshape(2, side, side, 2)
    wanted = same(x, t["conv.kernel"], stride, transposed=False)
    assert (generator(z) - torch.from_numpy(wanted).permute(0, 3, 1, 2)).abs().max() <= 1e-5


# ---------------------------------------------------------------------------------------------
# torch


def decoder():
    """Draw a decoder of an autoencoder: layers of many kinds, one after the other."""
    net = nn.Sequential(
        nn.Linear(5, 12),
        nn.BatchNorm1d(12, eps=1e-3),
        nn.LeakyReLU(0.1),
        nn.Linear(12, 8 * 9),
        nn.Unflatten(1, (8, 3, 3)),
        nn.ConvTranspose2d(8, 6, 3, 2, padding=1, output_padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(6, 4, 5, padding=1),
        nn.Tanh(),
        nn.BatchNorm2d(4, affine=False),
        nn.Flatten(),
        nn.Linear(400, 64),
        nn.Unflatten(1, (4, 4, 4)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 3, 3, padding=1),
    )
    rng = seeded(0)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                value.normal_(generator=rng).mul_(0.3)
            if key.endswith("running_var"):
                value.abs_().add_(0.2)
    return net.eval().requires_grad_(False)


DECODER = {
    "code": {"length": 5, "distribution": "uniform"},
    "image": {"channels": 3, "size": 8, "range": [-2, 4]},
    "ignore": ["encoder."],
    "layers": [
        {
            "kind": "dense",
            "units": 12,
            "tensors": "decoder.0",
            "activation": "leaky",
            "slope": 0.1,
            "norm": {"tensors": "decoder.1", "eps": 1e-3},
        },
        {"kind": "dense", "units": 72, "tensors": "decoder.3"},
        {"kind": "reshape", "shape": [8, 3, 3]},
        {
            "kind": "convtranspose",
            "filters": 6,
            "kernel": 3,
            "stride": 2,
            "padding": 1,
            "output_padding": 1,
            "tensors": "decoder.5",
            "activation": "relu",
            "norm": {"tensors": "decoder.6"},
        },
        {"kind": "upsample", "mode": "bilinear"},
        {
            "kind": "conv",
            "filters": 4,
            "kernel": 5,
            "padding": [1, 1],
            "tensors": {"weight": "decoder.9.weight", "bias": "decoder.9.bias"},
            "activation": "tanh",
            "norm": {
                "tensors": {
                    "mean": "decoder.11.running_mean",
                    "variance": "decoder.11.running_var",
                },
                "place": "after",
            },
        },
        {"kind": "flatten"},
        {"kind": "dense", "units": 64, "tensors": "decoder.13"},
        {"kind": "reshape", "shape": [4, 4, 4]},
        {"kind": "upsample", "factor": 2},
        {"kind": "conv", "filters": 3, "kernel": 3, "padding": 1, "tensors": "decoder.16"},
    ],
}


def decoder_tensors():
    return {
        **{f"decoder.{k}": v.float() for k, v in decoder().state_dict().items()},
        "encoder.0.weight": torch.zeros(3, 3),
    }


def test_a_decoder_draws_the_same(built, obeys_the_split_law):
    made = convert(decoder_tensors(), DECODER)
    assert made.note == "1 tensors of other networks left out"
    generator, _ = built(made)
    z = torch.rand(4, 5, generator=seeded(1)) * 2 - 1
    wanted = (decoder().double()(z.double()) + 2) / 3 - 1
    assert (generator(z) - wanted).abs().max() <= 1e-5
    obeys_the_split_law(generator, z)
    # cut behind every layer with weights but the last; a reshape belongs to the layer before it
    shapes = [generator.feature_shape(k) for k in range(generator.n_layers + 1)]
    assert shapes == [(5, 1, 1), (12, 1, 1), (8, 3, 3), (6, 6, 6), (4, 10, 10), (4, 4, 4)]


def test_codes_have_the_length_of_training_codes():
    """Law: the radius is the root of the summed variance of a code's numbers."""
    layer = {"kind": "dense", "units": 4}
    last = {"kind": "reshape", "shape": [1, 2, 2]}
    spec = {"code_dim": 12, "image_channels": 1, "resolution": 2, "layers": [layer, last]}
    for change, radius in (
        ({}, 12**0.5),
        ({"distribution": "uniform"}, 2.0),
        ({"distribution": "uniform", "normalise": True}, 12**0.5),
    ):
        made = DescribedGenerator(**spec, **change)
        z = made.sample_codes(50, rng=seeded(0))
        assert torch.allclose(torch.linalg.vector_norm(z, dim=1), torch.tensor(radius))
        assert made.code_radius == pytest.approx(radius)


def test_normalised_codes_draw_the_same_at_any_length(drawn):
    spec = {
        "code_dim": 6,
        "image_channels": 1,
        "resolution": 2,
        "normalise": True,
        "layers": [{"kind": "dense", "units": 4}, {"kind": "reshape", "shape": [1, 2, 2]}],
    }
    made = DescribedGenerator(**spec)
    weight = drawn(0)("w", 4, 6)
    made.load_state_dict({"layers.0.weight": weight, "layers.0.bias": torch.zeros(4)})
    z = torch.randn(3, 6, generator=seeded(1))
    wanted = z / z.square().mean(dim=1, keepdim=True).sqrt() @ weight.T
    assert (made(z).flatten(1) - wanted).abs().max() <= 1e-5
    assert (made(5 * z) - made(z)).abs().max() <= 1e-5


# ---------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("key", ["decoder.5.weight", "decoder.6.running_var", "decoder.0.bias"])
def test_keys_are_named(names_keys, key):
    names_keys(DescribedAdapter(), decoder_tensors(), key, options={"description": DECODER})


@pytest.mark.parametrize("key", ["model.up_1.up_1.kernel:0", "model.dense.dense.kernel:0"])
def test_keras_keys_are_named_as_described(drawn, key):
    """Shapes in messages are those of the file, not ours."""
    tensors, description = keras(drawn(0), 4, 2)
    with pytest.raises(ImportRefused, match="missing: ") as caught:
        convert({k: v for k, v in tensors.items() if k != key}, description)
    short = key.split(".")[1] + ".kernel"
    assert f"missing: {short} {tuple(tensors[key].shape)}" in str(caught.value)


def changed(path, value):
    """Return DECODER with one entry changed; ``...`` takes it out."""
    description = copy.deepcopy(DECODER)
    place = description
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return description


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 1, r"unknown entries \['format'\] in the architecture file"),
        (["order"], "numpy", "order 'numpy' in the architecture file; wanted torch or keras"),
        (["code"], ..., "Got NoneType for code; wanted a table"),
        (["code", "size"], 3, r"unknown entries \['size'\] in code"),
        (["code", "length"], 0, "codes of length 0"),
        (["code", "length"], "5", "codes of length '5'"),
        (["code", "distribution"], "cauchy", "code distribution 'cauchy'; wanted normal or unif"),
        (["image", "channels"], 7, "7 image channels; wanted 1 to 4"),
        (["image", "size"], 16, r"draw maps of shape \(3, 8, 8\); wanted an image of shape"),
        (["image", "range"], [1, 0], r"image range \[1, 0\]; wanted two rising numbers"),
        (["image", "range"], "wide", "for their.file that makes no network"),
        (["ignore"], "encoder", "ignore = 'encoder'; wanted a list of beginnings"),
        (["layers"], [], "without layers; wanted a list"),
        (["layers"], [3], "Got int for layer 0; wanted a table"),
        (["layers", 0, "kind"], "lstm", "layer 0 of kind 'lstm'; wanted one of dense, conv"),
        (["layers", 0, "kind"], ["dense"], r"layer 0 of kind \['dense'\]"),
        (["layers", 0, "rate"], 1, r"unknown entries \['rate'\] in layer 0 \(dense\)"),
        (["layers", 0, "units"], 0, "units = 0 in a layer of kind 'dense'"),
        (["layers", 0, "units"], True, "units = True"),
        (["layers", 0, "activation"], "swish", "activation = 'swish' in layer 0"),
        (["layers", 0, "tensors"], ..., "layer 0 .* without the name of its weight"),
        (["layers", 5, "tensors"], {"weight": "a"}, "layer 5 .* without the name of its bias"),
        (["layers", 0, "norm"], "batch", "Got str for norm of layer 0"),
        (["layers", 0, "norm", "eps"], -1, "-1 for eps of layer 0; wanted a number from 0 up"),
        (["layers", 0, "norm", "place"], "under", "norm = 'under' in layer 0"),
        (["layers", 0, "norm", "kind"], "batch", r"unknown entries \['kind'\] in norm of layer 0"),
        (["layers", 2, "shape"], [8, 3], r"reshape to \[8, 3\]"),
        (["layers", 2, "shape"], [8, 3, 4], r"a reshape to \[8, 3, 4\] of a map of shape \(72"),
        (["layers", 3, "padding"], "valid", "padding 'valid' in a layer of kind 'convtranspose'"),
        (["layers", 3, "padding"], [1], r"padding \[1\]"),
        (["layers", 3, "padding"], 4, "wanted sides of 1 to 8192 px"),
        (["layers", 3, "stride"], 5000, "wanted sides of 1 to 8192 px"),
        (["layers", 4, "mode"], "bicubic", "mode 'bicubic' of an upsample layer"),
        (["layers", 6], {"kind": "upsample"}, "a dense layer after a map of shape"),
    ],
)
def test_impossible_descriptions_are_refused(path, value, message):
    with pytest.raises(ImportRefused, match=message):
        convert(decoder_tensors(), changed(path, value))


def test_a_description_is_needed():
    assert not any(a.recognise(Foreign("torch", decoder_tensors())) for a in ADAPTERS)
    with pytest.raises(ImportRefused, match=r"without a description; wanted an architecture file"):
        DescribedAdapter().convert(Foreign("torch", decoder_tensors()), {})


def test_a_name_that_two_tensors_end_with_is_refused(drawn):
    tensors, description = keras(drawn(0), 4, 2)
    tensors["other.dense.kernel:0"] = torch.zeros(6, 72)
    with pytest.raises(
        ImportRefused, match=r"with which 2 tensors of their\.file end .*longer name"
    ):
        convert(tensors, description)


def test_a_prior_file_with_an_impossible_chain_is_refused():
    """Law: the network itself checks what a stranger's prior says."""
    with pytest.raises(PriorError, match="Got layers that draw maps of shape"):
        DescribedGenerator(code_dim=3, image_channels=1, resolution=1, layers=[])


@pytest.mark.parametrize("layer", [-1, 6])
def test_cuts_that_do_not_exist_are_refused(layer, built):
    generator, _ = built(convert(decoder_tensors(), DECODER))
    with pytest.raises(PriorError, match=f"Got cut {layer}; this generator has cuts 0 to 5"):
        generator.feature_shape(layer)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_the_worked_examples_describe_networks(path, drawn):
    """Law: every name in an example is asked for, and shapes come from the description alone."""
    description = json.loads(path.read_text())
    with pytest.raises(ImportRefused, match="as the described generator with keys missing: "):
        convert({}, description)
