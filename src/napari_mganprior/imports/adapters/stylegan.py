"""StyleGAN in genforce's layouts: ``mapping``, ``truncation``, ``synthesis``.

There are two sets of names for the same numbers, an older one with ``linear``, ``wscale`` and
``epilogue``. Layers that double the size keep, from 128 px up, the kernel of a transposed
convolution, which is ours turned by half a turn.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.imports.adapters.style_layout import (
    GAIN,
    Change,
    Layout,
    add_mapping,
    find_prefix,
    scaled,
    truncation_of,
)
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused

__all__ = ["StyleGANAdapter"]

_PREFIXES = ("generator_smooth", "models.generator_smooth", "generator", "models.generator", "")
_MARK = r"synthesis\.layer\d+\.(const|first_layer|apply_noise\.weight|epilogue\.bias)"
_OLD_MARK = r"synthesis\.layer\d+\.(first_layer|epilogue\..*)"
_FUSED_FROM = 128  # px
_NEW = {
    "dense weight": "mapping.dense{}.weight",
    "dense bias": "mapping.dense{}.bias",
    "const": "synthesis.layer0.const",
    "weight": "synthesis.layer{}.weight",
    "fused": "synthesis.layer{}.weight",
    "bias": "synthesis.layer{}.bias",
    "strength": "synthesis.layer{}.apply_noise.weight",
    "noise": "synthesis.layer{}.apply_noise.noise",
    "style weight": "synthesis.layer{}.style.weight",
    "style bias": "synthesis.layer{}.style.bias",
    "output": "synthesis.output{}.weight",
}
_OLD = {
    "dense weight": "mapping.dense{}.linear.weight",
    "dense bias": "mapping.dense{}.wscale.bias",
    "const": "synthesis.layer0.first_layer",
    "weight": "synthesis.layer{}.conv.weight",
    "fused": "synthesis.layer{}.weight",
    "bias": "synthesis.layer{}.epilogue.bias",
    "strength": "synthesis.layer{}.epilogue.apply_noise.weight",
    "noise": "synthesis.layer{}.epilogue.apply_noise.noise",
    "style weight": "synthesis.layer{}.epilogue.style_mod.dense.linear.weight",
    "style bias": "synthesis.layer{}.epilogue.style_mod.dense.wscale.bias",
    "output": "synthesis.output{}.conv.weight",
}


class StyleGANAdapter:
    """Reads StyleGAN's ``.pth`` files."""

    name = "stylegan"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for a constant or noise inputs below ``synthesis``."""
        return find_prefix(foreign, _PREFIXES, _MARK) is not None

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Multiply the run-time scales in; see `Adapter`."""
        prefix = find_prefix(foreign, _PREFIXES, _MARK)
        layout = Layout(foreign, prefix or "", "a StyleGAN generator")
        old = find_prefix(foreign, [layout.prefix], _OLD_MARK) is not None
        names = _OLD if old else _NEW
        n_scales = layout.count_scales(r"synthesis\.output(\d+)\..*")
        widths = [
            layout.size(
                (names["bias"].format(2 * scale), 0),
                (names["bias"].format(2 * scale + 1), 0),
                (names["strength"].format(2 * scale), 0),
            )
            for scale in range(n_scales)
        ]
        lengths = add_mapping(
            layout,
            names["dense weight"],
            names["dense bias"],
            range(layout.count_dense(r"mapping\.dense(\d+)\..*")),
            bias_gain=1.0,
        )
        layout.take("truncation.w_avg", (lengths[-1],), "w_avg", scaled(1.0))
        for index in range(2 * n_scales):
            _add_layer(layout, names, index, widths, lengths[-1], old=old)
        channels = _add_images(layout, names, widths)
        layout.allow(["synthesis.lod"], ())
        layout.allow(["truncation.truncation"], (1, 2 * n_scales, 1))
        state = layout.state()
        _check_grown(layout)
        return Converted(
            architecture="stylegan",
            generator={
                "resolution": 4 * 2 ** (n_scales - 1),
                "widths": widths,
                "code_dim": lengths[0],
                "mapping": lengths[1:],
                "image_channels": channels,
                "truncation": truncation_of(options),
            },
            state=state,
            image_channels=channels,
            resolution=4 * 2 ** (n_scales - 1),
            note="; ".join(layout.notes()),
        )


