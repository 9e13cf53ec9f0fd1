"""A task whose steps the test lets through one by one, processes, and that nothing is left."""

import importlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_mganprior.runs import ProcessJob, RunController, RunRequest


class GatedTask:
    """Yield a step whenever the gate is opened once."""

    def __init__(self, request: RunRequest, gate: threading.Semaphore, n_steps: int) -> None:
        self.request = request
        self.gate = gate
        self.n_steps = n_steps
        self.done = 0
        self.previews = 0
        self.asked_for_result = False

    def __iter__(self) -> Iterator[Any]:
        for index in range(1, self.n_steps + 1):
            assert self.gate.acquire(timeout=20)
            self.done = index
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1 / index, window=1, n_windows=1
            )

    def preview(self) -> np.ndarray:
        self.previews += 1
        return np.full(self.request.image.shape, self.done)

    def result(self) -> Any:
        self.asked_for_result = True
        return SimpleNamespace(image=self.request.image, steps=self.done)


class Bench:
    """A controller over gated tasks, and everything it has said."""

    def __init__(self, n_steps: int = 5) -> None:
        self.gate = threading.Semaphore(0)
        self.tasks: list[GatedTask] = []
        self.n_steps = n_steps
        self.controller = RunController(self.open)
        self.heard: list[tuple[str, Any]] = []
        for name in ("state_changed", "progressed", "previewed", "finished", "failed"):
            getattr(self.controller, name).connect(self.listener(name), check_nargs=False)
        self.controller.cancelled.connect(lambda: self.heard.append(("cancelled", None)))

    def listener(self, name: str) -> Callable[[Any], None]:
        return lambda value: self.heard.append((name, value))

    def open(self, request: RunRequest) -> GatedTask:
        task = GatedTask(request, self.gate, self.n_steps)
        self.tasks.append(task)
        return task

    def of(self, name: str) -> list[Any]:
        return [value for said, value in self.heard if said == name]

    def let(self, steps: int) -> None:
        for _ in range(steps):
            self.gate.release()

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Poll as a window would, until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"still waiting; heard {self.heard}"
            self.controller.poll()
            time.sleep(0.002)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.let(1000)
    assert bench.controller.close(10.0)


@pytest.fixture
def request_() -> RunRequest:
    image = np.arange(64.0).reshape(8, 8)
    return RunRequest(image=image, mask=image > 60, prior="tiny")


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    wait_for_threads()


def wait_for_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("napari-mganprior"):
            thread.join(10.0)
            assert not thread.is_alive(), f"{thread} is left over"


HERE = Path(__file__).parent


@pytest.fixture
def tasks(monkeypatch):
    """Return the module of tasks, where the process finds it too."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("process_tasks")


@pytest.fixture
def nothing_left(monkeypatch):
    """After every test: no file, no process, no thread is left."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp" if os.name != "nt" else None))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = children()
    try:
        yield
        wait_for_threads()
        assert children() <= before
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder)


def children():
    """Return the processes, zombies too, that this one started."""
    if not Path("/proc/self/task").exists():
        return set()
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set((task / "children").read_text().split())
    return found


class Listening:
    """A controller in process mode, and what it has said."""

    def __init__(self, open_task):
        self.controller = RunController(open_task)
        self.controller.process_mode = True
        self.heard = []
        for name in ("progressed", "previewed", "finished", "failed", "started"):
            getattr(self.controller, name).connect(self.listener(name), check_nargs=False)
        self.controller.cancelled.connect(lambda: self.heard.append(("cancelled", None)))

    def listener(self, name):
        return lambda value: self.heard.append((name, value))

    def of(self, name):
        return [value for said, value in self.heard if said == name]

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"still waiting; heard {self.heard}"
            self.controller.poll()
            time.sleep(0.005)

    def run(self, request):
        self.controller.start(request)
        self.until(lambda: not self.controller.busy)
        return self.heard[-1]


@pytest.fixture
def listen():
    made = []

    def make(open_task):
        made.append(Listening(open_task))
        return made[-1]

    yield make
    for one in made:
        assert one.controller.close(10.0)


@pytest.fixture
def start(tasks):
    jobs = []

    def begin(open_task, **more):
        jobs.append(ProcessJob(tasks.ask(**more), open_task))
        jobs[-1].start()
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cancel()
        assert job.join(5.0)
