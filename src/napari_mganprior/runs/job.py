"""One run in a thread of its own: no Qt, no layers, no signals.

The thread leaves its news in a mailbox that holds only the latest; whoever owns the job
collects it.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.failures import explain, forget_frames
from napari_mganprior.runs.opening import open_inpainting
from napari_mganprior.runs.request import RunRequest

__all__ = [
    "Job",
    "Mail",
    "OpenTask",
    "Outcome",
    "Progress",
    "RunResult",
    "Task",
    "open_inpainting",
]

_log = logging.getLogger(__name__)
_PAUSE_WHEN_LEAVING = 10.0


class TaskStep(Protocol):
    """What the job needs to know of one step of a task; `restore.RestoreStep` is one."""

    @property
    def index(self) -> int:
        """Number of the step, from 1."""

    @property
    def n_steps(self) -> int:
        """Upper bound of their number."""

    @property
    def loss(self) -> float:
        """Misfit on the measured pixels."""

    @property
    def window(self) -> int:
        """Number of the window being restored, from 1."""

    @property
    def n_windows(self) -> int:
        """How many windows there are."""


class Task(Protocol):
    """A computation a job can carry out; `restore.Inpainting` is one."""

    def __iter__(self) -> Iterator[TaskStep]:
        """Compute; may be abandoned after any step."""

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far."""

    def result(self) -> Any:
        """Return the result; after the first step it may be asked for at any time."""


OpenTask = Callable[[RunRequest], Task]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    index, n_steps : int
        Steps done and their upper bound; a window that ends early makes the index jump.
    loss : float
        Misfit on the measured pixels at the last step.
    window, n_windows : int
        Which window, from 1, of how many.
    elapsed : float
        Seconds computed, without pauses and without loading.
    remaining : float or None
        Seconds still needed, estimated; None while unknown.
    """

    index: int
    n_steps: int
    loss: float
    window: int
    n_windows: int
    elapsed: float
    remaining: float | None

    @property
    def fraction(self) -> float:
        """Share of the work done, 0 .. 1."""
        return min(1.0, self.index / self.n_steps) if self.n_steps > 0 else 0.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run that was not cancelled returned.

    Attributes
    ----------
    restoration : object
        What the task's `result` returned, a `restore.Restoration`.
    stopped : bool
        Whether it was stopped before its end.
    """

    restoration: Any
    stopped: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: a result, an error, or neither when it was cancelled."""

    result: RunResult | None = None
    error: MGANPriorError | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """The latest news of a job; None where there is none since it was last collected."""

    running: bool = False
    progress: Progress | None = None
    preview: NDArray[Any] | None = None
    outcome: Outcome | None = None


class Job:
    """A run in a daemon thread.

    Parameters
    ----------
    request : RunRequest
        What to do.
    open_task : callable
        Makes the task from the request, in the thread.
    """

    def __init__(self, request: RunRequest, open_task: OpenTask = open_inpainting) -> None:
        self._request: RunRequest | None = request
        self._open_task = open_task
        self._cancelled = threading.Event()
        self._stopped = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._lock = threading.Lock()
        self._mail = Mail()
        self._thread = threading.Thread(target=self._run, name="napari-mganprior run", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        # A daemon thread frozen inside torch at the interpreter's end can abort the process.
        atexit.register(self._leave)
        self._thread.start()

    def collect(self) -> Mail:
        """Take the news since the last call."""
        with self._lock:
            mail = self._mail
            self._mail = Mail(running=mail.running)
        return mail

    def pause(self) -> None:
        """Wait after the step under way."""
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    def stop(self) -> None:
        """End after the step under way, or after the first one, and keep what there is."""
        self._stopped.set()
        self._going.set()

    def cancel(self) -> None:
        """End after the step under way and keep nothing."""
        self._cancelled.set()
        self._going.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether it ended.
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _leave(self) -> None:
        self.cancel()
        self._thread.join(_PAUSE_WHEN_LEAVING)

    def _run(self) -> None:
        outcome = Outcome()
        try:
            outcome = self._work()
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            if not self._cancelled.is_set():
                told = explain(error)
                _log.debug("A run failed.\n%s", forget_frames(told))
                outcome = Outcome(error=told)
        finally:
            self._request = None
            atexit.unregister(self._leave)
            self._post(outcome=outcome)

    def _work(self) -> Outcome:
        request = self._request
        assert request is not None
        task = self._open_task(request)
        if self._cancelled.is_set():
            return Outcome()
        self._post(running=True)
        clock = _Clock()
        next_preview = 0.0
        stopped = False
        for step in task:
            if self._cancelled.is_set():
                return Outcome()
            self._post(progress=clock.progress(step))
            if request.preview_interval is not None and clock.elapsed() >= next_preview:
                self._post(preview=np.array(task.preview()))
                next_preview = clock.elapsed() + request.preview_interval
            if not self._going.is_set():
                with clock.paused():
                    self._going.wait()
            if self._stopped.is_set():
                stopped = step.index < step.n_steps
                break
        if self._cancelled.is_set():
            return Outcome()
        return Outcome(result=RunResult(task.result(), stopped))

    def _post(self, **news: Any) -> None:
        with self._lock:
            self._mail = replace(self._mail, **news)


class _Clock:
    """Time spent computing."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    def paused(self) -> "_Pause":
        return _Pause(self)

    def skip(self, seconds: float) -> None:
        self._start += seconds

    def progress(self, step: TaskStep) -> Progress:
        elapsed = self.elapsed()
        # The first steps are slower than the rest: threads start, kernels are chosen.
        known = step.index >= 2 and step.n_steps > 0
        remaining = max(0.0, elapsed * (step.n_steps / step.index - 1.0)) if known else None
        return Progress(
            index=step.index,
            n_steps=step.n_steps,
            loss=step.loss,
            window=step.window,
            n_windows=step.n_windows,
            elapsed=elapsed,
            remaining=remaining,
        )


class _Pause:
    """Time that a clock does not count."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._clock.skip(time.perf_counter() - self._since)
