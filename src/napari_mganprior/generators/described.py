"""A generator that is a chain of plain layers, built from a description of them.

It is for DCGAN-like generators and decoders of autoencoders whose layers differ from those of
`DCGANGenerator`. Normalisation with stored statistics is an affine map of every channel, so it
is kept as one: x * scale + shift.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["ACTIVATIONS", "KINDS", "DescribedGenerator"]

Shape = tuple[int, int, int]  # (C, H, W); a vector is (C, 1, 1)

_CONVOLUTION = {"filters", "kernel", "stride", "padding"}
_AFTER = {"bias", "norm", "activation", "slope"}
_ENTRIES: dict[str, set[str]] = {
    "dense": {"units", *_AFTER},
    "conv": {*_CONVOLUTION, *_AFTER},
    "convtranspose": {*_CONVOLUTION, "output_padding", *_AFTER},
    "upsample": {"factor", "mode"},
    "reshape": {"shape"},
    "flatten": set(),
}
KINDS = tuple(_ENTRIES)
ACTIVATIONS = ("linear", "relu", "leaky", "elu", "tanh", "sigmoid")
_LARGEST = 1 << 20  # of a stride or a number of channels: beyond it is a mistake
_LARGEST_SIDE = 8192  # px


class _Weighted(nn.Module):
    """An operation with weights; then normalisation and activation in the order described."""

    shape: Shape

    def __init__(self, layer: Mapping[str, Any], weight: Sequence[int], channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*weight))
        self.bias = nn.Parameter(torch.zeros(channels)) if layer.get("bias", True) else None
        self.norm = layer.get("norm", "none")
        if self.norm != "none":
            self.scale = nn.Parameter(torch.ones(channels))
            self.shift = nn.Parameter(torch.zeros(channels))
        self.activation = layer.get("activation", "linear")
        self.slope = float(layer.get("slope", 0.2))

    def operate(self, x: Tensor) -> Tensor:
        """Apply the weights."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.operate(x)
        if self.norm == "before":
            x = self._normalise(x)
        x = self._activate(x)
        return self._normalise(x) if self.norm == "after" else x

    def _normalise(self, x: Tensor) -> Tensor:
        return x * self.scale[:, None, None] + self.shift[:, None, None]

    def _activate(self, x: Tensor) -> Tensor:
        match self.activation:
            case "relu":
                return F.relu(x)
            case "leaky":
                return F.leaky_relu(x, self.slope)
            case "elu":
                return F.elu(x)
            case "tanh":
                return torch.tanh(x)
            case "sigmoid":
                return torch.sigmoid(x)
        return x


class _Dense(_Weighted):
    def __init__(self, layer: Mapping[str, Any], shape: Shape) -> None:
        if shape[1:] != (1, 1):
            raise PriorError(
                f"Got a dense layer after a map of shape {shape}; wanted a vector before it. Put a "
                "layer of kind 'flatten' in between."
            )
        units = _whole(layer, "units", 1)
        super().__init__(layer, (units, shape[0]), units)
        self.shape = (units, 1, 1)

    def operate(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight, self.bias)[:, :, None, None]


class _Conv(_Weighted):
    def __init__(self, layer: Mapping[str, Any], shape: Shape) -> None:
        filters, kernel = _whole(layer, "filters", 1), _whole(layer, "kernel", 1)
        super().__init__(layer, (filters, shape[0], kernel, kernel), filters)
        self.stride = _whole(layer, "stride", 1, default=1)
        pads, sides = [], []
        for side in shape[1:]:
            reach = (ceil(side / self.stride) - 1) * self.stride + kernel
            before, after = _padding(layer, reach - side)
            pads.append((before, after))
            sides.append((side + before + after - kernel) // self.stride + 1)
        (top, bottom), (left, right) = pads
        self.pad = (left, right, top, bottom)
        self.shape = _checked((filters, sides[0], sides[1]), layer)

    def operate(self, x: Tensor) -> Tensor:
        left, right, top, bottom = self.pad
        if left == right and top == bottom:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left))
        return F.conv2d(F.pad(x, self.pad), self.weight, self.bias, self.stride)


