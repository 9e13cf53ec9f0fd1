"""StyleGAN2's published layouts draw the same pictures here.

Each layout is written down once more: its names, its scales, and what is computed with them, in
plain operations that know nothing of our generators.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.base import Adapter, Converted, Foreign, ImportRefused
from napari_mganprior.imports.importing import import_prior

Tensors = dict[str, Tensor]
CODE, STYLE, GREY = 7, 9, 1
WIDTHS = (8, 6, 10)  # at 4, 8, 16 px


def randn(rng: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=rng)


def root(number: float) -> float:
    return number**0.5


def unit(z: Tensor) -> Tensor:
    return z / torch.sqrt((z**2).mean(1, keepdim=True) + 1e-8)


def mapped(z: Tensor, weights: list[Tensor], biases: list[Tensor], gain: float) -> Tensor:
    """Equalised learning rate with multiplier 0.01; ``gain`` multiplies the activation."""
    x = z
    for weight, bias in zip(weights, biases, strict=True):
        x = x @ (weight * 0.01 / root(weight.shape[1])).T + bias * 0.01
        x = gain * torch.where(x > 0, x, 0.2 * x)
    return x


def spread(x: Tensor) -> Tensor:
    """Zeros between pixels and behind the last one."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def filtered(x: Tensor, taps: tuple[int, ...], total: float, before: int, after: int) -> Tensor:
    """Convolve every channel with an outer product of taps whose sum is ``total``."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row) / row.sum() ** 2 * total
    x = F.pad(x, (before, after, before, after))
    return torch.cat([F.conv2d(x[:, i : i + 1], kernel[None, None]) for i in range(x.shape[1])], 1)


def doubled(image: Tensor) -> Tensor:
    return filtered(spread(image), (1, 3, 3, 1), 4.0, 2, 1)


def modulated(weight: Tensor, style: Tensor, *, demodulate: bool) -> list[Tensor]:
    """A kernel for each image: weight (out, in, k, k), style (B, in)."""
    kernels = [weight * one[None, :, None, None] for one in style]
    if not demodulate:
        return kernels
    return [k / torch.sqrt((k**2).sum((1, 2, 3), keepdim=True) + 1e-8) for k in kernels]


def each(x: Tensor, kernels: list[Tensor], convolve: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    pairs = zip(x, kernels, strict=True)
    return torch.cat([convolve(one[None], kernel) for one, kernel in pairs])


def same(x: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


# genforce, StyleGAN2 ------------------------------------------------------------------------


def genforce_stylegan2(rng: torch.Generator) -> Tensors:
    row = torch.tensor([1.0, 3, 3, 1])
    kernel = (torch.outer(row, row) / 16)[None, None]
    state: Tensors = {
        "truncation.w_avg": randn(rng, STYLE),
        "synthesis.early_layer.const": randn(rng, 1, WIDTHS[0], 4, 4),
        "synthesis.upsample.kernel": kernel,
    }
    for i, (before, after) in enumerate(((CODE, 11), (11, STYLE))):
        state[f"mapping.dense{i}.weight"] = randn(rng, after, before, scale=100)
        state[f"mapping.dense{i}.bias"] = randn(rng, after, scale=30)
    for i in range(2 * len(WIDTHS) - 1):
        name, k, up = f"synthesis.layer{i}", (i + 1) // 2, i % 2
        before, side = WIDTHS[k - up], 4 * 2**k
        state[f"{name}.weight"] = randn(rng, WIDTHS[k], before, 3, 3)
        state[f"{name}.bias"] = randn(rng, WIDTHS[k])
        state[f"{name}.style.weight"] = randn(rng, before, STYLE)
        state[f"{name}.style.bias"] = randn(rng, before, scale=0.3)
        state[f"{name}.noise_strength"] = randn(rng)
        state[f"{name}.noise"] = randn(rng, 1, 1, side, side)
        if up:
            state[f"{name}.filter.kernel"] = kernel
    for k, width in enumerate(WIDTHS):
        name = f"synthesis.output{k}"
        state[f"{name}.weight"] = randn(rng, GREY, width, 1, 1)
        state[f"{name}.bias"] = randn(rng, GREY)
        state[f"{name}.style.weight"] = randn(rng, width, STYLE)
        state[f"{name}.style.bias"] = randn(rng, width, scale=0.3)
    return state


def draw_genforce_stylegan2(state: Tensors, z: Tensor, psi: float = 1.0) -> Tensor:
    w = mapped(
        unit(z),
        [state[f"mapping.dense{i}.weight"] for i in (0, 1)],
        [state[f"mapping.dense{i}.bias"] for i in (0, 1)],
        gain=root(2),
    )
    w = state["truncation.w_avg"] + (w - state["truncation.w_avg"]) * psi

    def style(name: str) -> Tensor:
        return w @ state[f"{name}.weight"].T / root(STYLE) + state[f"{name}.bias"] + 1

    def grow(x: Tensor, kernel: Tensor) -> Tensor:
        x = F.conv2d(F.pad(spread(x)[:, :, :-1, :-1], (2, 2, 2, 2)), kernel)  # a correlation
        return filtered(x, (1, 3, 3, 1), 4.0, 1, 1)

    x, image = state["synthesis.early_layer.const"].repeat(len(z), 1, 1, 1), torch.zeros(())
    for i in range(2 * len(WIDTHS) - 1):
        name = f"synthesis.layer{i}"
        weight = state[f"{name}.weight"] / root(state[f"{name}.weight"][0].numel())
        kernels = modulated(weight, style(f"{name}.style"), demodulate=True)
        x = each(x, kernels, grow if i % 2 else same)
        x = x + state[f"{name}.noise"] * state[f"{name}.noise_strength"]
        x = lrelu(x + state[f"{name}.bias"].view(1, -1, 1, 1)) * root(2)
        if i % 2 == 0:
            name = f"synthesis.output{i // 2}"
            weight = state[f"{name}.weight"] / root(x.shape[1])
            kernels = modulated(weight, style(f"{name}.style"), demodulate=False)
            added = each(x, kernels, same) + state[f"{name}.bias"].view(1, -1, 1, 1)
            image = added + doubled(image) if i else added
    return image


# rosinality, StyleGAN2 ----------------------------------------------------------------------


def rosinality(rng: torch.Generator) -> Tensors:
    row = torch.tensor([1.0, 3, 3, 1])
    kernel = torch.outer(row, row) / 16
    state: Tensors = {"input.input": randn(rng, 1, WIDTHS[0], 4, 4)}
    for i, (before, after) in enumerate(((CODE, 11), (11, STYLE)), start=1):
        state[f"style.{i}.weight"] = randn(rng, after, before, scale=100)
        state[f"style.{i}.bias"] = randn(rng, after, scale=30)
    for i in range(2 * len(WIDTHS) - 1):
        name, k, up = f"convs.{i - 1}" if i else "conv1", (i + 1) // 2, i % 2
        before, side = WIDTHS[k - up], 4 * 2**k
        state[f"{name}.conv.weight"] = randn(rng, 1, WIDTHS[k], before, 3, 3)
        state[f"{name}.conv.modulation.weight"] = randn(rng, before, STYLE)
        state[f"{name}.conv.modulation.bias"] = 1 + randn(rng, before, scale=0.3)
        if up:
            state[f"{name}.conv.blur.kernel"] = kernel
        state[f"{name}.noise.weight"] = randn(rng, 1)
        state[f"{name}.activate.bias"] = randn(rng, WIDTHS[k])
        state[f"noises.noise_{i}"] = randn(rng, 1, 1, side, side)
    for k, width in enumerate(WIDTHS):
        name = f"to_rgbs.{k - 1}" if k else "to_rgb1"
        state[f"{name}.conv.weight"] = randn(rng, 1, GREY, width, 1, 1)
        state[f"{name}.conv.modulation.weight"] = randn(rng, width, STYLE)
        state[f"{name}.conv.modulation.bias"] = 1 + randn(rng, width, scale=0.3)
        state[f"{name}.bias"] = randn(rng, 1, GREY, 1, 1)
        if k:
            state[f"{name}.upsample.kernel"] = kernel
    return state


def draw_rosinality(
    state: Tensors, z: Tensor, psi: float = 1.0, mean: Tensor | None = None
) -> Tensor:
    numbers = (1, 2)
    w = mapped(
        unit(z),
        [state[f"style.{i}.weight"] for i in numbers],
        [state[f"style.{i}.bias"] for i in numbers],
        gain=root(2),
    )
    w = w if mean is None else mean + psi * (w - mean)

    def style(name: str) -> Tensor:
        return (
            w @ state[f"{name}.modulation.weight"].T / root(STYLE)
            + state[f"{name}.modulation.bias"]
        )

    def grow(x: Tensor, kernel: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
        return filtered(x, (1, 3, 3, 1), 4.0, 1, 1)

    x, image = state["input.input"].repeat(len(z), 1, 1, 1), torch.zeros(())
    for i in range(2 * len(WIDTHS) - 1):
        name = f"convs.{i - 1}" if i else "conv1"
        weight = state[f"{name}.conv.weight"][0]
        weight = weight / root(weight[0].numel())
        kernels = modulated(weight, style(f"{name}.conv"), demodulate=True)
        x = each(x, kernels, grow if i % 2 else same)
        x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{i}"]
        x = root(2) * lrelu(x + state[f"{name}.activate.bias"].view(1, -1, 1, 1))
        if i % 2 == 0:
            name = f"to_rgbs.{i // 2 - 1}" if i else "to_rgb1"
            weight = state[f"{name}.conv.weight"][0] / root(x.shape[1])
            kernels = modulated(weight, style(f"{name}.conv"), demodulate=False)
            added = each(x, kernels, same) + state[f"{name}.bias"]
            image = added + doubled(image) if i else added
    return image


# NVIDIA, StyleGAN2-ADA ----------------------------------------------------------------------


def nvidia(rng: torch.Generator, classes: int = 0) -> Tensors:
    row = torch.tensor([1.0, 3, 3, 1]) / 8
    kernel = torch.outer(row, row)
    state: Tensors = {
        "mapping.w_avg": randn(rng, STYLE),
        "synthesis.b4.const": randn(rng, WIDTHS[0], 4, 4),
    }
    first = CODE + (STYLE if classes else 0)
    if classes:
        state["mapping.embed.weight"] = randn(rng, STYLE, classes)
        state["mapping.embed.bias"] = randn(rng, STYLE)
    for i, (before, after) in enumerate(((first, 11), (11, STYLE))):
        state[f"mapping.fc{i}.weight"] = randn(rng, after, before, scale=100)
        state[f"mapping.fc{i}.bias"] = randn(rng, after, scale=30)
    for k, width in enumerate(WIDTHS):
        side = 4 * 2**k
        block = f"synthesis.b{side}"
        state[f"{block}.resample_filter"] = kernel
        for conv in ("conv0", "conv1") if k else ("conv1",):
            before = WIDTHS[k - 1] if conv == "conv0" else width
            name = f"{block}.{conv}"
            state[f"{name}.weight"] = randn(rng, width, before, 3, 3)
            state[f"{name}.bias"] = randn(rng, width)
            state[f"{name}.noise_const"] = randn(rng, side, side)
            state[f"{name}.noise_strength"] = randn(rng)
            state[f"{name}.affine.weight"] = randn(rng, before, STYLE)
            state[f"{name}.affine.bias"] = 1 + randn(rng, before, scale=0.3)
            state[f"{name}.resample_filter"] = kernel
        name = f"{block}.torgb"
        state[f"{name}.weight"] = randn(rng, GREY, width, 1, 1)
        state[f"{name}.bias"] = randn(rng, GREY)
        state[f"{name}.affine.weight"] = randn(rng, width, STYLE)
        state[f"{name}.affine.bias"] = 1 + randn(rng, width, scale=0.3)
    return state


def draw_nvidia(
    state: Tensors, z: Tensor, psi: float = 1.0, label: int = 0, silent: bool = False
) -> Tensor:
    x = unit(z)
    if "mapping.embed.weight" in state:
        weight = state["mapping.embed.weight"]
        one_hot = torch.zeros(len(z), weight.shape[1])
        one_hot[:, label] = 1
        embedded = one_hot @ weight.T / root(weight.shape[1]) + state["mapping.embed.bias"]
        x = torch.cat([x, unit(embedded)], 1)
    w = mapped(
        x,
        [state[f"mapping.fc{i}.weight"] for i in (0, 1)],
        [state[f"mapping.fc{i}.bias"] for i in (0, 1)],
        gain=root(2),
    )
    w = state["mapping.w_avg"] + psi * (w - state["mapping.w_avg"])

    def style(name: str) -> Tensor:
        return w @ state[f"{name}.affine.weight"].T / root(STYLE) + state[f"{name}.affine.bias"]

    def grow(x: Tensor, kernel: Tensor) -> Tensor:
        x = filtered(spread(x), (1, 3, 3, 1), 4.0, 3, 2)  # filtered first, then convolved
        return F.conv2d(x, kernel.flip(2, 3))

    x, image = state["synthesis.b4.const"][None].repeat(len(z), 1, 1, 1), torch.zeros(())
    for k in range(len(WIDTHS)):
        block = f"synthesis.b{4 * 2**k}"
        for conv in ("conv0", "conv1") if k else ("conv1",):
            name = f"{block}.{conv}"
            kernels = modulated(state[f"{name}.weight"], style(name), demodulate=True)
            x = each(x, kernels, grow if conv == "conv0" else same)
            if not silent:
                x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
            x = root(2) * lrelu(x + state[f"{name}.bias"].view(1, -1, 1, 1))
        name = f"{block}.torgb"
        kernels = modulated(
            state[f"{name}.weight"], style(name) / root(x.shape[1]), demodulate=False
        )
        added = each(x, kernels, same) + state[f"{name}.bias"].view(1, -1, 1, 1)
        image = added + doubled(image) if k else added
    return image


# the same laws for all ----------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A layout: its adapter, its names before the dots, a key for each fault."""

    name: str
    prefix: str
    build: Callable[[torch.Generator], Tensors]
    draw: Callable[..., Tensor]
    key: str

    @property
    def adapter(self) -> Adapter:
        return next(a for a in ADAPTERS if a.name == self.name)

    def foreign(self, state: Tensors) -> Foreign:
        named = {f"{self.prefix}.{name}": value for name, value in state.items()}
        return Foreign("torch", {**named, "d.weight": torch.zeros(2)}, source="a file")


