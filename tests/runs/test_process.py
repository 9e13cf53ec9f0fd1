"""What only a process of its own can show."""

import subprocess
import sys

_EXIT = """
import time
from types import SimpleNamespace as Step
import numpy as np
from napari_mganprior.runs import RunController, RunRequest, RunState

class Endless:
    def __iter__(self):
        while True:
            time.sleep(0.01)
            yield Step(index=1, n_steps=2, loss=0.0, window=1, n_windows=1)

controller = RunController(lambda request: Endless())
image = np.zeros((4, 4))
controller.start(RunRequest(image=image, mask=image == 0, prior="tiny"))
while controller.state is not RunState.RUNNING:
    controller.poll()
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_runs_imports_neither_torch_nor_qt():
    done = python(
        "import sys, napari_mganprior.runs\n"
        "print([m for m in ('torch', 'napari', 'qtpy', 'skimage') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_interpreter_ends_while_a_run_is_on():
    """Closing napari during a run must neither hang nor abort."""
    done = python(_EXIT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
