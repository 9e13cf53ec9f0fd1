"""StyleGAN's published layouts draw the same pictures here.

The layouts are written down once more: names, scales, and what is computed with them, in plain
operations that know nothing of our generators.
"""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.base import Adapter, Foreign, ImportRefused
from napari_mganprior.imports.importing import import_prior

Tensors = dict[str, Tensor]
CODE, STYLE, GREY = 7, 9, 1
WIDTHS = (8, 6, 10)  # at 4, 8, 16 px
FINE = (8, 6, 5, 4, 4, 3)  # up to 128 px, where kernels are those of a transposed convolution


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


def filtered(x: Tensor, taps: tuple[int, ...], total: float, before: int, after: int) -> Tensor:
    """Convolve every channel with an outer product of taps whose sum is ``total``."""
    row = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(row, row) / row.sum() ** 2 * total
    x = F.pad(x, (before, after, before, after))
    return torch.cat([F.conv2d(x[:, i : i + 1], kernel[None, None]) for i in range(x.shape[1])], 1)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def genforce_stylegan(rng: torch.Generator, widths: tuple[int, ...] = WIDTHS) -> Tensors:
    state: Tensors = {"truncation.w_avg": randn(rng, STYLE), "synthesis.lod": torch.zeros(())}
    for i, (before, after) in enumerate(((CODE, 11), (11, STYLE))):
        state[f"mapping.dense{i}.weight"] = randn(rng, after, before, scale=100)
        state[f"mapping.dense{i}.bias"] = randn(rng, after, scale=30)
    for k, width in enumerate(widths):
        for i in (2 * k, 2 * k + 1):
            name, side = f"synthesis.layer{i}", 4 * 2**k
            if i == 0:
                state[f"{name}.const"] = randn(rng, 1, width, 4, 4)
            else:
                before = widths[k - 1] if i % 2 == 0 else width
                state[f"{name}.weight"] = randn(rng, width, before, 3, 3)
            if i and i % 2 == 0:
                kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
                state[f"{name}.blur.kernel"] = kernel.repeat(width, 1, 1, 1)
            state[f"{name}.bias"] = randn(rng, width)
            state[f"{name}.apply_noise.weight"] = randn(rng, width, scale=0.3)
            state[f"{name}.apply_noise.noise"] = randn(rng, 1, 1, side, side)
            state[f"{name}.style.weight"] = randn(rng, 2 * width, STYLE)
            state[f"{name}.style.bias"] = randn(rng, 2 * width, scale=0.3)
        state[f"synthesis.output{k}.weight"] = randn(rng, GREY, width, 1, 1, scale=0.1)
        state[f"synthesis.output{k}.bias"] = randn(rng, GREY)
    return state


def draw_genforce_stylegan(state: Tensors, z: Tensor, psi: float = 1.0) -> Tensor:
    dense = [state[f"mapping.dense{i}.weight"] for i in (0, 1)]
    # the gain sqrt(2) stands with the weights here, not with the activation
    dense = [weight * root(2) for weight in dense]
    w = mapped(unit(z), dense, [state[f"mapping.dense{i}.bias"] for i in (0, 1)], gain=1.0)
    w = state["truncation.w_avg"] + (w - state["truncation.w_avg"]) * psi
    x, i = torch.zeros(0), 0
    while f"synthesis.layer{i}.bias" in state:
        name = f"synthesis.layer{i}"
        if i == 0:
            x = state[f"{name}.const"].repeat(len(z), 1, 1, 1)
        else:
            weight = state[f"{name}.weight"]
            weight = weight * root(2) / root(weight[0].numel())
            if i % 2:
                x = F.conv2d(x, weight, padding=1)
            elif 2 * x.shape[-1] < 128:
                x = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, padding=1)
            else:
                four = F.pad(weight, (1, 1, 1, 1))
                four = sum(four[:, :, a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1))
                x = F.conv_transpose2d(x, four.transpose(0, 1), stride=2, padding=1)
            if i % 2 == 0:
                x = filtered(x, (1, 2, 1), 1.0, 1, 1)
        x = x + state[f"{name}.apply_noise.noise"] * state[f"{name}.apply_noise.weight"].view(
            1, -1, 1, 1
        )
        x = lrelu(x + state[f"{name}.bias"].view(1, -1, 1, 1))
        x = x - x.mean((2, 3), keepdim=True)
        x = x / torch.sqrt((x**2).mean((2, 3), keepdim=True) + 1e-8)
        style = w @ (state[f"{name}.style.weight"] / root(STYLE)).T + state[f"{name}.style.bias"]
        scale, shift = style.view(len(z), 2, -1, 1, 1).unbind(1)
        x = x * (scale + 1) + shift
        i += 1
    output = f"synthesis.output{i // 2 - 1}"
    weight = state[f"{output}.weight"] / root(x.shape[1])
    return F.conv2d(x, weight) + state[f"{output}.bias"].view(1, -1, 1, 1)