LAYOUTS = [
    Published(
        "stylegan2", "generator_smooth", genforce_stylegan2, draw_genforce_stylegan2,
        "synthesis.layer2.bias",
    ),
    Published(
        "stylegan2-rosinality", "g_ema", rosinality, draw_rosinality, "convs.1.activate.bias"
    ),
    Published("stylegan2-nvidia", "G_ema", nvidia, draw_nvidia, "synthesis.b8.conv1.bias"),
]  # fmt: skip


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def layout(request) -> Published:
    return request.param


def built(converted: Converted) -> StyleGAN2Generator:
    generator = StyleGAN2Generator(**converted.generator)
    generator.load_state_dict(converted.state)
    assert converted.architecture == "stylegan2"
    assert converted.resolution == generator.resolution == 16
    assert converted.image_channels == GREY
    return generator.requires_grad_(False)


def imported(layout: Published, foreign: Foreign, **options: object) -> StyleGAN2Generator:
    assert [a.name for a in ADAPTERS if a.recognise(foreign)] == [layout.name]
    return built(layout.adapter.convert(foreign, options))


Z = randn(seeded(1), 3, CODE)


def test_pixels_are_those_of_the_layout(layout):
    state = layout.build(seeded(0))
    wanted = layout.draw(state, Z)
    assert wanted.shape == (3, GREY, 16, 16)
    assert wanted.std() > 0.1
    for foreign in (layout.foreign(state), Foreign("torch", state)):
        got = imported(layout, foreign)(Z)
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_truncation_is_the_layouts(layout):
    state = layout.build(seeded(0))
    foreign, known = layout.foreign(state), {}
    if layout.name == "stylegan2-rosinality":
        known["mean"] = foreign.tensors["latent_avg"] = randn(seeded(2), STYLE)
    got = imported(layout, foreign, truncation=0.7)(Z)
    wanted = layout.draw(state, Z, psi=0.7, **known)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_every_fault_is_named(layout):
    """Law: a key that is missing, unexpected or misshapen is named as the file names it."""
    full = f"{layout.prefix}.{layout.key}".replace(".", r"\.")
    faults = {
        rf"missing: {full} \(6,\)": {layout.key: None},
        rf"of another shape: {full} \(6, 1\) for \(6,\)": {layout.key: torch.zeros(6, 1)},
        rf"unexpected: {layout.prefix}\.extra\.weight \(4, 7\)": {
            "extra.weight": torch.zeros(4, 7)
        },
    }
    for match, change in faults.items():
        broken = {**layout.build(seeded(0)), **change}
        foreign = layout.foreign({k: v for k, v in broken.items() if v is not None})
        assert layout.adapter.recognise(foreign)
        with pytest.raises(ImportRefused, match=match):
            layout.adapter.convert(foreign, {})


