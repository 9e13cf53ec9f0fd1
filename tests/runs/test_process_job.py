"""A run in a process of its own behaves as one in a thread, and cannot harm napari."""

import gc
import importlib
import importlib.util
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.errors import (
    ComputeError,
    ImageError,
    MGANPriorError,
    OutOfMemoryError,
    SettingsError,
)
from napari_mganprior.runs import ProcessJob, RunController, RunRequest, RunState

HERE = Path(__file__).parent
posix = pytest.mark.skipif(os.name == "nt", reason="signals and /proc")


@pytest.fixture
def tasks(monkeypatch):
    """Return the module of tasks, where the process finds it too."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("process_tasks")


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    """After every test: no file, no process, no thread is left."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp" if os.name != "nt" else None))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = children()
    try:
        yield
        for thread in threading.enumerate():
            if thread.name.startswith("napari-mganprior"):
                thread.join(5.0)
                assert not thread.is_alive(), f"{thread} is left over"
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


class Listener:
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
        made.append(Listener(open_task))
        return made[-1]

    yield make
    for one in made:
        assert one.controller.close(10.0)


@pytest.fixture
def start():
    jobs = []

    def begin(open_task, **more):
        jobs.append(ProcessJob(ask(**more), open_task))
        jobs[-1].start()
        return jobs[-1]

    yield begin
    for job in jobs:
        job.cancel()
        assert job.join(5.0)


def ask(**more):
    image = np.arange(64.0).reshape(8, 8)
    return RunRequest(image=image, mask=image > 60, prior="tiny", **more)


def test_a_run_in_a_process_finishes_with_the_same_news(tasks, listen):
    """Progress, previews, frames and result are those of a thread; Qt and napari are not there."""
    one = listen(tasks.Short)
    request = ask(preview_interval=1e-6, history=True)
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


def test_the_real_restoration_is_the_same_in_a_process(prior_folder, monkeypatch, listen):
    """A seed gives the same pixels in a thread and in a process."""
    from napari_mganprior.runs.job import open_inpainting

    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    mask = np.zeros((32, 32), bool)
    mask[10:14, 10:14] = True
    request = RunRequest(image=image, mask=mask, prior="tiny16", quality="fast", device="cpu")
    pictures = []
    for process_mode in (False, True):
        one = listen(open_inpainting)
        one.controller.process_mode = process_mode
        one.controller.threads = 1
        how, result = one.run(request)
        assert how == "finished", result
        pictures.append(result.restoration.image)
    np.testing.assert_array_equal(*pictures)
    assert not np.array_equal(pictures[0][mask], image[mask])


@pytest.mark.parametrize("name", ["Asleep", "Busy", "Stalled"])
def test_cancel_is_over_within_half_a_second(tasks, listen, name):
    """Whatever the process is doing, it is gone at once."""
    one = listen(getattr(tasks, name))
    one.controller.start(ask())
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
    one.controller.start(ask())
    one.until(lambda: bool(one.of("progressed")))
    began = time.monotonic()
    one.controller.cancel()
    one.until(lambda: bool(one.of("cancelled")))
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1, 0.3])
def test_cancel_while_the_process_starts_leaves_nothing(tasks, listen, wait):
    one = listen(tasks.Endless)
    one.controller.start(ask())
    time.sleep(wait)
    one.controller.cancel()
    one.until(lambda: bool(one.of("cancelled")), seconds=2.0)
    assert not one.of("finished")


def test_pause_holds_resume_goes_on_and_stop_keeps(tasks, listen):
    one = listen(tasks.Endless)
    one.controller.start(ask())
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
    one.controller.start(ask())
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
    how, error = one.run(ask())
    assert how == "failed"
    assert type(error) is kind
    with pytest.raises(MGANPriorError, match=message):
        raise error
    assert one.run(ask())[0] == "failed"


