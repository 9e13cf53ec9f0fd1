"""The work of a training run: images read, a generator trained, the prior published.

A generator of news; whoever goes through it may have pressed something in between.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.priors import user_folder
from napari_mganprior.runs.training_folder import (
    hold_folder,
    read_history,
    read_order,
    was_stopped,
    write_history,
    write_progress,
)
from napari_mganprior.runs.training_news import TrainingEnd, TrainingNews, TrainingPoint

if TYPE_CHECKING:  # it imports torch
    from napari_mganprior.runs.training_engine import Session
    from napari_mganprior.training.loop import TrainingStep

__all__ = ["Pressed", "train_prior"]

_NEWS_SECONDS = 0.3
_SAVE_SECONDS = 30.0
_SHEET_SECONDS = 3.0  # at least between two sheets ..
_SHEET_SHARE = 25.0  # .. and so many times what drawing one takes
_MOST_POINTS, _FIRST_POINTS = 200, 40
_MEMORY = 0.9  # of the rate: how much of the last word it keeps


@dataclass(frozen=True, slots=True)
class Pressed:
    """What somebody wants of a run under way; set from any thread.

    Attributes
    ----------
    going : Event
        Cleared while it is to wait.
    stop : Event
        End now and publish.
    leave : Event
        End now at a checkpoint.
    """

    going: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.going.set()

    def end(self, *, keep: bool) -> None:
        """Ask for the end, also of a pause; to keep is to publish."""
        (self.stop if keep else self.leave).set()
        self.going.set()


def train_prior(folder: Path, pressed: Pressed) -> Generator[TrainingNews]:
    """Train, or go on, in a run's folder, and publish the prior at the end.

    Parameters
    ----------
    folder : Path
        Of the run; `write_order` has said in it what is asked for.
    pressed : Pressed
        Heeded between two steps.

    Yields
    ------
    TrainingNews
        At least every few seconds while it trains; the last has an ``end``.

    Raises
    ------
    MGANPriorError
        If images or settings are refused, the disk is full, or training fails.
    """
    with hold_folder(folder):
        order = read_order(folder)
        yield TrainingNews(doing="Loading PyTorch")
        from napari_mganprior.runs.training_engine import open_session  # here it takes seconds

        session = None
        for opened in open_session(folder, order):
            if pressed.leave.is_set():  # there is nothing to save yet
                yield TrainingNews(doing="Leaving", end=TrainingEnd(kept=True))
                return
            if isinstance(opened, str):
                yield TrainingNews(doing=opened)
            else:
                session = opened
        assert session is not None
        telling = _Telling(folder, session)
        yield telling.begin()
        if not was_stopped(folder):
            yield from _train(session, telling, pressed)
            if pressed.stop.is_set() or pressed.leave.is_set():
                session.save()
                # a stop is for good: whatever ends this process now, it trains no more
                telling.keep_up(stopped=pressed.stop.is_set())
        if pressed.leave.is_set():
            yield replace(telling.now("Saved"), end=TrainingEnd(kept=True))
            return
        yield telling.now("Choosing the best state")
        for step in session.publish(user_folder()):
            yield replace(telling.now(step.doing), step=step.index, n_steps=step.n_steps)
            if pressed.leave.is_set():  # the checkpoint is there: another time
                yield replace(telling.now("Saved"), end=TrainingEnd(kept=True))
                return
        yield replace(telling.now("Done"), end=TrainingEnd(prior=order.name))


def _train(session: "Session", telling: "_Telling", pressed: Pressed) -> Generator[TrainingNews]:
    for step in session:
        telling.note(step)
        if telling.due():
            yield telling.now()
        if not pressed.going.is_set():
            session.save()
            telling.keep_up()
            yield replace(telling.now(), paused=True)
            with telling.paused():
                pressed.going.wait()
        if pressed.stop.is_set() or pressed.leave.is_set():
            return


class _Telling:
    """Makes news of steps: means for the curves, rate, time left, and sheets now and then."""

    def __init__(self, folder: Path, session: "Session") -> None:
        self._folder, self._session = folder, session
        self._points: list[TrainingPoint] = []
        self._new: list[TrainingPoint] = []
        self._notices: list[str] = []
        self._sums: list[tuple[float, float, float]] = []
        self._rate: float | None = None
        self._distance: float | None = None
        self._mark = (time.perf_counter(), session.images_seen)
        self._saved_time = self._drawn_at = time.perf_counter()
        self._drawing = 0.0
        self._first = True
        self._kept_at: int | None = None

    def begin(self) -> TrainingNews:
        """Return the news before the first step: what is known from an earlier session."""
        session = self._session
        self._points = read_history(self._folder, session.images_seen)
        self._notices += session.notices
        return replace(self.now("Starting"), points=tuple(self._points))

    def note(self, step: "TrainingStep") -> None:
        """Take in a step."""
        self._sums.append((step.generator_loss, step.discriminator_loss, step.augment))
        if step.notice:
            self._notices.append(step.notice)
        self._distance = step.distance
        last = self._points[-1].images_seen if self._points else 0
        every = max(1, step.n_images // _MOST_POINTS)
        if step.images_seen - last >= every or self._distance is not None:
            self._add_point()
        if time.perf_counter() - self._saved_time >= _SAVE_SECONDS:
            self._session.save()
        self.keep_up()

    def due(self) -> bool:
        """Whether it is time for news."""
        return time.perf_counter() - self._mark[0] >= _NEWS_SECONDS

    def now(self, doing: str = "") -> TrainingNews:
        """Return what is new since the last time."""
        session, (then, seen) = self._session, self._mark
        self._mark = (time.perf_counter(), session.images_seen)
        seconds, crops = self._mark[0] - then, self._mark[1] - seen
        if crops > 0 and seconds > 0:
            # the first steps are slower than the rest: threads start, kernels are chosen
            old, rate = self._rate, crops / seconds
            self._rate = rate if old is None else _MEMORY * old + (1 - _MEMORY) * rate
        left = session.n_images - session.images_seen
        if len(self._points) < _FIRST_POINTS:  # nobody likes to wait for the first ones
            self._add_point()
        points, self._new = tuple(self._new), []
        notices, self._notices = tuple(self._notices), []
        return TrainingNews(
            doing=doing,
            training=not doing,
            images_seen=session.images_seen,
            n_images=session.n_images,
            rate=self._rate,
            remaining=left / self._rate if self._rate and session.n_images else None,
            points=points,
            notices=notices,
            sheet=self._sheet(),
        )

    def keep_up(self, *, stopped: bool = False) -> None:
        """Store what belongs to a checkpoint that has just been written."""
        at = self._session.saved_at
        if at is None or (at == self._kept_at and not stopped):
            return
        self._kept_at, self._saved_time = at, time.perf_counter()
        write_history(self._folder, self._points)
        write_progress(self._folder, at, self._session.n_images, stopped=stopped)

    def _add_point(self) -> None:
        if not self._sums:
            return
        generator, discriminator, augment = (
            sum(column) / len(self._sums) for column in zip(*self._sums, strict=True)
        )
        point = TrainingPoint(
            self._session.images_seen, generator, discriminator, augment, self._distance
        )
        self._sums.clear()
        self._distance = None
        self._points.append(point)
        self._new.append(point)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let a pause not count as work."""
        try:
            yield
        finally:
            self._mark = (time.perf_counter(), self._session.images_seen)

    def _sheet(self) -> NDArray[np.uint8] | None:
        now = time.perf_counter()
        wait = max(_SHEET_SECONDS, _SHEET_SHARE * self._drawing)
        if not self._first and now - self._drawn_at < wait:
            return None
        sheet = self._session.sheet()
        if sheet is None:
            return None
        self._first, self._drawn_at = False, time.perf_counter()
        self._drawing = self._drawn_at - now
        return sheet
