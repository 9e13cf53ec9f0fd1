"""BigGAN and BigGAN-deep: built from their descriptions, drawn plainly, compared."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused, PriorError
from napari_mganprior.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.adapters.biggan import BigGANAdapter
from napari_mganprior.imports.adapters.biggan_deep import BigGANDeepAdapter
from napari_mganprior.imports.base import Foreign

CLASSES, EMBEDDING = 3, 4


def up(x):
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def attend(x, theta, phi, g, o, gamma):
    """Self attention written out: every pixel looks at the maxima of 2x2 pixels."""
    batch, channels, height, width = x.shape
    q = torch.einsum("bchw,kc->bkhw", x, theta).reshape(batch, -1, height * width)
    k = F.max_pool2d(torch.einsum("bchw,kc->bkhw", x, phi), 2).reshape(batch, channels // 8, -1)
    v = F.max_pool2d(torch.einsum("bchw,kc->bkhw", x, g), 2).reshape(batch, channels // 2, -1)
    out = torch.zeros(batch, channels // 2, height * width)
    for pixel in range(height * width):
        match = torch.softmax((q[:, :, pixel, None] * k).sum(dim=1), dim=1)
        out[:, :, pixel] = (v * match[:, None]).sum(dim=2)
    out = out.reshape(batch, -1, height, width)
    return x + gamma * torch.einsum("bchw,kc->bkhw", out, o)


# ---------------------------------------------------------------------------------------------
# BigGAN-deep

Z = 5
WIDTHS = (16, 16, 8, 8, 4)  # 4x4, then behind every block
UPSAMPLE = (False, True, False, True)
ATTENTION = 2  # blocks in front of it
STATS = 6
CONFIG = {
    "layers": [[u, a, b] for u, a, b in zip(UPSAMPLE, WIDTHS, WIDTHS[1:], strict=False)],
    "attention_layer_position": ATTENTION,
    "eps": 1e-4,
    "n_stats": STATS,
}


def deep(draw):
    """Return tensors with PyTorch's spectral norm: weight_orig, weight_u, weight_v."""

    def normed(name, *shape, bias=True):
        draw(f"{name}.weight_orig", *shape)
        rest = math.prod(shape[1:])
        draw.tensors[f"{name}.weight_u"] = F.normalize(
            torch.randn(shape[0], generator=draw.rng), dim=0
        )
        draw.tensors[f"{name}.weight_v"] = F.normalize(torch.randn(rest, generator=draw.rng), dim=0)
        matrix = draw.tensors[f"{name}.weight_orig"].flatten(1)
        for _ in range(3):  # towards the singular vectors, so that the quotient is no accident
            u = F.normalize(matrix @ draw.tensors[f"{name}.weight_v"], dim=0)
            draw.tensors[f"{name}.weight_u"] = u
            draw.tensors[f"{name}.weight_v"] = F.normalize(matrix.T @ u, dim=0)
        if bias:
            draw(f"{name}.bias", shape[0], spread=0.3)

    condition = Z + EMBEDDING
    draw("embeddings.weight", EMBEDDING, CLASSES)
    normed("generator.gen_z", 16 * WIDTHS[0], condition)
    position = 0
    for index, (before, width) in enumerate(itertools.pairwise(WIDTHS)):
        if index == ATTENTION:
            name, position = f"generator.layers.{position}", position + 1
            normed(f"{name}.snconv1x1_theta", before // 8, before, 1, 1, bias=False)
            normed(f"{name}.snconv1x1_phi", before // 8, before, 1, 1, bias=False)
            normed(f"{name}.snconv1x1_g", before // 2, before, 1, 1, bias=False)
            normed(f"{name}.snconv1x1_o_conv", before, before // 2, 1, 1, bias=False)
            draw.tensors[f"{name}.gamma"] = torch.tensor([0.7])
        name, position = f"generator.layers.{position}", position + 1
        inner = before // 4
        sizes = [(before, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, width, 1)]
        for i, (c_in, c_out, side) in enumerate(sizes):
            normed(f"{name}.conv_{i}", c_out, c_in, side, side)
            draw(f"{name}.bn_{i}.running_means", STATS, c_in, spread=0.3)
            draw.positive(f"{name}.bn_{i}.running_vars", STATS, c_in)
            normed(f"{name}.bn_{i}.scale", c_in, condition, bias=False)
            normed(f"{name}.bn_{i}.offset", c_in, condition, bias=False)
    last = WIDTHS[-1]
    draw("generator.bn.weight", last)
    draw("generator.bn.bias", last)
    draw("generator.bn.running_means", STATS, last, spread=0.3)
    draw.positive("generator.bn.running_vars", STATS, last)
    normed("generator.conv_to_rgb", last, last, 3, 3)
    return draw.tensors


def draw_deep(t, z, number, truncation):
    """As described, with torch's own division by the singular value."""

    def weight(name):
        w = t[f"{name}.weight_orig"]
        sigma = torch.dot(t[f"{name}.weight_u"], torch.mv(w.flatten(1), t[f"{name}.weight_v"]))
        return w / sigma

    def statistics(name):
        place = truncation * (STATS - 1)
        row = int(place + 1e-6)
        part = place - row
        rows = []
        for what in ("running_means", "running_vars"):
            table = t[f"{name}.{what}"]
            after = table[min(row + 1, STATS - 1)]
            rows.append(((1 - part) * table[row] + part * after).view(1, -1, 1, 1))
        return rows

    def conv(name, x):
        w = weight(name)
        return F.conv2d(x, w, t[f"{name}.bias"], padding=w.shape[2] // 2)

    c = torch.cat([z, t["embeddings.weight"][:, number].expand(len(z), -1)], dim=1)

    def norm(name, x):
        mean, variance = statistics(name)
        gain = 1 + c @ weight(f"{name}.scale").T
        offset = c @ weight(f"{name}.offset").T
        x = (x - mean) / torch.sqrt(variance + CONFIG["eps"])
        return x * gain[:, :, None, None] + offset[:, :, None, None]

    x = c @ weight("generator.gen_z").T + t["generator.gen_z.bias"]
    x = x.reshape(len(z), 4, 4, WIDTHS[0]).permute(0, 3, 1, 2)
    position = 0
    for index, width in enumerate(WIDTHS[1:]):
        name = f"generator.layers.{position}"
        if index == ATTENTION:
            parts = [weight(f"{name}.snconv1x1_{p}")[:, :, 0, 0]
                     for p in ("theta", "phi", "g", "o_conv")]  # fmt: skip
            x = attend(x, *parts, t[f"{name}.gamma"])
            position += 1
            name = f"generator.layers.{position}"
        position += 1
        h = conv(f"{name}.conv_0", F.relu(norm(f"{name}.bn_0", x)))
        h = F.relu(norm(f"{name}.bn_1", h))
        h = conv(f"{name}.conv_1", up(h) if UPSAMPLE[index] else h)
        h = conv(f"{name}.conv_2", F.relu(norm(f"{name}.bn_2", h)))
        h = conv(f"{name}.conv_3", F.relu(norm(f"{name}.bn_3", h)))
        short = x[:, :width]
        x = h + (up(short) if UPSAMPLE[index] else short)
    mean, variance = statistics("generator.bn")
    x = (x - mean) / torch.sqrt(variance + CONFIG["eps"])
    x = x * t["generator.bn.weight"].view(1, -1, 1, 1) + t["generator.bn.bias"].view(1, -1, 1, 1)
    return torch.tanh(conv("generator.conv_to_rgb", F.relu(x))[:, :3])


def codes(size, n=4):
    return torch.randn(n, size, generator=seeded(5))


@pytest.mark.parametrize("number", range(CLASSES))
@pytest.mark.parametrize("truncation", [0.2, 0.45, 0.6, 1.0])
def test_deep_draws_the_same(drawn, built, number, truncation):
    """Truncations on rows of the tables (0.2, 0.6, 1) and between them."""
    tensors = deep(drawn(0))
    foreign = Foreign("torch", tensors, {"config": CONFIG})
    assert [a.name for a in ADAPTERS if a.recognise(foreign)] == ["biggan-deep"]
    options = {"class": number, "truncation": truncation}
    made = BigGANDeepAdapter().convert(foreign, options)
    assert made.note == f"class {number}, truncation {truncation:g}"
    generator, _ = built(made)
    wanted = draw_deep(tensors, codes(Z), number, truncation)
    assert (generator(codes(Z)) - wanted).abs().max() <= 1e-5


def test_deep_obeys_the_split_law(drawn, built, obeys_the_split_law):
    foreign = Foreign("torch", deep(drawn(0)), {"config": CONFIG})
    generator, _ = built(BigGANDeepAdapter().convert(foreign, {"class": 1}))
    obeys_the_split_law(generator, codes(Z))
    assert generator.code_radius == pytest.approx(0.4 * 0.8796 * Z**0.5)
    assert generator.n_layers == 5
    assert [generator.feature_shape(k)[1] for k in range(6)] == [1, 4, 4, 8, 8, 16]


def test_deep_without_config_enlarges_every_second_time(drawn, built):
    tensors = deep(drawn(0))
    made = BigGANDeepAdapter().convert(Foreign("torch", tensors), {"class": 0, "truncation": 0.6})
    assert made.note.endswith("no config.json: every second block enlarges")
    wanted = draw_deep(tensors, codes(Z), 0, 0.6)
    assert (built(made)[0](codes(Z)) - wanted).abs().max() <= 1e-5


def test_older_files_without_the_second_vector_are_read(drawn, built):
    """Law: near the singular vectors, u alone says as much as u and v."""
    tensors = deep(drawn(0))
    for key in [k for k in tensors if k.endswith("weight_orig")]:
        name = key.removesuffix("weight_orig")
        u, _, vh = torch.linalg.svd(tensors[key].flatten(1), full_matrices=False)
        tensors[f"{name}weight_u"], tensors[f"{name}weight_v"] = u[:, 0], vh[0]
    older = {k: v for k, v in tensors.items() if not k.endswith("weight_v")}
    meta = {"config": CONFIG}
    made = BigGANDeepAdapter().convert(Foreign("torch", older, meta), {"class": 0})
    wanted = draw_deep(tensors, codes(Z), 0, 0.4)
    assert (built(made)[0](codes(Z)) - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "key",
    [
        "generator.layers.0.conv_1.weight_orig",
        "generator.layers.1.bn_3.scale.weight_u",
        "generator.layers.2.gamma",
        "generator.bn.running_vars",
    ],
)
def test_deep_keys_are_named(drawn, names_keys, key):
    names_keys(
        BigGANDeepAdapter(), deep(drawn(0)), key, options={"class": 0}, meta={"config": CONFIG}
    )


@pytest.mark.parametrize(
    ("options", "meta", "message"),
    [
        ({}, {}, "Got the class None .*; wanted a whole number, 0 to 2"),
        ({"class": 3}, {}, "Got the class 3"),
        ({"class": -1}, {}, "Got the class -1"),
        ({"class": True}, {}, "Got the class True"),
        ({"class": 0, "truncation": 0}, {}, "Got a truncation of 0"),
        ({"class": 0, "truncation": 1.1}, {}, "Got a truncation of 1.1"),
        ({"class": 0}, {"config": {**CONFIG, "layers": [[1, 2, 3]]}}, "do not fit its 4 blocks"),
        ({"class": 0}, {"config": {**CONFIG, "layers": [1, 2, 3, 4]}}, "do not fit its 4 blocks"),
        ({"class": 0}, {"config": {**CONFIG, "eps": "no"}}, "Got eps = 'no' in the config"),
    ],
)
def test_impossible_wishes_are_refused(drawn, options, meta, message):
    with pytest.raises(ImportRefused, match=message):
        BigGANDeepAdapter().convert(Foreign("torch", deep(drawn(0)), meta), options)


# ---------------------------------------------------------------------------------------------
# BigGAN

CHUNK = 3
SIZES = (16, 8, 8)  # 4, 8, 16 px
LOOKS = 1  # block with self attention


def biggan(draw, *, hierarchical=True, shared=True, normed=True):
    """PyTorch's layout: weight, u0, sv0; statistics stored with every normalisation."""

    def layer(name, *shape, bias=True):
        draw(f"{name}.weight", *shape)
        if normed:
            draw(f"{name}.u0", 1, shape[0])
            draw(f"{name}.sv0", 1)
        if bias:
            draw(f"{name}.bias", shape[0], spread=0.3)

    chunk = CHUNK if hierarchical else 0
    condition = EMBEDDING + chunk
    if shared:
        draw("shared.weight", CLASSES, EMBEDDING)
    layer("linear", 16 * SIZES[0], chunk or 7)
    for i, (before, width) in enumerate(itertools.pairwise(SIZES)):
        name = f"blocks.{i}.0"
        layer(f"{name}.conv1", width, before, 3, 3)
        layer(f"{name}.conv2", width, width, 3, 3)
        layer(f"{name}.conv_sc", width, before, 1, 1)
        for norm, size in (("bn1", before), ("bn2", width)):
            for what in ("gain", "bias"):
                if shared:
                    layer(f"{name}.{norm}.{what}", size, condition, bias=False)
                else:
                    draw(f"{name}.{norm}.{what}.weight", CLASSES, size)
            draw(f"{name}.{norm}.stored_mean", size, spread=0.3)
            draw.positive(f"{name}.{norm}.stored_var", size)
        if i == LOOKS:
            other = f"blocks.{i}.1"
            layer(f"{other}.theta", width // 8, width, 1, 1, bias=False)
            layer(f"{other}.phi", width // 8, width, 1, 1, bias=False)
            layer(f"{other}.g", width // 2, width, 1, 1, bias=False)
            layer(f"{other}.o", width, width // 2, 1, 1, bias=False)
            draw.tensors[f"{other}.gamma"] = torch.tensor(0.6)
    last = SIZES[-1]
    draw("output_layer.0.gain", last)
    draw("output_layer.0.bias", last)
    draw("output_layer.0.stored_mean", last, spread=0.3)
    draw.positive("output_layer.0.stored_var", last)
    layer("output_layer.2", 3, last, 3, 3)
    return draw.tensors


def draw_biggan(t, z, number, *, hierarchical=True, shared=True):
    def weight(name):
        w = t[f"{name}.weight"]
        if f"{name}.u0" not in t:
            return w
        matrix = w.flatten(1)
        v = F.normalize(t[f"{name}.u0"] @ matrix)
        u = F.normalize(v @ matrix.T)
        return w / (v @ matrix.T @ u.T)[0, 0]

    def conv(name, x):
        w = weight(name)
        return F.conv2d(x, w, t[f"{name}.bias"], padding=w.shape[2] // 2)

    def norm(name, x, y):
        if shared:
            gain, offset = y @ weight(f"{name}.gain").T, y @ weight(f"{name}.bias").T
        else:
            gain, offset = (t[f"{name}.{w}.weight"][number][None] for w in ("gain", "bias"))
        mean, variance = t[f"{name}.stored_mean"], t[f"{name}.stored_var"]
        x = F.batch_norm(x, mean, variance, None, None, False, 0.1, 1e-5)
        return x * (1 + gain)[:, :, None, None] + offset[:, :, None, None]

    label = t["shared.weight"][number].expand(len(z), -1) if shared else None
    parts = z.split(CHUNK, dim=1) if hierarchical else (z,)
    x = parts[0] @ weight("linear").T + t["linear.bias"]
    x = x.reshape(len(z), -1, 4, 4)
    for i in range(len(SIZES) - 1):
        y = torch.cat([label, parts[i + 1]], dim=1) if hierarchical else label
        name = f"blocks.{i}.0"
        h = conv(f"{name}.conv1", up(F.relu(norm(f"{name}.bn1", x, y))))
        h = conv(f"{name}.conv2", F.relu(norm(f"{name}.bn2", h, y)))
        x = h + conv(f"{name}.conv_sc", up(x))
        if i == LOOKS:
            kernels = [weight(f"blocks.{i}.1.{p}")[:, :, 0, 0] for p in ("theta", "phi", "g", "o")]
            x = attend(x, *kernels, t[f"blocks.{i}.1.gamma"])
    name = "output_layer.0"
    x = F.batch_norm(
        x, t[f"{name}.stored_mean"], t[f"{name}.stored_var"], t[f"{name}.gain"], t[f"{name}.bias"]
    )
    return torch.tanh(conv("output_layer.2", F.relu(x)))


FORMS = [
    {},
    {"hierarchical": False},
    {"normed": False},
    {"hierarchical": False, "shared": False},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", ["", "G_ema."])
def test_biggan_draws_the_same(drawn, built, obeys_the_split_law, form, prefix):
    tensors = biggan(drawn(0), **form)
    foreign = Foreign("torch", {f"{prefix}{k}": v for k, v in tensors.items()})
    assert [a.name for a in ADAPTERS if a.recognise(foreign)] == ["biggan"]
    z = codes(7 if form.get("hierarchical") is False else CHUNK * len(SIZES))
    drawing = {key: value for key, value in form.items() if key != "normed"}
    for number in range(CLASSES):
        made = BigGANAdapter().convert(foreign, {"class": number, "truncation": 0.8})
        generator, _ = built(made)
        wanted = draw_biggan(tensors, z, number, **drawing)
        assert (generator(z) - wanted).abs().max() <= 1e-5
    assert generator.code_radius == pytest.approx(0.8 * z.shape[1] ** 0.5)
    obeys_the_split_law(generator, z)


@pytest.mark.parametrize(
    "key",
    ["blocks.0.0.conv1.u0", "blocks.1.0.bn2.stored_var", "blocks.1.1.o.weight", "linear.bias"],
)
def test_biggan_keys_are_named(drawn, names_keys, key):
    names_keys(BigGANAdapter(), biggan(drawn(0)), key, options={"class": 0})


def test_other_files_are_refused():
    with pytest.raises(ImportRefused, match=r"without blocks\.0\.0\.bn1\.gain\.weight"):
        BigGANAdapter().convert(Foreign("torch", {"a": torch.zeros(2)}), {"class": 0})


SPEC = {"widths": [16, 8], "attention": [1], "code_dim": 6, "chunk": 3, "image_channels": 3}
DEEP = {"widths": [16, 8], "upsample": [True], "attention": [], "code_dim": 6, "image_channels": 3}


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        (BigGANGenerator, {"chunk": 4}, "codes of length 6 in parts of 4 for 2 layers; wanted 8"),
        (BigGANGenerator, {"chunk": -3}, "in parts of -3"),
        (BigGANGenerator, {"widths": [16], "chunk": 0, "attention": []}, "with 0 blocks for 4 px"),
        (BigGANGenerator, {"widths": [4] * 12, "chunk": 0}, "at most 2048 px"),
        (BigGANGenerator, {"attention": [2]}, r"self attention behind the maps \[2\]"),
        (BigGANGenerator, {"widths": [16, 4]}, "maps 0 to 1 of at least 8 channels"),
        (BigGANGenerator, {"image_channels": 0}, "0 image channels"),
        (BigGANGenerator, {"code_rms": 0.0}, "root mean square 0"),
        (BigGANDeepGenerator, {"widths": [8, 16]}, r"widths \(8, 16\) for a BigGAN-deep"),
        (BigGANDeepGenerator, {"widths": [3, 2]}, "from 4 up that do not grow"),
        (BigGANDeepGenerator, {"upsample": []}, "with 0 blocks"),
    ],
)
def test_impossible_networks_are_refused(network, change, message):
    spec = SPEC if network is BigGANGenerator else DEEP
    with pytest.raises(PriorError, match=message):
        network(**{**spec, **change})


def test_cuts_that_do_not_exist_are_refused():
    made = BigGANDeepGenerator(**DEEP)
    for layer in (-1, 3):
        with pytest.raises(PriorError, match=f"Got cut {layer}; this generator has cuts 0 to 2"):
            made.head(torch.zeros(1, 6), layer)
