"""StyleGAN2 and StyleGAN2-ADA in three layouts: genforce's, rosinality's and NVIDIA's.

========== ======================== ====================== ===========================
what       genforce                 rosinality             NVIDIA
========== ======================== ====================== ===========================
kernels    to be divided by         to be divided by       as they are used
           sqrt(fan in)             sqrt(fan in)
doubling   kernel of a convolution  of a transposed one    of a transposed one
           of the spread map
styles     1 to be added            1 contained            1 contained
w_avg      ``truncation.w_avg``     ``latent_avg`` or none ``mapping.w_avg``
noise      in the file              in the file, or none   in the file, or not at all
========== ======================== ====================== ===========================

Affine maps are divided by sqrt(fan in) and the mapping network is multiplied by 0.01 in all of
them; our bias and noise strength contain LeakyReLU's gain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.base import codes_on_sphere
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

__all__ = ["StyleGAN2Adapter", "StyleGAN2NvidiaAdapter", "StyleGAN2RosinalityAdapter"]

_TAPS = (1, 3, 3, 1)
_MEAN_OF = 4096  # codes


@dataclass
class _Plan:
    """What every layout has, in the order of our generator."""

    layout: Layout
    widths: list[int]
    channels: int
    style_dim: int

    def add_affine(self, key: str, width: int, ours: str, *, plus: float = 0.0) -> None:
        """Want the affine map from a style to a map's channels."""
        layout, dim = self.layout, self.style_dim
        weight = (width, dim)
        layout.take(f"{key}.weight", weight, f"{ours}.affine.weight", scaled(1 / sqrt(dim)))
        layout.take(f"{key}.bias", (width,), f"{ours}.affine.bias", lambda bias: bias + plus)

    def layers(self) -> list[tuple[int, int, int, int, bool]]:
        """List index, channels in and out, side, and whether the layer doubles the size."""
        rows = []
        for index in range(2 * len(self.widths) - 1):
            scale, up = (index + 1) // 2, index % 2 == 1
            before = self.widths[scale - 1 if up else scale]
            rows.append((index, before, self.widths[scale], 4 * 2**scale, up))
        return rows

    def converted(
        self, lengths: list[int], state: dict[str, Tensor], truncation: float, *notes: str
    ) -> Converted:
        """Put everything together."""
        resolution = 4 * 2 ** (len(self.widths) - 1)
        return Converted(
            architecture="stylegan2",
            generator={
                "resolution": resolution,
                "widths": self.widths,
                "code_dim": lengths[0],
                "mapping": lengths[1:],
                "image_channels": self.channels,
                "truncation": truncation,
            },
            state=state,
            image_channels=self.channels,
            resolution=resolution,
            note="; ".join([*self.layout.notes(), *notes]),
        )


