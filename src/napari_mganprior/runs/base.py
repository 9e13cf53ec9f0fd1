"""The contracts of a run: what a task is, what a job is, and the news a job brings.

Everything here is plain and picklable, so that it is the same from a thread and from a process.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.request import RunRequest

__all__ = [
    "GO",
    "Frames",
    "JobLike",
    "Mail",
    "Mailbox",
    "MakeJob",
    "OpenTask",
    "Order",
    "Outcome",
    "Progress",
    "RunResult",
    "Task",
    "TaskStep",
]


class TaskStep(Protocol):
    """What a job needs to know of one step of a task; `restore.RestoreStep` is one.

    A step may also have ``plane`` and ``n_planes``, the number of the plane from 1 and how many
    there are; without them there is one.
    """

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

GO = b"go"
"""Said to a process of its own after its order, and after what was pressed meanwhile."""


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
    plane, n_planes : int
        Which plane, from 1, of how many.
    """

    index: int
    n_steps: int
    loss: float
    window: int
    n_windows: int
    elapsed: float
    remaining: float | None
    plane: int = 1
    n_planes: int = 1

    @property
    def fraction(self) -> float:
        """Share of the work done, 0 .. 1."""
        return min(1.0, self.index / self.n_steps) if self.n_steps > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Pictures of a run's iterations, to be scrubbed through.

    Attributes
    ----------
    images : ndarray
        (T, ...), each of the image's shape and dtype; the last is the picture of the last step.
    steps : tuple of int
        The index of the step each of the T pictures was drawn after, increasing.
    """

    images: NDArray[Any]
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a run that was not cancelled returned.

    Attributes
    ----------
    restoration : object
        What the task's `result` returned, a `restore.Restoration`.
    stopped : bool
        Whether it was stopped before its end.
    frames : Frames or None
        Pictures of the iterations, where they were asked for and fit.
    note : str
        What the user should know about the device that was used; often empty.
    seconds : float
        Spent computing, without pauses and without loading.
    """

    restoration: Any
    stopped: bool
    frames: Frames | None = None
    note: str = ""
    seconds: float = 0.0


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


class Mailbox:
    """Keeps the latest news only, so that it does not grow; safe between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._mail = Mail()
        self._fresh = False

    def put(self, **news: Any) -> None:
        """Replace news.

        Parameters
        ----------
        **news
            Fields of `Mail`.
        """
        with self._changed:
            self._mail = replace(self._mail, **news)
            self._fresh = True
            self._changed.notify_all()

    def take(self) -> Mail:
        """Take the news since the last call."""
        with self._changed:
            mail = self._mail
            self._mail = Mail(running=mail.running)
            self._fresh = False
        return mail

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
        with self._changed:
            return self._changed.wait_for(lambda: self._fresh, timeout)


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What a process of its own is sent first.

    Attributes
    ----------
    request : RunRequest
        What to do.
    opener : str
        ``"module:qualname"`` of the function that makes the task.
    threads : int
        How many threads torch computes with; 0 leaves torch its own choice.
    """

    request: RunRequest
    opener: str
    threads: int


class JobLike(Protocol):
    """One run on its way, in a thread (`Job`) or in a process (`ProcessJob`).

    No method waits for the computation, except `join`.
    """

    def start(self) -> None:
        """Begin."""

    def collect(self) -> Mail:
        """Take the news since the last call; the outcome is the last."""

    def pause(self) -> None:
        """Wait after the step under way."""

    def resume(self) -> None:
        """Go on."""

    def stop(self) -> None:
        """End after the step under way, or after the first one, and keep what there is."""

    def cancel(self) -> None:
        """End and keep nothing."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether it ended.
        """


MakeJob = Callable[[RunRequest, OpenTask], JobLike]