def test_every_single_key_is_needed_or_harmless(layout):
    """Law: whichever key is missing, it is named, or the picture stays what it was."""
    state = layout.build(seeded(0))
    whole = imported(layout, layout.foreign(state))(Z)
    for name in state:
        foreign = layout.foreign({k: v for k, v in state.items() if k != name})
        if name.startswith("noises."):  # drawn from a seed instead
            assert "seed" in layout.adapter.convert(foreign, {}).note
            continue
        try:
            got = built(layout.adapter.convert(foreign, {}))(Z)
        except ImportRefused as error:
            assert name in str(error)  # noqa: PT017
        else:
            assert torch.equal(got, whole)
            assert "kernel" in name or "filter" in name


def test_another_blur_is_refused(layout):
    state = layout.build(seeded(0))
    name = next(name for name in state if "kernel" in name or "filter" in name)
    state[name] = torch.full_like(state[name], 1 / 16)
    with pytest.raises(ImportRefused, match=rf"Got another blur in {layout.prefix}"):
        layout.adapter.convert(layout.foreign(state), {})


def test_missing_noise_is_drawn_from_a_seed():
    """Law: the same file gives the same noise each time."""
    layout = LAYOUTS[1]
    state = {k: v for k, v in rosinality(seeded(0)).items() if not k.startswith("noises.")}
    first, second = (imported(layout, layout.foreign(state)) for _ in range(2))
    assert torch.equal(first(Z), second(Z))
    again = {f"noises.noise_{i}": first.noise_of(i) for i in range(first.n_layers)}
    wanted = draw_rosinality({**state, **again}, Z)
    torch.testing.assert_close(first(Z), wanted, atol=1e-5, rtol=1e-5)


