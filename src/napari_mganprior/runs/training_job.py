"""A training run in a process of its own, watched by a thread here.

A process and not a thread: training takes every processor it gets for half an hour and more, and
Python's lock with it, so that a window in the same process would stutter; torch's memory goes back
to the system at the end; a crash does not reach napari; and when napari crashes, or is killed, the
process notices, saves a checkpoint and leaves.
"""

import atexit
import json
import logging
import pickle
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection

from napari_mganprior.errors import (
    ComputeError,
    MGANPriorError,
    OutOfMemoryError,
    StorageError,
    TrainingError,
)
from napari_mganprior.runs.collector import CollectorHold, collect_if_due, start_held
from napari_mganprior.runs.deaths import how_it_died
from napari_mganprior.runs.failures import explain, forget_frames
from napari_mganprior.runs.job import checked_threads
from napari_mganprior.runs.process import ChildCommands, ChildProcess
from napari_mganprior.runs.training_folder import (
    CHECKPOINT,
    COPIED,
    TrainingOrder,
    check_training_name,
    hold_folder,
    is_held,
    is_run,
    remove_run,
    run_folder,
    write_order,
)
from napari_mganprior.runs.training_layers import SourceLayer, copy_layers
from napari_mganprior.runs.training_news import TrainingEnd, TrainingNews

__all__ = ["TrainingJob"]

_log = logging.getLogger(__name__)
_MODULE = "napari_mganprior.runs.training_child"
_TICK = 0.05
_PATIENCE = 60.0  # seconds for a last checkpoint
_PAUSE_WHEN_LEAVING = 5.0
_GONE = (EOFError, OSError)


