"""How alike two pictures look to a network: VGG16 and LPIPS, in plain torch layers.

VGG16 is that of Simonyan and Zisserman, ICLR 2015, https://doi.org/10.48550/arXiv.1409.1556, with
weights in torchvision's layout; torchvision itself is not needed. LPIPS is that of Zhang et al.,
CVPR 2018, https://doi.org/10.1109/CVPR.2018.00068.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError

__all__ = ["LPIPS", "LPIPS_TAPS", "VGG16", "VGG_TAPS", "unit_distance"]

VGG_TAPS = ("relu3_3", "conv4_3")
"""The maps that images are compared by in a search."""

LPIPS_TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")

_BLOCKS = (2, 2, 3, 3, 3)  # convolutions before each halving
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, values 0 to 1
_SMALLEST = 32  # px: of smaller pictures the last maps would have no pixel
_EPS = 1e-10


class VGG16(nn.Module):
    """The convolutions of VGG16 up to the maps that are asked for, frozen.

    Parameters
    ----------
    weights : mapping of Tensor
        In torchvision's layout: ``features.0.weight`` (W, 3, 3, 3), ``features.0.bias`` and so on.
        Widths are those of the weights. What is not needed may be missing.
    taps : sequence of str
        Maps to return: ``"conv4_3"`` is the third convolution of the fourth block,
        ``"relu4_3"`` the same cut off at 0.

    Raises
    ------
    PriorError
        If a weight is missing, or of another shape, or not finite.
    """

    def __init__(self, weights: Mapping[str, Tensor], taps: Sequence[str] = VGG_TAPS) -> None:
        super().__init__()
        places = _places()
        self._taps = frozenset(taps)
        self._last = max(places[tap.replace("relu", "conv")][1] for tap in taps)
        self.convolutions = nn.ModuleList()
        self._names: list[str] = []
        width = 3
        for name, (number, order) in places.items():
            if order > self._last:
                break
            layer = _convolution(weights, f"features.{number}", width)
            self.convolutions.append(layer)
            self._names.append(name)
            width = layer.out_channels
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])
        self.eval().requires_grad_(False)

    def features(self, x: Tensor, n_maps: int | None = None) -> list[Tensor]:
        """Return the maps of images, finest first.

        Parameters
        ----------
        x : Tensor
            (B, 1, H, W) or (B, 3, H, W) in [-1, 1]; grey is repeated. Pictures under 32 px are
            enlarged by whole factors.
        n_maps : int, optional
            How many at the most; all if left out.

        Returns
        -------
        list of Tensor
            (B, width, H / 2**b, W / 2**b), b halvings before them.
        """
        mean, deviation = self.mean, self.deviation
        assert isinstance(mean, Tensor)
        assert isinstance(deviation, Tensor)
        h = (_enlarged(_coloured(x)) * 0.5 + 0.5 - mean) / deviation
        maps: list[Tensor] = []
        for name, layer in zip(self._names, self.convolutions, strict=True):
            if name.endswith("_1") and name != "conv1_1":
                h = F.max_pool2d(h, 2)
            h = layer(h)
            if name in self._taps:
                maps.append(h)
            h = F.relu(h)
            if name.replace("conv", "relu") in self._taps:
                maps.append(h)
        return maps[:n_maps]


class LPIPS(nn.Module):
    """Learned perceptual distance, version 0.1, with VGG16.

    Parameters
    ----------
    vgg16 : mapping of Tensor
        As for `VGG16`.
    linear : mapping of Tensor
        How much each channel counts: ``lin0.model.1.weight`` (1, W, 1, 1) to ``lin4..``.

    Raises
    ------
    PriorError
        If a weight is missing, or of another shape, or not finite.
    """

    def __init__(self, vgg16: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.vgg16 = VGG16(vgg16, LPIPS_TAPS)
        # LPIPS scales pictures from [-1, 1] by its own rounded numbers
        self.vgg16.mean = (torch.tensor((-0.030, -0.088, -0.188))[:, None, None] + 1) / 2
        self.vgg16.deviation = torch.tensor((0.458, 0.448, 0.450))[:, None, None] / 2
        widths = [w.shape[1] for w in self._drawn(64)]
        for index, width in enumerate(widths):
            name = f"lin{index}.model.1.weight"
            self.register_buffer(f"linear{index}", _checked(linear, name, (1, width, 1, 1)))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of images (B, C, H, W) in [-1, 1], (B,); 0 for the same."""
        total = a.new_zeros(a.shape[0])
        maps = zip(self.vgg16.features(a), self.vgg16.features(b), strict=True)
        for index, (one, other) in enumerate(maps):
            weight = getattr(self, f"linear{index}")
            total = total + (weight * _unit_square(one, other)).sum(dim=1).mean(dim=(1, 2))
        return total

    @torch.no_grad()
    def _drawn(self, side: int) -> list[Tensor]:
        return self.vgg16.features(torch.zeros(1, 3, side, side))


