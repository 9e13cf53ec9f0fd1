"""However a run's process, or the one that started it, ends: nothing is left over."""

import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from napari_mganprior.errors import (
    ComputeError,
)

HERE = Path(__file__).parent
posix = pytest.mark.skipif(os.name == "nt", reason="signals and /proc")
pytestmark = pytest.mark.usefixtures("nothing_left")


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
    one.controller.start(tasks.ask())
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
    how, error = listen(tasks.Short).run(tasks.ask())
    assert how == "failed"
    with pytest.raises(ComputeError, match=message):
        raise error


def test_no_python_to_start_is_told(tasks, listen, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    how, error = listen(tasks.Short).run(tasks.ask())
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
        one.controller.start(tasks.ask())
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
