"""The garbage collector stays out of threads that compute."""

import gc
import threading
import time

import pytest

from napari_mganprior.runs import RunController
from napari_mganprior.runs.collector import CollectorHold, collect_if_due


@pytest.fixture(autouse=True)
def as_before():
    yield
    assert gc.isenabled()


class Litter:
    """A task that leaves cycles behind, enough for the collector to run many times."""

    n_steps = 40

    def __init__(self, request):
        self.request = request

    def __iter__(self):
        from types import SimpleNamespace

        for index in range(1, self.n_steps + 1):
            for _ in range(2000):
                one = []
                one.append(one)
            time.sleep(0.002)
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1.0, window=1, n_windows=1
            )

    def preview(self):
        return self.request.image

    def result(self):
        return None


def test_only_the_owners_thread_collects_while_a_run_is_on(request_):
    """Law: the collector never runs in the run's thread, and cycles do not pile up."""
    where = []
    gc.callbacks.append(
        lambda phase, info: phase == "start" and where.append(threading.current_thread().name)
    )
    try:
        controller = RunController(Litter)
        controller.start(request_)
        assert not gc.isenabled()
        while controller.busy:
            controller.poll()
            time.sleep(0.005)
    finally:
        gc.callbacks.pop()
    assert len(where) > 3
    assert set(where) == {threading.current_thread().name}
    assert gc.get_count()[0] < 40 * 2000


def test_a_thread_that_nobody_waits_for_lets_the_collector_go(bench, request_):
    bench.controller.start(request_)
    bench.let(1)
    bench.until(lambda: bool(bench.of("progressed")))
    assert not bench.controller.close(0.01)
    assert not gc.isenabled()
    bench.let(5)
    end = time.monotonic() + 10
    while not gc.isenabled() and time.monotonic() < end:
        time.sleep(0.01)


def test_several_holds_are_one_and_a_collector_that_was_off_stays_off():
    first, second = CollectorHold(), CollectorHold()
    first.release()
    first.release()
    assert not gc.isenabled()
    second.release()
    assert gc.isenabled()
    gc.disable()
    try:
        hold = CollectorHold()
        collect_if_due()
        hold.release()
        assert not gc.isenabled()
    finally:
        gc.enable()
