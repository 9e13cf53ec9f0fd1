"""A run's life, without Qt."""

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.runs import RunController, RunRequest, RunState


def test_a_run_goes_from_idle_over_loading_and_running_back_to_idle(bench, request_):
    bench.let(5)
    bench.controller.start(request_)
    bench.until(lambda: bool(bench.of("finished")))
    states = bench.of("state_changed")
    assert states == [RunState.LOADING, RunState.RUNNING, RunState.IDLE]
    (result,) = bench.of("finished")
    assert result.restoration.steps == 5
    assert not result.stopped
    assert not bench.of("failed")
    assert not bench.of("cancelled")


def test_only_the_latest_progress_is_told(bench, request_):
    """A mailbox does not grow: five steps between two polls are told once."""
    bench.let(4)
    bench.controller.start(request_)
    while not (bench.tasks and bench.tasks[0].done == 4):
        time.sleep(0.002)
    time.sleep(0.05)
    bench.controller.poll()
    (progress,) = bench.of("progressed")
    assert (progress.index, progress.n_steps) == (4, 5)
    assert progress.fraction == pytest.approx(0.8)
    assert progress.loss == pytest.approx(0.25)
    assert progress.remaining == pytest.approx(progress.elapsed / 4)


def test_handlers_run_in_the_thread_that_polls(bench, request_):
    where = set()
    for signal in (bench.controller.progressed, bench.controller.finished):
        signal.connect(lambda _: where.add(threading.current_thread()))
    bench.let(5)
    bench.controller.start(request_)
    bench.until(lambda: bool(bench.of("finished")))
    assert where == {threading.current_thread()}


def test_stop_keeps_what_there_is_within_one_step(bench, request_):
    bench.controller.start(request_)
    bench.let(2)
    bench.until(lambda: bool(bench.of("progressed")) and bench.tasks[0].done == 2)
    bench.controller.stop()
    assert bench.controller.state is RunState.STOPPING
    bench.let(1)
    bench.until(lambda: bool(bench.of("finished")))
    (result,) = bench.of("finished")
    assert result.stopped
    assert result.restoration.steps <= 3


def test_stop_while_loading_keeps_the_first_step(bench, request_):
    bench.controller.start(request_)
    bench.controller.stop()
    bench.let(5)
    bench.until(lambda: bool(bench.of("finished")))
    assert bench.of("finished")[0].restoration.steps == 1


def test_cancel_leaves_nothing(bench, request_):
    bench.controller.start(request_)
    bench.let(2)
    bench.until(lambda: bool(bench.of("progressed")))
    bench.controller.cancel()
    bench.let(1)
    bench.until(lambda: bool(bench.of("cancelled")))
    assert not bench.of("finished")
    assert not bench.tasks[0].asked_for_result
    assert bench.controller.state is RunState.IDLE


def test_cancel_after_stop_still_cancels(bench, request_):
    bench.controller.start(request_)
    bench.controller.stop()
    bench.controller.cancel()
    bench.let(5)
    bench.until(lambda: bool(bench.of("cancelled")))
    assert not bench.of("finished")


def test_cancel_while_loading_computes_no_step(request_):
    loading, go_on = threading.Event(), threading.Event()
    ended = []

    def open_slowly(request):
        loading.set()
        assert go_on.wait(10)
        raise RuntimeError("after a cancel nobody wants to hear this")

    controller = RunController(open_slowly)
    controller.cancelled.connect(lambda: ended.append("cancelled"))
    controller.failed.connect(lambda _: ended.append("failed"))
    controller.start(request_)
    assert loading.wait(10)
    controller.cancel()
    go_on.set()
    while controller.busy:
        controller.poll()
    assert ended == ["cancelled"]


def test_pause_holds_the_run_and_stops_its_clock(bench, request_):
    bench.controller.start(request_)
    bench.let(1)
    bench.until(lambda: bool(bench.of("progressed")))
    bench.controller.pause()
    bench.let(4)
    time.sleep(0.3)
    bench.controller.poll()
    assert bench.controller.state is RunState.PAUSED
    assert bench.tasks[0].done <= 2  # one step may have been under way
    bench.controller.resume()
    bench.until(lambda: bool(bench.of("finished")))
    assert bench.of("finished")[0].restoration.steps == 5
    assert bench.of("progressed")[-1].elapsed < 0.3


def test_stop_and_cancel_reach_a_paused_run(bench, request_):
    bench.controller.start(request_)
    bench.let(2)
    bench.until(lambda: bool(bench.of("progressed")))
    bench.controller.pause()
    time.sleep(0.05)
    bench.controller.cancel()
    bench.let(1)
    bench.until(lambda: bool(bench.of("cancelled")))


def test_a_second_start_is_refused_and_the_first_goes_on(bench, request_):
    bench.controller.start(request_)
    with pytest.raises(MGANPriorError, match=r"second run .* one at a time"):
        bench.controller.start(request_)
    bench.let(5)
    bench.until(lambda: bool(bench.of("finished")))
    assert len(bench.tasks) == 1