def test_the_numbers_of_an_error_arrive(tasks, listen):
    _, error = listen(tasks.too_big).run(ask())
    assert (type(error), error.wanted, error.free) == (OutOfMemoryError, 9 * 2**30, 2**30)


def test_what_a_crashed_process_wrote_is_kept_up_to_a_limit(tasks, listen, caplog):
    """Its last 2000 characters are in the log and in a note of the error."""
    with caplog.at_level(logging.WARNING, "napari_mganprior"):
        _, error = listen(tasks.crash_with_words).run(ask())
    (note,) = error.__notes__
    assert note.endswith("the last straw")
    assert 1900 < len(note) < 2100
    assert "the last straw" in caplog.text


@posix
def test_the_lines_of_a_crash_are_kept_and_the_list_of_modules_is_not(tasks, listen):
    """Python names every extension module there is; that would be all of the tail."""
    _, error = listen(tasks.segfault).run(ask())
    (note,) = error.__notes__
    assert "process_tasks.py" in note
    assert "Extension modules" not in note


def test_a_task_without_a_name_is_refused_when_started(listen):
    one = listen(lambda request: None)
    with pytest.raises(SettingsError, match=r"function of a module .* Switch off process mode"):
        one.controller.start(ask())
    assert not one.controller.busy


def test_a_waiting_run_that_cannot_start_has_failed(tasks, listen):
    """The queue goes on after it."""
    one = listen(lambda request: tasks.Short(request))
    one.controller.process_mode = False
    one.controller.start(ask())
    one.controller.enqueue(ask())
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
    one.controller.start(ask())
    assert one.controller.enqueue(ask()) == 1
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

    request = ask()
    object.__setattr__(request, "image", Lazy())
    how, result = listen(tasks.Short).run(request)
    assert how == "finished", result
    assert result.restoration.image.min() == 7.0


def test_close_ends_the_process(tasks, listen):
    one = listen(tasks.Asleep)
    one.controller.start(ask())
    one.controller.enqueue(ask())
    one.until(lambda: bool(one.of("progressed")))
    began = time.monotonic()
    assert one.controller.close(5.0)
    assert time.monotonic() - began < 1.0
    assert one.controller.waiting == 0


def test_the_request_is_let_go_of_once_it_is_sent(tasks):
    """The image is in the process; a second one here would be a waste."""
    request = ask()
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
    how, result = one.run(ask())
    assert how == "finished", result
    assert result.restoration.threads == 3


_PARENT = """
import sys, time
import numpy as np
import process_tasks
from napari_mganprior.runs import ProcessJob, RunRequest

image = np.zeros((4, 4))
job = ProcessJob(RunRequest(image=image, mask=image == 0, prior="tiny"), process_tasks.{name})
job.start()
while job.collect().progress is None:
    time.sleep(0.01)
print("running", flush=True)
{then}
"""


def environment():
    """Let another Python find the tasks, and use the folder that `nothing_left` looks into."""
    places = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": places, "TMPDIR": tempfile.gettempdir()}


def parent(name, then):
    """Start a Python that starts a process job; return it once the job computes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT.format(name=name, then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout.readline() == "running\n", process.stderr.read()
    return process


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("name", ["Endless", "Asleep", "Busy"])
def test_the_process_dies_with_its_parent(tasks, name):
    """Even when the parent is killed and can say nothing."""
    with parent(name, "time.sleep(60)") as process:
        found = [
            pid
            for task in Path(f"/proc/{process.pid}/task").iterdir()
            for pid in (task / "children").read_text().split()
        ]
        assert len(found) == 1
        assert alive(found[0])
        os.kill(process.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while alive(found[0]):
            assert time.monotonic() < end, "the process outlived its parent"
            time.sleep(0.02)


def test_the_interpreter_ends_while_a_process_computes(tasks):
    """Closing napari during a run neither hangs nor complains."""
    began = time.monotonic()
    with parent("Asleep", "") as process:
        said, complained = process.communicate(timeout=20)
    assert process.returncode == 0
    assert not re.search(r"\S", said + complained)
    assert time.monotonic() - began < 15


def script(folder, text):
    """Return a program that stands in for Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@posix
