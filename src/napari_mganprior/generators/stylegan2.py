"""The generator of StyleGAN2, in the skip architecture, which is also that of StyleGAN2-ADA.

Written from the description in Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and
Improving the Image Quality of StyleGAN", CVPR 2020, https://doi.org/10.1109/CVPR42600.2020.00813
(sections 2, 4.1 and appendix B).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.generators.base import Dense
from napari_mganprior.generators.style import StyleGenerator, blur

__all__ = ["StyleGAN2Generator"]

_SLOPE = 0.2
_EPS = 1e-8


class _Layer(nn.Module):
    """Modulated convolution, noise, bias, LeakyReLU.

    Instead of a kernel for each image, the map's channels are scaled before a common convolution
    and brought to unit variance behind it, equation (3): the same numbers, and a batch of codes
    costs one convolution.
    """

    noise: Tensor
    power: Tensor | None

    def __init__(self, c_in: int, c_out: int, style_dim: int, side: int, *, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("noise", torch.zeros(1, 1, side, side))
        self.affine = Dense(style_dim, c_in)
        self.up = up
        # LeakyReLU's gain; the blur below has one quarter of what zeros between pixels need
        self.gain = sqrt(2) * (4 if up else 1)
        self.register_buffer("power", None, persistent=False)

    def initialise(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=rng).mul_(1 / sqrt(self.weight[0].numel()))
            self.noise.normal_(generator=rng)
            self.affine.initialise(rng, gain=1.0, bias=1.0)

    def fold(self) -> None:
        """Square the weights once and for all."""
        self.power = self.weight.detach().square().sum(dim=(2, 3))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        scale = self.affine(style)  # (B, C_in)
        power = self.weight.square().sum(dim=(2, 3)) if self.power is None else self.power
        with torch.autocast(x.device.type, enabled=False):
            rest = self.gain * torch.rsqrt(F.linear(scale.square(), power) + _EPS)  # (B, C_out)
        x = x * scale[:, :, None, None].to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = blur(x, 4, 3.0)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        x = x * rest[:, :, None, None].to(x.dtype)
        x = x + (noise * self.strength + self.bias[:, None, None]).to(x.dtype)
        return F.leaky_relu(x, _SLOPE)


class _ToImage(nn.Module):
    """Modulated 1x1 convolution without demodulation."""

    def __init__(self, c_in: int, c_out: int, style_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.affine = Dense(style_dim, c_in)

    def initialise(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            self.weight.normal_(generator=rng).mul_(1 / sqrt(self.weight.shape[1]))
            self.affine.initialise(rng, gain=1.0, bias=1.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.affine(style)[:, :, None, None]
        return F.conv2d(x * scale.to(x.dtype), self.weight, self.bias)


class StyleGAN2Generator(StyleGenerator):
    """StyleGAN2 generator: a constant map, modulated convolutions, an image all sizes add to.

    One layer at 4 px, then two a size, of which the first doubles it. At a cut behind the last
    layer of a size, what this size adds to the image belongs to the tail, so that it is made
    of the composed map.

    All weights are plain: what equalised learning rates multiply at run time is multiplied in.
    ``bias`` and ``strength`` carry LeakyReLU's gain sqrt(2). Kernels of layers that double the
    size are those of a transposed convolution.

    Parameters
    ----------
    resolution, widths, code_dim, mapping, image_channels, truncation
        As in `StyleGenerator`.

    Raises
    ------
    PriorError
        If one of them is out of range.
    """

    architecture = "stylegan2"

    def __init__(
        self,
        *,
        resolution: int,
        widths: Sequence[int],
        code_dim: int,
        mapping: Sequence[int],
        image_channels: int,
        truncation: float = 1.0,
    ) -> None:
        super().__init__(
            resolution=resolution,
            widths=widths,
            code_dim=code_dim,
            mapping=mapping,
            image_channels=image_channels,
            truncation=truncation,
            n_layers=2 * len(widths) - 1,
            n_styles=2 * len(widths),
        )
        self.const = nn.Parameter(torch.zeros(1, self.widths[0], 4, 4))
        dim = self.style_dim
        layers = [_Layer(self.widths[0], self.widths[0], dim, 4, up=False)]
        for scale, (before, width) in enumerate(pairwise(self.widths), start=1):
            side = 4 * 2**scale
            layers.append(_Layer(before, width, dim, side, up=True))
            layers.append(_Layer(width, width, dim, side, up=False))
        self.layers = nn.ModuleList(layers)
        self.to_image = nn.ModuleList(_ToImage(width, image_channels, dim) for width in self.widths)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        super().initialise(rng)
        with torch.no_grad():
            self.const.normal_(generator=rng)
        for module in (*self.layers, *self.to_image):
            assert isinstance(module, _Layer | _ToImage)
            module.initialise(rng)

    def fold_scales(self) -> None:
        """Compute once what depends on the weights alone; they must not change any more."""
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            layer.fold()

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l): the code itself at 0, else the output of layer ``layer - 1``."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        scale = layer // 2
        return self.widths[scale], 4 * 2**scale, 4 * 2**scale

    def has_image(self, layer: int) -> bool:
        """Whether a smaller size lies below the cut."""
        return layer >= 2

    def noise_of(self, index: int) -> Tensor:
        """Noise input of a layer, (1, 1, H, W)."""
        noise: Tensor = self.layers[index].noise  # type: ignore[assignment]
        return noise

    def start(self, batch: int) -> Tensor:
        """Return the constant map, (B, C, 4, 4)."""
        return self.const.expand(batch, -1, -1, -1)

    def run_layer(
        self, index: int, x: Tensor, style: Tensor, noise: Tensor, image: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Run one layer; where it begins a new size, the size before adds to the image first."""
        if index % 2:
            image = self._add(index // 2, x, style, image)
        return self.layers[index](x, style, noise), image

    def finish(self, x: Tensor, styles: Tensor | None, image: Tensor | None) -> Tensor:
        """Add the last size to the image."""
        assert styles is not None
        return self._add(len(self.widths) - 1, x, styles[:, 0], image)

    def _add(self, scale: int, x: Tensor, style: Tensor, image: Tensor | None) -> Tensor:
        added: Tensor = self.to_image[scale](x, style)
        return added if image is None else added + _doubled(image).to(added.dtype)


def _doubled(image: Tensor) -> Tensor:
    """Double the size with zeros between the pixels and the kernel (1, 3, 3, 1) / 4."""
    # the same as (1, 1), which is the nearest neighbour, and (1, 2, 1) / 4
    return blur(F.interpolate(image, scale_factor=2, mode="nearest"), 3, 2.0)