def test_a_missing_mean_style_is_estimated():
    layout = LAYOUTS[1]
    foreign = layout.foreign(rosinality(seeded(0)))
    converted = layout.adapter.convert(foreign, {})
    assert "mean style taken of 4096 codes" in converted.note
    generator = built(converted)
    w = generator.in_space("w").sample_codes(4096, rng=seeded(5))
    assert (w.mean(0) - generator.w_avg).abs().max() < 0.1 * w.std()


def test_weights_of_training_are_taken_where_there_are_no_averaged_ones():
    for layout, prefix in ((LAYOUTS[1], "g"), (LAYOUTS[2], "G")):
        state = layout.build(seeded(0))
        foreign = Foreign("torch", {f"{prefix}.{name}": value for name, value in state.items()})
        converted = layout.adapter.convert(foreign, {})
        assert "those of training taken" in converted.note
        torch.testing.assert_close(built(converted)(Z), layout.draw(state, Z), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("label", [0, 3])
def test_a_class_is_fixed(label):
    """Law: a generator of classes, one of them chosen, draws what the layout draws of it."""
    layout, state = LAYOUTS[2], nvidia(seeded(0), classes=4)
    generator = imported(layout, layout.foreign(state), **{"class": label})
    assert generator.code_dim == CODE
    wanted = draw_nvidia(state, Z, label=label)
    torch.testing.assert_close(generator(Z), wanted, atol=1e-5, rtol=1e-5)
    assert (wanted - draw_nvidia(state, Z, label=1)).abs().max() > 1e-2


def test_a_class_has_to_be_chosen():
    layout, state = LAYOUTS[2], nvidia(seeded(0), classes=4)
    for options, got in (({}, "None"), ({"class": 4}, "4")):
        with pytest.raises(ImportRefused, match=f"Got the class {got} for a file; .* 0 to 3"):
            layout.adapter.convert(layout.foreign(state), options)
    state["mapping.fc0.weight"] = torch.zeros(11, STYLE)
    with pytest.raises(ImportRefused, match="Got 9 numbers for a class and 9 for class and code"):
        layout.adapter.convert(layout.foreign(state), {"class": 0})


def test_a_generator_without_noise_has_none():
    layout = LAYOUTS[2]
    state = {k: v for k, v in nvidia(seeded(0)).items() if "noise" not in k}
    got = imported(layout, layout.foreign(state))(Z)
    torch.testing.assert_close(got, draw_nvidia(state, Z, silent=True), atol=1e-5, rtol=1e-5)


def test_absurd_numbers_in_names_are_refused(layout):
    state = layout.build(seeded(0))
    for stray in ("synthesis.output99999.bias", "synthesis.b65536.x", "to_rgbs.99999.bias"):
        with pytest.raises(ImportRefused, match="unexpected: "):
            layout.adapter.convert(layout.foreign({**state, stray: torch.zeros(1)}), {})


def test_a_real_file_becomes_a_prior(layout, foreign_files, tmp_path):
    """Law: from the file as its authors write it to a prior on disk, and the same pixels."""
    state = layout.build(seeded(0))
    file = tmp_path / "old"
    if layout.prefix == "G_ema":
        file.write_bytes(foreign_files.nvidia_pickle(state))
    else:
        torch.save({layout.prefix: state, "args": {"size": 16}}, file)
    entry = import_prior(file, name="new", folder=tmp_path)
    loaded = load_prior(entry.path)
    assert loaded.card.architecture == "stylegan2"
    torch.testing.assert_close(loaded.generator(Z), layout.draw(state, Z), atol=1e-5, rtol=1e-5)
