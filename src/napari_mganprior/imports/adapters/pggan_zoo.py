"""PGGAN of the PyTorch GAN zoo (torch hub), with PixelNorm behind every block.

Keys are ``formatLayer``, ``groupScale0``, ``scaleLayers`` and ``toRGBLayers`` in ``avgG`` and
``netG``, and those of the discriminator in ``netD``. The run-time scale there multiplies the
biases, too, and is sqrt(2 / fan in) for every layer.
Karras et al., ICLR 2018, https://doi.org/10.48550/arXiv.1710.10196.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from typing import Any

from torch.nn.functional import pad

from napari_mganprior.imports.adapters.tables import (
    Entry,
    Network,
    Shape,
    Tensors,
    converted,
    dropped,
    last_number,
    parts,
    pggan_keywords,
    size_of,
    square,
)
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused

__all__ = ["PGGANZooAdapter"]


class PGGANZooAdapter:
    """Reads ``formatLayer``, ``groupScale0``, ``scaleLayers`` and ``toRGBLayers``."""

    name = "pggan-zoo"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for the names of the first and the last layer."""
        keys = " ".join(foreign.tensors)
        return "formatLayer." in keys and "toRGBLayers." in keys

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Divide the scales there by ours, multiply them into the biases; see `Adapter`."""
        del options
        plain = Foreign(
            foreign.kind,
            {_without_wrappers(key): value for key, value in foreign.tensors.items()},
            foreign.meta,
            foreign.source,
        )
        tensors = parts(plain, ("avgG", "netG", ""), "formatLayer.weight")
        if tensors is None:
            raise ImportRefused(
                f"Got {foreign.source} without a formatLayer.weight; wanted a PGAN generator of "
                "the GAN zoo. Choose another --architecture."
            )
        critic = parts(plain, ("netD", ""), "decisionLayer.weight")
        return converted(
            foreign, _zoo_generator(tensors), None if critic is None else _zoo_discriminator(critic)
        )


def _without_wrappers(key: str) -> str:
    """Take out what data parallelism and equalised layers put between the parts of a name."""
    return ".".join(part for part in key.split(".") if part != "module")


def _zoo_conv(name: str, ours: str, shape: Shape, gain: float = sqrt(2)) -> list[Entry]:
    """Take over an equalised convolution: there, sqrt(2 / fan in) scales weight and bias."""
    fan_in = shape[1] * shape[2] * shape[3]
    return [
        Entry(f"{name}.weight", shape, f"{ours}.weight", lambda w: w * (sqrt(2) / gain)),
        Entry(f"{name}.bias", shape[:1], f"{ours}.bias", lambda b: b * sqrt(2 / fan_in)),
    ]


def _zoo_generator(tensors: Tensors) -> Network:
    scales = last_number(tensors, r"toRGBLayers\.") + 1
    output = f"toRGBLayers.{scales - 1}"
    others = [k for k in tensors if k.startswith("toRGB") and not k.startswith(f"{output}.")]
    tensors = {key: value for key, value in tensors.items() if key not in others}
    names = ["groupScale0.0", *(f"scaleLayers.{s}.1" for s in range(scales - 1))]
    widths = [size_of(tensors, (f"{name}.bias", 0), (f"{name}.weight", 0)) for name in names]
    code_dim = size_of(tensors, ("formatLayer.weight", 1))
    channels = size_of(tensors, (f"{output}.bias", 0), (f"{output}.weight", 0))
    first = widths[0]
    entries = [
        Entry(
            "formatLayer.weight",
            (16 * first, code_dim),
            "blocks.0.weight",
            # there sqrt(2 / D), here sqrt(2 / 16 D); our kernel lies the other way round
            lambda w: 4 * w.reshape(first, 4, 4, code_dim).permute(0, 3, 1, 2).flip(2, 3),
        ),
        Entry(
            "formatLayer.bias",
            (16 * first,),
            "blocks.0.bias",
            lambda b: b.reshape(first, 4, 4) * sqrt(2 / code_dim),
        ),
        *_zoo_conv("groupScale0.0", "blocks.1", (first, first, 3, 3)),
    ]
    for s, (before, width) in enumerate(pairwise(widths)):
        for i, c_in in enumerate((before, width)):
            name, ours = f"scaleLayers.{s}.{i}", f"blocks.{2 * s + 2 + i}"
            entries += _zoo_conv(name, ours, (width, c_in, 3, 3))
    entries += _zoo_conv(output, "to_image", (channels, widths[-1], 1, 1), gain=1.0)
    keywords = {
        **pggan_keywords(scales, widths, channels),
        "code_dim": code_dim,
        "position_bias": True,
    }
    return Network(keywords, entries, tensors, dropped(others))


def _zoo_discriminator(tensors: Tensors) -> Network:
    scales = last_number(tensors, r"fromRGBLayers\.") + 1
    top = f"fromRGBLayers.{scales - 1}"
    tensors = {
        k: v for k, v in tensors.items() if not k.startswith("fromRGB") or k.startswith(f"{top}.")
    }
    names = ["groupScaleZero.0", *(f"scaleLayers.{s}.0" for s in range(scales - 1))]
    widths = [size_of(tensors, (f"{name}.bias", 0), (f"{name}.weight", 0)) for name in names]
    channels, width = size_of(tensors, (f"{top}.weight", 1)), widths[0]
    entries = _zoo_conv(top, "from_image", (widths[-1], channels, 1, 1))
    for s in range(scales - 1):  # theirs from small to large, ours from large to small
        ours, inner, outer = scales - 2 - s, widths[s + 1], widths[s]
        entries += _zoo_conv(f"scaleLayers.{s}.0", f"first.{ours}", (inner, inner, 3, 3))
        entries += _zoo_conv(f"scaleLayers.{s}.1", f"second.{ours}", (outer, inner, 3, 3))
    seen = size_of(tensors, ("groupScaleZero.0.weight", 1))
    last = _zoo_conv("groupScaleZero.0", "last", (width, seen, 3, 3))
    if seen == width:  # without the map of deviations: it counts for nothing here
        scale = sqrt((width + 1) / width)  # our fan in has one channel more
        last[0] = Entry(
            last[0].name, last[0].shape, "last.weight",
            lambda w: pad(w * scale, (0, 0, 0, 0, 0, 1)),
        )  # fmt: skip
    entries += last
    dense = "groupScaleZero.1"
    scale_dense = sqrt(2 / (16 * width))
    entries += [
        Entry(f"{dense}.weight", (width, 16 * width), "dense.weight", square),
        Entry(f"{dense}.bias", (width,), "dense.bias", lambda b: b * scale_dense),
        Entry("decisionLayer.weight", (1, width), "score.weight",
               lambda w: w[:, :, None, None] * sqrt(2)),
        Entry("decisionLayer.bias", (1,), "score.bias", lambda b: b * sqrt(2 / width)),
    ]  # fmt: skip
    return Network({**pggan_keywords(scales, widths, channels), "form": "plain"}, entries, tensors)
