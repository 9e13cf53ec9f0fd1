"""Take the pictures of the widget that README.md shows.

Run it where there is a display, or under xvfb::

    xvfb-run -a -s "-screen 0 1366x768x24" python examples/take_screenshots.py

It opens a sample, opens the widget, runs it, and writes widget-before.png, widget-running.png
and widget-after.png at 1366 x 768, and widget-light.png, the last one in the light theme.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

SIZE = (1366, 768)
PLUGIN = "napari-mganprior"


def wait(condition: Callable[[], bool] = lambda: False, *, seconds: float) -> bool:
    """Let the window live until the condition holds or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if condition():
            return True
        time.sleep(0.01)
    return False


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--prior", type=Path, help="a .safetensors file; the bundled one if left")
    parser.add_argument("--sample", default="nuclei_bubble")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.prior is not None:
        os.environ["NAPARI_MGANPRIOR_PRIORS"] = str(chosen.prior.parent)

    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)

    def shoot(name: str) -> None:
        wait(seconds=1.0)
        path = chosen.folder / f"widget-{name}.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        print(path)

    viewer.open_sample(PLUGIN, chosen.sample)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
    if chosen.prior is not None:
        widget.fields.prior.value = chosen.prior.stem
    widget.fields.quality.value = chosen.quality
    wait(seconds=1.0)
    viewer.fit_to_view() if hasattr(viewer, "fit_to_view") else viewer.reset_view()
    shoot("before")

    widget.fields.preview.value = True
    widget.run()
    if not wait(lambda: widget.panel.bar.value() > 300, seconds=chosen.timeout):
        raise SystemExit(f"The run did not start: {widget.panel.status.text()}")
    shoot("running")
    if not wait(lambda: not widget.controller.busy, seconds=chosen.timeout):
        raise SystemExit(f"The run did not end within {chosen.timeout:.0f} s.")
    viewer.layers[1].visible = False  # the damage; what was invented is outlined now
    shoot("after")
    viewer.theme = "light"
    shoot("light")
    viewer.close()


if __name__ == "__main__":
    main()
