"""One run in a thread of its own: no Qt, no layers, no signals.

The thread leaves its news in a mailbox that holds only the latest; whoever owns the job
collects it.
"""

import atexit
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from napari_mganprior.errors import SettingsError
from napari_mganprior.runs.base import (
    Mail,
    Mailbox,
    OpenTask,
    Outcome,
    Progress,
    RunResult,
    Task,
    TaskStep,
)
from napari_mganprior.runs.collector import CollectorHold
from napari_mganprior.runs.failures import device_note, explain, forget_frames
from napari_mganprior.runs.opening import open_task
from napari_mganprior.runs.pictures import Pictures
from napari_mganprior.runs.request import RunRequest

__all__ = [
    "Job",
    "Mail",
    "OpenTask",
    "Outcome",
    "Progress",
    "RunResult",
    "Task",
    "checked_threads",
    "torch_threads",
]

_log = logging.getLogger(__name__)
_PAUSE_WHEN_LEAVING = 10.0


class Job:
    """A run in a daemon thread.

    Parameters
    ----------
    request : RunRequest
        What to do.
    open_task : callable
        Makes the task from the request, in the thread.
    threads : int
        How many threads torch computes with during the run; 0 leaves torch its own choice.

    Raises
    ------
    SettingsError
        If the number of threads is negative.
    """

    def __init__(
        self, request: RunRequest, open_task: OpenTask = open_task, *, threads: int = 0
    ) -> None:
        self._threads = checked_threads(threads)
        self._request: RunRequest | None = request
        self._open_task = open_task
        self._cancelled = threading.Event()
        self._stopped = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._mailbox = Mailbox()
        self._hold: CollectorHold | None = None
        self._abandoned = self._over = False
        self._thread = threading.Thread(target=self._run, name="napari-mganprior run", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        # A daemon thread frozen inside torch at the interpreter's end can abort the process.
        atexit.register(self._leave)
        self._hold = CollectorHold()
        try:
            self._thread.start()
        except RuntimeError:  # the system gives no thread
            self._hold.release()
            raise

    def collect(self) -> Mail:
        """Take the news since the last call."""
        return self._mailbox.take()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for news.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether there are any.
        """
        return self._mailbox.wait(timeout)

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
        ended = not self._thread.is_alive()
        self._abandoned = not ended
        if (ended or self._over) and self._hold is not None:
            self._hold.release()
        return ended

    def _leave(self) -> None:
        self.cancel()
        self._thread.join(_PAUSE_WHEN_LEAVING)

    def _run(self) -> None:
        outcome = Outcome()
        try:
            with torch_threads(self._threads):
                outcome = self._work()
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            if not self._cancelled.is_set():
                told = explain(error)
                _log.debug("A run failed.\n%s", forget_frames(told))
                outcome = Outcome(error=told)
        finally:
            self._request = None
            atexit.unregister(self._leave)
            self._mailbox.put(outcome=outcome)
            self._over = True
            if self._abandoned and self._hold is not None:
                self._hold.release()  # nobody waits for this thread any more

    def _work(self) -> Outcome:
        request = self._request
        assert request is not None
        task = self._open_task(request)
        if self._cancelled.is_set():
            return Outcome()
        self._mailbox.put(running=True)
        clock = _Clock()
        pictures = Pictures(
            task,
            interval=request.preview_interval,
            history=request.history,
            elapsed=clock.elapsed,
        )
        last, stopped = 0, False
        for step in task:
            if self._cancelled.is_set():
                return Outcome()
            last = step.index
            self._mailbox.put(progress=clock.progress(step))
            preview = pictures.after(last)
            if preview is not None:
                self._mailbox.put(preview=preview)
            if not self._going.is_set():
                with clock.paused():
                    self._going.wait()
            if self._stopped.is_set():
                stopped = step.index < step.n_steps
                break
        if self._cancelled.is_set():
            return Outcome()
        return Outcome(
            result=RunResult(
                restoration=task.result(),
                stopped=stopped,
                frames=pictures.finish(last),
                note=device_note(request.device),
                seconds=clock.elapsed(),
            )
        )


def checked_threads(threads: int) -> int:
    """Refuse a number of threads that makes no sense.

    Parameters
    ----------
    threads : int
        How many threads torch is to compute with.

    Returns
    -------
    int
        The same number.

    Raises
    ------
    SettingsError
        If it is negative.
    """
    if threads < 0:
        raise SettingsError(
            f"Got {threads} threads; wanted 1 or more, or 0 for torch's own choice. Set it in "
            "Preferences."
        )
    return threads


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Compute with so many threads, and afterwards with as many as before."""
    if number == 0:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Time spent computing."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def elapsed(self) -> float:
        return time.perf_counter() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        since = time.perf_counter()
        try:
            yield
        finally:
            self._start += time.perf_counter() - since

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
            plane=getattr(step, "plane", 1),
            n_planes=getattr(step, "n_planes", 1),
        )
