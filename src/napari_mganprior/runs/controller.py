"""The one that starts, steers and ends runs, under every widget. No Qt.

All its methods belong to one thread, the owner's. `poll` collects the news of the thread that
computes and emits the signals, so that every handler runs in the owner's thread.
"""

from enum import Enum, auto

from psygnal import Signal

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.job import Job, Mail, OpenTask, Outcome, open_inpainting
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


class RunController:
    """Start, watch, pause, stop and cancel one run at a time.

    Parameters
    ----------
    open_task : callable, optional
        Makes a task from a `RunRequest`, in the run's thread; an inpainting by default.

    Attributes
    ----------
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

    state_changed = Signal(RunState)
    progressed = Signal(object)
    previewed = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    started = Signal(object)
    queue_changed = Signal(int)

    def __init__(self, open_task: OpenTask = open_inpainting) -> None:
        self._open_task = open_task
        self._job: Job | None = None
        self._state = RunState.IDLE
        self._closed = False
        self._queue: list[RunRequest] = []
        self.current: RunRequest | None = None

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._queue)

    def enqueue(self, request: RunRequest, key: object = None) -> int:
        """Start a run now, or after those before it."""
        if not self.busy:
            self.start(request)
        else:
            self._queue.append(request)
            self.queue_changed.emit(self.waiting)
        return self.waiting

    def clear_queue(self) -> None:
        """Drop the runs that wait."""
        if self._queue:
            self._queue.clear()
            self.queue_changed.emit(0)

    @property
    def state(self) -> RunState:
        """Where the run is."""
        return self._state

    @property
    def busy(self) -> bool:
        """Whether there is a run."""
        return self._state is not RunState.IDLE

    def start(self, request: RunRequest) -> None:
        """Start a run.

        Parameters
        ----------
        request : RunRequest
            What to do.

        Raises
        ------
        MGANPriorError
            If there is a run already, or the controller is closed.
        """
        if self._closed:
            raise MGANPriorError(
                "Got a run for a closed window; wanted an open one. Open it again."
            )
        if self.busy:
            raise MGANPriorError(
                "Got a second run while one is on; wanted one at a time. Wait for its end, or "
                "press 'Stop and keep' or 'Cancel' first."
            )
        self._job = Job(request, self._open_task)
        self._job.start()
        self.current = request
        self._enter(RunState.LOADING)
        self.started.emit(request)

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
        """End after the step under way and keep nothing; `cancelled` follows."""
        if self._job is not None:
            self._job.cancel()
            self._enter(RunState.STOPPING)

    def close(self, timeout: float = 2.0) -> bool:
        """Cancel, wait a little, and emit nothing from now on.

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
        job, self._job = self._job, None
        self._state = RunState.IDLE
        if job is None:
            return True
        job.cancel()
        return job.join(timeout)

    def poll(self) -> None:
        """Collect the news of the run and emit the signals; call it some ten times a second."""
        job = self._job
        if job is None:
            return
        mail = job.collect()
        if mail.outcome is not None:
            job.join()  # its last act was to post the outcome
            self._job = None
        self._tell(job, mail)
        if mail.outcome is not None and not self._closed:
            self.current = None
            self._enter(RunState.IDLE)
            self._end(mail.outcome)
            if self._queue and not self.busy and not self._closed:
                following = self._queue.pop(0)
                self.queue_changed.emit(self.waiting)
                self.start(following)

    def _tell(self, job: Job, mail: Mail) -> None:
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
