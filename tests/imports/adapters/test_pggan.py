"""PGGAN in its published layouts: built from their descriptions, drawn plainly, compared."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.adapters.pggan import PGGANAdapter
from napari_mganprior.imports.adapters.pggan_tf import PGGANTensorFlowAdapter
from napari_mganprior.imports.adapters.pggan_zoo import PGGANZooAdapter
from napari_mganprior.imports.base import Foreign

WIDTHS = (24, 24, 20, 16)  # 4, 8, 16, 32 px; narrower ones magnify rounding in the norms
CODE = 7


def norm(x):
    return x / torch.sqrt((x**2).mean(dim=1, keepdim=True) + 1e-8)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


def codes(n=4, size=CODE):
    return torch.randn(n, size, generator=seeded(9))


def recognised(foreign):
    (first,) = [adapter.name for adapter in ADAPTERS if adapter.recognise(foreign)]
    return first


# ---------------------------------------------------------------------------------------------
# layer{i}, output{k}


def published(draw, *, long=True, first=0, prefix="", square_output=False, widths=WIDTHS):
    """Layers of a convolution without bias, a constant scale, and a bias added behind it."""
    weight, bias = ("conv.weight", "wscale.bias") if long else ("weight", "bias")
    sizes = [(CODE, widths[0], 4), (widths[0], widths[0], 3)]
    for before, width in itertools.pairwise(widths):
        sizes += [(before, width, 3), (width, width, 3)]
    for i, (c_in, c_out, side) in enumerate(sizes, start=first):
        draw(f"{prefix}layer{i}.{weight}", c_out, c_in, side, side)
        draw(f"{prefix}layer{i}.{bias}", c_out, spread=0.3)
    for k, width in enumerate(widths):
        name = f"output_{4 * 2**k}x{4 * 2**k}" if square_output else f"output{k}"
        if square_output and k < len(widths) - 1:
            continue
        draw(f"{prefix}{name}.{weight}", 3, width, 1, 1)
        draw(f"{prefix}{name}.{bias}", 3, spread=0.3)
    if not square_output:
        draw.tensors[f"{prefix}lod"] = torch.zeros(())
    return draw.tensors


def draw_published(tensors, z, *, fused=False):
    """As described: norm, enlarge, convolve, scale, bias, leaky ReLU; a 1x1 output."""
    x = z[:, :, None, None]
    for i in range(2 * len(WIDTHS)):
        weight, bias = tensors[f"layer{i}.conv.weight"], tensors[f"layer{i}.wscale.bias"]
        x = norm(x)
        if i >= 2 and i % 2 == 0:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        scale = math.sqrt(2) / math.sqrt(weight[0].numel())
        x = F.conv2d(x, weight, padding=3 if i == 0 else 1) * scale
        x = leaky(x + bias.view(1, -1, 1, 1))
    k = len(WIDTHS) - 1
    weight, bias = tensors[f"output{k}.conv.weight"], tensors[f"output{k}.wscale.bias"]
    return F.conv2d(norm(x), weight) / math.sqrt(WIDTHS[-1]) + bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("prefix", ["", "generator_smooth.", "generator."])
def test_the_published_layout_draws_the_same(drawn, built, obeys_the_split_law, prefix):
    tensors = published(drawn(0), prefix=prefix)
    foreign = Foreign("torch", tensors)
    assert recognised(foreign) == "pggan"
    made = PGGANAdapter().convert(foreign, {})
    assert made.generator == {
        "resolution": 32,
        "widths": list(WIDTHS),
        "code_dim": CODE,
        "image_channels": 3,
    }
    assert made.note == "6 tensors of outputs at lower resolutions are left out"
    generator, discriminator = built(made)
    bare = {key.removeprefix(prefix): value for key, value in tensors.items()}
    assert (generator(codes()) - draw_published(bare, codes())).abs().max() <= 1e-5
    assert discriminator is None
    obeys_the_split_law(generator, codes())


@pytest.mark.parametrize(
    "form", [{"long": False}, {"first": 1, "square_output": True}, {"long": False, "first": 1}]
)
def test_other_names_draw_the_same(drawn, built, form):
    """Short keys, layers numbered from 1, one output named after its size."""
    tensors = published(drawn(0), **form)
    made = PGGANAdapter().convert(Foreign("torch", tensors), {})
    plain = PGGANAdapter().convert(Foreign("torch", published(drawn(0))), {})
    same = {key: value for key, value in plain.state.items() if "to_image" not in key}
    assert all(torch.equal(made.state[key], value) for key, value in same.items())
    assert made.state.keys() == plain.state.keys()
    built(made)


def test_smoothed_weights_are_taken_before_others(drawn):
    smooth = published(drawn(0), prefix="generator_smooth.")
    other = published(drawn(1), prefix="generator.")
    both = PGGANAdapter().convert(Foreign("torch", {**other, **smooth}), {})
    alone = PGGANAdapter().convert(Foreign("torch", smooth), {})
    assert all(torch.equal(both.state[key], value) for key, value in alone.state.items())


def test_an_unfinished_network_is_refused(drawn):
    tensors = {**published(drawn(0)), "lod": torch.tensor(1.5)}
    with pytest.raises(ImportRefused, match=r"level of detail \(lod\) of \[1.5\]"):
        PGGANAdapter().convert(Foreign("torch", tensors), {})


def scatter_up(x, kernel):
    """Enlarge as TensorFlow does: every pixel adds the 4x4 sum of four shifted 3x3 kernels.

    ``kernel`` is (3, 3, out, in); the result is cut by one pixel on every side.
    """
    batch, _, height, width = x.shape
    large = torch.zeros(4, 4, *kernel.shape[2:])
    for dy in (0, 1):
        for dx in (0, 1):
            large[dy : dy + 3, dx : dx + 3] += kernel
    y = torch.zeros(batch, kernel.shape[2], 2 * height + 2, 2 * width + 2)
    for i in range(height):
        for j in range(width):
            for a in range(4):
                for b in range(4):
                    y[:, :, 2 * i + a, 2 * j + b] += x[:, :, i, j] @ large[a, b].T
    return y[:, :, 1:-1, 1:-1]


def test_fused_enlarging_is_told_by_its_kernels(drawn, built):
    """(in, out, 3, 3) kernels of enlarging layers draw what scattering them does."""
    tensors = published(drawn(0))
    for i in (2, 4, 6):
        key = f"layer{i}.conv.weight"
        tensors[key] = tensors[key].transpose(0, 1).contiguous()
    generator, _ = built(PGGANAdapter().convert(Foreign("torch", tensors), {}))
    x = codes()[:, :, None, None]
    for i in range(2 * len(WIDTHS)):
        weight, bias = tensors[f"layer{i}.conv.weight"], tensors[f"layer{i}.wscale.bias"]
        x = norm(x)
        if i in (2, 4, 6):
            x = scatter_up(x, weight.permute(2, 3, 1, 0) * math.sqrt(2 / (9 * weight.shape[0])))
        else:
            x = F.conv2d(x, weight, padding=3 if i == 0 else 1)
            x = x * math.sqrt(2 / weight[0].numel())
        x = leaky(x + bias.view(1, -1, 1, 1))
    weight, bias = tensors["output3.conv.weight"], tensors["output3.wscale.bias"]
    wanted = F.conv2d(norm(x), weight) / math.sqrt(WIDTHS[-1]) + bias.view(1, -1, 1, 1)
    assert (generator(codes()) - wanted).abs().max() <= 1e-5


def test_what_equal_widths_leave_open_is_said(drawn):
    tensors = published(drawn(0), widths=(8, 8, 8))
    made = PGGANAdapter().convert(Foreign("torch", tensors), {})
    assert made.note.endswith("enlarging ones are taken to be unfused")


@pytest.mark.parametrize("prefix", ["", "generator_smooth."])
@pytest.mark.parametrize("key", ["layer3.conv.weight", "layer4.wscale.bias", "output3.conv.weight"])
def test_published_keys_are_named(drawn, prefix, key):
    tensors = published(drawn(0), prefix=prefix)
    short = key.replace("conv.weight", "weight").replace("wscale.bias", "bias")
    whole, changed = tensors[f"{prefix}{key}"], dict(tensors)
    del changed[f"{prefix}{key}"]
    for case, message in (
        (changed, f"missing: {short} {tuple(whole.shape)}"),
        ({**tensors, f"{prefix}extra.x": torch.zeros(2)}, r"unexpected: extra.x (2,)"),
        ({**tensors, f"{prefix}{key}": whole[..., None]}, f"of another shape: {short} "),
    ):
        with pytest.raises(ImportRefused, match="as a PGGAN generator with keys") as caught:
            PGGANAdapter().convert(Foreign("torch", case), {})
        assert message in str(caught.value)


def test_a_file_without_a_generator_is_refused():
    with pytest.raises(ImportRefused, match=r"without a layer0\.conv\.weight"):
        PGGANAdapter().convert(Foreign("torch", {"a": torch.zeros(2)}), {})
    with pytest.raises(ImportRefused, match=r"without a formatLayer\.weight"):
        PGGANZooAdapter().convert(Foreign("torch", {"a": torch.zeros(2)}), {})
    with pytest.raises(ImportRefused, match="without a 4x4/Dense/weight"):
        PGGANTensorFlowAdapter().convert(Foreign("tf-pickle", {"a": torch.zeros(2)}), {})


def deviation(x, group=4):
    """Minibatch deviation: groups are strided through the batch."""
    batch = x.shape[0]
    n_groups = batch // group
    out = torch.zeros(batch, 1, *x.shape[2:])
    for g in range(n_groups):
        members = list(range(g, batch, n_groups))
        spread = torch.sqrt(x[members].var(dim=0, unbiased=False) + 1e-8).mean()
        out[members] = spread
    return torch.cat([x, out], dim=1)


def pictures(channels=3):
    return torch.rand(8, channels, 32, 32, generator=seeded(3)) * 2 - 1


def published_critic(draw, prefix="discriminator."):
    down = WIDTHS[::-1]
    for k, width in enumerate(down):
        draw(f"{prefix}input{k}.weight", width, 3, 1, 1)
        draw(f"{prefix}input{k}.bias", width, spread=0.3)
    sizes = []
    for before, after in itertools.pairwise(down):
        sizes += [(before, before, 3, 3), (after, before, 3, 3)]
    last = down[-1]
    sizes += [(last, last + 1, 3, 3), (last, 16 * last), (1, last)]
    for i, shape in enumerate(sizes):
        draw(f"{prefix}layer{i}.weight", *shape)
        draw(f"{prefix}layer{i}.bias", shape[0], spread=0.3)
    draw.tensors[f"{prefix}lod"] = torch.zeros(())
    return draw.tensors


def test_the_published_discriminator_scores_the_same(drawn, built):
    """As described: leaky ReLU, then the mean of 2x2; the score has gain 1."""
    tensors = published_critic(drawn(1))
    made = PGGANAdapter().convert(
        Foreign("torch", {**published(drawn(0), prefix="generator_smooth."), **tensors}), {}
    )
    _, critic = built(made)
    layer = {k.removeprefix("discriminator."): v for k, v in tensors.items()}

    def run(name, x, gain=2**0.5):
        weight, bias = layer[f"{name}.weight"], layer[f"{name}.bias"]
        scale = gain / math.sqrt(weight[0].numel())
        if weight.ndim == 2:
            return x.flatten(1) @ weight.T * scale + bias
        return F.conv2d(x, weight * scale, bias, padding=weight.shape[2] // 2)

    x = leaky(run("input0", pictures()))
    for i in range(0, 6, 2):
        x = F.avg_pool2d(leaky(run(f"layer{i + 1}", leaky(run(f"layer{i}", x)))), 2)
    x = leaky(run("layer6", deviation(x)))
    wanted = run("layer8", leaky(run("layer7", x)), gain=1.0)
    assert (critic(pictures()) - wanted.flatten()).abs().max() <= 1e-5
    maps = critic.features(pictures(), 3)
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (20, 16, 16), (24, 8, 8)]


def test_a_discriminator_of_another_form_is_left_out(drawn):
    tensors = {**published(drawn(0), prefix="generator."), **published_critic(drawn(1))}
    del tensors["discriminator.layer3.bias"]
    made = PGGANAdapter().convert(Foreign("torch", tensors), {})
    assert made.discriminator is None
    assert "the discriminator is left out" in made.note


# ---------------------------------------------------------------------------------------------
# formatLayer, groupScale0, scaleLayers, toRGBLayers


def zoo(draw, prefix="avgG.", between=""):
    """Modules with bias inside, their result multiplied by sqrt(2 / fan in)."""

    def layer(name, *shape):
        draw(f"{prefix}{name}.{between}weight", *shape)
        draw(f"{prefix}{name}.{between}bias", shape[0], spread=4.0)

    layer("formatLayer", 16 * WIDTHS[0], CODE)
    layer("groupScale0.0", WIDTHS[0], WIDTHS[0], 3, 3)
    for s, (before, width) in enumerate(itertools.pairwise(WIDTHS)):
        layer(f"scaleLayers.{s}.0", width, before, 3, 3)
        layer(f"scaleLayers.{s}.1", width, width, 3, 3)
    for k, width in enumerate(WIDTHS):
        layer(f"toRGBLayers.{k}", 3, width, 1, 1)
    return draw.tensors


def zoo_layer(tensors, name, x):
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    y = x @ weight.T + bias if weight.ndim == 2 else None
    if y is None:
        y = F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
    return y * math.sqrt(2 / weight[0].numel())


def draw_zoo(tensors, z):
    """As described: the norm stands behind every leaky ReLU, and in front of all."""
    x = leaky(zoo_layer(tensors, "formatLayer", norm(z)))
    x = norm(x.reshape(len(z), -1, 4, 4))
    x = norm(leaky(zoo_layer(tensors, "groupScale0.0", x)))
    for s in range(len(WIDTHS) - 1):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = norm(leaky(zoo_layer(tensors, f"scaleLayers.{s}.0", x)))
        x = norm(leaky(zoo_layer(tensors, f"scaleLayers.{s}.1", x)))
    return zoo_layer(tensors, f"toRGBLayers.{len(WIDTHS) - 1}", x)


@pytest.mark.parametrize(
    ("prefix", "between"),
    [("avgG.", ""), ("netG.", ""), ("avgG.module.", ""), ("netG.", "module.")],
)
def test_the_zoo_layout_draws_the_same(drawn, built, obeys_the_split_law, prefix, between):
    tensors = zoo(drawn(0), prefix, between)
    foreign = Foreign("torch", tensors)
    assert recognised(foreign) == "pggan-zoo"
    generator, _ = built(PGGANZooAdapter().convert(foreign, {}))
    # in float64, since rounding of both adds up
    bare = {k.removeprefix(prefix).replace("module.", ""): v.double() for k, v in tensors.items()}
    assert (generator(codes()) - draw_zoo(bare, codes().double())).abs().max() <= 1e-5
    obeys_the_split_law(generator, codes())


def test_composed_maps_are_normalised_again(drawn, built):
    """Law: with the norm behind the cut, the size of a composed map does not matter."""
    generator, _ = built(PGGANZooAdapter().convert(Foreign("torch", zoo(drawn(0))), {}))
    for layer in range(1, generator.n_layers + 1):
        features = generator.head(codes(), layer)
        image = generator.tail(features, layer)
        thrice = generator.tail(type(features)(features.map * 3), layer)
        assert (image - thrice).abs().mean() <= 1e-5


@pytest.mark.parametrize("deviations", [True, False])
def test_the_zoo_discriminator_scores_the_same(drawn, built, deviations):
    draw = drawn(1)

    def layer(name, *shape):
        draw(f"netD.{name}.weight", *shape)
        draw(f"netD.{name}.bias", shape[0])

    for k, width in enumerate(WIDTHS):
        layer(f"fromRGBLayers.{k}", width, 3, 1, 1)
    for s, (outer, inner) in enumerate(itertools.pairwise(WIDTHS)):
        layer(f"scaleLayers.{s}.0", inner, inner, 3, 3)
        layer(f"scaleLayers.{s}.1", outer, inner, 3, 3)
    layer("groupScaleZero.0", WIDTHS[0], WIDTHS[0] + deviations, 3, 3)
    layer("groupScaleZero.1", WIDTHS[0], 16 * WIDTHS[0])
    layer("decisionLayer", 1, WIDTHS[0])
    foreign = Foreign("torch", {**zoo(drawn(0)), **draw.tensors})
    _, critic = built(PGGANZooAdapter().convert(foreign, {}))

    tensors = {k.removeprefix("netD."): v for k, v in draw.tensors.items()}
    x = leaky(zoo_layer(tensors, "fromRGBLayers.3", pictures()))
    for s in (2, 1, 0):
        for i in (0, 1):
            x = leaky(zoo_layer(tensors, f"scaleLayers.{s}.{i}", x))
        x = F.avg_pool2d(x, 2)
    x = leaky(zoo_layer(tensors, "groupScaleZero.0", deviation(x) if deviations else x))
    x = leaky(zoo_layer(tensors, "groupScaleZero.1", x.flatten(1)))
    wanted = zoo_layer(tensors, "decisionLayer", x)
    assert (critic(pictures()) - wanted.flatten()).abs().max() <= 1e-5


@pytest.mark.parametrize("key", ["scaleLayers.1.0.weight", "formatLayer.bias"])
def test_zoo_keys_are_named(drawn, names_keys, key):
    names_keys(PGGANZooAdapter(), zoo(drawn(0)), key, prefix="avgG.")


# ---------------------------------------------------------------------------------------------
# TensorFlow


def tensorflow(draw, *, fused, prefix="Gs.", widths=WIDTHS):
    """Kernels (H, W, in, out); fused ones (H, W, out, in)."""

    def layer(name, *shape, size=None):
        draw(f"{prefix}{name}/weight", *shape)
        draw(f"{prefix}{name}/bias", size or shape[-1], spread=0.3)

    layer("4x4/Dense", CODE, 16 * widths[0], size=widths[0])
    layer("4x4/Conv", 3, 3, widths[0], widths[0])
    for s, (before, width) in enumerate(itertools.pairwise(widths)):
        side = 8 * 2**s
        if fused:
            layer(f"{side}x{side}/Conv0_up", 3, 3, width, before, size=width)
        else:
            layer(f"{side}x{side}/Conv0", 3, 3, before, width)
        layer(f"{side}x{side}/Conv1", 3, 3, width, width)
    for lod, width in enumerate(reversed(widths)):
        layer(f"ToRGB_lod{lod}", 1, 1, width, 3)
    draw.tensors[f"{prefix}lod"] = torch.zeros(())
    return draw.tensors


def same_conv(x, kernel):
    """Convolve with a (3, 3, in, out) kernel, written out."""
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    y = 0
    for a in range(3):
        for b in range(3):
            window = padded[:, :, a : a + height, b : b + width]
            y = y + torch.einsum("bihw,io->bohw", window, kernel[a, b])
    return y


def draw_tensorflow(tensors, z, *, fused, scaled=True):
    def weight(name, fan_in, gain=2**0.5):
        return tensors[f"{name}/weight"] * (gain / math.sqrt(fan_in) if scaled else 1.0)

    def finish(x, name):
        return norm(leaky(x + tensors[f"{name}/bias"].view(1, -1, 1, 1)))

    z = norm(z)
    x = z @ weight("4x4/Dense", CODE, math.sqrt(2) / 4)
    x = finish(x.reshape(len(z), WIDTHS[0], 4, 4), "4x4/Dense")
    x = finish(same_conv(x, weight("4x4/Conv", 9 * WIDTHS[0])), "4x4/Conv")
    for s, (before, width) in enumerate(itertools.pairwise(WIDTHS)):
        block = f"{8 * 2**s}x{8 * 2**s}"
        if fused:
            name = f"{block}/Conv0_up"
            x = scatter_up(x, weight(name, 9 * before))
        else:
            name = f"{block}/Conv0"
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = same_conv(x, weight(name, 9 * before))
        x = finish(x, name)
        x = finish(same_conv(x, weight(f"{block}/Conv1", 9 * width)), f"{block}/Conv1")
    rgb = torch.einsum("bihw,io->bohw", x, weight("ToRGB_lod0", WIDTHS[-1], 1.0)[0, 0])
    return rgb + tensors["ToRGB_lod0/bias"].view(1, -1, 1, 1)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("prefix", ["Gs.", "G.", ""])
def test_the_tensorflow_layout_draws_the_same(drawn, built, obeys_the_split_law, fused, prefix):
    tensors = tensorflow(drawn(0), fused=fused, prefix=prefix)
    foreign = Foreign("tf-pickle", tensors)
    assert recognised(foreign) == "pggan-tf"
    generator, _ = built(PGGANTensorFlowAdapter().convert(foreign, {}))
    bare = {k.removeprefix(prefix): v for k, v in tensors.items()}
    wanted = draw_tensorflow(bare, codes(), fused=fused)
    assert (generator(codes()) - wanted).abs().max() <= 1e-5
    obeys_the_split_law(generator, codes())


def test_tensorflow_weights_without_run_time_scale_draw_the_same(drawn, built):
    tensors = tensorflow(drawn(0), fused=True)
    for key in tensors:
        if key.endswith("weight"):
            tensors[key] *= 0.3
    meta = {"modules": {"Gs": {"static_kwargs": {"use_wscale": False, "resolution": 32}}}}
    made = PGGANTensorFlowAdapter().convert(Foreign("tf-pickle", tensors, meta), {})
    bare = {k.removeprefix("Gs."): v for k, v in tensors.items()}
    wanted = draw_tensorflow(bare, codes(), fused=True, scaled=False)
    assert (built(made)[0](codes()) - wanted).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("key", "value"), [("label_size", 10), ("use_pixelnorm", False), ("tanh_at_end", True)]
)
def test_other_tensorflow_networks_are_refused(drawn, key, value):
    meta = {"modules": {"Gs": {"static_kwargs": {key: value}}}}
    foreign = Foreign("tf-pickle", tensorflow(drawn(0), fused=True), meta)
    with pytest.raises(ImportRefused, match=f"with {key} = {value}; wanted"):
        PGGANTensorFlowAdapter().convert(foreign, {})


@pytest.mark.parametrize("fused", [True, False])
def test_the_tensorflow_discriminator_scores_the_same(drawn, built, fused):
    draw, down = drawn(1), WIDTHS[::-1]

    def layer(name, *shape):
        draw(f"D.{name}/weight", *shape)
        draw(f"D.{name}/bias", shape[-1], spread=0.3)

    for lod, width in enumerate(down):
        layer(f"FromRGB_lod{lod}", 1, 1, 3, width)
    second = "Conv1_down" if fused else "Conv1"
    for s, (before, after) in enumerate(itertools.pairwise(down)):
        block = f"{32 // 2**s}x{32 // 2**s}"
        layer(f"{block}/Conv0", 3, 3, before, before)
        layer(f"{block}/{second}", 3, 3, before, after)
    layer("4x4/Conv", 3, 3, down[-1] + 1, down[-1])
    layer("4x4/Dense0", 16 * down[-1], down[-1])
    layer("4x4/Dense1", down[-1], 1)
    draw.tensors["D.lod"] = torch.zeros(())
    foreign = Foreign("tf-pickle", {**tensorflow(drawn(0), fused=fused), **draw.tensors})
    _, critic = built(PGGANTensorFlowAdapter().convert(foreign, {}))

    t = {k.removeprefix("D."): v for k, v in draw.tensors.items()}

    def conv(name, x):
        kernel = t[f"{name}/weight"]
        return same_conv(x, kernel * math.sqrt(2 / (9 * kernel.shape[2])))

    def bias(name):
        return t[f"{name}/bias"].view(1, -1, 1, 1)

    rgb = t["FromRGB_lod0/weight"][0, 0] * math.sqrt(2 / 3)
    x = leaky(torch.einsum("bihw,io->bohw", pictures(), rgb) + bias("FromRGB_lod0"))
    for s in range(3):
        block = f"{32 // 2**s}x{32 // 2**s}"
        x = leaky(conv(f"{block}/Conv0", x) + bias(f"{block}/Conv0"))
        x = conv(f"{block}/{second}", x)
        if fused:  # the mean is part of the convolution
            x = leaky(F.avg_pool2d(x, 2) + bias(f"{block}/{second}"))
        else:
            x = F.avg_pool2d(leaky(x + bias(f"{block}/{second}")), 2)
    x = leaky(conv("4x4/Conv", deviation(x)) + bias("4x4/Conv"))
    scale = math.sqrt(2 / (16 * down[-1]))
    x = leaky(x.flatten(1) @ t["4x4/Dense0/weight"] * scale + t["4x4/Dense0/bias"])
    wanted = x @ t["4x4/Dense1/weight"] / math.sqrt(down[-1]) + t["4x4/Dense1/bias"]
    assert (critic(pictures()) - wanted.flatten()).abs().max() <= 1e-5


@pytest.mark.parametrize("key", ["8x8/Conv0_up/weight", "16x16/Conv1/bias", "ToRGB_lod0/weight"])
def test_tensorflow_keys_are_named(drawn, names_keys, key):
    if key == "16x16/Conv1/bias":  # widths are read from it
        tensors = tensorflow(drawn(0), fused=True)
        del tensors[f"Gs.{key}"]
        with pytest.raises(ImportRefused, match=r"missing: 16x16/Conv1/bias \(20,\)"):
            PGGANTensorFlowAdapter().convert(Foreign("tf-pickle", tensors), {})
        return
    names_keys(PGGANTensorFlowAdapter(), tensorflow(drawn(0), fused=True), key, prefix="Gs.")