class TrainingJob:
    """One training run on its way.

    Make it with `begin` or `resume_run`; no method waits, except `join`.

    Parameters
    ----------
    name : str
        Of the run.
    order : TrainingOrder or None
        What to write into its folder first; None to go on with what lies there.
    layers : sequence of SourceLayer
        What to copy into its folder first.
    threads : int
        How many threads torch computes with; 0 leaves torch its own choice.

    Attributes
    ----------
    name : str
        Of the run.
    folder : Path
        Of the run.
    """

    def __init__(
        self,
        name: str,
        order: TrainingOrder | None = None,
        layers: Sequence[SourceLayer] = (),
        *,
        threads: int = 0,
    ) -> None:
        self.name, self.folder = name, run_folder(name)
        self._order, self._layers = order, tuple(layers)
        self._threads = checked_threads(threads)
        self._ours = order is None  # whether the folder may be deleted
        self._lock = threading.Lock()
        self._news: TrainingNews | None = None
        self._last = TrainingNews()
        self._left, self._discarded = threading.Event(), threading.Event()
        self._child: ChildProcess | None = None
        self._commands = ChildCommands()
        self._hold: CollectorHold | None = None
        self._thread = threading.Thread(
            target=self._run, name="napari-mganprior training", daemon=True
        )

    @classmethod
    def begin(
        cls, order: TrainingOrder, layers: Sequence[SourceLayer] = (), *, threads: int = 0
    ) -> "TrainingJob":
        """Make a new run.

        Parameters
        ----------
        order : TrainingOrder
            What is asked for.
        layers : sequence of SourceLayer
            What to copy, if its inputs are ``sources``.
        threads : int
            How many threads torch computes with; 0 leaves torch its own choice.

        Raises
        ------
        SettingsError
            If the name is taken.
        """
        check_training_name(order.name)
        return cls(order.name, order, layers, threads=threads)

    def start(self) -> None:
        """Start the thread, and that the process.

        Raises
        ------
        MGANPriorError
            If the system gives no thread.
        """
        self._hold = start_held(self._thread, self._leave)

    def collect(self) -> TrainingNews | None:
        """Take the news since the last call, if any; call it some ten times a second."""
        collect_if_due()
        with self._lock:
            news, self._news = self._news, None
        if news is not None and news.end is not None:
            self.join()  # its last act was to post the end
        return news

    def pause(self) -> None:
        """Wait after the step under way."""
        self._commands.send(b"pause")

    def resume(self) -> None:
        """Go on."""
        self._commands.send(b"resume")

    def stop(self) -> None:
        """End after the step under way and publish the prior."""
        self._commands.send(b"stop")

    def leave(self) -> None:
        """End at a checkpoint, to go on another time."""
        self._left.set()
        self._commands.send(b"leave")

    def discard(self) -> None:
        """End now and delete the run."""
        self._discarded.set()
        with self._lock:
            if self._child is not None:
                self._child.terminate()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the process is gone.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.

        Returns
        -------
        bool
            Whether it is.
        """
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        if ended and self._hold is not None:
            self._hold.release()
        return ended

    @property
    def process_id(self) -> int | None:
        """Of its process, while there is one."""
        with self._lock:
            return None if self._child is None else self._child.process_id

    def _leave(self) -> None:
        self.leave()
        self._thread.join(_PAUSE_WHEN_LEAVING)  # the process goes on to its checkpoint alone

    def _put(self, news: TrainingNews) -> None:
        self._last = replace(news, points=(), notices=(), sheet=None)
        with self._lock:
            self._news = news if self._news is None else self._news.then(news)

    def _run(self) -> None:
        end = TrainingEnd()
        try:
            end = self._work()
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            told = explain(error)
            _log.debug("A training run failed.\n%s", forget_frames(told))
            end = TrainingEnd(error=told)
        finally:
            self._layers = ()
            atexit.unregister(self._leave)
            self._put(replace(self._last, end=self._tidy(end)))

    def _work(self) -> TrainingEnd:
        with ChildProcess(_MODULE) as child:
            with self._lock:
                if self._ending:
                    return TrainingEnd(kept=True)
                child.start()  # it starts while the layers are copied
                self._child = child
            try:
                if self._order is not None and not self._prepare(self._order):
                    return TrainingEnd()
                end = self._talk(child.connect())
            finally:
                self._commands.close()
            if end is None and self._discarded.is_set():
                return TrainingEnd()
            if self._left.is_set():
                child.patience = _PATIENCE
            return end or TrainingEnd(error=_how_it_died(*child.last_words()), kept=True)

    def _prepare(self, order: TrainingOrder) -> bool:
        """Copy the layers and write down what is asked for; False if the end came first."""
        self._put(TrainingNews(doing="Copying the layers" if self._layers else "Starting"))
        with hold_folder(self.folder):  # another window may copy into the same one
            check_training_name(order.name)  # a run may have got the name since `begin`
            self._ours = True
            if self._layers:
                copying = copy_layers(self.folder / COPIED, self._layers)
                with closing(copying):
                    for done, of in copying:
                        doing = f"Copying the layers ({done} of {of} planes)"
                        self._put(TrainingNews(doing=doing))
                        if self._ending:
                            return False
                self._layers = ()
            write_order(self.folder, order)
        return True  # its process holds the folder from here on

    def _talk(self, connection: Connection) -> TrainingEnd | None:
        """Send the order and pass the news on until the end; None without one."""
        order = {"folder": str(self.folder), "threads": self._threads}
        try:
            connection.send_bytes(json.dumps(order).encode())
            self._commands.open(connection)
        except OSError:
            return None
        while not self._discarded.is_set():
            try:
                if not connection.poll(_TICK):
                    continue
                news: TrainingNews = pickle.loads(connection.recv_bytes())
            except _GONE:
                return None
            end, news = news.end, replace(news, end=None)
            self._put(news)
            if end is not None:
                return end
        return None

    @property
    def _ending(self) -> bool:
        return self._left.is_set() or self._discarded.is_set()

    def _tidy(self, end: TrainingEnd) -> TrainingEnd:
        """Delete what nobody can go on with; say whether there is something to go on with."""
        if not self._ours:
            return replace(end, kept=False)
        over = bool(end.prior) or self._discarded.is_set() or not is_run(self.folder)
        if not over and (end.kept or (self.folder / CHECKPOINT).exists()):
            return replace(end, kept=True)
        if is_held(self.folder):  # by another process: it is that one's
            return replace(end, kept=False)
        try:
            remove_run(self.folder)
        except TrainingError:  # another process has begun with it just now
            return replace(end, kept=False)
        except StorageError as error:
            return replace(end, error=end.error or error, kept=False)
        return replace(end, kept=False)


def _how_it_died(code: int | None, said: str) -> MGANPriorError:
    told = how_it_died(code, said)
    if isinstance(told, OutOfMemoryError):
        return OutOfMemoryError(
            "The system ended the process of the training run, most often because memory ran out; "
            "wanted a prior. Close other programs and press Resume (Keep, if it was training no "
            "more), or train with a smaller size."
        )
    text = str(told).partition("; wanted")[0].replace("The run's process", "The training process")
    return ComputeError(
        f"{text}; wanted a prior. napari is not harmed. Press Resume (Keep, if it was training no "
        "more); if it ends again, report this message."
    )
