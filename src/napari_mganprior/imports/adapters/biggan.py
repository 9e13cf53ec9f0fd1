"""BigGAN in PyTorch's layout, for one class.

Keys are ``shared``, ``linear``, ``blocks.{i}.{j}`` and ``output_layer``. Weights are divided by
their largest singular value as the file's own vectors estimate it. The class and the statistics
go into the weights (see ``generators.biggan``).
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from napari_mganprior.imports.adapters.tables import last_number, size_of
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, check_shapes

__all__ = ["ATTENTION_PARTS", "BigGANAdapter", "chosen_class", "chosen_truncation", "conditioned"]

Shapes = dict[str, tuple[int, ...]]

ATTENTION_PARTS = {"query": "theta", "key": "phi", "value": "g", "out": "o_conv"}
_EPS = 1e-5  # of PyTorch's batch normalisation
_FIRST = "blocks.0.0.bn1.gain.weight"


def chosen_class(options: Mapping[str, Any], classes: int, source: str) -> int:
    """Return the class that was asked for."""
    number = options.get("class", 0 if classes == 1 else None)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < classes:
        raise ImportRefused(
            f"Got the class {number} for {source}; wanted a whole number, 0 to {classes - 1}, "
            "since a prior draws one class. Choose one (--class NUMBER)."
        )
    return number


def chosen_truncation(options: Mapping[str, Any], default: float, source: str) -> float:
    """Return the truncation that was asked for."""
    value = options.get("truncation", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ImportRefused(
            f"Got a truncation of {value!r} for {source}; wanted a number above 0, up to 1. "
            f"Choose {default}."
        )
    return float(value)


def conditioned(
    unit: tuple[Tensor, Tensor], scale: Tensor, offset: Tensor, label: Tensor
) -> tuple[Tensor, Tensor]:
    """Write a conditional normalisation as a dense layer from the style to scales and shifts.

    Parameters
    ----------
    unit : tuple of Tensor
        Mean and deviation, (C,) each.
    scale, offset : Tensor
        U and V, (C, W + E): behind what the style multiplies stands what the class does.
    label : Tensor
        The class's embedding, (E,).

    Returns
    -------
    Tensor, Tensor
        Weight (2 C, W) and bias (2 C,).
    """
    mean, deviation = unit
    width = scale.shape[1] - len(label)
    gain = scale[:, :width] / deviation[:, None]
    gain_bias = (1 + scale[:, width:] @ label) / deviation
    shift = offset[:, :width] - mean[:, None] * gain
    shift_bias = offset[:, width:] @ label - mean * gain_bias
    weight, bias = torch.cat([gain, shift]), torch.cat([gain_bias, shift_bias])
    return weight.float().contiguous(), bias.float()


class BigGANAdapter:
    """Reads ``linear``, ``blocks`` and ``output_layer``."""

    name = "biggan"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the names of the first block and of the output."""
        return bool(_biggan_tensors(foreign))

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Fold class, statistics and spectral norms into the weights; see `Adapter`."""
        tensors = _biggan_tensors(foreign)
        if not tensors:
            raise ImportRefused(
                f"Got {foreign.source} without blocks.0.0.bn1.gain.weight and output_layer.2."
                "weight; wanted a BigGAN generator. Choose another --architecture."
            )
        count = last_number(tensors, r"blocks\.") + 1
        widths = [size_of(tensors, (f"blocks.{i}.0.bn1.stored_mean", 0)) for i in range(count)]
        widths.append(size_of(tensors, ("output_layer.0.gain", 0)))
        shared, embedding = "shared.weight" in tensors, size_of(tensors, ("shared.weight", 1))
        condition = size_of(tensors, (_FIRST, 1))
        chunk = max(condition - embedding, 0) if shared else 0
        classes = size_of(tensors, ("shared.weight", 0), (_FIRST, 0))
        first = chunk or size_of(tensors, ("linear.weight", 1))
        attention = [i + 1 for i in range(count) if f"blocks.{i}.1.gamma" in tensors]
        label_shape = (embedding + chunk) if shared else None
        wanted = _biggan_shapes(tensors, widths, first, attention, label_shape, classes)
        if shared:
            wanted["shared.weight"] = (classes, embedding)
        check_shapes(tensors, wanted, source=foreign.source, network="a BigGAN generator")
        number = chosen_class(options, classes, foreign.source)
        truncation = chosen_truncation(options, 1.0, foreign.source)
        code_dim = chunk * (count + 1) if chunk else first
        channels = size_of(tensors, ("output_layer.2.weight", 0))
        return Converted(
            architecture="biggan",
            generator={
                "widths": widths,
                "attention": attention,
                "code_dim": code_dim,
                "chunk": chunk,
                "image_channels": channels,
                "code_rms": truncation,
            },
            state=_biggan_state(tensors, count, number, shared=shared),
            image_channels=channels,
            resolution=4 * 2**count,
            note=f"class {number}, truncation {truncation:g}",
        )


def _biggan_tensors(foreign: Foreign) -> dict[str, Tensor]:
    """Return the generator of a file, or nothing."""
    for prefix in ("G_ema", "generator", "state_dict", "module", ""):
        tensors = foreign.under(prefix) if prefix else foreign.tensors
        if _FIRST in tensors and "output_layer.2.weight" in tensors:
            return tensors
    return {}


def _singular(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Shapes:
    """Return the names and shapes of a weight, with those of its spectral norm if it has one."""
    shapes: Shapes = {f"{name}.weight": shape}
    if f"{name}.u0" in tensors or f"{name}.sv0" in tensors:
        shapes |= {f"{name}.u0": (1, shape[0]), f"{name}.sv0": (1,)}
    return shapes


def _biggan_shapes(
    tensors: Mapping[str, Tensor],
    widths: list[int],
    first: int,
    attention: list[int],
    condition: int | None,
    classes: int,
) -> Shapes:
    channels = size_of(tensors, ("output_layer.2.weight", 0))
    shapes = _singular(tensors, "linear", (16 * widths[0], first))
    shapes["linear.bias"] = (16 * widths[0],)
    for index, (before, width) in enumerate(pairwise(widths)):
        name = f"blocks.{index}.0"
        kernels = {"conv1": (before, 3), "conv2": (width, 3), "conv_sc": (before, 1)}
        for conv, (c_in, side) in kernels.items():
            shapes |= _singular(tensors, f"{name}.{conv}", (width, c_in, side, side))
            shapes[f"{name}.{conv}.bias"] = (width,)
        for norm, size in (("bn1", before), ("bn2", width)):
            for what in ("gain", "bias"):
                layer = f"{name}.{norm}.{what}"
                if condition is None:
                    shapes[f"{layer}.weight"] = (classes, size)
                else:
                    shapes |= _singular(tensors, layer, (size, condition))
            for what in ("stored_mean", "stored_var"):
                shapes[f"{name}.{norm}.{what}"] = (size,)
        if index + 1 in attention:
            shapes[f"blocks.{index}.1.gamma"] = ()
            pairs = {"theta": (width // 8, width), "phi": (width // 8, width)}
            pairs |= {"g": (width // 2, width), "o": (width, width // 2)}
            for part, (c_out, c_in) in pairs.items():
                shapes |= _singular(tensors, f"blocks.{index}.1.{part}", (c_out, c_in, 1, 1))
    for what in ("gain", "bias", "stored_mean", "stored_var"):
        shapes[f"output_layer.0.{what}"] = (widths[-1],)
    shapes |= _singular(tensors, "output_layer.2", (channels, widths[-1], 3, 3))
    shapes["output_layer.2.bias"] = (channels,)
    return shapes


def _biggan_state(
    tensors: Mapping[str, Tensor], count: int, number: int, *, shared: bool
) -> dict[str, Tensor]:
    def weight(name: str) -> Tensor:
        """Divide by the singular value after one step of power iteration, as done there."""
        raw = tensors[f"{name}.weight"].double()
        if f"{name}.u0" not in tensors:
            return raw
        matrix = raw.flatten(1)
        v = normalize(tensors[f"{name}.u0"].double() @ matrix, dim=1)  # (1, in)
        u = normalize(v @ matrix.T, dim=1)
        return raw / (v @ matrix.T @ u.T).squeeze()

    def unit(name: str) -> tuple[Tensor, Tensor]:
        mean, variance = (tensors[f"{name}.{w}"].double() for w in ("stored_mean", "stored_var"))
        return mean, (variance + _EPS).sqrt()

    def modulation(name: str) -> tuple[Tensor, Tensor]:
        gain, bias = f"{name}.gain", f"{name}.bias"
        if not shared:  # a row a class; as if the class were one number more, which is 1
            u, v = (tensors[f"{n}.weight"].double()[number][:, None] for n in (gain, bias))
            return conditioned(unit(name), u, v, torch.ones(1, dtype=torch.float64))
        label = tensors["shared.weight"].double()[number]
        # there the class stands in front of the style
        u, v = (weight(n).roll(-len(label), dims=1) for n in (gain, bias))
        return conditioned(unit(name), u, v, label)

    mean, deviation = unit("output_layer.0")
    scale = tensors["output_layer.0.gain"].double() / deviation
    state = {
        "start.weight": weight("linear"),
        "start.bias": tensors["linear.bias"],
        "scale": scale,
        "shift": tensors["output_layer.0.bias"].double() - mean * scale,
        "to_image.weight": weight("output_layer.2"),
        "to_image.bias": tensors["output_layer.2.bias"],
    }
    for index in range(count):
        name, ours = f"blocks.{index}.0", f"blocks.{index}"
        for theirs, layer in (("conv1", "conv.0"), ("conv2", "conv.1"), ("conv_sc", "shortcut")):
            state[f"{ours}.{layer}.weight"] = weight(f"{name}.{theirs}")
            state[f"{ours}.{layer}.bias"] = tensors[f"{name}.{theirs}.bias"]
        for i, norm in enumerate(("bn1", "bn2")):
            pair = modulation(f"{name}.{norm}")
            state[f"{ours}.modulate.{i}.weight"], state[f"{ours}.modulate.{i}.bias"] = pair
        other = f"blocks.{index}.1"
        if f"{other}.gamma" in tensors:
            for part, theirs in {**ATTENTION_PARTS, "out": "o"}.items():
                factor = tensors[f"{other}.gamma"].double() if part == "out" else 1.0
                state[f"attention.{index + 1}.{part}.weight"] = weight(f"{other}.{theirs}") * factor
    return {key: value.float().contiguous() for key, value in state.items()}
