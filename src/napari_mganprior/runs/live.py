"""What the form Edit asks of the engine, as work for `Latest`: each method returns an iterator.

torch is loaded when the first of them is iterated over, in the thread.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.editing.base import Direction

if TYPE_CHECKING:
    from napari_mganprior.generators.checkpoint import LoadedPrior
    from napari_mganprior.restore import Editor, Restoration
    from napari_mganprior.restore.drafts import Drafts

__all__ = ["REACH", "Drawn", "LiveEdit", "Opened", "Row"]

REACH = 6.0
"""Largest strength of a slider."""
_SLOW = 0.06  # s; where a picture takes longer, a draft is drawn first
_USUAL = 8


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A picture that can be edited.

    Attributes
    ----------
    directions : tuple of Direction
        Those found in its prior.
    n_windows : int
        How many there are.
    error : float
        Mean squared error of the drawing, generator's range (2).
    """

    directions: tuple[Direction, ...]
    n_windows: int
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A picture drawn from moved codes.

    Attributes
    ----------
    image : array
        Of the picture's shape and dtype.
    draft : bool
        Whether the exact one follows.
    """

    image: NDArray[Any]
    draft: bool


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What a direction does: its pictures at strengths from -3 to 3, side by side, 8 bit."""

    direction: Direction
    pictures: NDArray[np.uint8]


class LiveEdit:
    """An open picture and all that is done to it; used in one thread.

    Only `keep` and `way` may be called in another, while nothing is being opened; what they
    return is of the picture that is open then, whichever it is when they are iterated over.
    """

    def __init__(self) -> None:
        self._editor: Editor | None = None
        self._drafts: Drafts | None = None
        self._prior: LoadedPrior | None = None
        self._found: Restoration | None = None
        self._seconds = 0.0

    def open(
        self,
        found: "Restoration",
        image: NDArray[Any],
        prior: str,
        *,
        method: str = "auto",
        device: str = "auto",
        precision: str = "auto",
    ) -> Iterator[Any]:
        """Open a picture.

        Parameters
        ----------
        found : Restoration
            Of its inversion.
        image : array
            The picture.
        prior : str
            Name or path of the prior it was inverted with.
        method : {"auto", "sefa", "pca"}
            How directions are found.
        device, precision : str
            As in `RunRequest`.

        Yields
        ------
        Opened
            Once.
        """
        from napari_mganprior.editing import known_directions
        from napari_mganprior.generators.checkpoint import load_prior
        from napari_mganprior.priors import find_prior
        from napari_mganprior.restore import Editor
        from napari_mganprior.restore.drafts import Drafts
        from napari_mganprior.restore.editing import check_origin

        self._prior = load_prior(find_prior(prior))
        check_origin(found, self._prior, image)
        yield None
        editor = Editor(
            image, found.codes, self._prior, zoom=float(found.recipe.get("zoom", 1.0)),
            device=device, precision=precision,
        )  # fmt: skip
        yield None
        generator = self._prior.generator
        most = generator.in_space(generator.direction_space).code_dim
        directions = known_directions(self._prior, min(_USUAL, most), method=method)
        self._editor, self._drafts, self._found = editor, Drafts(editor, REACH), found
        self._draw_exactly({}, keep_detail=True)
        yield Opened(directions, editor.n_windows, editor.error)

    def draw(self, moves: Mapping[Direction, float], *, keep_detail: bool) -> Iterator[Any]:
        """Draw the picture from moved codes: where that is slow a draft first, then exactly.

        Yields
        ------
        None or Drawn
            One or two pictures.
        """
        editor, drafts = self._open()
        if self._seconds > _SLOW:
            draft = drafts.draw(moves, keep_detail=keep_detail)
            if draft is not None:
                yield Drawn(draft, draft=True)
        for composed, picture in editor.drawing(list(moves.items()), keep_detail=keep_detail):
            if picture is None:
                yield None
            else:
                drafts.anchor(moves, composed)
                yield Drawn(picture, draft=False)

    def row(self, direction: Direction) -> Iterator[Any]:
        """Draw what a direction does.

        Yields
        ------
        Row
            Once.
        """
        from napari_mganprior.restore import preview_row

        yield Row(direction, preview_row(self._open()[0], direction))

    def prepare(self, direction: Direction) -> Iterator[Any]:
        """Make drafts along a direction possible, where pictures are slow and there is room.

        Yields
        ------
        None
            After some windows.
        """
        _, drafts = self._open()
        if self._seconds > _SLOW and drafts.worth_it(direction):
            yield from drafts.learn(direction)

    def keep(self, moves: Mapping[Direction, float], *, keep_detail: bool) -> Iterator[Any]:
        """Make a result of what the sliders say, with its recipe.

        Returns
        -------
        iterator
            Of None, and a Restoration at the end.
        """
        editor, _ = self._open()
        assert self._found is not None
        return _kept(editor, self._found, dict(moves), keep_detail=keep_detail)

    def boundary(self, path: Path) -> Iterator[Any]:
        """Read a boundary file.

        Yields
        ------
        Direction
            Once.
        """
        from napari_mganprior.editing import read_boundary

        yield read_boundary(path, self._open()[0].prior.generator)

    def learn(
        self, like: Sequence["Restoration"], unlike: Sequence["Restoration"], name: str
    ) -> Iterator[Any]:
        """Learn a direction from two groups of inverted examples.

        Yields
        ------
        Direction
            Once.
        """
        from napari_mganprior.restore.editing_function import example_code, learned

        prior = self._open()[0].prior
        groups = [
            np.stack([example_code(prior, found) for found in group]) for group in (like, unlike)
        ]
        yield learned(prior, groups[0], groups[1], name)

    def way(
        self, found: "Restoration", image: NDArray[Any], n: int, *, keep_detail: bool
    ) -> Iterator[Any]:
        """Draw the way from the open picture to another inverted one.

        Returns
        -------
        iterator
            Of None after each picture, and an array (n, H, W) or (n, H, W, 3) at the end.
        """
        editor, _ = self._open()
        return _way(editor, found, image, n, keep_detail=keep_detail)

    def _draw_exactly(self, moves: Mapping[Direction, float], *, keep_detail: bool) -> None:
        editor, drafts = self._open()
        started = time.perf_counter()
        for composed, picture in editor.drawing(list(moves.items()), keep_detail=keep_detail):
            if picture is not None:
                drafts.anchor(moves, composed)
        self._seconds = time.perf_counter() - started

    def _open(self) -> "tuple[Editor, Drafts]":
        assert self._editor is not None
        assert self._drafts is not None
        return self._editor, self._drafts


def _kept(
    editor: "Editor",
    found: "Restoration",
    moves: Mapping[Direction, float],
    *,
    keep_detail: bool,
) -> Iterator[Any]:
    from napari_mganprior.restore import Editing

    run = Editing(
        editor.image, editor.prior, list(moves.items()), codes=found,
        keep_detail=keep_detail, device=str(editor.device), precision=editor.precision,
    )  # fmt: skip
    for _ in run:
        yield None
    yield run.result()


def _way(
    editor: "Editor", found: "Restoration", image: NDArray[Any], n: int, *, keep_detail: bool
) -> Iterator[Any]:
    from napari_mganprior.restore import Editor, way_between

    other = Editor(
        image, found.codes, editor.prior, zoom=editor.zoom, device=str(editor.device),
        precision=editor.precision,
    )  # fmt: skip
    pictures = []
    for picture in way_between(editor, other, n, keep_detail=keep_detail):
        pictures.append(picture)
        yield None
    yield np.stack(pictures)
