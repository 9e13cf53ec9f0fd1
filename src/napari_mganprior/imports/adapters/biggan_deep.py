"""BigGAN-deep as converted from TensorFlow Hub, for one class and one truncation.

The files are ``config.json`` and ``pytorch_model.bin`` with keys ``embeddings``,
``generator.gen_z``, ``generator.layers.{i}``, ``generator.bn`` and ``generator.conv_to_rgb``.
Weights are divided by their largest singular value as the file's own vectors estimate it. The
class, the statistics and the truncation go into the weights (see ``generators.biggan``).

The statistics are tables over the truncation. They are interpolated linearly. The published
program swaps the weights of the two rows, so that both agree at the rows (truncations that are
multiples of 0.02) and halfway between them.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import floor, prod
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from napari_mganprior.imports.adapters.biggan import (
    ATTENTION_PARTS,
    chosen_class,
    chosen_truncation,
    conditioned,
)
from napari_mganprior.imports.adapters.tables import last_number, size_of
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, check_shapes

__all__ = ["BigGANDeepAdapter"]

Shapes = dict[str, tuple[int, ...]]

_TRUNCATED_RMS = 0.8796  # of a standard normal cut off at -2 and 2
_TRUNCATION = 0.4  # what the published program takes unless told otherwise


class BigGANDeepAdapter:
    """Reads ``generator.gen_z`` and ``generator.layers``."""

    name = "biggan-deep"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the names of the first layer and of the embeddings."""
        keys = foreign.tensors.keys()
        return "embeddings.weight" in keys and any(k.startswith("generator.gen_z.") for k in keys)

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Fold class, truncation and spectral norms into the weights; see `Adapter`."""
        tensors = foreign.tensors
        config = foreign.meta.get("config")
        config = config if isinstance(config, Mapping) else {}
        count = last_number(tensors, r"generator\.layers\.") + 1
        names = [f"generator.layers.{index}" for index in range(count)]
        blocks = [n for n in names if f"{n}.snconv1x1_theta.weight_orig" not in tensors]
        widths = [size_of(tensors, (f"{n}.bn_0.running_means", 1)) for n in blocks]
        widths.append(size_of(tensors, ("generator.bn.weight", 0)))
        check_shapes(
            tensors,
            _deep_shapes(tensors, names, blocks, widths),
            source=foreign.source,
            network="a BigGAN-deep generator",
        )
        embedding = tensors["embeddings.weight"].double()
        number = chosen_class(options, embedding.shape[1], foreign.source)
        truncation = chosen_truncation(options, _TRUNCATION, foreign.source)
        eps = config.get("eps", 1e-4)
        if not isinstance(eps, float) or not 0 < eps < 1:
            raise ImportRefused(
                f"Got eps = {eps!r} in the config of {foreign.source}; wanted a small positive "
                "number such as 0.0001. Correct config.json."
            )
        state = _deep_state(tensors, names, embedding[:, number], truncation, eps)
        before = {name: sum(other in blocks for other in names[:i]) for i, name in enumerate(names)}
        upsample = _deep_upsample(config, len(blocks), foreign.source)
        return Converted(
            architecture="biggan-deep",
            generator={
                "widths": widths,
                "upsample": upsample,
                "attention": [before[name] for name in names if name not in blocks],
                "code_dim": size_of(tensors, ("generator.gen_z.weight_orig", 1)) - len(embedding),
                "image_channels": 3,
                "code_rms": _TRUNCATED_RMS * truncation,
            },
            state=state,
            image_channels=3,
            resolution=4 * 2 ** sum(upsample),
            note=f"class {number}, truncation {truncation:g}"
            + ("" if "layers" in config else "; no config.json: every second block enlarges"),
        )


def _deep_upsample(config: Mapping[str, Any], blocks: int, source: str) -> list[bool]:
    layers = config.get("layers")
    if layers is None:
        return [index % 2 == 1 for index in range(blocks)]
    fits = isinstance(layers, list) and len(layers) == blocks
    if not fits or not all(isinstance(x, list | tuple) and len(x) == 3 for x in layers):
        raise ImportRefused(
            f"Got a config of {source} whose layers do not fit its {blocks} blocks; wanted one "
            "[enlarge, in, out] a block. Put the config.json that belongs to the file beside it."
        )
    return [bool(layer[0]) for layer in layers]


def _normed(
    tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], *, bias: bool
) -> Shapes:
    """Return the names and shapes of a layer with PyTorch's spectral norm."""
    shapes: Shapes = {f"{name}.weight_orig": shape, f"{name}.weight_u": shape[:1]}
    if f"{name}.weight_v" in tensors:  # older files do without
        shapes[f"{name}.weight_v"] = (prod(shape[1:]),)
    return {**shapes, f"{name}.bias": shape[:1]} if bias else shapes


