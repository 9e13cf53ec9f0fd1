"""A thread that does the newest thing it was asked for, and other things when it has time. No Qt.

Sliders ask faster than pictures can be drawn. What was asked is replaced by what is asked next,
never queued; one that is under way is left as soon as it has shown anything.
"""

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.collector import CollectorHold, collect_if_due
from napari_mganprior.runs.failures import explain, forget_frames
from napari_mganprior.runs.job import checked_threads, torch_threads

__all__ = ["Answer", "Latest"]

_log = logging.getLogger(__name__)
_PAUSE_WHEN_LEAVING = 10.0
_MOST_ANSWERS = 256
_IDLE = 2.0  # s; then the thread ends, to be started again when something is asked

Make = Callable[[], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of something that was asked.

    Attributes
    ----------
    ticket : int
        As `Latest.ask` or `Latest.ask_later` returned it.
    value : object
        What was yielded; None at the end, and with an error.
    error : MGANPriorError or None
        Why it failed.
    last : bool
        Whether nothing comes after it.
    """

    ticket: int
    value: Any = None
    error: MGANPriorError | None = None
    last: bool = False


@dataclass(slots=True)
class _Work:
    ticket: int
    make: Make
    steps: Iterator[Any] | None = None
    answered: bool = False
    lasting: bool = False


class Latest:
    """A daemon thread that starts when it is asked; its methods belong to the owner's thread.

    Work is a function that returns an iterator. What it yields is handed out, but for None, which
    only says that it may be left here.

    Parameters
    ----------
    name : str
        Of the thread.

    Attributes
    ----------
    threads : int
        How many threads torch computes with from now on; 0 leaves torch its own choice.
    """

    def __init__(self, name: str = "napari-mganprior edit") -> None:
        self._name = name
        self.threads = 0
        self._changed = threading.Condition()
        self._asked: _Work | None = None
        self._now: _Work | None = None
        self._later: deque[_Work] = deque()
        self._answers: deque[Answer] = deque(maxlen=_MOST_ANSWERS)
        self._thread: threading.Thread | None = None
        self._hold: CollectorHold | None = None
        self._closed = False
        self._tickets = 0

    @property
    def busy(self) -> bool:
        """Whether there is work, or an answer that was not taken."""
        with self._changed:
            return self._has_work() or bool(self._answers)

    def ask(self, make: Make) -> int:
        """Do this next, in place of what was asked before.

        Parameters
        ----------
        make : callable
            Returns the iterator; called in the thread.

        Returns
        -------
        int
            The ticket that the answers carry.
        """
        return self._add(make, later=False)

    def ask_later(self, make: Make, *, lasting: bool = False) -> int:
        """Do this when there is nothing else to do; what was asked so is done in order.

        Parameters
        ----------
        make : callable
            As for `ask`.
        lasting : bool
            Whether `forget_later` leaves it.

        Returns
        -------
        int
            The ticket that the answers carry.
        """
        return self._add(make, later=True, lasting=lasting)

    def forget_later(self, *, lasting: bool = False) -> None:
        """Drop what waits to be done when there is time, what is to last only if so asked."""
        with self._changed:
            kept = [] if lasting else [work for work in self._later if work.lasting]
            self._later = deque(kept)

    def take(self) -> list[Answer]:
        """Take the answers since the last call, in order; call it some fifty times a second."""
        collect_if_due()
        with self._changed:
            answers = list(self._answers)
            self._answers.clear()
            idle = not self._has_work()
        if idle and self._hold is not None:
            self._hold.release()
            self._hold = None
        return answers

    def close(self, timeout: float = 2.0) -> bool:
        """Drop everything and end the thread.

        Parameters
        ----------
        timeout : float
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether it ended; if not, it does after the step under way.
        """
        with self._changed:
            self._closed = True
            self._asked = None
            self._later.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
            if thread.is_alive():
                return False
        atexit.unregister(self._leave)
        if self._hold is not None:
            self._hold.release()
            self._hold = None
        return True

    def _has_work(self) -> bool:
        return self._asked is not None or self._now is not None or bool(self._later)

    def _add(self, make: Make, *, later: bool, lasting: bool = False) -> int:
        checked_threads(self.threads)
        if self._closed:
            raise MGANPriorError("Got work for a closed form; wanted an open one. Open it again.")
        if self._hold is None:
            self._hold = CollectorHold()
        if self._tickets == 0:
            # A daemon thread frozen inside torch at the interpreter's end can abort the process.
            atexit.register(self._leave)
        with self._changed:
            self._tickets += 1
            work = _Work(self._tickets, make, lasting=lasting)
            if later:
                self._later.append(work)
            else:
                self._asked = work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return work.ticket

    def _leave(self) -> None:
        self.close(_PAUSE_WHEN_LEAVING)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            self._step(work)

    def _next(self) -> _Work | None:
        """Wait a little for something to do, and choose it; None ends the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_work(), _IDLE)
            if self._closed or not self._has_work():
                self._now = self._thread = None
                return None
            if self._asked is not None and (self._now is None or self._now.answered):
                self._now, self._asked = self._asked, None
            return self._now if self._now is not None else self._later[0]

    def _step(self, work: _Work) -> None:
        answer: Answer | None = None
        try:
            with torch_threads(self.threads):
                if work.steps is None:
                    work.steps = work.make()
                value = next(work.steps)
            if value is not None:
                answer = Answer(work.ticket, value)
        except StopIteration:
            answer = Answer(work.ticket, last=True)
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            told = explain(error)
            _log.debug("Editing failed.\n%s", forget_frames(told))
            answer = Answer(work.ticket, error=told, last=True)
        with self._changed:
            if answer is None:
                return
            work.answered = True
            if not self._closed:
                self._answers.append(answer)
            if answer.last:
                if self._now is work:
                    self._now = None
                elif self._later and self._later[0] is work:
                    self._later.popleft()