def older_names(state: Tensors) -> Tensors:
    """The same numbers under the names of genforce's earlier repositories."""
    n_layers = sum("apply_noise.noise" in name for name in state)
    older: Tensors = {"truncation.truncation": torch.ones(1, n_layers, 1)}
    for name, value in state.items():
        turned, renamed = _older(name)
        older[renamed] = value.permute(2, 3, 1, 0) if turned else value  # TensorFlow's axes
    return older


def _older(name: str) -> tuple[bool, str]:
    room, part, *rest = name.split(".")
    last = ".".join(rest)
    if room == "mapping":
        return False, f"mapping.{part}." + ("linear.weight" if last == "weight" else "wscale.bias")
    if part.startswith("output") and last == "weight":
        return False, f"synthesis.{part}.conv.weight"
    if not part.startswith("layer"):
        return False, name
    index = int(part.removeprefix("layer"))
    if last == "weight" and index % 2 == 0 and 4 * 2 ** (index // 2) >= 128:
        return True, name
    renamed = {
        "const": "first_layer",
        "weight": "conv.weight",
        "blur.kernel": "blur.kernel",
        "style.weight": "epilogue.style_mod.dense.linear.weight",
        "style.bias": "epilogue.style_mod.dense.wscale.bias",
    }
    return False, f"synthesis.{part}." + renamed.get(last, f"epilogue.{last}")


def adapter() -> Adapter:
    return next(a for a in ADAPTERS if a.name == "stylegan")


def drawn(foreign: Foreign, z: Tensor, **options: object) -> Tensor:
    """Import and draw; exactly the adapter asked for recognises the file."""
    assert [a.name for a in ADAPTERS if a.recognise(foreign)] == ["stylegan"]
    converted = adapter().convert(foreign, options)
    generator = StyleGANGenerator(**converted.generator)
    generator.load_state_dict(converted.state)
    assert converted.architecture == "stylegan"
    assert converted.resolution == generator.resolution
    assert converted.image_channels == GREY
    with torch.no_grad():
        return generator(z)


@pytest.mark.parametrize("widths", [WIDTHS, FINE], ids=["16 px", "128 px"])
@pytest.mark.parametrize("names", ["newer", "older"])
@pytest.mark.parametrize("prefix", ["", "generator_smooth.", "models.generator_smooth."])
def test_pixels_are_those_of_the_layout(widths, names, prefix):
    state = genforce_stylegan(seeded(0), widths)
    z = randn(seeded(1), 3, CODE)
    wanted = draw_genforce_stylegan(state, z)
    assert wanted.std() > 0.1
    if names == "older":
        state = older_names(state)
    file = {f"{prefix}{name}": value for name, value in state.items()}
    if prefix:
        file["discriminator.output.weight"] = torch.zeros(3)  # of no interest
    got = drawn(Foreign("torch", file), z)
    assert got.shape == (3, GREY, 2 * 2 ** len(widths), 2 * 2 ** len(widths))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_truncation_is_the_layouts():
    state = genforce_stylegan(seeded(0))
    z = randn(seeded(1), 3, CODE)
    got = drawn(Foreign("torch", state), z, truncation=0.7)
    torch.testing.assert_close(got, draw_genforce_stylegan(state, z, psi=0.7), atol=1e-5, rtol=1e-5)


def test_what_only_training_needs_may_be_missing():
    state = genforce_stylegan(seeded(0))
    z = randn(seeded(1), 2, CODE)
    whole = drawn(Foreign("torch", state), z)
    for name in list(state):
        if "blur" in name or "output0" in name or "output1" in name or "lod" in name:
            del state[name]
    assert torch.equal(drawn(Foreign("torch", state), z), whole)


@pytest.mark.parametrize("names", ["newer", "older"])
def test_every_fault_is_named(names):
    """Law: a key that is missing, unexpected or misshapen is named as the file names it."""
    state = genforce_stylegan(seeded(0))
    state = older_names(state) if names == "older" else state
    middle = "epilogue.bias" if names == "older" else "bias"
    faults = {
        rf"missing: generator\.synthesis\.layer3\.{middle} \(6,\)": {
            f"synthesis.layer3.{middle}": None
        },
        r"unexpected: generator\.mapping\.label_weight \(4, 7\)": {
            "mapping.label_weight": torch.zeros(4, 7)
        },
        rf"of another shape: generator\.synthesis\.layer3\.{middle} \(5,\) for \(6,\)": {
            f"synthesis.layer3.{middle}": torch.zeros(5)
        },
    }
    for match, change in faults.items():
        broken = {**state, **change}
        file = {f"generator.{k}": v for k, v in broken.items() if v is not None}
        assert adapter().recognise(Foreign("torch", file))
        with pytest.raises(ImportRefused, match=match):
            adapter().convert(Foreign("torch", file, source="x.pth"), {})


def test_every_single_key_is_needed_or_harmless():
    """Law: whichever key is missing, it is named, or the picture stays what it was."""
    state = genforce_stylegan(seeded(0))
    z = randn(seeded(1), 1, CODE)
    whole = drawn(Foreign("torch", state), z)
    for name in state:
        rest = {key: value for key, value in state.items() if key != name}
        try:
            assert torch.equal(drawn(Foreign("torch", rest), z), whole)
        except ImportRefused as error:
            assert name in str(error)  # noqa: PT017


def test_odd_files_are_refused():
    state = genforce_stylegan(seeded(0))
    growing = {**state, "synthesis.lod": torch.tensor(1.5)}
    with pytest.raises(
        ImportRefused, match=r"Got x\.pth, a StyleGAN that is still growing \(lod 1"
    ):
        adapter().convert(Foreign("torch", growing, source="x.pth"), {})
    blurred = {**state, "synthesis.layer2.blur.kernel": torch.ones(6, 1, 3, 3) / 9}
    with pytest.raises(ImportRefused, match=r"Got another blur in synthesis\.layer2\.blur\.kernel"):
        adapter().convert(Foreign("torch", blurred), {})
    endless = {**state, "synthesis.output99999.bias": torch.zeros(1)}
    with pytest.raises(ImportRefused, match="missing: "):
        adapter().convert(Foreign("torch", endless), {})
    with pytest.raises(ImportRefused, match="missing: "):
        adapter().convert(Foreign("torch", {"a": torch.zeros(2)}), {})


def test_a_real_file_becomes_a_prior(tmp_path):
    """Law: from torch.save to a prior on disk, and the same pixels."""
    state = genforce_stylegan(seeded(0))
    torch.save({"generator_smooth": state}, tmp_path / "old.pth")
    entry = import_prior(tmp_path / "old.pth", name="new", folder=tmp_path)
    loaded = load_prior(entry.path)
    assert loaded.card.architecture == "stylegan"
    z = randn(seeded(1), 2, CODE)
    wanted = draw_genforce_stylegan(state, z)
    torch.testing.assert_close(loaded.generator(z), wanted, atol=1e-5, rtol=1e-5)
