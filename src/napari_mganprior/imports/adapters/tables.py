"""What adapters share: tables of a file's tensors and what becomes of them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, check_shapes

__all__ = [
    "Entry",
    "Network",
    "Shape",
    "Tensors",
    "converted",
    "dropped",
    "finished",
    "last_number",
    "parts",
    "pggan_keywords",
    "size_of",
    "square",
]

Tensors = Mapping[str, Tensor]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A tensor of a file: its name and shape there, our name, and how it becomes ours."""

    name: str
    shape: Shape
    ours: str
    convert: Callable[[Tensor], Tensor] = lambda tensor: tensor


@dataclass(frozen=True)
class Network:
    """A network found in a file: our keywords, and the tensors that make it."""

    keywords: dict[str, Any]
    entries: list[Entry]
    tensors: Tensors
    notes: tuple[str, ...] = ()

    def state(self, source: str, network: str) -> dict[str, Tensor]:
        """Check every tensor and turn it into ours."""
        check_shapes(
            self.tensors,
            {entry.name: entry.shape for entry in self.entries},
            source=source,
            network=network,
        )
        return {e.ours: e.convert(self.tensors[e.name]).contiguous() for e in self.entries}


def converted(foreign: Foreign, generator: Network, discriminator: Network | None) -> Converted:
    """Put the parts together; a discriminator that does not fit is left out with a note."""
    state = generator.state(foreign.source, "a PGGAN generator")
    notes = list(generator.notes)
    found: dict[str, Tensor] | None = None
    if discriminator is not None:
        try:
            found = discriminator.state(foreign.source, "a PGGAN discriminator")
        except ImportRefused:
            notes.append("the discriminator is left out, since its keys are others than expected")
    return Converted(
        architecture="pggan",
        generator=generator.keywords,
        state=state,
        discriminator=None if discriminator is None or found is None else discriminator.keywords,
        discriminator_state=found,
        image_channels=generator.keywords["image_channels"],
        resolution=generator.keywords["resolution"],
        note="; ".join(notes),
    )


def pggan_keywords(scales: int, widths: list[int], image_channels: int) -> dict[str, Any]:
    """Return the keywords that generator and discriminator share; widths from 4 px up."""
    return {
        "resolution": 4 * 2 ** (scales - 1),
        "widths": widths,
        "image_channels": image_channels,
    }


def finished(tensors: Tensors, source: str) -> dict[str, Tensor]:
    """Return tensors without the level of detail, which must be that of a finished training."""
    lod = tensors.get("lod")
    if lod is not None and (lod.numel() != 1 or abs(float(lod)) > 1e-6):
        raise ImportRefused(
            f"Got {source} with a level of detail (lod) of {lod.flatten()[:1].tolist()}, a network "
            "stopped while it grew; wanted 0. Ask its author for the finished network."
        )
    return {key: value for key, value in tensors.items() if key != "lod"}


def size_of(tensors: Tensors, *places: tuple[str, int]) -> int:
    """Return a dimension of the first tensor that is there; 1 if none is, which then is reported.

    Places are names and axes.
    """
    for name, axis in places:
        if name in tensors and -tensors[name].ndim <= axis < tensors[name].ndim:
            return int(tensors[name].shape[axis])
    return 1


def parts(foreign: Foreign, prefixes: Iterable[str], key: str) -> Tensors | None:
    """Return the first of several networks in a file that holds a key; "" is the bare file."""
    for prefix in prefixes:
        tensors = foreign.under(prefix) if prefix else foreign.tensors
        if key in tensors:
            return tensors
    return None


def dropped(names: list[str]) -> tuple[str, ...]:
    """Say how many tensors of lower resolutions are left out."""
    if not names:
        return ()
    return (f"{len(names)} tensors of outputs at lower resolutions are left out",)


def last_number(tensors: Tensors, word: str) -> int:
    """Return the highest number after a word, limited to what can be a network."""
    found = (re.match(rf"{word}(\d+)\.", key) for key in tensors)
    numbers = [int(match[1]) for match in found if match and len(match[1]) < 4]
    return min(max(numbers, default=0), 40)


def square(weight: Tensor) -> Tensor:
    """Turn a dense layer on a flattened 4x4 map into a 4x4 kernel, (out, in, 4, 4)."""
    return weight.reshape(weight.shape[0], -1, 4, 4)
