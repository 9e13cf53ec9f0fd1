"""The generator and discriminator of progressive growing, trained at full size at once.

Written from the description in Karras, Aila, Laine, Lehtinen, "Progressive Growing of
GANs for Improved Quality, Stability, and Variation", ICLR 2018,
https://doi.org/10.48550/arXiv.1710.10196 (sections 4 and A).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import log2, sqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["PGGANDiscriminator", "PGGANGenerator"]

_SLOPE = 0.2
_FORMS = ("residual", "plain", "fused")
_EPS = 1e-8


class _ScaledConv(nn.Module):
    """A convolution whose weights are stored at unit variance and scaled when used."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, padding: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.padding = padding
        self.scale = gain / sqrt(c_in * kernel * kernel)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weights from N(0, 1); the bias starts at 0."""
        with torch.no_grad():
            self.weight.normal_(generator=rng)
            self.bias.zero_()

    def fold(self) -> None:
        """Multiply the scale into the weights, once and for all."""
        with torch.no_grad():
            self.weight.mul_(self.scale)
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.scale == 1.0 else self.weight * self.scale
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class _ScaledStart(_ScaledConv):
    """The first block as a dense layer has it: one bias a channel and position."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 4, padding=3, gain=sqrt(2))
        self.bias = nn.Parameter(torch.zeros(c_out, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, padding=self.padding) + self.bias


def _pixel_norm(x: Tensor) -> Tensor:
    """Bring the channel vector of every pixel to length sqrt(C)."""
    # float32 inside: the epsilon is lost in half precision. vector_norm reads the map once.
    power = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(power.square() / x.shape[1] + _EPS).to(x.dtype)


def _n_scales(resolution: int, widths: Sequence[int]) -> int:
    scales = log2(resolution / 4) + 1 if resolution >= 4 else 0.0
    if scales < 1 or scales != int(scales):
        raise PriorError(
            f"Got a resolution of {resolution} px; a PGGAN needs a power of two from 4 px up. "
            "Choose 64, 128 or 256."
        )
    if len(widths) != int(scales) or min(widths) < 1:
        raise PriorError(
            f"Got channel widths {tuple(widths)} for {resolution} px; wanted {int(scales)} "
            "positive numbers, one for each size from 4 px up. Give one width for each size."
        )
    return int(scales)


def _check_channels(image_channels: int) -> None:
    if image_channels not in (1, 2, 3, 4):
        raise PriorError(
            f"Got {image_channels} image channels; a PGGAN here draws 1 to 4. Choose 1 (grey), 3 "
            "(RGB), or 2 or 4 for as many stains."
        )


class PGGANGenerator(SplitGenerator):
    """PGGAN generator: blocks of PixelNorm, nearest x2 where the size grows, conv, LeakyReLU.

    Block 0 turns the code into a 4x4 map; block 1 keeps that size; then every size adds one
    block that doubles it and one that keeps it. The image is PixelNorm and a 1x1 convolution of
    the last map.

    Parameters
    ----------
    resolution : int
        Height and width of the images in pixels, a power of two from 4 up.
    widths : sequence of int
        Channels at 4, 8, .. resolution pixels.
    code_dim : int
        Length of a latent code.
    image_channels : int
        1 (grey), 3 (RGB), 2 or 4.
    position_bias : bool
        Whether the first block has a bias for every position of its 4x4 map, as some published
        networks have, in place of one a channel.

    Raises
    ------
    PriorError
        If resolution, widths or image_channels are out of range.

    Notes
    -----
    Published networks put PixelNorm behind every block where it stands in front of every block
    here. Both draw the same pictures. The cut lies in front of the norm here, so that a map
    composed of several codes is normalised again before it goes on.
    """

    architecture = "pggan"

    def __init__(
        self,
        *,
        resolution: int,
        widths: Sequence[int],
        code_dim: int,
        image_channels: int,
        position_bias: bool = False,
    ) -> None:
        super().__init__()
        scales = _n_scales(resolution, widths)
        _check_channels(image_channels)
        self.resolution = resolution
        self.widths = tuple(int(w) for w in widths)
        self.code_dim = code_dim
        self.image_channels = image_channels
        self.position_bias = position_bias
        self.n_layers = 2 * scales

        blocks: list[nn.Module] = [
            _ScaledStart(code_dim, self.widths[0])
            if position_bias
            else _ScaledConv(code_dim, self.widths[0], 4, padding=3, gain=sqrt(2)),
            _ScaledConv(self.widths[0], self.widths[0], 3, padding=1, gain=sqrt(2)),
        ]
        for before, width in pairwise(self.widths):
            blocks.append(_ScaledConv(before, width, 3, padding=1, gain=sqrt(2)))
            blocks.append(_ScaledConv(width, width, 3, padding=1, gain=sqrt(2)))
        self.blocks = nn.ModuleList(blocks)
        self.to_image = _ScaledConv(self.widths[-1], image_channels, 1, padding=0, gain=1.0)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights, to train from."""
        for module in self.modules():
            if isinstance(module, _ScaledConv):
                module.initialise(rng)

    def fold_scales(self) -> None:
        """Turn the equalised learning rate's run-time scales into plain weights."""
        for module in self.modules():
            if isinstance(module, _ScaledConv):
                module.fold()

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        spec: dict[str, Any] = {
            "resolution": self.resolution,
            "widths": list(self.widths),
            "code_dim": self.code_dim,
            "image_channels": self.image_channels,
        }
        return {**spec, "position_bias": True} if self.position_bias else spec

    def entry_weight(self) -> Tensor:
        """Return the weights of the first block, (16 C, D): it makes 4x4 positions of a code."""
        weight: Tensor = self.blocks[0].weight  # type: ignore[assignment]
        return weight.permute(0, 2, 3, 1).flatten(0, 2)

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l): the code itself at 0, else the output of block ``layer - 1``."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        scale = (layer - 1) // 2
        return self.widths[scale], 4 * 2**scale, 4 * 2**scale

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the first ``layer`` blocks on codes (B, D)."""
        self._check_layer(layer)
        x = z[:, :, None, None]  # (B, D, 1, 1)
        return self.between(Features(x), 0, layer)

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the blocks ``begin`` .. ``end - 1``."""
        self._check_layer(begin)
        self._check_layer(end)
        x = features.map
        for index in range(begin, end):
            x = self._block(x, index)
        return Features(x)

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the remaining blocks and the output convolution."""
        self._check_layer(layer)
        x = features.map
        for index in range(layer, self.n_layers):
            x = self._block(x, index)
        image: Tensor = self.to_image(_pixel_norm(x))
        return image

    def _block(self, x: Tensor, index: int) -> Tensor:
        x = _pixel_norm(x)
        if index >= 2 and index % 2 == 0:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.leaky_relu(self.blocks[index](x), _SLOPE)

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )


class PGGANDiscriminator(nn.Module):
    """Discriminator with the generator's widths mirrored and a minibatch deviation map.

    Its inner maps serve as a perceptual distance (Pan et al., "Exploiting Deep Generative
    Prior", ECCV 2020, https://doi.org/10.1007/978-3-030-58536-5_16).

    Parameters
    ----------
    resolution, widths, image_channels
        As in `PGGANGenerator`.
    form : {"residual", "plain", "fused"}
        How a size is left behind: with a skip connection (ours), or as published without one,
        halved after the activation (plain) or before bias and activation (fused).
    """

    def __init__(
        self,
        *,
        resolution: int,
        widths: Sequence[int],
        image_channels: int,
        form: str = "residual",
    ) -> None:
        super().__init__()
        _n_scales(resolution, widths)
        _check_channels(image_channels)
        if form not in _FORMS:
            raise PriorError(
                f"Got a discriminator of form {form!r}; wanted one of {', '.join(_FORMS)}. "
                "Choose residual."
            )
        self.form = form
        self.resolution = resolution
        self.widths = tuple(int(w) for w in widths)
        self.image_channels = image_channels
        down = self.widths[::-1]
        gain = sqrt(2)
        self.from_image = _ScaledConv(image_channels, down[0], 1, padding=0, gain=gain)
        self.first = nn.ModuleList()
        self.second = nn.ModuleList()
        self.skip = nn.ModuleList()
        for before, after in pairwise(down):
            self.first.append(_ScaledConv(before, before, 3, padding=1, gain=gain))
            self.second.append(_ScaledConv(before, after, 3, padding=1, gain=gain))
            if form == "residual":
                self.skip.append(_ScaledConv(before, after, 1, padding=0, gain=1.0))
        self.last = _ScaledConv(down[-1] + 1, down[-1], 3, padding=1, gain=gain)
        self.dense = _ScaledConv(down[-1], down[-1], 4, padding=0, gain=gain)
        self.score = _ScaledConv(down[-1], 1, 1, padding=0, gain=1.0)
        self.pixel_mean: Tensor | None = None
        self.pixel_std: Tensor | None = None

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights, to train from."""
        for module in self.modules():
            if isinstance(module, _ScaledConv):
                module.initialise(rng)

    def standardise(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """From now on bring the pixels of every image to mean 0 and deviation 1 first.

        Pictures of bright things on a dark ground have nearly all their pixels at one end of the
        range. Seen as they are, that end drowns the rest, and the network hardly learns.

        Parameters
        ----------
        mean, std : sequence of float
            Of the pixels it will see, one number a channel; deviations above 0.

        Raises
        ------
        PriorError
            If the numbers do not fit the channels.
        """
        if {len(mean), len(std)} != {self.image_channels} or min(std) <= 0:
            raise PriorError(
                f"Got means {list(mean)} and deviations {list(std)} of pixels for "
                f"{self.image_channels} image channels; wanted one of each a channel, the "
                "deviations above 0. Measure them again."
            )
        like = self.from_image.bias
        # not among the weights: whoever builds the network anew tells it again, or folds
        for name, values in (("pixel_mean", mean), ("pixel_std", std)):
            delattr(self, name)
            column = torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
            self.register_buffer(name, column, persistent=False)

    def fold_pixels(self) -> None:
        """Move what `standardise` asks for into the first weights: the scores stay the same."""
        if self.pixel_mean is None or self.pixel_std is None:
            return
        first = self.from_image
        with torch.no_grad():
            first.weight.div_(self.pixel_std)  # (width, C, 1, 1)
            first.bias.sub_(first.scale * (first.weight * self.pixel_mean).sum(dim=(1, 2, 3)))
        self.pixel_mean = self.pixel_std = None

    def fold_scales(self) -> None:
        """Turn the equalised learning rate's run-time scales into plain weights."""
        for module in self.modules():
            if isinstance(module, _ScaledConv):
                module.fold()

    def features(self, x: Tensor, n_maps: int) -> list[Tensor]:
        """Inner maps of images, finest first.

        Parameters
        ----------
        x : Tensor
            Images (B, C, H, W) in [-1, 1].
        n_maps : int
            How many maps: the first at full size, each following one at half the size.

        Returns
        -------
        list of Tensor
            ``n_maps`` maps, (B, width, H / 2**i, W / 2**i).
        """
        if self.pixel_mean is not None and self.pixel_std is not None:
            x = (x - self.pixel_mean) / self.pixel_std
        h = F.leaky_relu(self.from_image(x), _SLOPE)
        maps = [h]
        for index in range(min(n_maps - 1, len(self.first))):
            h = self._down(h, index)
            maps.append(h)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Score images (B, C, H, W): the higher, the more real. Returns (B,)."""
        h = self.features(x, len(self.first) + 1)[-1]
        h = torch.cat([h, _minibatch_deviation(h)], dim=1)
        h = F.leaky_relu(self.last(h), _SLOPE)
        h = F.leaky_relu(self.dense(h), _SLOPE)
        score: Tensor = self.score(h)
        return score.flatten().float()

    def _down(self, x: Tensor, index: int) -> Tensor:
        h = F.leaky_relu(self.first[index](x), _SLOPE)
        if self.form == "fused":  # bias is the same before and after taking a mean
            return F.leaky_relu(F.avg_pool2d(self.second[index](h), 2), _SLOPE)
        h = F.avg_pool2d(F.leaky_relu(self.second[index](h), _SLOPE), 2)
        if self.form == "plain":
            return h
        skip = self.skip[index](F.avg_pool2d(x, 2))
        total: Tensor = h + skip
        return total * sqrt(0.5)  # keeps the variance of a sum of two


def _minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Tile the standard deviation over groups of images, averaged to one number, as a map."""
    batch, channels, height, width = x.shape
    group = group if batch % group == 0 else batch
    y = x.float().reshape(group, batch // group, channels, height, width)
    deviation = (y.var(dim=0, unbiased=False) + _EPS).sqrt().mean(dim=(1, 2, 3))  # (B / group,)
    return deviation.repeat(group).to(x.dtype).reshape(batch, 1, 1, 1).expand(-1, 1, height, width)
