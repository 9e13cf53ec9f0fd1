"""A run in a process of its own behaves as one in a thread, and cannot harm napari."""

import gc
import logging
import os
import time
import weakref

import numpy as np
import pytest

from napari_mganprior.errors import (
    ComputeError,
    ImageError,
    MGANPriorError,
    OutOfMemoryError,
    SettingsError,
)
from napari_mganprior.runs import ProcessJob, RunRequest, RunState

posix = pytest.mark.skipif(os.name == "nt", reason="signals and /proc")
pytestmark = pytest.mark.usefixtures("nothing_left")


def test_a_run_in_a_process_finishes_with_the_same_news(tasks, listen):
    """Progress, previews, frames and result are those of a thread; Qt and napari are not there."""
    one = listen(tasks.Short)
    request = tasks.ask(preview_interval=1e-6, history=True)
    how, result = one.run(request)
    assert how == "finished"
    assert not result.stopped
    np.testing.assert_array_equal(result.restoration.image, request.image)
    assert result.restoration.steps == 5
    assert result.restoration.pid != os.getpid()
    assert result.frames.steps == (1, 2, 3, 4, 5)
    assert result.frames.images[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert one.of("progressed")[-1].index == 5
    forbidden = {"napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6"}
    assert forbidden.isdisjoint(result.restoration.modules)


@pytest.mark.parametrize("task", ["inpaint", "denoise", "super_resolve", "invert"])
def test_the_real_restoration_is_the_same_in_a_process(prior_folder, monkeypatch, listen, task):
    """A seed gives the same pixels in a thread and in a process, whatever the task."""
    from napari_mganprior.runs.opening import open_task

    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    mask = np.zeros((20, 20), bool)
    mask[10:14, 10:14] = True
    request = RunRequest(
        image=image, mask=mask if task == "inpaint" else None, prior="tiny16", quality="fast",
        device="cpu", task=task, overrides={"n_steps": 5},
        options={"super_resolve": {"factor": 2}, "denoise": {"level": 0.1}}.get(task, {}),
    )  # fmt: skip
    pictures = []
    for process_mode in (False, True):
        one = listen(open_task)
        one.controller.process_mode = process_mode
        one.controller.threads = 1
        how, result = one.run(request)
        assert how == "finished", result
        pictures.append(result.restoration.image)
    np.testing.assert_array_equal(*pictures)
    if task != "super_resolve":
        assert not np.array_equal(pictures[0][mask], image[mask])


@pytest.mark.parametrize("name", ["Asleep", "Busy", "Stalled"])
def test_cancel_is_over_within_half_a_second(tasks, listen, name):
    """Whatever the process is doing, it is gone at once."""
    one = listen(getattr(tasks, name))
    one.controller.start(tasks.ask())
    if name == "Stalled":
        end = time.monotonic() + 1.0
        one.until(lambda: time.monotonic() > end)
        assert one.controller.state is RunState.LOADING
    else:
        one.until(lambda: bool(one.of("progressed")))
    began = time.monotonic()
    one.controller.cancel()
    one.until(lambda: not one.controller.busy)
    assert time.monotonic() - began < 0.5
    assert one.heard[-1] == ("cancelled", None)
    assert one.controller.state is RunState.IDLE


@posix
def test_a_process_that_does_not_want_to_end_is_killed(tasks, listen):
    one = listen(tasks.stubborn)
    one.controller.start(tasks.ask())
    one.until(lambda: bool(one.of("progressed")))
    began = time.monotonic()
    one.controller.cancel()
    one.until(lambda: bool(one.of("cancelled")))
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1, 0.3])
def test_cancel_while_the_process_starts_leaves_nothing(tasks, listen, wait):
    one = listen(tasks.Endless)
    one.controller.start(tasks.ask())
    time.sleep(wait)
    one.controller.cancel()
    one.until(lambda: bool(one.of("cancelled")), seconds=2.0)
    assert not one.of("finished")


def test_pause_holds_resume_goes_on_and_stop_keeps(tasks, listen):
    one = listen(tasks.Endless)
    one.controller.start(tasks.ask())
    one.until(lambda: bool(one.of("progressed")))
    one.controller.pause()
    time.sleep(0.2)  # one step, and its news, may have been under way
    one.controller.poll()
    held = one.of("progressed")[-1].index
    time.sleep(0.2)
    one.controller.poll()
    assert one.of("progressed")[-1].index == held
    one.controller.resume()
    one.until(lambda: one.of("progressed")[-1].index > held)
    one.controller.stop()
    one.until(lambda: bool(one.of("finished")))
    (result,) = one.of("finished")
    assert result.stopped
    assert result.restoration.steps > held


def test_stop_while_the_process_starts_keeps_the_first_step(tasks, listen):
    one = listen(tasks.Racing)
    one.controller.start(tasks.ask())
    one.controller.stop()
    one.until(lambda: bool(one.of("finished")))
    assert one.of("finished")[0].restoration.steps == 1


def first_progress(job):
    """Wait for the first progress of a job that nobody polls."""
    end = time.monotonic() + 20
    while (progress := job.collect().progress) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return progress