class _ConvTranspose(_Weighted):
    def __init__(self, layer: Mapping[str, Any], shape: Shape) -> None:
        filters, kernel = _whole(layer, "filters", 1), _whole(layer, "kernel", 1)
        super().__init__(layer, (shape[0], filters, kernel, kernel), filters)
        self.stride = _whole(layer, "stride", 1, default=1)
        # "same" makes the size grow by exactly the stride; Keras cuts the odd row at the end
        before, after = _padding(layer, max(kernel - self.stride, 0))
        after -= _whole(layer, "output_padding", 0, default=0)
        if layer.get("padding") == "same" and kernel < self.stride:
            after -= self.stride - kernel
        self.both = max(min(before, after), 0)  # cut off at both ends, which torch does itself
        self.rest = (self.both - before, self.both - after)
        side = [(n - 1) * self.stride + kernel - before - after for n in shape[1:]]
        self.shape = _checked((filters, side[0], side[1]), layer)

    def operate(self, x: Tensor) -> Tensor:
        if self.rest == (0, 0):
            return F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.both)
        x = F.conv_transpose2d(x, self.weight, None, self.stride, self.both)
        x = F.pad(x, self.rest + self.rest)  # negative numbers cut off
        return x if self.bias is None else x + self.bias[:, None, None]


class _Upsample(nn.Module):
    def __init__(self, layer: Mapping[str, Any], shape: Shape) -> None:
        super().__init__()
        self.factor = _whole(layer, "factor", 1, default=2)
        self.mode = layer.get("mode", "nearest")
        if self.mode not in ("nearest", "bilinear"):
            raise PriorError(
                f"Got the mode {self.mode!r} of an upsample layer; wanted nearest or bilinear. "
                "Correct it."
            )
        channels, height, width = shape
        self.shape = _checked((channels, height * self.factor, width * self.factor), layer)

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "nearest":
            return F.interpolate(x, scale_factor=self.factor, mode="nearest")
        return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)


class _Reshape(nn.Module):
    def __init__(self, shape: Shape, wanted: Any, *, channels_last: bool) -> None:
        super().__init__()
        if (
            not isinstance(wanted, Sequence)
            or len(wanted) != 3
            or not all(isinstance(n, int) and 0 < n <= _LARGEST for n in wanted)
            or wanted[0] * wanted[1] * wanted[2] != shape[0] * shape[1] * shape[2]
        ):
            raise PriorError(
                f"Got a reshape to {wanted!r} of a map of shape {shape}; wanted [channels, height, "
                "width] with as many numbers. Correct the shape."
            )
        self.before = shape
        self.shape: Shape = (wanted[0], wanted[1], wanted[2])
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self.shape
        if not self.channels_last:
            return x.reshape(-1, channels, height, width)
        rows = x.permute(0, 2, 3, 1).reshape(-1, height, width, channels)
        return rows.permute(0, 3, 1, 2)


_BUILDERS: dict[str, Any] = {
    "dense": _Dense,
    "conv": _Conv,
    "convtranspose": _ConvTranspose,
    "upsample": _Upsample,
}


