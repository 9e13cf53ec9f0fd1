"""Runs wait for each other, and whatever happens to one, the next begins."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs import Job, RunController, RunRequest, RunState


def ask(seed=0):
    image = np.arange(64.0).reshape(8, 8)
    return RunRequest(image=image, mask=image > 60, prior="tiny", seed=seed)


@pytest.fixture
def queued(bench):
    """Return a bench that also hears of starts and of the queue."""
    for name in ("started", "queue_changed"):
        getattr(bench.controller, name).connect(bench.listener(name), check_nargs=False)
    return bench


def seeds(bench):
    return [request.seed for request in bench.of("started")]


def test_an_idle_controller_starts_at_once(queued):
    request = ask()
    assert queued.controller.enqueue(request) == 0
    assert queued.controller.state is RunState.LOADING
    assert queued.controller.current is request
    assert queued.of("started") == [request]
    assert queued.of("queue_changed") == []


def test_a_plain_start_is_told_too(queued):
    request = ask()
    queued.controller.start(request)
    assert queued.heard == [("state_changed", RunState.LOADING), ("started", request)]


def test_waiting_runs_start_in_their_order_after_the_signals_of_the_one_before(queued):
    controller = queued.controller
    controller.start(ask(1))
    assert [controller.enqueue(ask(seed)) for seed in (2, 3)] == [1, 2]
    assert controller.waiting == 2
    queued.let(15)
    queued.until(lambda: len(queued.of("finished")) == 3)
    assert seeds(queued) == [1, 2, 3]
    assert queued.of("queue_changed") == [1, 2, 1, 0]
    order = [said for said, _ in queued.heard if said in ("started", "finished")]
    assert order == ["started", "finished"] * 3
    assert controller.current is None
    assert controller.state is RunState.IDLE


def test_cancel_ends_the_run_under_way_only(queued):
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.controller.cancel()
    queued.let(6)
    queued.until(lambda: bool(queued.of("finished")))
    assert len(queued.of("cancelled")) == 1
    assert seeds(queued) == [1, 2]


def test_a_run_that_fails_does_not_hold_up_the_queue(request_):
    tried, heard = [], []

    def open_task(request):
        tried.append(request.seed)
        raise RuntimeError("sizes differ")

    controller = RunController(open_task)
    controller.failed.connect(lambda error: heard.append(str(error)))
    for seed in (1, 2, 3):
        controller.enqueue(ask(seed))
    while controller.busy:
        controller.poll()
    assert tried == [1, 2, 3]
    assert len(heard) == 3


def test_clear_queue_leaves_the_run_under_way(queued):
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.controller.clear_queue()
    queued.controller.clear_queue()
    queued.let(5)
    queued.until(lambda: not queued.controller.busy)
    assert seeds(queued) == [1]
    assert queued.of("queue_changed") == [1, 0]


def test_close_drops_the_queue(queued):
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.let(1)
    assert queued.controller.close(10.0)
    queued.controller.poll()
    assert queued.controller.waiting == 0
    assert queued.controller.current is None
    assert len(queued.tasks) <= 1
    with pytest.raises(MGANPriorError, match="closed window"):
        queued.controller.enqueue(ask(3))


def test_close_in_a_handler_starts_nothing_more(queued):
    queued.controller.finished.connect(lambda _: queued.controller.close(), check_nargs=False)
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.let(5)
    queued.until(lambda: bool(queued.of("finished")))
    queued.controller.poll()
    assert seeds(queued) == [1]
    assert not queued.controller.busy


def test_what_a_handler_enqueues_starts_after_all_handlers_were_told(queued):
    heard = []
    queued.controller.finished.connect(
        lambda _: len(heard) == 0 and queued.controller.enqueue(ask(2)), check_nargs=False
    )
    queued.controller.finished.connect(lambda _: heard.append(list(seeds(queued))))
    queued.let(10)
    queued.controller.start(ask(1))
    queued.until(lambda: len(queued.of("finished")) == 2)
    assert heard == [[1], [1, 2]]


def test_what_a_handler_enqueues_waits_behind_those_that_waited(queued):
    queued.controller.finished.connect(
        lambda _: seeds(queued) == [1] and queued.controller.enqueue(ask(3)), check_nargs=False
    )
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.let(15)
    queued.until(lambda: len(queued.of("finished")) == 3)
    assert seeds(queued) == [1, 2, 3]


def test_a_handler_may_start_a_run_before_those_that_wait(queued):
    queued.controller.finished.connect(
        lambda _: seeds(queued) == [1] and queued.controller.start(ask(9)), check_nargs=False
    )
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2))
    queued.let(15)
    queued.until(lambda: len(queued.of("finished")) == 3)
    assert seeds(queued) == [1, 9, 2]


def test_a_handler_that_raises_does_not_hold_up_the_queue(queued):
    def wrong(_):
        raise ValueError("a mistake in a handler")

    queued.controller.started.connect(wrong)
    with pytest.raises(Exception, match="a mistake in a handler"):
        queued.controller.start(ask(1))
    assert queued.controller.enqueue(ask(2)) == 1
    queued.let(10)
    with pytest.raises(Exception, match="a mistake in a handler"):
        queued.until(lambda: len(queued.of("finished")) == 2)
    queued.until(lambda: len(queued.of("finished")) == 2)


def test_a_handler_that_raises_about_a_failed_start_does_not_hold_up_the_queue(bench):
    """The next poll goes on with those that wait."""

    def make_job(request, open_task):
        if request.seed == 2:
            raise MGANPriorError("Got seed 2; wanted another.")
        return Job(request, open_task)

    def wrong(_):
        raise ValueError("a mistake in a handler")

    controller = RunController(bench.open, make_job=make_job)
    controller.failed.connect(wrong)
    finished = []
    controller.finished.connect(finished.append)
    bench.let(10)
    for seed in (1, 2, 3):
        controller.enqueue(ask(seed))
    with pytest.raises(Exception, match="a mistake in a handler"):
        bench.until(lambda: controller.poll() or len(finished) == 2)
    bench.until(lambda: controller.poll() or len(finished) == 2)
    assert controller.waiting == 0


def test_the_same_key_waits_once(queued):
    """Pressed twice, the later settings count, in the earlier place."""
    queued.controller.start(ask(1))
    queued.controller.enqueue(ask(2), key="cells")
    queued.controller.enqueue(ask(3))
    assert queued.controller.enqueue(ask(4), key="cells") == 2
    assert queued.controller.enqueue(ask(5)) == 3
    queued.let(20)
    queued.until(lambda: len(queued.of("finished")) == 4)
    assert seeds(queued) == [1, 4, 3, 5]


def test_a_job_of_ones_own_is_used(bench, request_):
    made = []

    def make_job(request, open_task):
        made.append(request)
        return Job(request, open_task)

    controller = RunController(bench.open, make_job=make_job)
    bench.let(5)
    controller.enqueue(request_)
    while controller.busy:
        controller.poll()
    assert made == [request_]


def test_a_system_without_threads_is_told(request_):
    """The run does not start, and the controller stays idle."""

    def start():
        raise RuntimeError("can't start new thread")

    controller = RunController(make_job=lambda *_: SimpleNamespace(start=start))
    with pytest.raises(MGANPriorError, match="can't start new thread"):
        controller.start(request_)
    assert not controller.busy
