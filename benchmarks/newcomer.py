"""Time a newcomer's path: install into a fresh environment, start napari, five clicks, a result.

    python benchmarks/newcomer.py dist/napari_mganprior-0.1.0-py3-none-any.whl

It needs a display, or xvfb-run. The clicks are real mouse clicks on napari's menus and on the
form's Run button. ``--skip-install`` uses the environment of the Python that runs it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLUGIN = "napari-mganprior"
MINUTES = 2.0


def install(wheel: Path, folder: Path, constraints: Path) -> tuple[Path, float]:
    """Make an environment and install the wheel into it; return its Python and the seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "-q", "-c", str(constraints)]
    subprocess.run([*pip, "torch"], check=True)  # the plain version: a CPU build if there is one
    subprocess.run([*pip, f"{wheel}[all]"], check=True)
    return python, time.monotonic() - started


def click_through() -> None:
    """Open a sample and restore it with mouse clicks; print the seconds of each part."""
    started = time.monotonic()
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QMenu

    clicks = 0

    def wait(condition: object = None, seconds: float = 0.2) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (callable(condition) and condition()):
            QApplication.processEvents()
            time.sleep(0.01)

    def click(widget: object, place: object = None) -> None:
        nonlocal clicks
        clicks += 1
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place) if place is not None else (
            QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
        )
        wait()

    def choose(menu: QMenu, *path: str) -> None:
        """Click the last entry; submenus open under the pointer without a click."""
        for depth, wanted in enumerate(path):
            action = next(a for a in menu.actions() if a.text().replace("&", "") == wanted)
            if depth < len(path) - 1:
                menu.setActiveAction(action)
                menu = action.menu()
                menu.popup(menu.pos())
                wait()
            else:
                click(menu, menu.actionGeometry(action).center())

    def open_menu(title: str) -> QMenu:
        bar = viewer.window._qt_window.menuBar()
        action = next(a for a in bar.actions() if a.text().replace("&", "") == title)
        click(bar, bar.actionGeometry(action).center())
        return action.menu()

    viewer = napari.Viewer()
    wait(seconds=0.5)
    napari_started = time.monotonic() - started
    choose(open_menu("File"), "Open Sample", "mGANprior restoration", "Nuclei with bubbles")
    wait(lambda: len(viewer.layers) == 2, 10)
    choose(open_menu("Plugins"), "mGANprior restoration", "Inpaint (mGANprior restoration)")
    docks = dict(viewer.window.dock_widgets) if hasattr(viewer.window, "dock_widgets") else {}
    widget = next(w for name, w in docks.items() if name.startswith("Inpaint"))
    wait(widget.panel.run_button.isEnabled, 10)
    click(widget.panel.run_button)
    begun = time.monotonic()
    wait(lambda: not widget.controller.busy and "Done" in widget.panel.status.text(), 300)
    ended = time.monotonic()
    if not any(layer.name.endswith("inpainted") for layer in viewer.layers):
        raise SystemExit(f"No result: {widget.panel.status.text()}")
    print(f"napari starts           {napari_started:6.1f} s")
    print(f"sample, form, Run       {begun - started - napari_started:6.1f} s, {clicks} clicks")
    print(f"restored                {ended - begun:6.1f} s")
    viewer.close()


def main() -> int:
    """Read the arguments, install, click through, add up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("wheel", type=Path, nargs="?")
    parser.add_argument("--skip-install", action="store_true")
    parser.add_argument("--click-through", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.click_through:
        click_through()
        return 0
    constraints = Path(__file__).parents[1] / "constraints.txt"
    with tempfile.TemporaryDirectory() as folder:
        python, seconds = Path(sys.executable), 0.0
        if not args.skip_install:
            python, seconds = install(args.wheel.resolve(), Path(folder) / "venv", constraints)
            print(f"pip install             {seconds:6.1f} s")
        started = time.monotonic()
        done = subprocess.run(
            [str(python), str(Path(__file__).resolve()), "--click-through"], check=False, cwd=folder
        )
        total = seconds + time.monotonic() - started
    print(f"altogether              {total:6.1f} s; wanted under {60 * MINUTES:.0f}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