class DescribedGenerator(SplitGenerator):
    """A chain of layers; the last one with weights draws the image.

    It can be cut after every layer with weights but the last, together with a reshape that
    follows. Layers are tables, as in an architecture file (see
    ``napari_mganprior.imports.adapters.described``) but without names of tensors.

    Parameters
    ----------
    code_dim : int
        Length of a latent code.
    distribution : {"normal", "uniform"}
        Of a code's numbers when it was trained: N(0, 1) or even in -1 .. 1.
    normalise : bool
        Whether codes are brought to mean square 1 before the first layer.
    image_channels : int
        1 .. 4.
    resolution : int
        Height and width of the images, in pixels.
    image_range : sequence of float
        The last layer's values that become -1 and 1.
    channels_last : bool
        Order of the numbers in `reshape` and `flatten`: height, width, channel as in Keras.
    layers : sequence of dict
        ``kind`` (`KINDS`) and, by kind, ``units``, ``filters``, ``kernel``, ``stride``,
        ``padding``, ``output_padding``, ``factor``, ``mode``, ``shape``; with weights also
        ``bias`` (bool), ``norm`` ("none", "before" or "after" the activation), ``activation``
        (`ACTIVATIONS`) and ``slope``.

    Raises
    ------
    PriorError
        If the layers do not fit together or do not draw such an image.
    """

    architecture = "described"

    def __init__(
        self,
        *,
        code_dim: int,
        distribution: str = "normal",
        normalise: bool = False,
        image_channels: int,
        resolution: int,
        image_range: Sequence[float] = (-1.0, 1.0),
        channels_last: bool = False,
        layers: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__()
        _check_ends(code_dim, distribution, image_channels, image_range)
        self.code_dim, self.distribution, self.normalise = code_dim, distribution, normalise
        self.image_channels, self.resolution = image_channels, resolution
        self.image_range = (float(image_range[0]), float(image_range[1]))
        self.channels_last = channels_last
        self._described = [dict(layer) for layer in layers]
        shape: Shape = (code_dim, 1, 1)
        shapes, made, ends = [shape], [], []
        for index, layer in enumerate(self._described):
            made.append(_build(index, layer, shape, channels_last=channels_last))
            shape = made[-1].shape
            if isinstance(made[-1], _Weighted):
                ends.append(index + 1)
            elif ends and layer["kind"] == "reshape" and ends[-1] == index:
                ends[-1] = index + 1
            shapes.append(shape)
        if shape != (image_channels, resolution, resolution) or not ends:
            raise PriorError(
                f"Got layers that draw maps of shape {shape}; wanted an image of shape "
                f"{(image_channels, resolution, resolution)}. Correct the layers or the image."
            )
        self.layers = nn.ModuleList(made)
        self.ends = (0, *ends[:-1])  # layers below every cut
        self.n_layers = len(ends) - 1
        self._shapes = [shapes[end] for end in self.ends]

    @property
    def code_radius(self) -> float:
        """Length of the codes it was trained on; even numbers in -1 .. 1 have variance 1/3."""
        variance = 1 / 3 if self.distribution == "uniform" and not self.normalise else 1.0
        return float((self.code_dim * variance) ** 0.5)

    def spec(self) -> dict[str, Any]:
        """Return the keywords of the constructor."""
        return {
            "code_dim": self.code_dim,
            "distribution": self.distribution,
            "normalise": self.normalise,
            "image_channels": self.image_channels,
            "resolution": self.resolution,
            "image_range": list(self.image_range),
            "channels_last": self.channels_last,
            "layers": [dict(layer) for layer in self._described],
        }

    def entry_weight(self) -> Tensor | None:
        """Return the weights of the first layer, (M, D); None where it has none."""
        first = self.layers[0]
        if not isinstance(first, _Weighted):
            return None
        weight: Tensor = first.weight
        if isinstance(first, _ConvTranspose):
            return weight.flatten(1).T
        return weight.movedim(1, -1).flatten(0, -2)  # dense (M, D), or (M, D, h, w)

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l); vectors have H_l = W_l = 1."""
        self._check_layer(layer)
        return self._shapes[layer]

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the layers below a cut on codes (B, D)."""
        self._check_layer(layer)
        return Features(self._run(z[:, :, None, None], 0, self.ends[layer]))

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the layers between two cuts."""
        self._check_layer(begin)
        self._check_layer(end)
        return Features(self._run(features.map, self.ends[begin], self.ends[end]))

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the layers above a cut."""
        self._check_layer(layer)
        x = self._run(features.map, self.ends[layer], len(self.layers))
        low, high = self.image_range
        return x if (low, high) == (-1.0, 1.0) else (x - low) * (2 / (high - low)) - 1

    def _run(self, x: Tensor, begin: int, end: int) -> Tensor:
        if begin == 0 and end > 0 and self.normalise:
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
        for index in range(begin, end):
            x = self.layers[index](x)
        return x

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )


