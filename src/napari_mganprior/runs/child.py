"""What a process of its own does for one run: ``python -m napari_mganprior.runs.child``.

It knows neither Qt nor napari. `ProcessJob` starts it, says on its standard input where to
connect, and sends the order; it carries the order out with a `Job` and sends the latest news. It
ends with the run, or as soon as the process that started it is gone.
"""

import importlib
import json
import logging
import os
import pickle
import sys
import threading
import time
from multiprocessing.connection import Client, Connection
from typing import Any, NoReturn

from napari_mganprior.errors import ComputeError
from napari_mganprior.runs.base import GO, Mail, OpenTask, Order, Outcome, Task
from napari_mganprior.runs.failures import explain
from napari_mganprior.runs.job import Job
from napari_mganprior.runs.request import RunRequest

__all__ = ["main"]

_BETWEEN_NEWS = 0.03
_ORPHANED = 70


def main() -> None:
    """Connect, carry out one order, send the news, and leave."""
    hello = json.loads(sys.stdin.buffer.readline())
    connection = Client(hello["address"], authkey=bytes.fromhex(hello["key"]))
    try:
        order: Order = pickle.loads(connection.recv_bytes())
    except EOFError:
        _leave(_ORPHANED)
    except Exception as error:  # noqa: BLE001  any module named in the order may fail
        _send(connection, Mail(outcome=Outcome(error=explain(error))))
        _leave(0)
    job = Job(order.request, _by_name(order.opener), threads=order.threads)
    del order  # the image is the job's alone, and goes with it
    _obey(connection, job, until=GO)  # a Stop pressed meanwhile counts from the first step
    threading.Thread(target=_obey, args=(connection, job), daemon=True).start()
    job.start()
    _report(connection, job)
    _leave(0)


def _report(connection: Connection, job: Job) -> None:
    """Send news until the outcome; while a send takes its time, older news are forgotten."""
    while True:
        job.wait()
        mail = job.collect()
        _send(connection, mail)
        if mail.outcome is not None:
            return
        time.sleep(_BETWEEN_NEWS)


def _obey(connection: Connection, job: Job, until: bytes = b"") -> None:
    """Do as told; leave at once when nobody is there any more."""
    commands = {b"pause": job.pause, b"resume": job.resume, b"stop": job.stop}
    while True:
        try:
            command = connection.recv_bytes()
        except (EOFError, OSError):
            _leave(_ORPHANED)
        if command == until:
            return
        commands[command]()


def _send(connection: Connection, mail: Mail) -> None:
    try:
        letter = pickle.dumps(mail, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        told = ComputeError(
            f"The result cannot be brought over from its process ({error}); wanted plain data. "
            "Switch off process mode in Preferences, and report this message."
        )
        letter = pickle.dumps(Mail(outcome=Outcome(error=told)))
    try:
        connection.send_bytes(letter)
    except OSError:
        _leave(_ORPHANED)


def _by_name(opener: str) -> OpenTask:
    def open_task(request: RunRequest) -> Task:
        module, _, name = opener.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        task: Task = found(request)
        return task

    return open_task


def _leave(code: int) -> NoReturn:
    """End now: a thread inside torch would hold up, or crash, an ordinary end."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