def _add_layer(
    layout: Layout,
    names: Mapping[str, str],
    index: int,
    widths: list[int],
    style_dim: int,
    *,
    old: bool,
) -> None:
    scale, up = index // 2, index % 2 == 0 and index > 0
    width, before = widths[scale], widths[scale - 1 if up else scale]
    ours, side = f"layers.{index}", 4 * 2**scale

    def name(part: str) -> str:
        return names[part].format(index)

    if index == 0:
        layout.take(names["const"], (1, width, 4, 4), "const", scaled(1.0))
    else:
        _add_kernel(layout, name, (width, before), ours, side=side, up=up, old=old)
    if up:
        kernel = f"synthesis.layer{index}.blur.kernel"
        layout.allow_kernel(kernel, (width, 1, 3, 3), (1, 2, 1), 1.0)
    layout.take(name("bias"), (width,), f"{ours}.bias", scaled(1.0))
    layout.take(name("strength"), (width,), f"{ours}.strength", scaled(1.0))
    layout.take_noise(name("noise"), (1, 1, side, side), f"{ours}.noise", needed=True)
    one = torch.cat([torch.ones(width), torch.zeros(width)])  # scales are kept less 1
    layout.take(
        name("style weight"),
        (2 * width, style_dim),
        f"{ours}.affine.weight",
        scaled(1 / sqrt(style_dim)),
    )
    layout.take(name("style bias"), (2 * width,), f"{ours}.affine.bias", lambda bias: bias + one)


def _add_kernel(
    layout: Layout,
    name: Any,
    channels: tuple[int, int],
    ours: str,
    *,
    side: int,
    up: bool,
    old: bool,
) -> None:
    fused = up and side >= _FUSED_FROM
    if old and up:  # the older names tell
        fused = layout.has(name("fused")) or (fused and not layout.has(name("weight")))
    factor = GAIN / sqrt(9 * channels[1])
    shape, change = (*channels, 3, 3), scaled(factor)
    if fused:
        change = _turned(factor, from_tensorflow=old)
        shape = (3, 3, channels[1], channels[0]) if old else shape
    layout.take(name("fused" if fused else "weight"), shape, f"{ours}.weight", change)


def _turned(factor: float, *, from_tensorflow: bool) -> Change:
    def change(kernel: Tensor) -> Tensor:
        kernel = kernel.permute(3, 2, 0, 1) if from_tensorflow else kernel
        return kernel.flip(2, 3) * factor

    return change


def _add_images(layout: Layout, names: Mapping[str, str], widths: list[int]) -> int:
    """Want the last size's image layer, allow those that only training needed."""
    last = len(widths) - 1
    channels = layout.size((f"synthesis.output{last}.bias", 0), (names["output"].format(last), 0))
    for scale, width in enumerate(widths):
        weight, bias = names["output"].format(scale), f"synthesis.output{scale}.bias"
        if scale < last:
            layout.allow([weight], (channels, width, 1, 1))
            layout.allow([bias], (channels,))
            continue
        factor = scaled(1 / sqrt(width))
        layout.take(weight, (channels, width, 1, 1), "to_image.weight", factor)
        layout.take(bias, (channels,), "to_image.bias", scaled(1.0))
    return channels


def _check_grown(layout: Layout) -> None:
    lod = float(layout.tensor("synthesis.lod")) if layout.has("synthesis.lod") else 0.0
    if lod != 0:
        raise ImportRefused(
            f"Got {layout.foreign.source}, a StyleGAN that is still growing (lod {lod:g}); wanted "
            "one that is trained at its full size (lod 0). Choose a later checkpoint."
        )