def test_after_the_end_another_run_may_start_from_the_handler(bench, request_):
    bench.controller.finished.connect(
        lambda _: len(bench.tasks) < 2 and bench.controller.start(request_), check_nargs=False
    )
    bench.let(10)
    bench.controller.start(request_)
    bench.until(lambda: len(bench.of("finished")) == 2)


def test_close_ends_the_thread_and_is_silent_from_then_on(bench, request_):
    bench.controller.start(request_)
    bench.let(1)
    bench.until(lambda: bool(bench.of("progressed")))
    bench.let(1)
    assert bench.controller.close(10.0)
    heard = list(bench.heard)
    bench.controller.poll()
    assert bench.heard == heard
    with pytest.raises(MGANPriorError, match="closed window"):
        bench.controller.start(request_)


def test_previews_come_only_when_asked_for_and_not_too_often(bench):
    image = np.zeros((8, 8))
    for interval, most in ((None, 0), (60.0, 1)):
        bench.let(5)
        bench.controller.start(
            RunRequest(image=image, mask=image == 0, prior="tiny", preview_interval=interval)
        )
        bench.until(lambda: not bench.controller.busy)
        assert bench.tasks[-1].previews == most


def test_a_preview_arrives(bench):
    image = np.zeros((8, 8))
    bench.controller.start(
        RunRequest(image=image, mask=image == 0, prior="tiny", preview_interval=1e-6)
    )
    for step in range(1, 4):
        time.sleep(0.05)  # the one before was drawn in microseconds, and 25 times that is over
        bench.let(1)
        bench.until(lambda step=step: any(p.max() == step for p in bench.of("previewed")))


def test_the_task_is_let_go_of_at_the_end(bench, request_):
    """Models and tensors hang on the task; nothing may keep it."""
    bench.let(5)
    bench.controller.start(request_)
    bench.until(lambda: bool(bench.tasks))
    task = weakref.ref(bench.tasks.pop())
    bench.until(lambda: bool(bench.of("finished")))
    assert task() is None


def test_planes_are_counted_where_a_task_counts_them(request_):
    """A step without a plane is of the only one."""

    class Planes:
        def __iter__(self):
            for plane in (1, 2):
                yield SimpleNamespace(
                    index=plane,
                    n_steps=2,
                    loss=0.0,
                    window=1,
                    n_windows=1,
                    plane=plane,
                    n_planes=2,
                )

        def result(self):
            return None

    heard = []
    controller = RunController(lambda _: Planes())
    controller.progressed.connect(heard.append)
    controller.start(request_)
    while controller.busy:
        controller.poll()
    assert (heard[-1].plane, heard[-1].n_planes) == (2, 2)


def test_planes_are_one_where_a_task_does_not_count_them(bench, request_):
    bench.let(5)
    bench.controller.start(request_)
    bench.until(lambda: bool(bench.of("finished")))
    assert {(one.plane, one.n_planes) for one in bench.of("progressed")} == {(1, 1)}


def torch_threads(_):
    """Open a task whose result is how many threads torch computes with."""
    import torch

    class Counting:
        def __iter__(self):
            yield SimpleNamespace(index=1, n_steps=1, loss=0.0, window=1, n_windows=1)

        def result(self):
            return torch.get_num_threads()

    return Counting()


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_computes_with_its_threads_and_leaves_torch_as_it_was(request_, fails):
    """Also when it fails; 0 changes nothing."""
    import torch

    def open_task(request):
        if fails:
            seen.append(torch.get_num_threads())
            raise ValueError("after the threads were set")
        return torch_threads(request)

    seen = []
    before = torch.get_num_threads()
    controller = RunController(open_task)
    controller.finished.connect(lambda result: seen.append(result.restoration))
    for threads in (before + 2, 0):
        controller.threads = threads
        controller.start(request_)
        while controller.busy:
            controller.poll()
    assert seen == [before + 2, before]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("process_mode", [False, True])
def test_a_negative_number_of_threads_is_refused(request_, process_mode):
    controller = RunController()
    controller.process_mode = process_mode
    controller.threads = -1
    with pytest.raises(SettingsError, match=r"Got -1 threads; wanted .* Set it in Preferences"):
        controller.start(request_)
    assert not controller.busy


def test_a_request_shares_nothing_with_the_arrays_it_was_made_from():
    image, mask = np.zeros((4, 4)), np.zeros((4, 4), np.uint8)
    mask[0, 0] = 7
    request = RunRequest(image=image, mask=mask, prior="tiny")
    image[:] = 1
    mask[:] = 1
    assert request.image.max() == 0
    assert request.mask.dtype == bool
    assert request.mask.sum() == 1


@pytest.mark.parametrize(
    ("wrong", "message"), [({"preview_interval": 0.0}, "more than 0"), ({"seed": -1}, "seed -1")]
)
def test_a_request_refuses_settings_out_of_range(wrong, message):
    with pytest.raises(SettingsError, match=message):
        RunRequest(image=np.zeros((4, 4)), mask=np.zeros((4, 4)), prior="tiny", **wrong)
