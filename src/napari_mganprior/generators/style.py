"""What style generators share: a mapping network, a style for every layer, and noise inputs.

Written from the descriptions in Karras, Laine, Aila, CVPR 2019,
https://doi.org/10.1109/CVPR.2019.00453, and Karras et al., CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00813.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from math import log2, sqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Dense, Features, SplitGenerator, codes_on_sphere

__all__ = ["StyleGenerator", "blur"]

_SLOPE = 0.2
_EPS = 1e-8


class StyleGenerator(SplitGenerator):
    """What style generators share.

    A mapping network turns the code z into a style w; every layer takes one style; noise inputs
    are part of the weights, so that the same code always draws the same image. Codes may live in
    z, in w, or in w+ (a style of its own for every layer).

    A cut at l > 0 lies behind layer l - 1. Layers take the styles 0 .. n_layers - 1 in order;
    whatever makes the last image takes the rest.

    Parameters
    ----------
    resolution : int
        Height and width of the images in pixels, a power of two from 4 up.
    widths : sequence of int
        Channels at 4, 8, .. resolution pixels.
    code_dim : int
        Length of a code z.
    mapping : sequence of int
        Lengths that the mapping network's layers give; the last is that of a style.
    image_channels : int
        1 to 4.
    truncation : float
        How far a style may go from the mean style, 0 .. 1; 1 leaves it where it is. Only styles
        mapped from z are truncated.
    n_layers, n_styles : int
        How many.

    Raises
    ------
    PriorError
        If one of these is out of range.
    """

    code_spaces = ("z", "w", "w+")
    direction_space = "w"
    w_avg: Tensor

    def __init__(
        self,
        *,
        resolution: int,
        widths: Sequence[int],
        code_dim: int,
        mapping: Sequence[int],
        image_channels: int,
        truncation: float,
        n_layers: int,
        n_styles: int,
    ) -> None:
        super().__init__()
        _check_style_spec(resolution, widths, (code_dim, *mapping), image_channels, truncation)
        self.resolution = resolution
        self.widths = tuple(int(width) for width in widths)
        self.code_dim = self._z_dim = code_dim
        self.style_dim = mapping[-1]
        self.image_channels = image_channels
        self.truncation = float(truncation)
        self.n_layers, self.n_styles = n_layers, n_styles
        self.mapping = nn.ModuleList(
            Dense(before, after) for before, after in pairwise((code_dim, *mapping))
        )
        self.register_buffer("w_avg", torch.zeros(self.style_dim))

    @abstractmethod
    def start(self, batch: int) -> Tensor:
        """Return the map before the first layer, (B, C, 4, 4)."""

    @abstractmethod
    def run_layer(
        self, index: int, x: Tensor, style: Tensor, noise: Tensor, image: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Run one layer: map and image so far, given the layer's style (B, W) and noise."""

    @abstractmethod
    def finish(self, x: Tensor, styles: Tensor | None, image: Tensor | None) -> Tensor:
        """Turn the last map into the image; styles are those left over, (B, S, W)."""

    @abstractmethod
    def noise_of(self, index: int) -> Tensor:
        """Noise input of a layer, (1, 1, H, W)."""

    @abstractmethod
    def has_image(self, layer: int) -> bool:
        """Whether there is an image so far at a cut."""

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "resolution": self.resolution,
            "widths": list(self.widths),
            "code_dim": self._z_dim,
            "mapping": [len(layer.bias) for layer in self._dense()],
            "image_channels": self.image_channels,
            "truncation": self.truncation,
        }

    def in_space(self, space: str) -> "StyleGenerator":
        """Return this generator, sharing its weights, for codes of another space."""
        super().in_space(space)
        other = copy(self)  # tables of weights are shared: both move together
        other.code_space = space
        other.code_dim = {
            "z": self._z_dim,
            "w": self.style_dim,
            "w+": self.style_dim * self.n_styles,
        }[space]
        return other

    def n_mixed(self, layer: int) -> int:
        """Count the styles above a cut and, where there is one, the image so far."""
        self._check_layer(layer)
        return 0 if layer == 0 else self.n_styles - layer + self.has_image(layer)

    def noise_above(self, layer: int) -> Tensor:
        """Return the noise inputs of the layers above a cut, one behind the other, (P,)."""
        self._check_layer(layer)
        parts = [self.noise_of(index).flatten() for index in range(layer, self.n_layers)]
        return torch.cat(parts) if parts else self.w_avg.new_zeros(0)

    def sample_codes(
        self, n: int, *, rng: torch.Generator, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Draw codes z from the sphere, or the styles they are mapped to; as the contract says."""
        z = codes_on_sphere(n, self._z_dim, rng, device)
        if self.code_space == "z":
            return z
        with torch.no_grad():
            w = self._map(z)
        return w if self.code_space == "w" else w.repeat(1, self.n_styles)

    def styles_of(self, code: Tensor) -> Tensor:
        """Turn codes (B, D) of the space `code_space` into styles, (B, S, W)."""
        if self.code_space == "w+":
            styles: Tensor = code.unflatten(1, (self.n_styles, self.style_dim))
            return styles
        w = self._map(code) if self.code_space == "z" else code
        return w[:, None].expand(-1, self.n_styles, -1)

    def entry_weight(self) -> Tensor:
        """Return the affine maps of all layers, one below the other, (M, W): styles come in there.

        One style moves all layers, so that all of them have a say in what a direction does.
        """
        maps = [getattr(module, "affine", None) for module in self.modules()]
        return torch.cat([layer.weight for layer in maps if isinstance(layer, Dense)])

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the first ``layer`` layers on codes (B, D)."""
        self._check_layer(layer)
        if layer == 0:
            return Features(z[:, :, None, None])
        styles = self.styles_of(z)
        x, image = self.start(len(z)), None
        for index in range(layer):
            x, image = self.run_layer(index, x, styles[:, index], self.noise_of(index), image)
        return Features(x, styles[:, layer:] if layer < self.n_styles else None, image)

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the layers between two cuts with their own noise; the rest is handed on."""
        self._check_layer(begin)
        self._check_layer(end)
        x, styles, image = features.map, features.styles, features.image
        if begin == end:
            return features
        if begin == 0:
            return self.head(x.flatten(1), end)
        assert styles is not None
        for index in range(begin, end):
            style = styles[:, index - begin]
            x, image = self.run_layer(index, x, style, self.noise_of(index), image)
        return Features(x, styles[:, end - begin :] if end < self.n_styles else None, image)

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the remaining layers and make the image."""
        self._check_layer(layer)
        x, styles, image = features.map, features.styles, features.image
        if layer == 0:
            styles = self.styles_of(x.flatten(1))
            x = self.start(len(x))
        for number, noise in enumerate(self._noise(features.noise, layer)):
            assert styles is not None
            x, image = self.run_layer(layer + number, x, styles[:, number], noise, image)
        return self.finish(x, None if styles is None else styles[:, self.n_layers - layer :], image)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights for the mapping network; architectures add their own."""
        for layer in self._dense():
            layer.initialise(rng, gain=sqrt(2))

    def _map(self, z: Tensor) -> Tensor:
        """Map codes (B, D) to styles w (B, W)."""
        x = z.float()
        x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _EPS)
        for layer in self._dense():
            x = F.leaky_relu(layer(x), _SLOPE)
        return x if self.truncation == 1 else self.w_avg + self.truncation * (x - self.w_avg)

    def _dense(self) -> list[Dense]:
        return [layer for layer in self.mapping if isinstance(layer, Dense)]

    def _noise(self, given: Tensor | None, layer: int) -> list[Tensor]:
        own = [self.noise_of(index) for index in range(layer, self.n_layers)]
        if given is None:
            return own
        pieces = given.split([noise.numel() for noise in own], dim=1)
        return [
            piece.reshape(-1, *noise.shape[1:]) for piece, noise in zip(pieces, own, strict=True)
        ]

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )


def blur(x: Tensor, size: int, centre: float) -> Tensor:
    """Blur maps with the outer product of (1, centre, .., 1) / sum, zeros around them.

    Parameters
    ----------
    x : Tensor
        Maps, (B, C, H, W).
    size : int
        Length of the kernel: 3 keeps a map's size, 4 makes it 1 smaller.
    centre : float
        What stands between the two ones.
    """
    channels = x.shape[1]
    row = x.new_ones(size)  # made where it is needed: nothing to move between devices
    row[1:-1] = centre
    row = row / row.sum()
    kernel = torch.outer(row, row).expand(channels, 1, -1, -1)
    return F.conv2d(x, kernel, padding=1, groups=channels)


def _check_style_spec(
    resolution: int,
    widths: Sequence[int],
    lengths: Sequence[int],
    image_channels: int,
    truncation: float,
) -> None:
    scales = log2(resolution / 4) + 1 if resolution >= 4 else 0.0
    if scales < 1 or scales != int(scales):
        raise PriorError(
            f"Got a resolution of {resolution} px; a style generator needs a power of two from "
            "4 px up. Choose 256, 512 or 1024."
        )
    if len(widths) != int(scales) or min(widths) < 1:
        raise PriorError(
            f"Got channel widths {tuple(widths)} for {resolution} px; wanted {int(scales)} "
            "positive numbers, one for each size from 4 px up. Give one width for each size."
        )
    if len(lengths) < 2 or min(lengths) < 1:
        raise PriorError(
            f"Got lengths {tuple(lengths)} of code and mapping layers; wanted at least one layer, "
            "all positive. Give the length that each layer of the mapping network returns."
        )
    if image_channels not in (1, 2, 3, 4):
        raise PriorError(
            f"Got {image_channels} image channels; a style generator draws 1 to 4. Choose 1 "
            "(grey) or 3 (RGB)."
        )
    if not 0 <= truncation <= 1:
        raise PriorError(
            f"Got a truncation of {truncation}; wanted 0 (the mean image) to 1 (no truncation). "
            "Choose 1."
        )