def _build(index: int, layer: Mapping[str, Any], shape: Shape, *, channels_last: bool) -> Any:
    """Build a layer for maps of a shape."""
    kind = layer.get("kind")
    if not isinstance(kind, str) or kind not in _ENTRIES:
        raise PriorError(
            f"Got layer {index} of kind {kind!r}; wanted one of {', '.join(KINDS)}. Correct it."
        )
    unknown = sorted(layer.keys() - _ENTRIES[kind] - {"kind"})
    if unknown:
        raise PriorError(
            f"Got unknown entries {unknown} in layer {index} ({kind}); wanted only "
            f"{sorted(_ENTRIES[kind])}. Remove or correct them."
        )
    for key, known in (("norm", ("none", "before", "after")), ("activation", ACTIVATIONS)):
        if layer.get(key, known[0]) not in known:
            raise PriorError(
                f"Got {key} = {layer[key]!r} in layer {index} ({kind}); wanted one of "
                f"{', '.join(known)}. Correct it."
            )
    if kind == "reshape":
        return _Reshape(shape, layer.get("shape"), channels_last=channels_last)
    if kind == "flatten":
        size = shape[0] * shape[1] * shape[2]
        return _Reshape(shape, (size, 1, 1), channels_last=channels_last)
    return _BUILDERS[kind](layer, shape)


def _check_ends(
    code_dim: Any, distribution: str, image_channels: int, image_range: Sequence[float]
) -> None:
    """Check what stands before the first and after the last layer."""
    if not isinstance(code_dim, int) or not 1 <= code_dim <= _LARGEST:
        raise PriorError(f"Got codes of length {code_dim!r}; wanted 1 or more. Correct it.")
    if distribution not in ("normal", "uniform"):
        raise PriorError(
            f"Got the code distribution {distribution!r}; wanted normal or uniform. Correct it."
        )
    if image_channels not in (1, 2, 3, 4):
        raise PriorError(f"Got {image_channels!r} image channels; wanted 1 to 4. Correct it.")
    if len(image_range) != 2 or not image_range[0] < image_range[1]:
        raise PriorError(
            f"Got the image range {list(image_range)}; wanted two rising numbers, as [0, 1]. "
            "Correct it."
        )


def _whole(layer: Mapping[str, Any], key: str, low: int, *, default: int | None = None) -> int:
    value = layer.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= _LARGEST:
        raise PriorError(
            f"Got {key} = {value!r} in a layer of kind {layer['kind']!r}; wanted a whole number "
            f"from {low} up. Correct it."
        )
    return value


def _padding(layer: Mapping[str, Any], same: int) -> tuple[int, int]:
    """Return the padding before and after; ``same`` is the sum that keeps the size."""
    padding = layer.get("padding", 0)
    if padding == "same":
        total = max(same, 0)
        return total // 2, total - total // 2
    pair = [padding, padding] if isinstance(padding, int) else padding
    if (
        isinstance(pair, Sequence)
        and not isinstance(pair, str)
        and len(pair) == 2
        and all(isinstance(n, int) and 0 <= n <= _LARGEST for n in pair)
    ):
        return pair[0], pair[1]
    raise PriorError(
        f"Got padding {padding!r} in a layer of kind {layer['kind']!r}; wanted 'same', a number of "
        "pixels, or two of them, before and after. Correct it."
    )


def _checked(shape: Shape, layer: Mapping[str, Any]) -> Shape:
    if not all(0 < side <= _LARGEST_SIDE for side in shape[1:]):
        raise PriorError(
            f"Got a layer of kind {layer['kind']!r} that draws maps of shape {shape}; wanted "
            f"sides of 1 to {_LARGEST_SIDE} px. Correct kernel, stride and padding."
        )
    return shape
