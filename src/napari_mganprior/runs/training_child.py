"""What a training run's process does: ``python -m napari_mganprior.runs.training_child``.

It knows neither Qt nor napari. `TrainingJob` starts it, says on its standard input where to
connect, and names the run's folder. When nobody is there any more it saves a checkpoint and
leaves.
"""

import contextlib
import json
import logging
import os
import pickle
import sys
import threading
from contextlib import closing
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import NoReturn

from napari_mganprior.runs.failures import explain, forget_frames
from napari_mganprior.runs.training_news import TrainingEnd, TrainingNews
from napari_mganprior.runs.training_work import Pressed, train_prior

__all__ = ["main"]

_ORPHANED = 70
_GRACE = 60.0  # seconds to come to a checkpoint; the last one is good in any case
_LOWER = 5  # the window goes first where both want the processor

_log = logging.getLogger(__name__)


def main() -> None:
    """Connect, train, send the news, and leave."""
    hello = json.loads(sys.stdin.buffer.readline())
    connection = Client(hello["address"], authkey=bytes.fromhex(hello["key"]))
    try:
        order = json.loads(connection.recv_bytes())
    except (EOFError, OSError):
        _leave(_ORPHANED)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_LOWER)  # no such thing on Windows
    pressed = Pressed()
    threading.Thread(target=_obey, args=(connection, pressed), daemon=True).start()
    _send(connection, TrainingNews(doing="Loading PyTorch"), pressed)
    try:
        _set_threads(int(order["threads"]))
        with closing(train_prior(Path(order["folder"]), pressed)) as work:
            for news in work:
                _send(connection, news, pressed)
    except BaseException as error:  # noqa: BLE001  nothing may leave unseen
        told = explain(error)
        _log.debug("A training run failed.\n%s", forget_frames(told))
        _send(connection, TrainingNews(end=TrainingEnd(error=told)), pressed)
    _leave(_ORPHANED if pressed.leave.is_set() else 0)


def _obey(connection: Connection, pressed: Pressed) -> None:
    """Do as told; when nobody is there any more, go to a checkpoint and leave."""
    while True:
        try:
            command = connection.recv_bytes()
        except (EOFError, OSError):
            break
        if command == b"pause":
            pressed.going.clear()
            if pressed.stop.is_set() or pressed.leave.is_set():  # it would wait for ever
                pressed.going.set()
        elif command == b"resume":
            pressed.going.set()
        elif command == b"stop":
            pressed.end(keep=True)
        elif command == b"leave":
            break
    pressed.end(keep=False)
    threading.Timer(_GRACE, _leave, (_ORPHANED,)).start()


def _set_threads(number: int) -> None:
    if number > 0:
        import torch

        torch.set_num_threads(number)


def _send(connection: Connection, news: TrainingNews, pressed: Pressed) -> None:
    try:
        connection.send_bytes(pickle.dumps(news, protocol=pickle.HIGHEST_PROTOCOL))
    except OSError:
        pressed.end(keep=False)


def _leave(code: int) -> NoReturn:
    """End now: a thread inside torch would hold up, or crash, an ordinary end."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # who reads them may be gone
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