def _deep_shapes(
    tensors: Mapping[str, Tensor], names: list[str], blocks: list[str], widths: list[int]
) -> Shapes:
    """Return what must be there, as far as widths, code and classes say."""
    embedding = tuple(size_of(tensors, ("embeddings.weight", axis)) for axis in (0, 1))
    condition = max(size_of(tensors, ("generator.gen_z.weight_orig", 1)), embedding[0] + 1)
    rows = max(size_of(tensors, ("generator.bn.running_means", 0)), 2)
    last = widths[-1]
    gen_z, rgb = "generator.gen_z", "generator.conv_to_rgb"
    shapes: Shapes = {
        "embeddings.weight": embedding,
        **_normed(tensors, gen_z, (16 * widths[0], condition), bias=True),
        **{f"generator.bn.{what}": (last,) for what in ("weight", "bias")},
        **{f"generator.bn.{what}": (rows, last) for what in ("running_means", "running_vars")},
        **_normed(tensors, rgb, (max(last, 3), last, 3, 3), bias=True),
    }
    channels = dict(zip(blocks, pairwise(widths), strict=True))
    width = widths[0]
    for name in names:
        if name not in channels:
            shapes |= _attention_shapes(tensors, name, width)
            continue
        before, width = channels[name]
        inner = before // 4
        kernels = ((inner, before, 1), (inner, inner, 3), (inner, inner, 3), (width, inner, 1))
        for i, (c_out, c_in, side) in enumerate(kernels):
            conv, norm = f"{name}.conv_{i}", f"{name}.bn_{i}"
            shapes |= _normed(tensors, conv, (c_out, c_in, side, side), bias=True)
            for what in ("running_means", "running_vars"):
                shapes[f"{norm}.{what}"] = (rows, c_in)
            for what in ("scale", "offset"):
                shapes |= _normed(tensors, f"{norm}.{what}", (c_in, condition), bias=False)
    return shapes


def _attention_shapes(tensors: Mapping[str, Tensor], name: str, width: int) -> Shapes:
    shapes: Shapes = {f"{name}.gamma": (1,)}
    kernels = {
        "theta": (width // 8, width),
        "phi": (width // 8, width),
        "g": (width // 2, width),
        "o_conv": (width, width // 2),
    }
    for part, (c_out, c_in) in kernels.items():
        shapes |= _normed(tensors, f"{name}.snconv1x1_{part}", (c_out, c_in, 1, 1), bias=False)
    return shapes


def _deep_state(
    tensors: Mapping[str, Tensor], names: list[str], label: Tensor, truncation: float, eps: float
) -> dict[str, Tensor]:
    def weight(name: str) -> Tensor:
        """Divide by the singular value that the file's vectors give."""
        raw = tensors[f"{name}.weight_orig"].double()
        matrix, u = raw.flatten(1), tensors[f"{name}.weight_u"].double()
        v = tensors.get(f"{name}.weight_v")
        v = normalize(matrix.T @ u, dim=0) if v is None else v.double()
        return raw / (u @ matrix @ v)

    def unit(name: str) -> tuple[Tensor, Tensor]:
        """Return mean and deviation at the truncation."""
        means, variances = (
            tensors[f"{name}.{what}"].double() for what in ("running_means", "running_vars")
        )
        place = truncation * (len(means) - 1)
        row = min(floor(place + 1e-9), len(means) - 2)
        part = place - row
        mean = means[row] * (1 - part) + means[row + 1] * part
        variance = variances[row] * (1 - part) + variances[row + 1] * part
        return mean, (variance + eps).sqrt()

    start = weight("generator.gen_z")
    code = start.shape[1] - len(label)
    bias = tensors["generator.gen_z.bias"].double() + start[:, code:] @ label
    mean, deviation = unit("generator.bn")
    scale = tensors["generator.bn.weight"].double() / deviation
    state = {
        # numbers lie there as height, width, channel
        "start.weight": start[:, :code].reshape(4, 4, -1, code).permute(2, 0, 1, 3).flatten(0, 2),
        "start.bias": bias.reshape(4, 4, -1).permute(2, 0, 1).flatten(),
        "scale": scale,
        "shift": tensors["generator.bn.bias"].double() - mean * scale,
        "to_image.weight": weight("generator.conv_to_rgb")[:3],
        "to_image.bias": tensors["generator.conv_to_rgb.bias"][:3],
    }
    index = 0
    for name in names:
        if f"{name}.gamma" in tensors:
            for ours, theirs in ATTENTION_PARTS.items():
                kernel = weight(f"{name}.snconv1x1_{theirs}")
                factor = tensors[f"{name}.gamma"].double() if ours == "out" else 1.0
                state[f"attention.{index}.{ours}.weight"] = kernel * factor
            continue
        for i in range(4):
            ours, norm = f"blocks.{index}", f"{name}.bn_{i}"
            state[f"{ours}.conv.{i}.weight"] = weight(f"{name}.conv_{i}")
            state[f"{ours}.conv.{i}.bias"] = tensors[f"{name}.conv_{i}.bias"]
            pair = conditioned(unit(norm), weight(f"{norm}.scale"), weight(f"{norm}.offset"), label)
            state[f"{ours}.modulate.{i}.weight"], state[f"{ours}.modulate.{i}.bias"] = pair
        index += 1
    return {key: value.float().contiguous() for key, value in state.items()}