def unit_distance(maps: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Mean squared distance of maps whose channels have length 1 at every pixel, (B,).

    What LPIPS is without learned weights; every map counts alike, and at most 4.

    Parameters
    ----------
    maps, others : sequence of Tensor
        (B, C, H, W) each, of both images.
    """
    each = [
        _unit_square(one, other).sum(dim=1).mean(dim=(1, 2))
        for one, other in zip(maps, others, strict=True)
    ]
    return torch.stack(each).mean(dim=0)


def _unit_square(one: Tensor, other: Tensor) -> Tensor:
    def unit(x: Tensor) -> Tensor:
        return x / (x.square().sum(dim=1, keepdim=True).sqrt() + _EPS)

    return (unit(one.float()) - unit(other.float())).square()


def _places() -> dict[str, tuple[int, int]]:
    """Return torchvision's number and the order of every convolution."""
    places: dict[str, tuple[int, int]] = {}
    number = 0
    for block, count in enumerate(_BLOCKS, start=1):
        for index in range(1, count + 1):
            places[f"conv{block}_{index}"] = (number, len(places))
            number += 2  # the convolution and its ReLU
        number += 1  # the halving
    return places


def _convolution(weights: Mapping[str, Tensor], key: str, width: int) -> nn.Conv2d:
    weight = _checked(weights, f"{key}.weight", (None, width, 3, 3))
    bias = _checked(weights, f"{key}.bias", (weight.shape[0],))
    layer = nn.Conv2d(width, weight.shape[0], 3, padding=1, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def _checked(weights: Mapping[str, Tensor], key: str, shape: tuple[int | None, ...]) -> Tensor:
    """Return a weight in float32, in memory of its own."""
    wanted = tuple("n" if side is None else side for side in shape)
    what_to_do = "Choose the published file (`napari-mganprior priors weights vgg16`)."
    if key not in weights:
        raise PriorError(f"Got weights without {key}; wanted it of shape {wanted}. {what_to_do}")
    weight = weights[key]
    fits = len(weight.shape) == len(shape) and all(
        want is None or got == want for got, want in zip(weight.shape, shape, strict=False)
    )
    if not fits or not weight.numel():
        raise PriorError(
            f"Got the weight {key} of shape {tuple(weight.shape)}; wanted {wanted}. {what_to_do}"
        )
    own = weight.detach().to("cpu", torch.float32, copy=True)
    if not torch.isfinite(own).all():
        raise PriorError(f"Got the weight {key} with NaN or infinity; wanted numbers. {what_to_do}")
    return own


def _coloured(x: Tensor) -> Tensor:
    if x.shape[1] == 3:
        return x
    if x.shape[1] != 1:
        raise PriorError(
            f"Got pictures of {x.shape[1]} channels for VGG16; wanted grey or RGB ones. Choose the "
            "discriminator's features."
        )
    return x.expand(-1, 3, -1, -1)


def _enlarged(x: Tensor) -> Tensor:
    factor = -(-_SMALLEST // min(x.shape[-2:]))
    if factor == 1:
        return x
    return x.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
