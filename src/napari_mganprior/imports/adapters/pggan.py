"""PGGAN in PyTorch with PixelNorm in front of every block.

Keys are ``lod``, ``layer{i}.conv.weight``, ``layer{i}.wscale.bias`` and ``output{k}..``, or
``layer{i}.weight`` and ``layer{i}.bias``; bare or in ``generator_smooth``, ``generator`` and
``discriminator``. Layers are numbered from 0 or 1, outputs or called ``output_1024x1024``.
Karras et al., ICLR 2018, https://doi.org/10.48550/arXiv.1710.10196.

Some networks enlarge with a transposed convolution whose 4x4 kernel is the sum of four shifted
3x3 kernels. That equals enlarging to the nearest pixel and convolving with the 3x3 kernel turned
by 180 degrees; so it becomes that. Their kernels are (in, out, 3, 3), by which they are told.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor

from napari_mganprior.imports.adapters.tables import (
    Entry,
    Network,
    Tensors,
    converted,
    dropped,
    finished,
    last_number,
    pggan_keywords,
    size_of,
    square,
)
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused

__all__ = ["PGGANAdapter"]


class PGGANAdapter:
    """Reads ``layer{i}`` and ``output{k}``."""

    name = "pggan"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for a first layer with a 4x4 kernel, and for an output."""
        tensors = _published(foreign, ("generator_smooth", "generator", ""))
        return tensors is not None and any(key.startswith("output") for key in tensors)

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Rename the keys; see `Adapter`."""
        del options
        tensors = _published(foreign, ("generator_smooth", "generator", ""))
        if tensors is None:
            raise ImportRefused(
                f"Got {foreign.source} without a layer0.conv.weight or layer0.weight of 4x4 "
                "pixels; wanted a PGGAN generator. Choose another --architecture."
            )
        generator, fused = _published_generator(finished(tensors, foreign.source))
        critic = foreign.under("discriminator")
        found = None
        if "input0.weight" in critic or "input0.conv.weight" in critic:
            found = _published_discriminator(critic, fused=fused)
        return converted(foreign, generator, found)


def _published(foreign: Foreign, prefixes: tuple[str, ...]) -> dict[str, Tensor] | None:
    """Return the first generator in a file, its layers numbered from 0 and its keys short."""
    for prefix in prefixes:
        tensors = foreign.under(prefix) if prefix else foreign.tensors
        ends = {"conv.weight": "weight", "wscale.bias": "bias"}
        long = any(key.endswith(".conv.weight") for key in tensors)
        short = dict(tensors)
        if long:
            pattern = re.compile(r"(layer\d+|output\w+)\.(conv\.weight|wscale\.bias)")
            short = {
                f"{match[1]}.{ends[match[2]]}" if (match := pattern.fullmatch(key)) else key: value
                for key, value in tensors.items()
            }
        first = short.get("layer0.weight", short.get("layer1.weight"))
        if first is not None and first.ndim == 4 and tuple(first.shape[2:]) == (4, 4):
            if "layer0.weight" not in short:  # some number from 1
                short = {_renumbered(key): value for key, value in short.items()}
            return short
    return None


def _renumbered(key: str) -> str:
    match = re.fullmatch(r"layer(\d+)(\..+)", key)
    return f"layer{int(match[1]) - 1}{match[2]}" if match else key


def _published_generator(tensors: Tensors) -> tuple[Network, bool]:
    scales = last_number(tensors, "layer") // 2 + 1
    side = 4 * 2 ** (scales - 1)
    output = f"output{scales - 1}"
    if f"output_{side}x{side}.weight" in tensors:
        output = f"output_{side}x{side}"
    others = [k for k in tensors if k.startswith("output") and not k.startswith(f"{output}.")]
    tensors = {key: value for key, value in tensors.items() if key not in others}
    widths = [
        size_of(tensors, (f"layer{2 * s + 1}.bias", 0), (f"layer{2 * s}.bias", 0))
        for s in range(scales)
    ]
    fused = any(
        before != after
        and tuple(tensors[key].shape) == (before, after, 3, 3)
        for s, (before, after) in enumerate(pairwise(widths), start=1)
        if (key := f"layer{2 * s}.weight") in tensors
    )  # fmt: skip
    code_dim = size_of(tensors, ("layer0.weight", 1))
    channels = size_of(tensors, (f"{output}.bias", 0), (f"{output}.weight", 0))
    entries = [Entry("layer0.weight", (widths[0], code_dim, 4, 4), "blocks.0.weight")]
    for s, width in enumerate(widths):
        for i in (2 * s, 2 * s + 1):
            entries.append(Entry(f"layer{i}.bias", (width,), f"blocks.{i}.bias"))
            if i == 0:
                continue
            before = widths[s - 1] if i % 2 == 0 else width
            if fused and i % 2 == 0:
                entry = Entry(f"layer{i}.weight", (before, width, 3, 3), f"blocks.{i}.weight",
                               lambda w: w.transpose(0, 1).flip(2, 3))  # fmt: skip
            else:
                entry = Entry(f"layer{i}.weight", (width, before, 3, 3), f"blocks.{i}.weight")
            entries.append(entry)
    entries.append(Entry(f"{output}.weight", (channels, widths[-1], 1, 1), "to_image.weight"))
    entries.append(Entry(f"{output}.bias", (channels,), "to_image.bias"))
    keywords = {**pggan_keywords(scales, widths, channels), "code_dim": code_dim}
    notes = dropped(others)
    if len(widths) > 1 and len(set(widths)) == 1:
        notes += ("all layers are equally wide, so that enlarging ones are taken to be unfused",)
    return Network(keywords, entries, tensors, notes), fused


def _published_discriminator(tensors: Tensors, *, fused: bool) -> Network:
    ends = (".conv.weight", ".wscale.bias")
    short = {
        re.sub(r"\.wscale\.bias$", ".bias", re.sub(r"\.conv\.weight$", ".weight", key)): value
        for key, value in tensors.items()
    }
    assert not any(key.endswith(ends) for key in short)
    short = {key: value for key, value in short.items() if key != "lod"}
    scales = last_number(short, "layer") // 2
    others = [k for k in short if re.match(r"input\d+\.", k) and not k.startswith("input0.")]
    short = {key: value for key, value in short.items() if key not in others}
    down = [size_of(short, (f"layer{2 * s}.bias", 0)) for s in range(scales)]
    channels = size_of(short, ("input0.weight", 1))
    entries = [
        Entry("input0.weight", (down[0], channels, 1, 1), "from_image.weight"),
        Entry("input0.bias", (down[0],), "from_image.bias"),
    ]
    for s, (before, after) in enumerate(pairwise(down)):
        for i, ours, width in ((2 * s, "first", before), (2 * s + 1, "second", after)):
            entries += [
                Entry(f"layer{i}.weight", (width, before, 3, 3), f"{ours}.{s}.weight"),
                Entry(f"layer{i}.bias", (width,), f"{ours}.{s}.bias"),
            ]
    width, i = down[-1], 2 * (scales - 1)
    entries += [
        Entry(f"layer{i}.weight", (width, width + 1, 3, 3), "last.weight"),
        Entry(f"layer{i}.bias", (width,), "last.bias"),
        Entry(f"layer{i + 1}.weight", (width, 16 * width), "dense.weight", square),
        Entry(f"layer{i + 1}.bias", (width,), "dense.bias"),
        Entry(f"layer{i + 2}.weight", (1, width), "score.weight", lambda w: w[:, :, None, None]),
        Entry(f"layer{i + 2}.bias", (1,), "score.bias"),
    ]
    form = "fused" if fused else "plain"
    return Network({**pggan_keywords(scales, down[::-1], channels), "form": form}, entries, short)