class StyleGAN2Adapter:
    """Reads genforce's ``.pth`` files: ``mapping.dense0``, ``synthesis.layer0``."""

    name = "stylegan2"
    _prefixes = ("generator_smooth", "models.generator_smooth", "generator", "models.generator", "")
    _mark = r"synthesis\.(early_layer\.const|layer\d+\.noise_strength)"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the constant or noise strengths."""
        return find_prefix(foreign, self._prefixes, self._mark) is not None

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Multiply the scales in, turn the doubling kernels; see `Adapter`."""
        prefix = find_prefix(foreign, self._prefixes, self._mark)
        layout = Layout(foreign, prefix or "", "a StyleGAN2 generator of genforce's layout")
        n_scales = layout.count_scales(r"synthesis\.output(\d+)\..*")
        lengths = add_mapping(
            layout,
            "mapping.dense{}.weight",
            "mapping.dense{}.bias",
            range(layout.count_dense(r"mapping\.dense(\d+)\..*")),
        )
        layout.take("truncation.w_avg", (lengths[-1],), "w_avg", scaled(1.0))
        widths = [
            layout.size(
                (f"synthesis.layer{2 * scale}.bias", 0),
                (f"synthesis.layer{2 * scale}.weight", 0),
                (f"synthesis.output{scale}.weight", 1),
            )
            for scale in range(n_scales)
        ]
        channels = layout.size(("synthesis.output0.bias", 0), ("synthesis.output0.weight", 0))
        plan = _Plan(layout, widths, channels, lengths[-1])
        layout.take("synthesis.early_layer.const", (1, widths[0], 4, 4), "const", scaled(1.0))
        for index, before, width, side, up in plan.layers():
            key, ours = f"synthesis.layer{index}", f"layers.{index}"
            factor = 1 / sqrt(9 * before)
            layout.take(
                f"{key}.weight",
                (width, before, 3, 3),
                f"{ours}.weight",
                _turned(factor) if up else scaled(factor),
            )
            layout.take(f"{key}.bias", (width,), f"{ours}.bias", scaled(GAIN))
            layout.take(f"{key}.noise_strength", (), f"{ours}.strength", _strength)
            layout.take_noise(f"{key}.noise", (1, 1, side, side), f"{ours}.noise", needed=True)
            plan.add_affine(f"{key}.style", before, ours, plus=1.0)
            layout.allow_kernel(f"{key}.filter.kernel", (1, 1, 4, 4), _TAPS, 4.0)
        for scale, width in enumerate(widths):
            key, ours = f"synthesis.output{scale}", f"to_image.{scale}"
            shape = (channels, width, 1, 1)
            layout.take(f"{key}.weight", shape, f"{ours}.weight", scaled(1 / sqrt(width)))
            layout.take(f"{key}.bias", (channels,), f"{ours}.bias", scaled(1.0))
            plan.add_affine(f"{key}.style", width, ours, plus=1.0)
        layout.allow_kernel("synthesis.upsample.kernel", (1, 1, 4, 4), _TAPS, 4.0)
        return plan.converted(lengths, layout.state(), truncation_of(options))


class StyleGAN2RosinalityAdapter:
    """Reads rosinality's ``.pt`` files: ``g_ema`` with ``style.1``, ``conv1``, ``convs.0``."""

    name = "stylegan2-rosinality"
    _prefixes = ("g_ema", "g", "")
    _mark = r"input\.input|(conv1|to_rgb1)\.conv\.modulation\.weight"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the constant and the first layers."""
        return find_prefix(foreign, self._prefixes, self._mark) is not None

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Multiply the scales in; see `Adapter`."""
        prefix = find_prefix(foreign, self._prefixes, self._mark)
        layout = Layout(foreign, prefix or "", "a StyleGAN2 generator of rosinality's layout")
        n_scales = layout.count_scales(r"to_rgbs\.(\d+)\..*", before=1)
        lengths = add_mapping(
            layout,
            "style.{}.weight",
            "style.{}.bias",
            range(1, layout.count_dense(r"style\.(\d+)\..*", least=2)),
        )
        names = [
            (f"convs.{2 * scale - 1}", f"to_rgbs.{scale - 1}") if scale else ("conv1", "to_rgb1")
            for scale in range(n_scales)
        ]
        widths = [
            layout.size(
                (f"{conv}.activate.bias", 0),
                (f"{conv}.conv.weight", 1),
                (f"{image}.conv.weight", 2),
            )
            for conv, image in names
        ]
        channels = layout.size(("to_rgb1.bias", 1), ("to_rgb1.conv.weight", 1))
        plan = _Plan(layout, widths, channels, lengths[-1])
        layout.take("input.input", (1, widths[0], 4, 4), "const", scaled(1.0))
        for index, before, width, side, up in plan.layers():
            key, ours = f"convs.{index - 1}" if index else "conv1", f"layers.{index}"
            layout.take(
                f"{key}.conv.weight",
                (1, width, before, 3, 3),
                f"{ours}.weight",
                _first(1 / sqrt(9 * before)),
            )
            layout.take(f"{key}.activate.bias", (width,), f"{ours}.bias", scaled(GAIN))
            layout.take(f"{key}.noise.weight", (1,), f"{ours}.strength", _strength)
            noise = f"noises.noise_{index}"
            layout.take_noise(noise, (1, 1, side, side), f"{ours}.noise", needed=False)
            plan.add_affine(f"{key}.conv.modulation", before, ours)
            if up:
                layout.allow_kernel(f"{key}.conv.blur.kernel", (4, 4), _TAPS, 4.0)
        for scale, ((_, key), width) in enumerate(zip(names, widths, strict=True)):
            ours, shape = f"to_image.{scale}", (1, channels, width, 1, 1)
            layout.take(f"{key}.conv.weight", shape, f"{ours}.weight", _first(1 / sqrt(width)))
            layout.take(f"{key}.bias", (1, channels, 1, 1), f"{ours}.bias", torch.Tensor.flatten)
            plan.add_affine(f"{key}.conv.modulation", width, ours)
            if scale:
                layout.allow_kernel(f"{key}.upsample.kernel", (4, 4), _TAPS, 4.0)
        notes = [] if prefix != "g" else ["no averaged weights (g_ema): those of training taken"]
        mean = foreign.tensors.get("latent_avg")
        if mean is not None and mean.numel() == lengths[-1]:
            layout.allow(["latent_avg"], tuple(mean.shape))  # where the generator is all there is
            state = {**layout.state(), "w_avg": mean.flatten()}
        else:
            state = layout.state()
            state["w_avg"] = _mean_style(state, lengths)
            notes.append(f"mean style taken of {_MEAN_OF} codes")
        return plan.converted(lengths, state, truncation_of(options), *notes)


