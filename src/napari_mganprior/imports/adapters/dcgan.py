"""DCGAN generators as the examples of PyTorch write them, guessed from keys and shapes.

The layout is one numbered chain, ``main.0.weight`` (a transposed 4x4 convolution, code to 4x4
map), ``main.1.*`` (batch normalisation), ``main.3.weight`` and so on; activations have numbers
but no tensors. The last convolution has no normalisation. Any beginning will do for ``main``.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, check_shapes

__all__ = ["DCGANAdapter"]

_EPS = 1e-5  # torch's own; the file does not tell
_KEY = re.compile(r"(?:(.*)\.)?(\d+)\.(\w+)")


class DCGANAdapter:
    """Reads a numbered chain of transposed 4x4 convolutions and batch normalisations."""

    name = "dcgan"

    def recognise(self, foreign: Foreign) -> bool:
        """Look for one chain whose channels fit together."""
        return _find(foreign) is not None

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Fold the normalisations into the convolutions; see `Adapter`."""
        del options
        prefix = _find(foreign)
        if prefix is None:
            raise ImportRefused(
                f"Got {foreign.source} without a chain of transposed 4x4 convolutions; wanted the "
                "layout of the DCGAN example of PyTorch (main.0.weight, main.1.weight, ..). "
                "Describe the layers in an architecture file."
            )
        chain = _chains(foreign)[prefix]
        numbers = _convolutions(chain)
        shapes = [tuple(chain[f"{number}.weight"].shape) for number in numbers]
        check_shapes(
            {key: value for key, value in chain.items() if "num_batches" not in key},
            _wanted(chain, numbers, shapes),
            source=foreign.source,
            network=f"a DCGAN generator ({prefix or 'no'} prefix)",
        )
        widths = [shape[1] for shape in shapes]
        state: dict[str, Tensor] = {}
        for block, number in enumerate(numbers):
            weight = chain[f"{number}.weight"].double()
            bias = chain.get(f"{number}.bias", torch.zeros(widths[block])).double()
            norm = number + 1
            if f"{norm}.running_mean" in chain:
                scale = chain[f"{norm}.weight"].double()
                scale = scale / (chain[f"{norm}.running_var"].double() + _EPS).sqrt()
                weight = weight * scale[None, :, None, None]
                bias = (bias - chain[f"{norm}.running_mean"].double()) * scale
                bias = bias + chain[f"{norm}.bias"].double()
            state[f"blocks.{block}.weight"] = weight.float()
            state[f"blocks.{block}.bias"] = bias.float()
        generator: dict[str, Any] = {
            "widths": widths[:-1],
            "code_dim": shapes[0][0],
            "image_channels": widths[-1],
        }
        with torch.device("meta"):
            resolution = DCGANGenerator(**generator).resolution
        left = len(foreign.tensors) - len(chain)
        return Converted(
            architecture="dcgan",
            generator=generator,
            state=state,
            image_channels=widths[-1],
            resolution=resolution,
            note="strides, padding, ReLU and tanh are assumed as in the PyTorch example"
            + (f"; {left} tensors of other networks left out" if left else ""),
        )


def _chains(foreign: Foreign) -> dict[str, dict[str, Tensor]]:
    """Group tensors called PREFIX.NUMBER.NAME by prefix."""
    chains: dict[str, dict[str, Tensor]] = {}
    for key, value in foreign.tensors.items():
        if match := _KEY.fullmatch(key):
            chains.setdefault(match[1] or "", {})[f"{int(match[2])}.{match[3]}"] = value
    return chains


def _convolutions(chain: Mapping[str, Tensor]) -> list[int]:
    return sorted(
        int(key.partition(".")[0])
        for key, value in chain.items()
        if key.endswith(".weight") and value.ndim == 4
    )


def _find(foreign: Foreign) -> str | None:
    """Return the prefix of the chain that is a generator."""
    for prefix, chain in sorted(_chains(foreign).items()):
        shapes = [tuple(chain[f"{number}.weight"].shape) for number in _convolutions(chain)]
        if (
            len(shapes) >= 2
            and all(shape[2:] == (4, 4) for shape in shapes)
            and all(before[1] == after[0] for before, after in pairwise(shapes))
            and shapes[-1][1] in (1, 2, 3, 4)
        ):
            return prefix
    return None


def _wanted(
    chain: Mapping[str, Tensor], numbers: list[int], shapes: list[tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return what the keys say should be there, with the shapes that follow from the kernels."""
    wanted: dict[str, tuple[int, ...]] = {}
    for number, shape in zip(numbers, shapes, strict=True):
        wanted[f"{number}.weight"] = shape
        if f"{number}.bias" in chain:
            wanted[f"{number}.bias"] = (shape[1],)
        follows = [key for key in chain if key.startswith(f"{number + 1}.")]
        if number != numbers[-1] and follows:
            for what in ("weight", "bias", "running_mean", "running_var"):
                wanted[f"{number + 1}.{what}"] = (shape[1],)
    return wanted
