"""The one that starts, steers and ends runs, under every widget. No Qt.

All its methods belong to one thread, the owner's. `poll` collects the news of the thread or
process that computes and emits the signals, so that every handler runs in the owner's thread.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto

from psygnal import Signal

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.base import JobLike, Mail, MakeJob, OpenTask, Outcome
from napari_mganprior.runs.collector import collect_if_due
from napari_mganprior.runs.failures import explain
from napari_mganprior.runs.job import Job
from napari_mganprior.runs.opening import open_task
from napari_mganprior.runs.process import ProcessJob
from napari_mganprior.runs.request import RunRequest

__all__ = ["RunController", "RunState"]


class RunState(Enum):
    """Where a run is in its life."""

    IDLE = auto()
    """No run."""
    LOADING = auto()
    """torch and the prior are being loaded, the inputs checked."""
    RUNNING = auto()
    """Steps are being computed."""
    PAUSED = auto()
    """Waiting for resume, stop or cancel."""
    STOPPING = auto()
    """Stop or cancel was asked for; the step under way is not over yet."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A run in the queue."""

    request: RunRequest
    key: Hashable | None


class RunController:
    """Start, watch, pause, stop and cancel one run at a time; others wait in a queue.

    A waiting run starts by itself after the one before it has finished, failed or was cancelled,
    once that one's signals were emitted.

    Parameters
    ----------
    open_task : callable, optional
        Makes a task from a `RunRequest`, in the run's thread; an inpainting by default.
    make_job : callable, optional
        Makes the job from a request and ``open_task``; by default a `Job`, or a `ProcessJob` in
        process mode.

    Attributes
    ----------
    process_mode : bool
        Whether the next runs are in a process of their own: Cancel is immediate, and a crash
        does not reach napari. ``open_task`` must then be a function of a module.
    threads : int
        How many threads torch computes with in the next runs; 0 leaves torch its own choice.
    started : Signal
        With the `RunRequest` of a run that starts. The state is LOADING by then.
    queue_changed : Signal
        With the number of runs waiting.
    state_changed : Signal
        With the new `RunState`.
    progressed : Signal
        With a `Progress`; the latest only.
    previewed : Signal
        With an array; the latest only.
    finished : Signal
        With a `RunResult`, also when the run was stopped early. The state is IDLE by then.
    failed : Signal
        With a `MGANPriorError` whose message is made for people. The state is IDLE by then.
    cancelled : Signal
        With nothing. The state is IDLE by then.
    """

    started = Signal(object)
    queue_changed = Signal(int)
    state_changed = Signal(RunState)
    progressed = Signal(object)
    previewed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(self, open_task: OpenTask = open_task, *, make_job: MakeJob | None = None) -> None:
        self.process_mode = False
        self.threads = 0
        self._open_task = open_task
        self._make_job = make_job
        self._job: JobLike | None = None
        self._current: RunRequest | None = None
        self._queue: list[_Waiting] = []
        self._ending = False
        self._state = RunState.IDLE
        self._closed = False

    @property
    def state(self) -> RunState:
        """Where the run is."""
        return self._state

    @property
    def current(self) -> RunRequest | None:
        """What the run under way was asked for; None when there is no run."""
        return self._current

    @property
    def waiting(self) -> int:
        """How many runs wait in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether there is a run."""
        return self._state is not RunState.IDLE

    def start(self, request: RunRequest) -> None:
        """Start a run, before those that wait.

        Parameters
        ----------
        request : RunRequest
            What to do.

        Raises
        ------
        MGANPriorError
            If there is a run already, the controller is closed, or the run cannot start.
        """
        self._refuse_when_closed()
        if self.busy:
            raise MGANPriorError(
                "Got a second run while one is on; wanted one at a time. Wait for its end, or "
                "press 'Stop and keep' or 'Cancel' first."
            )
        self._begin(request)

    def enqueue(self, request: RunRequest, key: Hashable | None = None) -> int:
        """Start a run when those before it are over; at once when there is none.

        Called from a handler of `finished`, `failed` or `cancelled`, it starts after all
        handlers were told.

        Parameters
        ----------
        request : RunRequest
            What to do.
        key : hashable, optional
            A waiting run with the same key is replaced, in its place in the queue. None replaces
            none.

        Returns
        -------
        int
            How many runs wait now; 0 if this one started.

        Raises
        ------
        MGANPriorError
            If the controller is closed, or there is no run to wait for and it cannot start.
        """
        self._refuse_when_closed()
        if not (self.busy or self._ending or self._queue):
            self._begin(request)
            return self.waiting
        one = _Waiting(request, key)
        same = [n for n, other in enumerate(self._queue) if key is not None and other.key == key]
        if same:
            self._queue[same[0]] = one
        else:
            self._queue.append(one)
            self.queue_changed.emit(self.waiting)
        return self.waiting

    def clear_queue(self) -> None:
        """Forget the runs that wait; the one under way goes on."""
        if self._queue:
            self._queue.clear()
            self.queue_changed.emit(0)

    def pause(self) -> None:
        """Pause after the step under way; does nothing unless RUNNING."""
        if self._job is not None and self._state is RunState.RUNNING:
            self._job.pause()
            self._enter(RunState.PAUSED)

    def resume(self) -> None:
        """Go on; does nothing unless PAUSED."""
        if self._job is not None and self._state is RunState.PAUSED:
            self._job.resume()
            self._enter(RunState.RUNNING)

    def stop(self) -> None:
        """End after the step under way and keep the best so far; `finished` follows."""
        if self._job is not None:
            self._job.stop()
            self._enter(RunState.STOPPING)

    def cancel(self) -> None:
        """End the run under way and keep nothing; `cancelled` follows, then the next in the queue.

        In a thread it ends after the step under way, in a process at once.
        """
        if self._job is not None:
            self._job.cancel()
            self._enter(RunState.STOPPING)

    def close(self, timeout: float = 2.0) -> bool:
        """Cancel, drop the queue, wait a little, and emit nothing from now on.

        Parameters
        ----------
        timeout : float
            Longest wait for the thread in seconds. A thread still inside a step ends by itself
            after it.

        Returns
        -------
        bool
            Whether the thread ended in time.
        """
        self._closed = True
        self._queue.clear()
        job, self._job, self._current = self._job, None, None
        self._state = RunState.IDLE
        if job is None:
            return True
        job.cancel()
        return job.join(timeout)

    def poll(self) -> None:
        """Collect the news of the run and emit the signals; call it some ten times a second."""
        job = self._job
        if job is None:
            if not self._ending:  # a handler that failed may have held up the queue
                self._start_waiting()
            return
        collect_if_due()
        mail = job.collect()
        if mail.outcome is None:
            self._tell(job, mail)
            return
        job.join()  # its last act was to post the outcome
        self._job = self._current = None
        self._ending = True
        try:
            self._tell(job, mail)
            if not self._closed:
                self._enter(RunState.IDLE)
            if not self._closed:
                self._end(mail.outcome)
        finally:
            self._ending = False
            self._start_waiting()

    def _default_job(self, request: RunRequest, open_task: OpenTask) -> JobLike:
        kind = ProcessJob if self.process_mode else Job
        return kind(request, open_task, threads=self.threads)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise MGANPriorError(
                "Got a run for a closed window; wanted an open one. Open it again."
            )

    def _begin(self, request: RunRequest) -> None:
        job = (self._make_job or self._default_job)(request, self._open_task)
        try:
            job.start()
        except RuntimeError as error:  # the system gives no thread
            raise explain(error) from error
        self._job, self._current = job, request
        self._enter(RunState.LOADING)
        if self._current is request and not self._closed:
            self.started.emit(request)

    def _start_waiting(self) -> None:
        """Start the next run of the queue; one that cannot start has failed."""
        while self._queue and not self.busy and not self._closed:
            request = self._queue.pop(0).request
            try:
                self._begin(request)
            except MGANPriorError as error:
                self.failed.emit(error)
            self.queue_changed.emit(self.waiting)

    def _tell(self, job: JobLike, mail: Mail) -> None:
        if mail.running and self._state is RunState.LOADING:
            self._enter(RunState.RUNNING)
        if mail.progress is not None and not self._closed:
            self.progressed.emit(mail.progress)
        # Once Stop or Cancel was pressed, or the result is there, a preview comes too late.
        wanted = self._job is job and self._state is not RunState.STOPPING
        if mail.preview is not None and wanted and not self._closed:
            self.previewed.emit(mail.preview)

    def _end(self, outcome: Outcome) -> None:
        if outcome.result is not None:
            self.finished.emit(outcome.result)
        elif outcome.error is not None:
            self.failed.emit(outcome.error)
        else:
            self.cancelled.emit()

    def _enter(self, state: RunState) -> None:
        if state is not self._state:
            self._state = state
            self.state_changed.emit(state)
