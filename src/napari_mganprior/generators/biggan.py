"""The generators of BigGAN and BigGAN-deep, for one class.

Written from the description in Brock, Donahue, Simonyan, "Large Scale GAN Training for High
Fidelity Natural Image Synthesis", ICLR 2019, https://doi.org/10.48550/arXiv.1809.11096
(appendix B); self attention from Zhang et al., "Self-Attention Generative Adversarial Networks",
ICML 2019, https://doi.org/10.48550/arXiv.1805.08318.

Every normalisation there is x' = (x - mean) / deviation * (1 + U c) + V c with a condition c made
of the code and of the class. With the class, the statistics and the truncation fixed, that is
x' = x * scale + shift with scale and shift affine in the code, and so it is stored here.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Dense, Features, SplitGenerator

__all__ = ["BigGANDeepGenerator", "BigGANGenerator"]

_MOST_BLOCKS = 64
_LARGEST = 2048  # px


class _Conv(nn.Module):
    """A convolution that keeps the size."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


class _Attention(nn.Module):
    """Adds to every pixel a mixture of all pixels, weighed by how well they match."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = _Conv(channels, channels // 8, 1, bias=False)
        self.key = _Conv(channels, channels // 8, 1, bias=False)
        self.value = _Conv(channels, channels // 2, 1, bias=False)
        self.out = _Conv(channels // 2, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)  # (B, C / 8, H W)
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # (B, C / 8, H W / 4)
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # (B, C / 2, H W / 4)
        match = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (B, H W, H W / 4)
        mixed: Tensor = self.out((value @ match.transpose(1, 2)).unflatten(2, x.shape[2:]))
        return x + mixed


def _modulated(x: Tensor, modulation: nn.Module, style: Tensor) -> Tensor:
    """Scale and shift every channel as the style (B, W) says, then ReLU."""
    scale, shift = modulation(style)[:, :, None, None].chunk(2, dim=1)
    return F.relu(x * scale.to(x.dtype) + shift.to(x.dtype))


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class _Block(nn.Module):
    """BigGAN's block: twice the size, two 3x3 convolutions, a 1x1 convolution as a shortcut."""

    def __init__(self, c_in: int, c_out: int, style: int) -> None:
        super().__init__()
        self.modulate = nn.ModuleList([Dense(style, 2 * c_in), Dense(style, 2 * c_out)])
        self.conv = nn.ModuleList([_Conv(c_in, c_out, 3), _Conv(c_out, c_out, 3)])
        self.shortcut = _Conv(c_in, c_out, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        h = self.conv[0](_up(_modulated(x, self.modulate[0], style)))
        h = self.conv[1](_modulated(h, self.modulate[1], style))
        short: Tensor = self.shortcut(x)  # before enlarging, which a 1x1 kernel does not notice
        total: Tensor = h + _up(short)
        return total


class _DeepBlock(nn.Module):
    """BigGAN-deep's block: 1x1, 3x3, 3x3, 1x1; the shortcut drops channels."""

    def __init__(self, c_in: int, c_out: int, style: int, *, up: bool) -> None:
        super().__init__()
        inner = c_in // 4
        self.up, self.c_out = up, c_out
        self.modulate = nn.ModuleList(
            [Dense(style, 2 * c_in), *(Dense(style, 2 * inner) for _ in range(3))]
        )
        self.conv = nn.ModuleList(
            [
                _Conv(c_in, inner, 1),
                _Conv(inner, inner, 3),
                _Conv(inner, inner, 3),
                _Conv(inner, c_out, 1),
            ]
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        h = x
        for index, conv in enumerate(self.conv):
            h = _modulated(h, self.modulate[index], style)
            h = conv(_up(h) if self.up and index == 1 else h)
        short = x[:, : self.c_out]
        total: Tensor = h + (_up(short) if self.up else short)
        return total


class _BigGAN(SplitGenerator):
    """What both share: a dense layer to a 4x4 map, blocks that take a style each, an output.

    A cut at l > 0 lies behind block l - 2, the dense layer being the first. Self attention
    belongs to the block it follows.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        upsample: Sequence[bool],
        attention: Sequence[int],
        code_dim: int,
        first: int,
        style_dim: int,
        image_channels: int,
        code_rms: float,
    ) -> None:
        super().__init__()
        _check_spec(widths, upsample, attention, image_channels, code_rms)
        self.widths = tuple(int(width) for width in widths)
        self.code_dim, self.style_dim = code_dim, style_dim
        self.image_channels, self.code_rms = image_channels, float(code_rms)
        self.n_layers = len(self.widths)
        self._sides = [4]
        for up in upsample:
            self._sides.append(self._sides[-1] * (2 if up else 1))
        self.resolution = self._sides[-1]
        self.start = Dense(first, 16 * self.widths[0])
        self.attention = nn.ModuleDict(
            {str(index): _Attention(self.widths[index]) for index in attention}
        )
        self.blocks = nn.ModuleList()
        self.scale = nn.Parameter(torch.ones(self.widths[-1]))
        self.shift = nn.Parameter(torch.zeros(self.widths[-1]))
        self.to_image = _Conv(self.widths[-1], image_channels, 3)

    @property
    def code_radius(self) -> float:
        """Length of the codes that the truncation leaves."""
        return float(self.code_rms * self.code_dim**0.5)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split codes (B, D): what the dense layer takes, and the blocks' styles (B, S, W)."""
        raise NotImplementedError

    def entry_weight(self) -> Tensor:
        """Return the dense layer and all modulations as maps of the whole code, (M, D)."""
        # what a layer takes is a linear function of the code, so the unit vectors show its matrix
        first, styles = self.split(torch.eye(self.code_dim, device=self.scale.device))
        maps = [self.start.weight @ first.T]
        for index, block in enumerate(self.blocks if self.style_dim else ()):
            taken = styles[:, index].T  # (W, D)
            maps += [m.weight @ taken for m in block.modules() if isinstance(m, Dense)]
        return torch.cat(maps)

    def n_mixed(self, layer: int) -> int:
        """Count the styles above a cut."""
        self._check_layer(layer)
        return 0 if layer == 0 or self.style_dim == 0 else self.n_layers - layer

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l): the code itself at 0, else the map behind the cut's block."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        side = self._sides[layer - 1]
        return self.widths[layer - 1], side, side

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the dense layer and ``layer - 1`` blocks on codes (B, D)."""
        self._check_layer(layer)
        if layer == 0:
            return Features(z[:, :, None, None])
        x, styles = self._begin(z)
        x = self._run(x, styles, 0, layer - 1)
        return Features(x, styles[:, layer - 1 :] if self.n_mixed(layer) else None)

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the blocks between two cuts; the styles above the second are handed on."""
        self._check_layer(begin)
        self._check_layer(end)
        x, styles = features.map, features.styles
        if begin == end:
            return features
        if begin == 0:
            return self.head(x.flatten(1), end)
        if styles is None:
            styles = x.new_zeros(len(x), self.n_layers - begin, self.style_dim)
        x = self._run(x, styles, begin - 1, end - 1)
        return Features(x, styles[:, end - begin :] if self.n_mixed(end) else None)

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the remaining blocks and the output."""
        self._check_layer(layer)
        x, styles, begin = features.map, features.styles, layer - 1
        if layer == 0:
            (x, styles), begin = self._begin(x.flatten(1)), 0
        if styles is None:
            styles = x.new_zeros(len(x), self.n_layers - 1 - begin, self.style_dim)
        x = self._run(x, styles, begin, self.n_layers - 1)
        x = F.relu(x * self.scale[:, None, None] + self.shift[:, None, None])
        return torch.tanh(self.to_image(x))

    def _begin(self, z: Tensor) -> tuple[Tensor, Tensor]:
        first, styles = self.split(z)
        return self._attended(self.start(first).unflatten(1, (-1, 4, 4)), 0), styles

    def _run(self, x: Tensor, styles: Tensor, begin: int, end: int) -> Tensor:
        """Run the blocks from ``begin`` to ``end``; the first style is that of ``begin``."""
        for index in range(begin, end):
            x = self._attended(self.blocks[index](x, styles[:, index - begin]), index + 1)
        return x

    def _attended(self, x: Tensor, index: int) -> Tensor:
        return self.attention[str(index)](x) if str(index) in self.attention else x

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )


class BigGANGenerator(_BigGAN):
    """BigGAN for one class.

    Parameters
    ----------
    widths : sequence of int
        Channels at 4, 8, .. resolution pixels.
    attention : sequence of int
        Maps that self attention follows: 0 the 4x4 map, 1 the 8x8 map and so on.
    code_dim : int
        Length of a latent code.
    chunk : int
        Length of the part of the code that each block takes for itself, the dense layer taking
        the first; 0 gives the whole code to the dense layer.
    image_channels : int
        1 .. 4.
    code_rms : float
        Root mean square of a code's numbers.

    Raises
    ------
    PriorError
        If one of these is out of range.
    """

    architecture = "biggan"

    def __init__(
        self,
        *,
        widths: Sequence[int],
        attention: Sequence[int],
        code_dim: int,
        chunk: int,
        image_channels: int,
        code_rms: float = 1.0,
    ) -> None:
        if chunk < 0 or (chunk and code_dim != chunk * len(widths)):
            raise PriorError(
                f"Got codes of length {code_dim} in parts of {chunk} for {len(widths)} layers; "
                f"wanted {chunk * len(widths)} numbers, one part a layer. Correct it."
            )
        super().__init__(
            widths=widths,
            upsample=[True] * (len(widths) - 1),
            attention=attention,
            code_dim=code_dim,
            first=chunk or code_dim,
            style_dim=chunk,
            image_channels=image_channels,
            code_rms=code_rms,
        )
        for before, width in pairwise(self.widths):
            self.blocks.append(_Block(before, width, chunk))

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split codes (B, D): the first part, and one part a block (B, S, chunk)."""
        if not self.style_dim:
            return z, z.new_zeros(len(z), self.n_layers - 1, 0)
        parts = z.unflatten(1, (self.n_layers, self.style_dim))
        return parts[:, 0], parts[:, 1:]

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "widths": list(self.widths),
            "attention": [int(index) for index in self.attention],
            "code_dim": self.code_dim,
            "chunk": self.style_dim,
            "image_channels": self.image_channels,
            "code_rms": self.code_rms,
        }