def test_only_the_latest_news_wait(tasks, start):
    """Nobody collects for a while: the news of the last step wait, not those of all."""
    job = start(tasks.Endless, preview_interval=1e-6)
    first = first_progress(job)
    time.sleep(0.5)
    mail = job.collect()
    assert mail.progress.index > first.index + 10
    assert first.index < mail.preview.max() <= mail.progress.index
    assert mail.outcome is None


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("crash", ComputeError, r"exit code 3; wanted a result. napari is not harmed. Press Run"),
        ("crash_with_words", ComputeError, r"exit code 4, after it wrote 'the last straw'"),
        pytest.param("segfault", ComputeError, r"SIGSEGV \(it touched memory", marks=posix),
        pytest.param("killed", OutOfMemoryError, r"SIGKILL\), most often .* memory", marks=posix),
        ("faulty", ComputeError, r"failed \(RuntimeError: sizes differ\)"),
        ("refused", ImageError, r"^Got NaN; wanted numbers. Replace them.$"),
        ("Unsendable", ComputeError, r"cannot be brought over .* Switch off process mode"),
    ],
)
def test_whatever_ends_the_process_arrives_as_an_error_for_people(
    tasks, listen, name, kind, message
):
    """An exception arrives as from a thread; a crash is told in words, and the next run works."""
    one = listen(getattr(tasks, name))
    how, error = one.run(tasks.ask())
    assert how == "failed"
    assert type(error) is kind
    with pytest.raises(MGANPriorError, match=message):
        raise error
    assert one.run(tasks.ask())[0] == "failed"


def test_the_numbers_of_an_error_arrive(tasks, listen):
    _, error = listen(tasks.too_big).run(tasks.ask())
    assert (type(error), error.wanted, error.free) == (OutOfMemoryError, 9 * 2**30, 2**30)


def test_what_a_crashed_process_wrote_is_kept_up_to_a_limit(tasks, listen, caplog):
    """Its last 2000 characters are in the log and in a note of the error."""
    with caplog.at_level(logging.WARNING, "napari_mganprior"):
        _, error = listen(tasks.crash_with_words).run(tasks.ask())
    (note,) = error.__notes__
    assert note.endswith("the last straw")
    assert 1900 < len(note) < 2100
    assert "the last straw" in caplog.text


@posix
def test_the_lines_of_a_crash_are_kept_and_the_list_of_modules_is_not(tasks, listen):
    """Python names every extension module there is; that would be all of the tail."""
    _, error = listen(tasks.segfault).run(tasks.ask())
    (note,) = error.__notes__
    assert "process_tasks.py" in note
    assert "Extension modules" not in note


def test_a_task_without_a_name_is_refused_when_started(tasks, listen):
    one = listen(lambda request: None)
    with pytest.raises(SettingsError, match=r"function of a module .* Switch off process mode"):
        one.controller.start(tasks.ask())
    assert not one.controller.busy


def test_a_waiting_run_that_cannot_start_has_failed(tasks, listen):
    """The queue goes on after it."""
    one = listen(lambda request: tasks.Short(request))
    one.controller.process_mode = False
    one.controller.start(tasks.ask())
    one.controller.enqueue(tasks.ask())
    one.controller.process_mode = True
    one.until(lambda: bool(one.of("failed")))
    assert [said for said, _ in one.heard if said in ("finished", "failed")] == [
        "finished",
        "failed",
    ]
    assert not one.controller.busy


def test_a_queue_of_processes_survives_a_crash(tasks, listen):
    """Each run has a process of its own."""
    one = listen(tasks.Short)
    one.controller.start(tasks.ask())
    assert one.controller.enqueue(tasks.ask()) == 1
    one.until(lambda: len(one.of("finished")) == 2)
    first, second = (result.restoration.pid for result in one.of("finished"))
    assert first != second


def test_an_image_on_nameless_functions_is_brought_as_pixels(tasks, listen):
    """A lazy image whose graph cannot be sent is computed first."""

    class Lazy:
        def __init__(self):
            self.draw = lambda: np.full((8, 8), 7.0)

        def __array__(self, dtype=None, copy=None):
            return self.draw()

    request = tasks.ask()
    object.__setattr__(request, "image", Lazy())
    how, result = listen(tasks.Short).run(request)
    assert how == "finished", result
    assert result.restoration.image.min() == 7.0


def test_close_ends_the_process(tasks, listen):
    one = listen(tasks.Asleep)
    one.controller.start(tasks.ask())
    one.controller.enqueue(tasks.ask())
    one.until(lambda: bool(one.of("progressed")))
    began = time.monotonic()
    assert one.controller.close(5.0)
    assert time.monotonic() - began < 1.0
    assert one.controller.waiting == 0


def test_the_request_is_let_go_of_once_it_is_sent(tasks):
    """The image is in the process; a second one here would be a waste."""
    request = tasks.ask()
    image = weakref.ref(request.image)
    job = ProcessJob(request, tasks.Asleep)
    del request
    job.start()
    try:
        first_progress(job)
        gc.collect()
        assert image() is None
    finally:
        job.cancel()
        assert job.join(5.0)


def test_the_number_of_torch_threads_reaches_the_process(tasks, listen):
    one = listen(tasks.torch_threads)
    one.controller.threads = 3
    how, result = one.run(tasks.ask())
    assert how == "finished", result
    assert result.restoration.threads == 3
