"""A process that trains a tiny network again and again, to be killed: see test_killed.py.

Says 0 when it is ready. Reads a folder and a number of seconds a line; for each it forks a child
that trains there, kills it with SIGKILL after that time, and says how the child ended. A child of
a process that has torch loaded starts at once, so that twenty of them do not take minutes.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from napari_mganprior.training import heldout
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.session import run_session
from napari_mganprior.training.state import TrainingState


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    heldout._N_CROPS[64] = 16
    rng = np.random.default_rng(0)
    noise = {str(i): rng.integers(0, 255, (24, 24), dtype=np.uint8) for i in range(8)}
    source = CropSource(noise, 16)
    config = TrainingConfig(
        resolution=16, widths=(8, 8, 4), code_dim=8, n_images=int(sys.argv[1]), batch_size=4
    )
    TrainingState(config)  # loads what torch loads late
    say(0)
    for line in sys.stdin:
        folder, seconds = line.rsplit(maxsplit=1)
        child = os.fork()
        if not child:
            try:
                for _ in run_session(
                    Path(folder),
                    source,
                    config,
                    held_out=source,
                    save_every=4,
                    measure_every=40,
                ):
                    pass
            except BaseException:  # noqa: BLE001  a child must not go on as the parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        deadline = time.monotonic() + float(seconds)
        # looked at without being collected, so that the id stays the child's own
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while time.monotonic() < deadline and not os.waitid(os.P_PID, child, look):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
