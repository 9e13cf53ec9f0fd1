"""One run in a process of its own: Cancel is immediate, and a crash does not reach napari.

The process is started from scratch (`runs.child`), not by `multiprocessing`, which would run the
user's main script again. Connected it is by a pipe with a name, and a key that only the two know.
"""

import atexit
import json
import logging
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.runs.base import GO, Mail, Mailbox, OpenTask, Order, Outcome
from napari_mganprior.runs.deaths import how_it_died
from napari_mganprior.runs.failures import explain, forget_frames
from napari_mganprior.runs.job import checked_threads
from napari_mganprior.runs.opening import open_task
from napari_mganprior.runs.request import RunRequest

__all__ = ["ChildCommands", "ChildProcess", "ProcessJob"]

_log = logging.getLogger(__name__)
_PAUSE_WHEN_LEAVING = 10.0
_TICK = 0.05
_GRACE = 0.2
_GRACE_TO_DIE = 5.0
_TAIL = 2000  # characters
_RAW_TAIL = 20_000  # bytes
_NOISE = "Extension modules: "  # Python's list after a crash: it would push out all the rest
_LONGEST_ADDRESS = 100  # bytes; a socket's path has room for 104 to 108
_GONE = (EOFError, OSError)


class ProcessJob:
    """A run in a process of its own; a thread here waits for its news.

    Parameters
    ----------
    request : RunRequest
        What to do.
    open_task : callable
        A function of a module; it is found by name in the process, and makes the task there.
    threads : int
        How many threads torch computes with; 0 leaves torch its own choice.

    Raises
    ------
    SettingsError
        If ``open_task`` has no name in a module, or the number of threads is negative.
    """

    def __init__(
        self, request: RunRequest, open_task: OpenTask = open_task, *, threads: int = 0
    ) -> None:
        self._request: RunRequest | None = request
        self._opener = _name_of(open_task)
        self._threads = checked_threads(threads)
        self._mailbox = Mailbox()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._child: ChildProcess | None = None
        self._commands = ChildCommands()
        self._thread = threading.Thread(
            target=self._run, name="napari-mganprior run in a process", daemon=True
        )

    def start(self) -> None:
        """Start the process; does not wait for it."""
        atexit.register(self._leave)
        self._thread.start()

    def collect(self) -> Mail:
        """Take the news since the last call."""
        return self._mailbox.take()

    def pause(self) -> None:
        """Wait after the step under way."""
        self._commands.send(b"pause")

    def resume(self) -> None:
        """Go on."""
        self._commands.send(b"resume")

    def stop(self) -> None:
        """End after the step under way, or after the first one, and keep what there is."""
        self._commands.send(b"stop")

    def cancel(self) -> None:
        """End the process now and keep nothing."""
        self._cancelled.set()
        with self._lock:
            if self._child is not None:
                self._child.terminate()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the process is gone and everything is tidied up.

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
        return not self._thread.is_alive()

    def _leave(self) -> None:
        self.cancel()
        self._thread.join(_PAUSE_WHEN_LEAVING)

    def _run(self) -> None:
        outcome = Outcome()
        try:
            outcome = self._work()
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            told = explain(error)
            _log.debug("A run in a process failed.\n%s", forget_frames(told))
            outcome = Outcome(error=told)
        finally:
            self._request = None
            atexit.unregister(self._leave)
            self._mailbox.put(outcome=Outcome() if self._cancelled.is_set() else outcome)

    def _work(self) -> Outcome:
        with ChildProcess() as child:
            with self._lock:
                if self._cancelled.is_set():
                    return Outcome()
                child.start()
                self._child = child
            order = self._order()  # while the process starts
            connection = child.connect()
            try:
                outcome = self._talk(connection, order)
            finally:
                self._commands.close()
            if outcome is None and not self._cancelled.is_set():
                outcome = Outcome(error=child.obituary())
        return outcome or Outcome()

    def _talk(self, connection: Connection, order: bytes) -> Outcome | None:
        """Send the order and pass the news on until the outcome; None without one."""
        try:
            connection.send_bytes(order)
            self._commands.open(connection, GO)
        except OSError:
            return None
        while not self._cancelled.is_set():
            try:
                if not connection.poll(_TICK):
                    continue
                letter = connection.recv_bytes()
            except _GONE:
                return None
            mail: Mail = pickle.loads(letter)
            self._mailbox.put(running=mail.running)
            if mail.progress is not None:
                self._mailbox.put(progress=mail.progress)
            if mail.preview is not None:
                self._mailbox.put(preview=mail.preview)
            if mail.outcome is not None:
                return mail.outcome
        return None

    def _order(self) -> bytes:
        request = self._request
        assert request is not None
        self._request = None
        try:
            return pickle.dumps(Order(request, self._opener, self._threads), protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError):
            # A lazy image may hang on functions that have no name: bring the pixels themselves.
            plain = replace(request, image=np.asarray(request.image))
            return pickle.dumps(Order(plain, self._opener, self._threads), protocol=5)


