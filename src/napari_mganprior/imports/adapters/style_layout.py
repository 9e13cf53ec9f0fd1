"""What the layouts of style generators share: a table from the file's names to ours.

Scales differ between the layouts, so each of them multiplies its own in; our generators have
plain weights.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.imports.base import Foreign, ImportRefused, check_shapes

__all__ = [
    "GAIN",
    "Change",
    "Layout",
    "add_mapping",
    "find_prefix",
    "scaled",
    "truncation_of",
]

GAIN = sqrt(2)
"""What keeps the variance behind a LeakyReLU."""

_MAPPING_RATE = 0.01  # of learning, relative to the other layers; weights are multiplied by it

_NOISE_SEED = 0
_MOST_SCALES = 12  # 4 px to 8192 px
_MOST_DENSE = 64

Change = Callable[[Tensor], Tensor]


def scaled(factor: float) -> Change:
    """Make a function that multiplies."""
    return lambda tensor: tensor * factor


def find_prefix(foreign: Foreign, prefixes: Sequence[str], mark: str) -> str | None:
    """Return the first prefix under which a name matches ``mark``; "" is the file's top level."""
    pattern = re.compile(mark)
    for prefix in prefixes:
        start = f"{prefix}." if prefix else ""
        if any(
            name.startswith(start) and pattern.fullmatch(name, len(start))
            for name in foreign.tensors
        ):
            return prefix
    return None


def truncation_of(options: Mapping[str, Any]) -> float:
    """Return the truncation that was asked for, 1 if none was."""
    return float(options.get("truncation", 1.0))


@dataclass
class Layout:
    """The tensors of one network in a file, and what becomes of them.

    Attributes
    ----------
    foreign : Foreign
        The file.
    prefix : str
        Under which the network's tensors stand; "" for the top level.
    network : str
        What they are taken for, for messages.
    """

    foreign: Foreign
    prefix: str
    network: str
    _wanted: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _moves: list[tuple[str, str, Change]] = field(default_factory=list)
    _kernels: list[tuple[str, tuple[int, ...], float]] = field(default_factory=list)
    _noise: dict[str, int] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """Return a key's name in the file."""
        return f"{self.prefix}.{key}" if self.prefix else key

    def has(self, key: str) -> bool:
        """Whether the file has a key."""
        return self.name(key) in self.foreign.tensors

    def tensor(self, key: str) -> Tensor:
        """Return a tensor that is there."""
        return self.foreign.tensors[self.name(key)]

    def size(self, *places: tuple[str, int]) -> int:
        """Return the length that most places, a key and an axis each, agree on.

        So one key that is missing or misshapen does not make all the others look wrong.
        """
        found = Counter(
            int(self.tensor(key).shape[axis])
            for key, axis in places
            if self.has(key) and axis < self.tensor(key).ndim
        )
        return found.most_common(1)[0][0] if found else 1

    def numbers(self, pattern: str) -> list[int]:
        """List the numbers, of up to five digits, in names that match."""
        start = self.name("")
        return [
            int(match[1])
            for name in self.foreign.tensors
            if name.startswith(start)
            and (match := re.fullmatch(pattern, name.removeprefix(start)))
            and len(match[1]) <= 5
        ]

    def count_scales(self, pattern: str, *, before: int = 0) -> int:
        """Count sizes from 4 px up by numbers in names, plus ``before``; 1 to 12."""
        return self.most_scales(max(self.numbers(pattern), default=-1) + 1 + before)

    def most_scales(self, count: int) -> int:
        """Limit a number of sizes to what can be built; 1 to 12."""
        return min(max(count, 1), _MOST_SCALES)

    def count_dense(self, pattern: str, *, least: int = 1) -> int:
        """Return 1 more than the highest number of the mapping network's layers; up to 64."""
        return min(max(max(self.numbers(pattern), default=-1) + 1, least), _MOST_DENSE)

    def want(self, key: str, shape: tuple[int, ...]) -> None:
        """Want a tensor of a shape, that the adapter takes by itself."""
        self._wanted[key] = shape

    def take(self, key: str, shape: tuple[int, ...], ours: str, change: Change) -> None:
        """Want a tensor of a shape; ``change`` turns it into ours."""
        self._wanted[key] = shape
        self._moves.append((key, ours, change))

    def allow(self, keys: Iterable[str], shape: tuple[int, ...]) -> None:
        """Allow tensors that are not needed, if they have a shape."""
        self._wanted.update({key: shape for key in keys if self.has(key)})

    def allow_kernel(
        self, key: str, shape: tuple[int, ...], taps: tuple[int, ...], total: float
    ) -> None:
        """Allow a blur kernel, if it is the one that our generators are built with."""
        self.allow([key], shape)
        if self.has(key):
            self._kernels.append((key, taps, total))

    def take_noise(self, key: str, shape: tuple[int, ...], ours: str, *, needed: bool) -> None:
        """Want a noise input; where it may be missing and is, it is drawn from a fixed seed."""
        side = shape[-1]
        if needed or self.has(key):
            self.take(key, shape, ours, lambda noise: noise.reshape(1, 1, side, side))
        else:
            self._noise[ours] = side

    def state(self) -> dict[str, Tensor]:
        """Check every key and shape, and turn the tensors into ours.

        Raises
        ------
        ImportRefused
            Naming what is missing, unexpected or misshapen, or a blur that is another.
        """
        start = self.name("")
        found = {n: t for n, t in self.foreign.tensors.items() if n.startswith(start)}
        wanted = {self.name(key): shape for key, shape in self._wanted.items()}
        check_shapes(found, wanted, source=self.foreign.source, network=self.network)
        for key, taps, total in self._kernels:
            row = torch.tensor(taps, dtype=torch.float32)
            kernel = torch.outer(row, row) * (total / row.sum() ** 2)
            if not torch.allclose(self.tensor(key), kernel, atol=1e-3 * total):
                raise ImportRefused(
                    f"Got another blur in {self.name(key)} of {self.foreign.source}; wanted the "
                    f"kernel {taps} that {self.network} has. Choose another --architecture."
                )
        state = {
            ours: change(self.tensor(key)).float().contiguous() for key, ours, change in self._moves
        }
        rng = seeded(_NOISE_SEED)
        for ours, side in self._noise.items():
            state[ours] = torch.randn(1, 1, side, side, generator=rng)
        return state

    def notes(self) -> list[str]:
        """Say what was made up."""
        drawn = f"noise inputs drawn from seed {_NOISE_SEED}, since the file has none"
        return [drawn] if self._noise else []


def add_mapping(
    layout: Layout, weight: str, bias: str, numbers: range, *, bias_gain: float = GAIN
) -> list[int]:
    """Want the mapping network; ``weight`` and ``bias`` are names with ``{}`` for the number.

    LeakyReLU's gain belongs to weight and bias where it multiplies the activation; StyleGAN
    multiplies the weight alone.

    Returns
    -------
    list of int
        Length of a code, then of what every layer returns.
    """
    lengths = [layout.size((weight.format(numbers[0]), 1))]
    for index, number in enumerate(numbers):
        key, before = weight.format(number), lengths[-1]
        after = layout.size((key, 0), (bias.format(number), 0), (weight.format(number + 1), 1))
        factor = GAIN * _MAPPING_RATE / sqrt(before)
        layout.take(key, (after, before), f"mapping.{index}.weight", scaled(factor))
        factor = bias_gain * _MAPPING_RATE
        layout.take(bias.format(number), (after,), f"mapping.{index}.bias", scaled(factor))
        lengths.append(after)
    return lengths
