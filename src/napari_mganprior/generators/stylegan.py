"""The generator of StyleGAN.

Written from the description in Karras, Laine, Aila, "A Style-Based Generator Architecture for
Generative Adversarial Networks", CVPR 2019, https://doi.org/10.1109/CVPR.2019.00453 (section 2
and appendix C).
"""

from collections.abc import Sequence
from math import sqrt

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.generators.base import Dense
from napari_mganprior.generators.style import StyleGenerator, blur

__all__ = ["StyleGANGenerator"]

_SLOPE = 0.2
_EPS = 1e-8


class _Layer(nn.Module):
    """Convolution (none in the first layer), noise, bias, LeakyReLU, AdaIN."""

    noise: Tensor

    def __init__(self, c_in: int, c_out: int, style_dim: int, side: int, *, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, 3, 3)) if c_in else None
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.strength = nn.Parameter(torch.zeros(c_out))
        self.register_buffer("noise", torch.zeros(1, 1, side, side))
        self.affine = Dense(style_dim, 2 * c_out)
        self.up = up

    def initialise(self, rng: torch.Generator) -> None:
        with torch.no_grad():
            if self.weight is not None:
                fan_in = self.weight[0].numel()
                self.weight.normal_(generator=rng).mul_(sqrt(2 / fan_in))
            self.noise.normal_(generator=rng)
            self.affine.initialise(rng, gain=1.0)
            self.affine.bias[: len(self.bias)] = 1  # scales; the rest are shifts

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        if self.weight is not None:
            x = F.conv2d(x, self.weight, padding=1)
        if self.up:
            x = blur(x, 3, 2.0)
        x = x + (noise * self.strength[:, None, None] + self.bias[:, None, None]).to(x.dtype)
        x = F.leaky_relu(x, _SLOPE)
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        scale = scale * torch.rsqrt(variance + _EPS)
        styled: Tensor = (x - mean.to(x.dtype)) * scale.to(x.dtype) + shift.to(x.dtype)
        return styled


class StyleGANGenerator(StyleGenerator):
    """StyleGAN generator: a constant map, layers with a style each, the image from the last map.

    Two layers a size; the first of a size doubles it. All weights are plain: what equalised
    learning rates multiply at run time is multiplied in. The first half of a layer's affine map
    gives scales, with the published files' 1 added, the second shifts.

    Parameters
    ----------
    resolution, widths, code_dim, mapping, image_channels, truncation
        As in `StyleGenerator`.

    Raises
    ------
    PriorError
        If one of them is out of range.
    """

    architecture = "stylegan"

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
            n_layers=2 * len(widths),
            n_styles=2 * len(widths),
        )
        self.const = nn.Parameter(torch.zeros(1, self.widths[0], 4, 4))
        layers: list[_Layer] = []
        before = 0
        for scale, width in enumerate(self.widths):
            side = 4 * 2**scale
            layers.append(_Layer(before, width, self.style_dim, side, up=scale > 0))
            layers.append(_Layer(width, width, self.style_dim, side, up=False))
            before = width
        self.layers = nn.ModuleList(layers)
        self.to_image = nn.ParameterDict(
            {
                "weight": torch.zeros(image_channels, before, 1, 1),
                "bias": torch.zeros(image_channels),
            }
        )

    def initialise(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        super().initialise(rng)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            layer.initialise(rng)
        with torch.no_grad():
            self.const.fill_(1.0)
            weight = self.to_image["weight"]
            weight.normal_(generator=rng).mul_(1 / sqrt(weight.shape[1]))

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l): the code itself at 0, else the output of layer ``layer - 1``."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        scale = (layer - 1) // 2
        return self.widths[scale], 4 * 2**scale, 4 * 2**scale

    def has_image(self, layer: int) -> bool:
        """Return False: only the last map makes the image."""
        return False

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
        """Run one layer."""
        return self.layers[index](x, style, noise), None

    def finish(self, x: Tensor, styles: Tensor | None, image: Tensor | None) -> Tensor:
        """Turn the last map into the image."""
        return F.conv2d(x, self.to_image["weight"], self.to_image["bias"])
