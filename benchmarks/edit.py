"""How long a move of a slider takes: ``make bench-edit``.

A sample is inverted with 20 codes (a few evaluations only: how good the codes are changes no time),
then sliders are moved, without a window and in a real napari, for 64 px (one window) and 128 px
(nine overlapping windows). Printed are median and 95th percentile in milliseconds:

* exact: all codes of all windows through the network.
* draft: features interpolated along the slider, only the layers above the cut computed. The form
  shows it first where the exact picture takes longer than 60 ms.
* first, exact: in napari, from the slider's move to a new picture in the layer.

On a shared machine times by the clock vary; the least of them stands beside.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SAMPLE = "nuclei_bubble"
CODES = 20


def place(side: int) -> Any:
    """Cut a square out of the sample."""
    from napari_mganprior.samples import load_sample

    truth = load_sample(SAMPLE).truth
    return np.ascontiguousarray(truth[64 : 64 + side, 64 : 64 + side])


def strengths(n: int) -> Iterator[tuple[int, float]]:
    """Yield sliders and where they are moved to, as a hand does it: to and fro."""
    for number in range(n):
        yield number // 8 % 2, float(np.round(5 * np.sin(number / 3), 1))


def tell(what: str, seconds: list[float]) -> None:
    """Print a line of the table."""
    ms = np.array(seconds) * 1000
    median, high = np.percentile(ms, [50, 95])
    print(f"{what:<44} {median:7.0f} {high:7.0f} {ms.min():7.0f}", flush=True)


def without_window(side: int, prior: str, moves: int, precision: str) -> Any:
    """Measure the engine alone; returns the inversion."""
    from napari_mganprior import Editor, Reconstruction, find_directions, load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore.drafts import Drafts

    image, loaded = place(side), load_prior(find_prior(prior))
    run = Reconstruction(
        image, loaded, quality="fast", overrides={"n_codes": CODES, "n_steps": 4}, device="cpu"
    )
    for _ in run:
        pass
    editor = Editor(image, run.result().codes, loaded, device="cpu", precision=precision)
    directions = find_directions(loaded.generator, 2)
    drafts = Drafts(editor)
    for direction in directions:
        for _ in drafts.learn(direction):
            pass
    exact, draft, off, size = [], [], [], []
    *_, (composed, _) = editor.drawing()
    drafts.anchor({}, composed)
    at = [0.0, 0.0]
    for number, strength in strengths(moves):
        at[number] = strength
        wanted = dict(zip(directions, at, strict=True))
        started = time.perf_counter()
        quick = drafts.draw(wanted)
        draft.append(time.perf_counter() - started)
        started = time.perf_counter()
        *_, (composed, picture) = editor.drawing(list(wanted.items()))
        exact.append(time.perf_counter() - started)
        drafts.anchor(wanted, composed)
        assert quick is not None
        assert picture is not None
        off.append(np.abs(picture.astype(float) - quick).mean())
        size.append(np.abs(picture.astype(float) - image).mean())
    name = f"{side} px, {editor.n_windows} windows, {CODES} codes, {precision}"
    tell(f"{name}, exact", exact)
    tell(f"{name}, draft", draft)
    print(f"    a draft is off by {np.mean(off):.2f}, the edit itself changes {np.mean(size):.2f}")
    return run.result()


def wait(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Let the window live until a condition holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        if time.monotonic() > end:
            raise SystemExit(f"Nothing happened for {seconds:.0f} s.")
        time.sleep(0.001)


def with_window(side: int, prior: str, moves: int) -> None:
    """Measure what a user sees."""
    import napari

    from napari_mganprior.widgets.edit import EditWidget

    viewer = napari.Viewer()
    viewer.add_image(place(side), name="sample")
    widget = EditWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Edit")
    widget.prior.value, widget.quality.value = prior, "fast"
    shown: list[tuple[float, bool]] = []
    widget.drawn.connect(lambda drawn: shown.append((time.perf_counter(), drawn.draft)))
    widget.invert()
    wait(lambda: len(widget.rows.directions) > 0)
    wait(lambda: not widget.latest.busy)  # strips and what drafts need
    first, exact = [], []
    for number, strength in strengths(moves):
        shown.clear()
        started = time.perf_counter()
        widget.rows.set_strength(number, strength)
        if not widget.latest.busy:
            continue  # it stood there already
        wait(lambda: bool(shown) and not shown[-1][1])
        first.append(shown[0][0] - started)
        exact.append(shown[-1][0] - started)
    tell(f"napari, {side} px, first picture", first)
    tell(f"napari, {side} px, exact picture", exact)
    viewer.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--prior", default="nuclei")
    parser.add_argument("--moves", type=int, default=24)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--no-window", action="store_true")
    chosen = parser.parse_args()
    os.environ.setdefault("NAPARI_MGANPRIOR_CACHE", ".bench/edit")
    import torch

    print(f"{torch.get_num_threads()} threads of {os.cpu_count()} processors; milliseconds a move")
    print(f"{'':<44} {'median':>7} {'p95':>7} {'least':>7}")
    for side in chosen.sizes:
        for precision in ("float32", "bfloat16"):
            without_window(side, chosen.prior, chosen.moves, precision)
    if not chosen.no_window:
        for side in chosen.sizes:
            with_window(side, chosen.prior, chosen.moves)


if __name__ == "__main__":
    main()