class StyleGAN2NvidiaAdapter:
    """Reads NVIDIA's ``.pkl`` files: ``G_ema`` with ``mapping.fc0``, ``synthesis.b4``."""

    name = "stylegan2-nvidia"
    _prefixes = ("G_ema", "G", "")
    _mark = r"synthesis\.b4\.(const|conv1\.weight|torgb\.weight)"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for what stands at 4 px."""
        return find_prefix(foreign, self._prefixes, self._mark) is not None

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Multiply the scales in; a class becomes part of the first bias; see `Adapter`."""
        prefix = find_prefix(foreign, self._prefixes, self._mark)
        layout = Layout(foreign, prefix or "", "a StyleGAN2 generator of NVIDIA's layout")
        sides = layout.numbers(r"synthesis\.b(\d+)\..*")
        n_scales = layout.most_scales(max(max(sides, default=4) // 4, 1).bit_length())
        lengths = add_mapping(
            layout,
            "mapping.fc{}.weight",
            "mapping.fc{}.bias",
            range(layout.count_dense(r"mapping\.fc(\d+)\..*")),
        )
        layout.take("mapping.w_avg", (lengths[-1],), "w_avg", scaled(1.0))
        blocks = [f"synthesis.b{4 * 2**scale}" for scale in range(n_scales)]
        widths = [
            layout.size(
                (f"{block}.conv1.bias", 0),
                (f"{block}.conv1.weight", 0),
                (f"{block}.torgb.weight", 1),
            )
            for block in blocks
        ]
        channels = layout.size((f"{blocks[0]}.torgb.bias", 0), (f"{blocks[0]}.torgb.weight", 0))
        plan = _Plan(layout, widths, channels, lengths[-1])
        layout.take("synthesis.b4.const", (widths[0], 4, 4), "const", lambda const: const[None])
        silent = not any("noise_" in name for name in foreign.tensors)  # trained without noise
        for index, before, width, side, up in plan.layers():
            key, ours = f"synthesis.b{side}.conv{0 if up else 1}", f"layers.{index}"
            layout.take(f"{key}.weight", (width, before, 3, 3), f"{ours}.weight", scaled(1.0))
            layout.take(f"{key}.bias", (width,), f"{ours}.bias", scaled(GAIN))
            if not silent:
                layout.take(f"{key}.noise_strength", (), f"{ours}.strength", _strength)
            noise = f"{key}.noise_const"
            layout.take_noise(noise, (side, side), f"{ours}.noise", needed=not silent)
            plan.add_affine(f"{key}.affine", before, ours)
            layout.allow_kernel(f"{key}.resample_filter", (4, 4), _TAPS, 1.0)
        for scale, (block, width) in enumerate(zip(blocks, widths, strict=True)):
            ours = f"to_image.{scale}"
            key, shape = f"{block}.torgb", (channels, width, 1, 1)
            layout.take(f"{key}.weight", shape, f"{ours}.weight", scaled(1 / sqrt(width)))
            layout.take(f"{key}.bias", (channels,), f"{ours}.bias", scaled(1.0))
            plan.add_affine(f"{key}.affine", width, ours)
            layout.allow_kernel(f"{block}.resample_filter", (4, 4), _TAPS, 1.0)
        classes = _allow_classes(layout)
        state = layout.state()
        if silent:
            state |= {f"layers.{row[0]}.strength": torch.zeros(1) for row in plan.layers()}
        if classes:
            lengths[0] = _fix_class(layout, state, classes, options)
        notes = [] if prefix != "G" else ["no averaged weights (G_ema): those of training taken"]
        return plan.converted(lengths, state, truncation_of(options), *notes)


def _allow_classes(layout: Layout) -> int:
    """Want the classes' embedding, where there is one; return how many classes."""
    weight, bias = "mapping.embed.weight", "mapping.embed.bias"
    if not (layout.has(weight) or layout.has(bias)):
        return 0
    length, classes = layout.size((bias, 0), (weight, 0)), layout.size((weight, 1))
    layout.want(weight, (length, classes))
    layout.want(bias, (length,))
    return classes


def _fix_class(
    layout: Layout, state: dict[str, Tensor], classes: int, options: Mapping[str, Any]
) -> int:
    """Add what a class gives to the first layer's bias; return the length of a code."""
    number = options.get("class", 0 if classes == 1 else None)
    if not isinstance(number, int) or not 0 <= number < classes:
        raise ImportRefused(
            f"Got the class {number} for {layout.foreign.source}; wanted a whole number, 0 to "
            f"{classes - 1}, since a prior draws one class. Choose one (--class NUMBER)."
        )
    weight, bias = layout.tensor("mapping.embed.weight"), layout.tensor("mapping.embed.bias")
    label = weight[:, number] / sqrt(classes) + bias
    label = label * torch.rsqrt(label.square().mean() + 1e-8)
    first = state["mapping.0.weight"]
    code_dim = first.shape[1] - len(label)
    if code_dim < 1:
        raise ImportRefused(
            f"Got {len(label)} numbers for a class and {first.shape[1]} for class and code in "
            f"{layout.foreign.source}; wanted more for both. Ask its author for the file."
        )
    state["mapping.0.bias"] = state["mapping.0.bias"] + first[:, code_dim:] @ label
    state["mapping.0.weight"] = first[:, :code_dim].contiguous()
    return code_dim


def _mean_style(state: Mapping[str, Tensor], lengths: list[int]) -> Tensor:
    """Average the styles of random codes."""
    x = codes_on_sphere(_MEAN_OF, lengths[0], seeded(0), "cpu")
    for index in range(len(lengths) - 1):
        x = F.linear(x, state[f"mapping.{index}.weight"], state[f"mapping.{index}.bias"])
        x = F.leaky_relu(x, 0.2)
    return x.mean(dim=0)


def _strength(strength: Tensor) -> Tensor:
    return strength.reshape(1) * GAIN


def _first(factor: float) -> Change:
    return lambda tensor: tensor[0] * factor


def _turned(factor: float) -> Change:
    return lambda kernel: kernel.flip(2, 3) * factor
