"""Quick drawings of moved codes, for sliders: features are interpolated instead of computed.

Below the cut every code of every window is drawn by itself, above it a window once: with 20 codes
nearly all of the time goes into what lies below. So the composed features are computed at a few
strengths along a direction, once, and a move between them costs the layers above the cut alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mganprior.editing import Direction
from napari_mganprior.generators.base import Features
from napari_mganprior.restore.editor import Editor

__all__ = ["Drafts"]

_SHARES = (-1.0, -0.5, 0.5, 1.0)
_MOST_NUMBERS = 100_000_000  # of features that are remembered, 400 MB


@dataclass(frozen=True, slots=True)
class _Profile:
    """Composed features along a direction, minus those that were not moved."""

    strengths: tuple[float, ...]
    changes: tuple[list[Features], ...]


class Drafts:
    """What is known of an editor's picture along directions.

    Parameters
    ----------
    editor : Editor
        The picture.
    reach : float
        The largest strength of a slider, above 0. Features are computed at it, at its half, and
        at the opposites, and are interpolated by the polynomial of degree 4 through them.
    """

    def __init__(self, editor: Editor, reach: float = 6.0) -> None:
        self._editor, self._reach = editor, reach
        self._profiles: dict[Direction, _Profile] = {}
        self._base: list[Features] | None = None
        self._anchor: tuple[dict[Direction, float], list[Features]] | None = None
        size = prod(editor.generator.feature_shape(editor.layer)) * editor.n_windows
        self._most = _MOST_NUMBERS // (size * len(_SHARES)) - 1

    def worth_it(self, direction: Direction) -> bool:
        """Say whether a direction can be learnt and is not yet."""
        return direction not in self._profiles and len(self._profiles) < self._most

    def learn(self, direction: Direction) -> Iterator[None]:
        """Compute the features along a direction; may be abandoned after any step.

        Yields
        ------
        None
            After some windows.
        """
        if self._base is None:
            base = []
            for features in self._editor.composing():
                base.append(features)
                yield None
            self._base = base
        strengths = tuple(share * self._reach for share in _SHARES)
        changes = []
        for strength in strengths:
            at = []
            for features in self._editor.composing([(direction, strength)]):
                at.append(features)
                yield None
            changes.append(_combined(at, self._base, torch.sub))
        self._profiles[direction] = _Profile(strengths, tuple(changes))

    def anchor(self, moves: Mapping[Direction, float], composed: list[Features]) -> None:
        """Take note of features that were computed: drafts are exact there, and near there good."""
        self._anchor = dict(moves), composed

    def draw(
        self, moves: Mapping[Direction, float], *, keep_detail: bool = True
    ) -> NDArray[Any] | None:
        """Draw a draft.

        Parameters
        ----------
        moves : mapping
            Directions and strengths.
        keep_detail : bool
            As for `Editor.draw`.

        Returns
        -------
        array or None
            None where a direction is not learnt that was moved since the anchor.
        """
        if self._anchor is None:
            return None
        before, features = self._anchor
        for direction in {**before, **moves}:
            now, then = moves.get(direction, 0.0), before.get(direction, 0.0)
            if now == then:
                continue
            profile = self._profiles.get(direction)
            if profile is None:
                return None
            shares = _difference(profile.strengths, now, then)
            with torch.inference_mode():
                for share, change in zip(shares, profile.changes, strict=True):
                    features = _combined(features, change, partial(torch.add, alpha=share))
        pictures = [self._editor.finished(part) for part in features]
        return self._editor.shown(pictures, keep_detail=keep_detail)


def _difference(strengths: tuple[float, ...], now: float, then: float) -> list[float]:
    """Weigh the known strengths so that the polynomial through them and 0 goes from then to now."""

    def weight(at: float, known: float) -> float:
        others = [s for s in (*strengths, 0.0) if s != known]
        return prod((at - other) / (known - other) for other in others)

    return [weight(now, known) - weight(then, known) for known in strengths]


def _combined(
    first: list[Features], second: list[Features], how: Callable[[Tensor, Tensor], Tensor]
) -> list[Features]:
    """Combine features part by part, in float32; noise inputs are the first's."""

    def both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        return None if one is None or other is None else how(one.float(), other.float())

    out = []
    for one, other in zip(first, second, strict=True):
        maps = both(one.map, other.map)
        assert maps is not None
        out.append(
            Features(maps, both(one.styles, other.styles), both(one.image, other.image), one.noise)
        )
    return out
