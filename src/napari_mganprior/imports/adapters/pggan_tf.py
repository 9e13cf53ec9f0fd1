"""PGGAN under TensorFlow's names.

Keys are ``4x4/Dense/weight``, ``8x8/Conv0_up/weight``, ``ToRGB_lod0/weight`` and so on in ``Gs``,
``G`` and ``D``; kernels are (H, W, in, out), those of ``Conv0_up`` (H, W, out, in).
Karras et al., ICLR 2018, https://doi.org/10.48550/arXiv.1710.10196.

``Conv0_up`` is a transposed convolution whose 4x4 kernel is the sum of four shifted 3x3 kernels.
That equals enlarging to the nearest pixel and convolving with the 3x3 kernel turned by 180
degrees. ``Conv1_down`` likewise is a convolution followed by the mean of 2x2 pixels.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from typing import Any

from torch import Tensor

from napari_mganprior.imports.adapters.tables import (
    Entry,
    Network,
    Shape,
    Tensors,
    converted,
    dropped,
    finished,
    pggan_keywords,
    size_of,
    square,
)
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused

__all__ = ["PGGANTensorFlowAdapter"]


class PGGANTensorFlowAdapter:
    """Reads ``4x4/Dense/weight``, ``8x8/Conv0_up/weight``, ``ToRGB_lod0/weight`` and so on."""

    name = "pggan-tf"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the names of the first and the last layer."""
        keys = " ".join(foreign.tensors)
        return "4x4/Dense/weight" in keys and "ToRGB_lod0/weight" in keys

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Turn kernels into our axes; see `Adapter`."""
        del options
        for prefix in ("Gs", "G", ""):
            tensors = foreign.under(prefix) if prefix else foreign.tensors
            if "4x4/Dense/weight" in tensors:
                break
        else:
            raise ImportRefused(
                f"Got {foreign.source} without a 4x4/Dense/weight; wanted a PGGAN generator of "
                "TensorFlow. Choose another --architecture."
            )
        plain = _plain_scales(foreign, prefix)
        generator = _tf_generator(finished(tensors, foreign.source), plain=plain)
        critic = foreign.under("D")
        found = None
        if "FromRGB_lod0/weight" in critic:
            found = _tf_discriminator(critic, plain=_plain_scales(foreign, "D"))
        return converted(foreign, generator, found)


def _plain_scales(foreign: Foreign, prefix: str) -> bool:
    """Read how the network was set up; return whether its weights come without run-time scale."""
    modules = foreign.meta.get("modules")
    module = modules.get(prefix) if isinstance(modules, Mapping) else None
    said = module.get("static_kwargs") if isinstance(module, Mapping) else None
    settings: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    wanted = {
        "label_size": 0,
        "use_pixelnorm": True,
        "normalize_latents": True,
        "use_leakyrelu": True,
        "tanh_at_end": False,
    }
    for key, value in wanted.items():
        if settings.get(key, value) not in (value, None):
            raise ImportRefused(
                f"Got {foreign.source} with {key} = {settings[key]!r}; wanted {value!r}, the form "
                "this program draws. Choose another network."
            )
    return settings.get("use_wscale", True) is False


def _unscaled(fan_in: int, gain: float, *, plain: bool) -> float:
    return sqrt(fan_in) / gain if plain else 1.0


def _tf_conv(
    name: str, ours: str, shape: Shape, *, plain: bool, up: bool = False, gain: float = sqrt(2)
) -> list[Entry]:
    """Take over a convolution; ``shape`` is ours, (out, in, H, W)."""
    c_out, c_in, height, width = shape
    factor = _unscaled(c_in * height * width, gain, plain=plain)
    if up:
        there: Shape = (height, width, c_out, c_in)

        def convert(w: Tensor) -> Tensor:
            return w.permute(2, 3, 0, 1).flip(2, 3) * factor
    else:
        there = (height, width, c_in, c_out)

        def convert(w: Tensor) -> Tensor:
            return w.permute(3, 2, 0, 1) * factor

    return [
        Entry(f"{name}/weight", there, f"{ours}.weight", convert),
        Entry(f"{name}/bias", (c_out,), f"{ours}.bias"),
    ]


def _tf_sides(tensors: Tensors) -> list[int]:
    found = (re.match(r"(\d{1,5})x\1/", key) for key in tensors)
    largest = max([int(match[1]) for match in found if match], default=4)
    scales = max(min(largest, 1 << 14).bit_length() - 2, 1)
    return [4 * 2**s for s in range(scales)]


def _tf_generator(tensors: Tensors, *, plain: bool) -> Network:
    sides = _tf_sides(tensors)
    others = [
        k for k in tensors if k.startswith("ToRGB_lod") and not k.startswith("ToRGB_lod0/")
    ]  # fmt: skip
    tensors = {key: value for key, value in tensors.items() if key not in others}
    names = ["4x4/Conv", *(f"{side}x{side}/Conv1" for side in sides[1:])]
    widths = [size_of(tensors, (f"{name}/bias", 0), (f"{name}/weight", 3)) for name in names]
    first, code_dim = widths[0], size_of(tensors, ("4x4/Dense/weight", 0))
    channels = size_of(tensors, ("ToRGB_lod0/bias", 0), ("ToRGB_lod0/weight", 3))
    factor = _unscaled(code_dim * 16, sqrt(2), plain=plain)
    entries = [
        Entry(
            "4x4/Dense/weight",
            (code_dim, 16 * first),
            "blocks.0.weight",
            lambda w: w.reshape(code_dim, first, 4, 4).transpose(0, 1).flip(2, 3) * factor,
        ),
        Entry("4x4/Dense/bias", (first,), "blocks.0.bias"),
        *_tf_conv("4x4/Conv", "blocks.1", (first, first, 3, 3), plain=plain),
    ]
    for s, (before, width) in enumerate(pairwise(widths), start=1):
        block = f"{sides[s]}x{sides[s]}"
        up = f"{block}/Conv0/weight" not in tensors
        name, shape = f"{block}/{'Conv0_up' if up else 'Conv0'}", (width, before, 3, 3)
        entries += _tf_conv(name, f"blocks.{2 * s}", shape, plain=plain, up=up)
        shape = (width, width, 3, 3)
        entries += _tf_conv(f"{block}/Conv1", f"blocks.{2 * s + 1}", shape, plain=plain)
    shape = (channels, widths[-1], 1, 1)
    entries += _tf_conv("ToRGB_lod0", "to_image", shape, plain=plain, gain=1.0)
    keywords = {**pggan_keywords(len(sides), widths, channels), "code_dim": code_dim}
    return Network(keywords, entries, tensors, dropped(others))


def _tf_discriminator(tensors: Tensors, *, plain: bool) -> Network:
    sides = _tf_sides(tensors)[::-1]
    tensors = {
        k: v
        for k, v in tensors.items()
        if k != "lod" and (not k.startswith("FromRGB_lod") or k.startswith("FromRGB_lod0/"))
    }
    names = [*(f"{side}x{side}/Conv0" for side in sides[:-1]), "4x4/Conv"]
    down = [size_of(tensors, (f"{name}/bias", 0), (f"{name}/weight", 3)) for name in names]
    channels, width = size_of(tensors, ("FromRGB_lod0/weight", 2)), down[-1]
    entries = _tf_conv("FromRGB_lod0", "from_image", (down[0], channels, 1, 1), plain=plain)
    fused = any(key.endswith("/Conv1_down/weight") for key in tensors)
    for s, (before, after) in enumerate(pairwise(down)):
        block, second = f"{sides[s]}x{sides[s]}", "Conv1_down" if fused else "Conv1"
        shape = (before, before, 3, 3)
        entries += _tf_conv(f"{block}/Conv0", f"first.{s}", shape, plain=plain)
        shape = (after, before, 3, 3)
        entries += _tf_conv(f"{block}/{second}", f"second.{s}", shape, plain=plain)
    factor = _unscaled(16 * width, sqrt(2), plain=plain)
    score = _unscaled(width, 1.0, plain=plain)
    entries += [
        *_tf_conv("4x4/Conv", "last", (width, width + 1, 3, 3), plain=plain),
        Entry("4x4/Dense0/weight", (16 * width, width), "dense.weight",
               lambda w: square(w.T) * factor),
        Entry("4x4/Dense0/bias", (width,), "dense.bias"),
        Entry("4x4/Dense1/weight", (width, 1), "score.weight",
               lambda w: w.T[:, :, None, None] * score),
        Entry("4x4/Dense1/bias", (1,), "score.bias"),
    ]  # fmt: skip
    form = "fused" if fused else "plain"
    return Network(
        {**pggan_keywords(len(sides), down[::-1], channels), "form": form}, entries, tensors
    )
