"""Tasks for a process of its own: it finds them by name, so they stand in a module."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_mganprior.errors import ImageError, OutOfMemoryError
from napari_mganprior.runs import RunRequest


def ask(**more: Any) -> RunRequest:
    """Ask for any task of this module."""
    image = np.arange(64.0).reshape(8, 8)
    return RunRequest(image=image, mask=image > 60, prior="tiny", **more)


class Short:
    """Five quick steps; the result says what the process knows of itself."""

    n_steps = 5
    pace = 0.0

    def __init__(self, request: RunRequest) -> None:
        self.request = request
        self.done = 0

    def __iter__(self) -> Iterator[Any]:
        for index in range(1, self.n_steps + 1):
            self.done = index
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1 / index, window=1, n_windows=1
            )
            time.sleep(self.pace)

    def preview(self) -> np.ndarray:
        return np.full(self.request.image.shape, self.done)

    def result(self) -> Any:
        return SimpleNamespace(
            image=self.request.image,
            steps=self.done,
            pid=os.getpid(),
            modules=sorted({name.partition(".")[0] for name in sys.modules}),
        )


class Endless(Short):
    """Quick steps until somebody ends it."""

    n_steps = 10**6
    pace = 0.005


class Racing(Endless):
    """Steps as quick as can be."""

    pace = 0.0


class Asleep(Short):
    """A first step, and then one that takes an hour."""

    def __iter__(self) -> Iterator[Any]:
        yield next(super().__iter__())
        time.sleep(3600)


class Busy(Short):
    """A first step, and then one that computes without end."""

    def __iter__(self) -> Iterator[Any]:
        yield next(super().__iter__())
        while True:
            pass


class Stubborn(Endless):
    """Does not end when asked to."""


def stubborn(request: RunRequest) -> Stubborn:
    # SIG_IGN can only be set in the main thread by `signal`; the C function does not mind.
    ctypes.CDLL(None).signal(signal.SIGTERM, 1)
    return Stubborn(request)


class Stalled(Short):
    """Never opened."""

    def __init__(self, request: RunRequest) -> None:
        time.sleep(3600)


class Unsendable(Short):
    """Its result holds something that cannot be brought over."""

    def result(self) -> Any:
        return SimpleNamespace(image=self.request.image, secret=lambda: None)


def crash(request: RunRequest) -> Any:
    os._exit(3)


def crash_with_words(request: RunRequest) -> Any:
    sys.stderr.write("x" * 5000 + "\nthe last straw\n")
    os._exit(4)


def segfault(request: RunRequest) -> Any:
    ctypes.string_at(0)


def killed(request: RunRequest) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def refused(request: RunRequest) -> Any:
    raise ImageError("Got NaN; wanted numbers. Replace them.")


def too_big(request: RunRequest) -> Any:
    raise OutOfMemoryError("Got too little; wanted more. Crop.", wanted=9 * 2**30, free=2**30)


def faulty(request: RunRequest) -> Any:
    raise RuntimeError("sizes differ")


def torch_threads(request: RunRequest) -> Any:
    """Open a task whose result says how many threads torch computes with."""
    import torch

    class Counting(Short):
        def result(self) -> Any:
            return SimpleNamespace(threads=torch.get_num_threads())

    return Counting(request)
