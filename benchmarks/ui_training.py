"""How long the window is deaf while a prior is trained from the form.

``make bench-ui-training`` opens a real napari with a stack of discs, measures the largest gaps
between beats of a 10 ms timer while nothing happens, trains at 64 px for a while, measures again,
and prints both, with what of it the form's own work took: collecting the news and showing them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

MOST = 0.05  # s


def discs(n: int, side: int) -> np.ndarray:
    """Return a stack (n, side, side) of bright discs."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    stack = np.zeros((n, side, side), np.uint8)
    for image in stack:
        for row, column, radius in rng.uniform([0, 0, 5], [side, side, 14], (side // 6, 3)):
            image[np.hypot(rows - row, columns - column) < radius] = 200
    return stack


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_MGANPRIOR_CONFIG"] = folder
        os.environ["NAPARI_MGANPRIOR_PRIORS"] = str(Path(folder) / "priors")
        sys.exit(measure(chosen.seconds))


def measure(seconds: float) -> int:
    """Return the exit status: 1 where the form's own work took too long at once."""
    import napari
    from qtpy.QtWidgets import QApplication
    from ui import Heartbeat

    def wait(condition: Callable[[], bool] = lambda: False, *, most: float) -> bool:
        end = time.monotonic() + most
        while time.monotonic() < end:
            QApplication.processEvents()
            if condition():
                return True
            time.sleep(0.001)
        return False

    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    viewer.add_image(discs(12, 256), name="discs")
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Train a prior")
    wait(most=2.0)
    heart = Heartbeat()
    heart.start()
    wait(most=seconds)
    idle = heart.stop()

    keeper, longest = widget.keeper, [0.0]
    collect = keeper._collect

    def timed() -> None:
        start = time.perf_counter()
        collect()
        longest[0] = max(longest[0], time.perf_counter() - start)

    keeper._timer.timeout.disconnect()
    keeper._timer.timeout.connect(timed)
    widget.fields.layers.value = [viewer.layers["discs"]]
    widget.fields.name.value = "discs"
    heart.start()
    widget.train()
    pressed = heart.stop()
    heart.start()
    if not wait(lambda: keeper.sofar.images_seen > 0, most=300.0):
        print(f"It did not start: {widget.status.text()}")
        return 1
    starting = heart.stop()
    heart.start()
    wait(most=seconds)
    training = heart.stop()
    keeper.job.discard()
    wait(lambda: keeper.job is None, most=60.0)
    viewer.close()
    print("| window deaf at the longest | ms |\n|---|---|")
    for what, gap in (
        (f"{seconds:.0f} s without a run", idle),
        ("while Train is pressed", pressed),
        ("while the run starts", starting),
        (f"{seconds:.0f} s of training", training),
        ("of that, the form's own work at once", longest[0]),
    ):
        print(f"| {what} | {1000 * gap:.0f} |")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(longest[0] > MOST)


if __name__ == "__main__":
    main()