class ChildCommands:
    """The way of commands to a process; those that are given before it is open wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._unsent: list[bytes] = []

    def send(self, command: bytes) -> None:
        """Give a command; one to a process that has just ended is lost."""
        with self._lock:
            if self._connection is None:
                self._unsent.append(command)
                return
            with suppress(OSError):
                self._connection.send_bytes(command)

    def open(self, connection: Connection, *more: bytes) -> None:
        """Send what waits, and more after it; OSError if the process is gone."""
        with self._lock:
            for command in (*self._unsent, *more):
                connection.send_bytes(command)
            self._connection = connection

    def close(self) -> None:
        """Send nothing any more."""
        with self._lock:
            self._connection = None


class ChildProcess:
    """The process: started, connected, and gone without a trace at the end of the ``with``.

    Parameters
    ----------
    module : str
        What it runs; it reads on its standard input where to connect.

    Attributes
    ----------
    patience : float
        Seconds it is given to end by itself.
    """

    def __init__(self, module: str = "napari_mganprior.runs.child") -> None:
        self._module = module
        self.patience = _GRACE
        self._key = secrets.token_bytes(32)
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: Listener | None = None
        self._folder: Path | None = None
        self._connection: Connection | None = None
        self._output: threading.Thread | None = None
        self._connected = threading.Event()
        self._tail = b""

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        self._stop_listening()
        process, self._process = self._process, None
        if process is None:
            return
        _end(process, self.patience)
        if self._output is not None:
            self._output.join(1.0)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        if self._tail:
            _log.debug("A run's process said:\n%s", self._said())

    def start(self) -> None:
        """Start the process, and say where it is to connect."""
        self._listen()
        listener = self._listener
        assert listener is not None
        self._process = process = subprocess.Popen(
            # -P: what lies in the current folder is no module; -u: last words are not lost
            [sys.executable, "-P", "-u", "-X", "faulthandler", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=True,  # Ctrl-C in the terminal is napari's
        )
        hello = {"address": listener.address, "key": self._key.hex()}
        assert process.stdin is not None
        with suppress(OSError):  # it is dead already: the end of its output will tell
            process.stdin.write(json.dumps(hello).encode() + b"\n")
            process.stdin.close()
        self._output = threading.Thread(
            target=self._read,
            args=(process.stdout, listener.address),
            name="napari-mganprior child output",
        )
        self._output.daemon = True
        self._output.start()

    @property
    def process_id(self) -> int | None:
        """Of the process, once it is started."""
        return None if self._process is None else self._process.pid

    def connect(self) -> Connection:
        """Wait until the process connects, or is gone."""
        assert self._listener is not None
        self._connection = connection = self._listener.accept()
        self._connected.set()
        self._stop_listening()  # from here on there is nothing on the disk
        return connection

    def terminate(self) -> None:
        """Ask the system to end it."""
        process = self._process
        if process is not None and process.poll() is None:
            _signal(process, "SIGTERM")

    def obituary(self) -> MGANPriorError:
        """Say how it came to its end, after it went away by itself."""
        return how_it_died(*self.last_words())

    def last_words(self) -> tuple[int | None, str]:
        """Return the exit code, None if it had to be killed, and the end of what it wrote."""
        process = self._process
        assert process is not None
        code = _end(process, _GRACE_TO_DIE)
        if self._output is not None:
            self._output.join(1.0)
        _log.warning("A run's process ended by itself (%s). It said:\n%s", code, self._said())
        return code, self._said()

    def _said(self) -> str:
        lines = self._tail.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith(_NOISE))[-_TAIL:]

    def _listen(self) -> None:
        if os.name == "nt":
            self._listener = Listener(family="AF_PIPE", authkey=self._key)
            return
        self._folder = _private_folder()
        self._listener = Listener(str(self._folder / "s"), family="AF_UNIX", authkey=self._key)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, output: IO[bytes], address: Any) -> None:
        """Keep the end of what the process writes; when it dies unconnected, end the wait."""
        # not by way of self: the process may be ended, and forgotten, at any moment
        with suppress(OSError, ValueError):
            while chunk := os.read(output.fileno(), 4096):
                self._tail = (self._tail + chunk)[-_RAW_TAIL:]
        if not self._connected.is_set():
            with suppress(*_GONE):
                Client(address, authkey=self._key).close()


def _end(process: "subprocess.Popen[bytes]", grace: float) -> int | None:
    """Return the exit code, or None if it had to be killed after so many seconds."""
    try:
        return process.wait(grace)
    except subprocess.TimeoutExpired:
        _signal(process, "SIGKILL")
        process.wait()
        return None


def _signal(process: "subprocess.Popen[bytes]", name: str) -> None:
    """End a process and whatever it has started itself."""
    if os.name == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, getattr(signal, name))  # it leads a session, so a group too


def _environment() -> dict[str, str]:
    """Let the process find the same modules in the same places."""
    places = [str(place) or str(Path.cwd()) for place in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


def _private_folder() -> Path:
    """Make a folder that only this user may enter, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="napari-mganprior-"))
    if len(os.fsencode(folder)) < _LONGEST_ADDRESS - 2:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="napari-mganprior-", dir="/tmp"))


def _name_of(open_task: OpenTask) -> str:
    module = getattr(open_task, "__module__", None)
    name = getattr(open_task, "__qualname__", None)
    if not module or not name or "<" in name or module == "__main__":
        raise SettingsError(
            f"Got {open_task!r} for a process of its own; wanted a function of a module that can "
            "be imported. Switch off process mode, or move the function into a module."
        )
    return f"{module}:{name}"
