"""When a run's picture is drawn: for the preview, and for the stack of iterations."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.runs.base import Frames, Task

__all__ = ["FrameKeeper", "Pictures", "PreviewThrottle"]

_MOST_FRAMES = 64
_MOST_BYTES = 256 * 2**20
_SHARE = 0.04


class PreviewThrottle:
    """Draw previews no oftener than asked, and in at most 4 % of the time.

    Law: of the time between the first preview and the beginning of any later one, less than
    4 % was spent in previews.

    Parameters
    ----------
    interval : float or None
        Shortest time between the beginnings of two previews in seconds; None for no preview.
    elapsed : callable
        Returns the seconds computed so far, without pauses.
    """

    def __init__(self, interval: float | None, elapsed: Callable[[], float]) -> None:
        self._interval = interval
        self._elapsed = elapsed
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time for a preview."""
        return self._interval is not None and self._elapsed() >= self._next

    def spent(self, seconds: float) -> None:
        """Say that a preview was drawn just now.

        Parameters
        ----------
        seconds : float
            How long it took.
        """
        now = self._elapsed()
        wanted = now - seconds + (self._interval or 0.0)
        self._next = max(wanted, now + seconds / _SHARE)


class FrameKeeper:
    """Keep pictures of the iterations, evenly spread, without growing.

    Every picture is kept at first; when there is no more room, every second one goes and from
    then on half as many are kept.

    Parameters
    ----------
    most : int
        Largest number of pictures, 1 or more.
    most_bytes : int
        Largest size of them all in bytes.
    """

    def __init__(self, most: int = _MOST_FRAMES, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: list[tuple[int, NDArray[Any]]] = []
        self._interval = 1
        self._seen = 0

    def due(self) -> bool:
        """Count one step, and say whether its picture is to be kept."""
        self._seen += 1
        return (self._seen - 1) % self._interval == 0

    def add(self, step: int, picture: NDArray[Any]) -> None:
        """Keep the picture of a step for which `due` was true.

        Parameters
        ----------
        step : int
            Index of the step.
        picture : ndarray
            Not changed by anybody from now on.
        """
        if self._full(picture):
            self._thin()
            if (self._seen - 1) % self._interval or self._full(picture):
                return
        self._kept.append((step, picture))

    def finish(self, step: int, draw: Callable[[], NDArray[Any]]) -> Frames | None:
        """Return what was kept, and the picture of the last step in any case.

        Parameters
        ----------
        step : int
            Index of the last step.
        draw : callable
            Draws its picture, where it is not among those kept.

        Returns
        -------
        Frames or None
            None if not even one picture fits.
        """
        kept, self._kept = self._kept, []
        if not kept or kept[-1][0] != step:
            picture = draw()
            if len(kept) >= self._room(picture):
                kept = kept[: self._room(picture) - 1]
            kept.append((step, picture))
        if self._room(kept[-1][1]) < 1:
            return None
        images = np.stack([picture for _, picture in kept])
        return Frames(images=images, steps=tuple(number for number, _ in kept))

    def _room(self, picture: NDArray[Any]) -> int:
        """How many pictures like this one may be kept."""
        return min(self._most, self._most_bytes // max(1, picture.nbytes))

    def _full(self, picture: NDArray[Any]) -> bool:
        return len(self._kept) >= self._room(picture)

    def _thin(self) -> None:
        self._kept = self._kept[::2]
        self._interval *= 2


class Pictures:
    """Draw a task's picture when the preview or the stack of iterations wants it.

    Parameters
    ----------
    task : Task
        What draws.
    interval : float or None
        Shortest time between two previews in seconds; None for no preview.
    history : bool
        Whether pictures of the iterations are kept.
    elapsed : callable
        Returns the seconds computed so far, without pauses.
    """

    def __init__(
        self, task: Task, *, interval: float | None, history: bool, elapsed: Callable[[], float]
    ) -> None:
        self._task = task
        self._throttle = PreviewThrottle(interval, elapsed)
        self._keeper = FrameKeeper() if history else None

    def after(self, step: int) -> NDArray[Any] | None:
        """Draw what is due after a step.

        Parameters
        ----------
        step : int
            Index of the step.

        Returns
        -------
        ndarray or None
            A preview, if one is due.
        """
        previewed = self._throttle.due()
        kept = self._keeper is not None and self._keeper.due()
        if not (previewed or kept):
            return None
        started = time.perf_counter()
        picture = self._draw()
        if previewed:
            self._throttle.spent(time.perf_counter() - started)
        if kept and self._keeper is not None:
            self._keeper.add(step, picture)
        return picture if previewed else None

    def finish(self, step: int) -> Frames | None:
        """Return the pictures of the iterations, None where none were wanted or none fits.

        Parameters
        ----------
        step : int
            Index of the last step.
        """
        return None if self._keeper is None else self._keeper.finish(step, self._draw)

    def _draw(self) -> NDArray[Any]:
        return np.array(self._task.preview())  # a copy: the task may draw into the same array again
