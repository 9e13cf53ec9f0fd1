"""What the window costs a run: the live preview's share, memory after many runs, the longest wait.

``make bench-ui`` opens a real napari with a sample and the widget and prints three tables and a
verdict line for each:

* the seconds of a run with and without live preview, in turn, the same seed. On a shared machine
  they vary more than a preview costs, so processor seconds stand beside them: those of the run's
  own threads, which compute the preview, and those of the window, which draws it (under xvfb
  without a graphics card, so that drawing takes processor time that it takes nowhere else).
* the memory of the process before and after ten runs whose result layers were removed, and what
  napari alone keeps when the same layers come and go without a run.
* the longest time the window was deaf: the largest gap between beats of a 10 ms timer.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import napari
import psutil
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

PLUGIN = "napari-mganprior"
BEAT_MS = 10
COSTS = {
    "seconds": "of a run by the clock",
    "computing": "of the run's processor time in the run",
    "drawing": "of the run's processor time in the window",
}
MOST_PREVIEW = 5.0  # per cent of a run
MOST_GROWTH = 32.0  # MiB over ten runs; an image of the sample has 0.06
MOST_DEAF = 0.2  # s


class Heartbeat:
    """Measures how long the window's thread was busy with something else."""

    def __init__(self) -> None:
        self._timer = QTimer()
        self._timer.setTimerType(self._timer.timerType().PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._last = self.longest = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._last, self.longest = time.perf_counter(), 0.0
        self._timer.start()

    def stop(self) -> float:
        """Return the largest gap in seconds, the beat's own 10 ms taken off."""
        self._beat()
        self._timer.stop()
        return max(0.0, self.longest - BEAT_MS / 1000)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes
    ----------
    seconds : float
        By the clock.
    computing, drawing : float
        Processor seconds of the run's threads, and of all others.
    previews : int
        How many were shown.
    deaf : float
        The longest time the window's thread was busy, in seconds.
    """

    seconds: float
    computing: float
    drawing: float
    previews: int
    deaf: float


def _processor_seconds() -> dict[int, float]:
    """Return the processor seconds of every thread there is."""
    return {t.id: t.user_time + t.system_time for t in psutil.Process().threads()}


class Bench:
    """A window with a sample and the widget."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1366, 768)
        self.viewer.open_sample(PLUGIN, options.sample)
        _, self.widget = self.viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
        self.widget.fields.quality.value = options.quality
        self.widget.fields.device.value = options.device
        self.widget.fields.seed.value = 0
        self._timeout = options.timeout
        self._previews = 0
        self._heart = Heartbeat()
        self.widget.controller.previewed.connect(self._count)
        self.wait(seconds=1.0)
        self.inputs = list(self.viewer.layers)

    def _count(self, _: Any) -> None:
        self._previews += 1

    def wait(self, condition: Callable[[], bool] = lambda: False, *, seconds: float) -> bool:
        """Let the window live until the condition holds or the time is over."""
        app = QApplication.instance()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.processEvents()
            if condition():
                return True
            time.sleep(0.001)
        return False

    def run(self, *, preview: bool) -> Run:
        """Press Run, wait for the result, and take its layers away."""
        self.widget.fields.preview.value = preview
        self.wait(seconds=0.2)
        self._previews = 0
        threads, cpu, began = _processor_seconds(), time.process_time(), time.perf_counter()
        self._heart.start()
        self.widget.run()
        ended = self.wait(lambda: not self.widget.controller.busy, seconds=self._timeout)
        deaf = self._heart.stop()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        # the run's threads came after the first look and are gone by now
        now = _processor_seconds()
        drawing = sum(now[t] - spent for t, spent in threads.items() if t in now)
        made = [layer for layer in self.viewer.layers if layer not in self.inputs]
        if not ended or not made:
            raise SystemExit(f"A run gave no result: {self.widget.panel.status.text()}")
        for layer in made:
            self.viewer.layers.remove(layer)
        self.wait(seconds=0.2)
        return Run(seconds, max(0.0, cpu - drawing), drawing, self._previews, deaf)

    def come_and_go(self) -> None:
        """Add and remove the layers of a run, without the run."""
        image, damage = self.inputs
        for layers in ([image], [image, damage]):  # the preview; the result and the outline
            added = [
                self.viewer.add_layer(type(layer)(layer.data.copy(), name="of no run"))
                for layer in layers
            ]
            self.wait(seconds=0.2)
            for layer in added:
                self.viewer.layers.remove(layer)
            self.wait(seconds=0.2)


def memory() -> dict[str, float]:
    """Return MiB of the process, and of the graphics card where torch uses one."""
    gc.collect()
    found = {"process": psutil.Process().memory_info().rss / 2**20}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["CUDA"] = torch.cuda.memory_allocated() / 2**20
    return found


def preview_cost(bench: Bench, n_runs: int) -> list[Run]:
    """Run with and without preview in turn, print the table, and return all runs."""
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for number in range(n_runs):
        # which goes first changes, so that a machine that slows down favours neither
        for preview in ((False, True), (True, False))[number % 2]:
            runs[preview].append(bench.run(preview=preview))
    print(
        "\n| live preview | runs | seconds | computing, processor s | drawing, processor s | "
        "previews a second |\n|---|---|---|---|---|---|"
    )
    for preview, made in runs.items():
        medians = [median(getattr(r, what) for r in made) for what in COSTS]
        rate = sum(r.previews for r in made) / sum(r.seconds for r in made)
        numbers = " | ".join(f"{number:.2f}" for number in (*medians, rate))
        print(f"| {'on' if preview else 'off'} | {len(made)} | {numbers} |")
    for what, name in COSTS.items():
        # the two of a pair stand side by side in time and share what else the machine was doing
        shares = [
            100 * (getattr(on, what) - getattr(off, what)) / getattr(off, base)
            for off, on in zip(runs[False], runs[True], strict=True)
            for base in [what if what == "seconds" else "computing"]
        ]
        verdict(
            f"the preview costs {median(shares):+.1f} % {name} (median of {len(shares)} pairs, "
            f"{min(shares):+.1f} to {max(shares):+.1f} %)",
            median(shares),
            MOST_PREVIEW,
        )
    return runs[False] + runs[True]


def memory_cost(bench: Bench, n_runs: int) -> list[Run]:
    """Run many times, print the memory before and after, and return all runs."""
    before = memory()
    runs, marks = [], []
    for _ in range(n_runs):
        runs.append(bench.run(preview=True))
        marks.append(memory())
    print(f"\n| memory, MiB | before | after 1 | after {n_runs // 2} | after {n_runs} | more |")
    print("|---|---|---|---|---|---|")
    for name, start in before.items():
        few = (marks[0][name], marks[n_runs // 2 - 1][name], marks[-1][name])
        row = " | ".join(f"{value:.1f}" for value in (start, *few))
        print(f"| {name} | {row} | {few[-1] - start:+.1f} |")
    for _ in range(n_runs):
        bench.come_and_go()
    after = memory()
    for name, start in before.items():
        more, alone = marks[-1][name] - start, after[name] - marks[-1][name]
        print(f"the same layers without runs leave {alone:+.1f} MiB ({name})")
        said = f"{n_runs} runs leave {more - alone:+.1f} MiB more than their layers ({name})"
        verdict(said, more - alone, MOST_GROWTH)
    return runs


def verdict(said: str, value: float, most: float) -> None:
    """Say whether a number is within its aim."""
    print(f"{said}: {'within' if value <= most else 'ABOVE'} the aim of {most:g}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", default="nuclei_bubble")
    parser.add_argument("--quality", default="fast")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--runs", type=int, default=5, help="runs with preview, and as many without"
    )
    parser.add_argument("--memory-runs", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds a run may take")
    options = parser.parse_args()
    bench = Bench(options)
    first = bench.run(preview=True)  # loads torch and the prior, chooses kernels
    torch = sys.modules["torch"]
    print(
        f"sample {options.sample}, quality {options.quality}, device {options.device}, "
        f"{torch.get_num_threads()} threads, napari {napari.__version__}, torch "
        f"{torch.__version__}, load {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} "
        f"processors; first run, with loading, {first.seconds:.1f} s"
    )
    runs = preview_cost(bench, options.runs) if options.runs > 0 else []
    if options.memory_runs > 1:
        runs += memory_cost(bench, options.memory_runs)
    if runs:
        gaps = sorted(run.deaf for run in runs)
        print("\n| the window was deaf for | ms |")
        print("|---|---|")
        print(
            f"| at the longest in a run, median of {len(gaps)} runs | {1000 * median(gaps):.0f} |"
        )
        print(f"| at the longest of all | {1000 * gaps[-1]:.0f} |")
        print(f"| in the first run, while torch was loaded | {1000 * first.deaf:.0f} |")
        verdict(f"the window was deaf for {gaps[-1]:.3f} s at the longest", gaps[-1], MOST_DEAF)
    bench.viewer.close()


if __name__ == "__main__":
    main()