class BigGANDeepGenerator(_BigGAN):
    """BigGAN-deep for one class; every block takes the whole code.

    Parameters
    ----------
    widths : sequence of int
        Channels of the 4x4 map and behind every block; they do not grow.
    upsample : sequence of bool
        Whether each block doubles the size.
    attention : sequence of int
        Maps that self attention follows: 0 the 4x4 map, 1 that of the first block and so on.
    code_dim, image_channels, code_rms
        As in `BigGANGenerator`.

    Raises
    ------
    PriorError
        If one of these is out of range.
    """

    architecture = "biggan-deep"

    def __init__(
        self,
        *,
        widths: Sequence[int],
        upsample: Sequence[bool],
        attention: Sequence[int],
        code_dim: int,
        image_channels: int,
        code_rms: float = 1.0,
    ) -> None:
        pairs = list(pairwise(widths))
        if any(before < 4 or width > before for before, width in pairs):
            raise PriorError(
                f"Got channel widths {tuple(widths)} for a BigGAN-deep; wanted numbers from 4 up "
                "that do not grow. Correct them."
            )
        super().__init__(
            widths=widths,
            upsample=upsample,
            attention=attention,
            code_dim=code_dim,
            first=code_dim,
            style_dim=code_dim,
            image_channels=image_channels,
            code_rms=code_rms,
        )
        self.upsample = tuple(bool(up) for up in upsample)
        for (before, width), up in zip(pairs, self.upsample, strict=True):
            self.blocks.append(_DeepBlock(before, width, code_dim, up=up))

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give codes (B, D) to the dense layer and to every block, (B, S, D)."""
        return z, z[:, None].expand(-1, self.n_layers - 1, -1)

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "widths": list(self.widths),
            "upsample": list(self.upsample),
            "attention": [int(index) for index in self.attention],
            "code_dim": self.code_dim,
            "image_channels": self.image_channels,
            "code_rms": self.code_rms,
        }


def _check_spec(
    widths: Sequence[int],
    upsample: Sequence[bool],
    attention: Sequence[int],
    image_channels: int,
    code_rms: float,
) -> None:
    """Check what both networks are made of."""
    side = 4 * 2 ** sum(map(bool, upsample[:_MOST_BLOCKS]))
    if (
        not 2 <= len(widths) <= _MOST_BLOCKS
        or min(widths) < 1
        or len(upsample) != len(widths) - 1
        or side > _LARGEST
    ):
        raise PriorError(
            f"Got channel widths {tuple(widths)} with {len(upsample)} blocks for {side} px; wanted "
            f"2 to {_MOST_BLOCKS} positive widths, one more than blocks, and at most {_LARGEST} "
            "px. Correct them."
        )
    if any(not 0 <= index < len(widths) or widths[index] < 8 for index in attention):
        raise PriorError(
            f"Got self attention behind the maps {list(attention)}; wanted maps 0 to "
            f"{len(widths) - 1} of at least 8 channels. Correct it."
        )
    if image_channels not in (1, 2, 3, 4):
        raise PriorError(f"Got {image_channels} image channels; wanted 1 to 4. Correct it.")
    if not 0 < code_rms <= 10:
        raise PriorError(
            f"Got codes of root mean square {code_rms}; wanted a number above 0, up to 10. "
            "Choose 1."
        )
