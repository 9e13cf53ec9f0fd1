"""kill -9 at random moments."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_mganprior.training.session import open_state

N_KILLS = 20
N_IMAGES = 400

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def trainer():
    """Return a process that trains in the folder it is told."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("killed.py"), str(N_IMAGES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "0\n"
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait(60)


def train(process, folder: Path, seconds: float) -> int:
    """Train there for so long at most; return how the process ended."""
    process.stdin.write(f"{folder} {seconds}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_twenty_times_it_is_the_straight_run_to_the_last_bit(trainer, tmp_path, same):
    """Law: whenever a run is killed, its folder holds a whole checkpoint, and the run goes on.

    Nothing is ever lost but the steps since the last checkpoint, so the end is the end of a run
    that nobody killed.
    """
    started = time.monotonic()
    assert train(trainer, tmp_path / "straight", 600) == 0
    whole = time.monotonic() - started
    wanted = whole_run(tmp_path / "straight")

    moments, n_killed, n_runs = random.Random(0), 0, 0
    while n_killed < N_KILLS:
        n_runs += 1
        folder, code, seen = tmp_path / str(n_runs), -signal.SIGKILL, 0
        while code:
            late = n_killed >= N_KILLS  # that is enough: to the end
            code = train(trainer, folder, 600 if late else moments.uniform(0, whole / 4))
            assert code in (0, -signal.SIGKILL)
            n_killed += code != 0
            if (folder / "checkpoint.pt").exists():
                state = open_state(folder / "checkpoint.pt")
                assert seen <= state.images_seen <= N_IMAGES
                seen = state.images_seen
            if (folder / "best.pt").exists():
                assert open_state(folder / "best.pt").best_distance > 0
        assert same(whole_run(folder), wanted)


def whole_run(folder: Path) -> dict[str, dict]:
    """Return all that a finished run left, but for the time it took."""
    states = {path.name: open_state(path).state_dict() for path in folder.iterdir()}
    assert states.keys() == {"checkpoint.pt", "best.pt"}
    for state in states.values():
        del state["seconds"]
    return states