def test_a_process_that_never_connects_can_be_cancelled(tasks, listen, tmp_path, monkeypatch):
    """Nor does what it has started itself hold anything up."""
    monkeypatch.setattr(sys, "executable", script(tmp_path, "sleep 3600"))
    one = listen(tasks.Short)
    one.controller.start(ask())
    time.sleep(0.3)
    began = time.monotonic()
    one.controller.cancel()
    one.until(lambda: bool(one.of("cancelled")), seconds=5.0)
    assert time.monotonic() - began < 0.5


@posix
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo no module here >&2; exit 1", "exit code 1, after it wrote 'no module here'"),
        ("exec 0<&- 1>&- 2>&-; sleep 0.2; exit 5", "exit code 5;"),
    ],
)
def test_a_process_that_ends_before_it_connects_is_told(
    tasks, listen, tmp_path, monkeypatch, text, message
):
    monkeypatch.setattr(sys, "executable", script(tmp_path, text))
    how, error = listen(tasks.Short).run(ask())
    assert how == "failed"
    with pytest.raises(ComputeError, match=message):
        raise error


def test_no_python_to_start_is_told(tasks, listen, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    how, error = listen(tasks.Short).run(ask())
    assert how == "failed"
    with pytest.raises(ComputeError, match=r"FileNotFoundError.*nowhere"):
        raise error


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
@pytest.mark.parametrize("name", ["Short", "crash", "Asleep"])
def test_no_open_file_is_left(tasks, listen, name):
    """However a run ends, it closes what it opened."""
    one = listen(getattr(tasks, name))

    def run():
        one.heard.clear()
        one.controller.start(ask())
        one.until(lambda: bool(one.of("progressed")) or not one.controller.busy)
        one.controller.cancel()
        one.until(lambda: not one.controller.busy)

    run()
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    run()
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before


_LEAVING = """
import sys, tempfile, time
from pathlib import Path
import numpy as np
import process_tasks
from napari_mganprior.runs import ProcessJob, RunRequest

sys.executable = {script!r}
image = np.zeros((4, 4))
job = ProcessJob(RunRequest(image=image, mask=image == 0, prior="tiny"), process_tasks.Short)
job.start()
while not list(Path(tempfile.gettempdir()).glob("*/s")):
    time.sleep(0.01)
time.sleep(0.2)
"""


@posix
def test_the_interpreter_tidies_up_while_a_process_starts(tasks, tmp_path):
    """The folder of the connection is gone too; `nothing_left` looks for it."""
    pid = tmp_path / "pid"
    program = script(tmp_path, f"echo $$ > {pid}; exec sleep 3600")
    subprocess.run(
        [sys.executable, "-c", _LEAVING.format(script=program)],
        env=environment(),
        timeout=30,
        check=True,
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


_REAL = """
import sys, time
import numpy as np
from napari_mganprior.runs import ProcessJob, RunRequest

image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
mask = np.zeros((32, 32), bool)
mask[10:14, 10:14] = True
request = RunRequest(image=image, mask=mask, prior="tiny16", quality="fast", device="cpu")
job = ProcessJob(request)
job.start()
job.join()
outcome = job.collect().outcome
print(outcome.error, outcome.result is not None, "torch" in sys.modules)
"""


@pytest.mark.skipif(
    importlib.util.find_spec("napari_mganprior.restore").submodule_search_locations is None,
    reason="while restore is one file, its Restoration cannot be received without torch",
)
def test_napari_itself_never_loads_torch_in_process_mode(prior_folder):
    """Where Windows cannot load torch after Qt, process mode is the way out."""
    done = subprocess.run(
        [sys.executable, "-c", _REAL],
        env={**environment(), "NAPARI_MGANPRIOR_PRIORS": str(prior_folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "None True False", done.stderr
