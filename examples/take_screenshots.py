"""Take the pictures of the forms that README.md and docs/using.md show.

Run it where there is a display, or under xvfb::

    xvfb-run -a -s "-screen 0 1366x768x24" python examples/take_screenshots.py

It opens a sample, opens the form, runs it, and writes widget-before.png, -running.png, -after.png
at 1366 x 768, in the dark theme, -light.png in the light one, a picture of each page of the form
and of the recipe in both, a picture of each other task's form before and after a run, the same of
the form Batch after a run over three layers, of the form Priors with a card and with a file to
import, of the form Edit with two sliders moved, and of the form Train a prior before and in the
middle of a run. The last two need images: ``DATA/blood/test.zip``, ``DATA/nuclei/train.npz``. The
form Analyse is shown after either analysis. ``--only train`` takes one form's.
"""

import argparse
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import skimage.data
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_mganprior.samples import load_sample

SIZE = (1366, 768)
PLUGIN = "napari-mganprior"
THEMES = ("dark", "light")


def wait(condition: Callable[[], bool] = lambda: False, *, seconds: float) -> bool:
    """Let the window live until the condition holds or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if condition():
            return True
        time.sleep(0.01)
    return False


class Camera:
    """Takes pictures of a viewer's window into a folder."""

    def __init__(self, viewer: napari.Viewer, folder: Path) -> None:
        self.viewer, self.folder = viewer, folder

    def shoot(self, name: str, theme: str = "dark") -> None:
        """Take a picture of the whole window."""
        self.viewer.theme = theme
        wait(seconds=0.8)
        path = self.folder / f"{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        print(path)

    def shoot_widget(self, name: str, widget: object, theme: str) -> None:
        """Take a picture of one widget."""
        self.viewer.theme = theme
        wait(seconds=0.6)
        path = self.folder / f"{name}.png"
        widget.grab().save(str(path))  # type: ignore[attr-defined]
        print(path)


def show_inpaint(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the form Inpaint."""
    viewer = camera.viewer
    viewer.open_sample(PLUGIN, chosen.sample)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
    if chosen.prior is not None:
        widget.fields.prior.value = chosen.prior.stem
    widget.fields.quality.value = chosen.quality
    # long enough for the seconds of the qualities to be measured
    wait(lambda: "about" in widget.fields.quality.native.currentText(), seconds=60.0)
    viewer.fit_to_view() if hasattr(viewer, "fit_to_view") else viewer.reset_view()
    camera.shoot("widget-before")
    pages = widget.fields.pages
    for number in range(pages.count()):
        pages.setCurrentIndex(number)
        for theme in THEMES:
            title = pages.tabText(number).lower()
            camera.shoot_widget(f"page-{title}-{theme}", widget.fields, theme)
    pages.setCurrentIndex(0)

    viewer.theme = "dark"
    widget.fields.preview.value = True
    widget.fields.uncertainty.value = True
    widget.run()
    if not wait(lambda: widget.panel.bar.value() > 300, seconds=chosen.timeout):
        raise SystemExit(f"The run did not start: {widget.panel.status.text()}")
    camera.shoot("widget-running")
    if not wait(lambda: not widget.controller.busy, seconds=chosen.timeout):
        raise SystemExit(f"The run did not end within {chosen.timeout:.0f} s.")
    viewer.layers[1].visible = False  # the damage; what was invented is outlined now
    camera.shoot("widget-after")
    camera.shoot("widget-light", "light")
    for theme in THEMES:
        widget.results.show_recipe()
        camera.shoot_widget(f"recipe-{theme}", widget.results.dialog, theme)
    viewer.window.remove_dock_widget(widget)
    viewer.layers.clear()


def pictures() -> dict[str, np.ndarray]:
    """Return what the tasks' pictures show: noisy, small, grey, and clean nuclei."""
    nuclei = load_sample("nuclei_bubble").truth[:96, :96]
    noise = np.random.default_rng(0).normal(0, 25, nuclei.shape)
    tissue = skimage.data.immunohistochemistry()[120:216, 200:296]
    return {
        "Denoise": np.clip(nuclei + noise, 0, 255).astype(np.uint8),
        "Super-resolve": nuclei.reshape(24, 4, 24, 4).mean(axis=(1, 3)).astype(np.uint8),
        "Colorize": (tissue @ np.array([0.2126, 0.7152, 0.0722])).astype(np.uint8),
        "Invert": nuclei[:64, :64],
    }


def show_tasks(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the forms of the other tasks."""
    viewer = camera.viewer
    viewer.theme = "dark"
    told = {"Colorize": {"proposals": 3}, "Super-resolve": {"factor": 4}}
    for title, image in pictures().items():
        viewer.add_image(image, name={"Colorize": "tissue"}.get(title, "nuclei"))
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
        widget.fields.restore({"quality": chosen.quality, "options": told.get(title, {})})
        widget.fields.uncertainty.value = title == "Denoise"
        viewer.fit_to_view() if hasattr(viewer, "fit_to_view") else viewer.reset_view()
        name = title.lower()
        camera.shoot(f"{name}-before")
        widget.run()
        wait(lambda: widget.controller.busy, seconds=10.0)  # noqa: B023
        if not wait(lambda: not widget.controller.busy, seconds=chosen.timeout):  # noqa: B023
            raise SystemExit(f"{title} did not end within {chosen.timeout:.0f} s.")
        side_by_side(viewer, image.shape[1])
        camera.shoot(f"{name}-after")
        viewer.window.remove_dock_widget(widget)
        viewer.layers.clear()


def side_by_side(viewer: napari.Viewer, width: int) -> None:
    """Put the image to the left of its result, so that one sees both."""
    viewer.layers[0].translate = (0, -1.04 * width)
    for layer in viewer.layers[2:]:
        layer.visible = False  # what can be switched on is in the list
    viewer.fit_to_view() if hasattr(viewer, "fit_to_view") else viewer.reset_view()


def show_batch(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the form Batch."""
    viewer = camera.viewer
    viewer.open_sample(PLUGIN, chosen.sample)
    image, damage = viewer.layers
    damage.name = f"{image.name} damage"
    damage.visible = False
    viewer.add_image(image.data[::-1], name="upside down", contrast_limits=image.contrast_limits)
    viewer.add_labels(damage.data[::-1], name="upside down damage", visible=False)
    viewer.add_image(image.data // 2, name="without marks", visible=False)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Batch")
    viewer.layers.selection.clear()
    viewer.layers.selection.update(viewer.layers[n] for n in range(0, 5, 2))
    widget.run()
    if not wait(lambda: "restored" in widget.panel.status.text(), seconds=chosen.timeout):
        raise SystemExit(f"The batch did not end: {widget.panel.status.text()}")
    for theme in THEMES:
        camera.shoot(f"batch-{theme}", theme)
    viewer.window.remove_dock_widget(widget)


def show_priors(camera: Camera, _: argparse.Namespace) -> None:
    """Take the pictures of the form Priors; the file to import is one of nobody's."""
    viewer = camera.viewer
    viewer.layers.clear()
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Priors")
    for theme in THEMES:
        camera.shoot(f"priors-{theme}", theme)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stylegan2-faces-256.pkl"
        path.write_bytes(b"")
        widget.offer(path)
        for theme in THEMES:
            camera.shoot(f"priors-import-{theme}", theme)
    widget.form.close_button.click()
    viewer.window.remove_dock_widget(widget)


def show_edit(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the form Edit: a blood cell, two sliders moved."""
    path = chosen.data / "blood" / "test.zip"
    if not path.exists():
        print(f"No {path}: the pictures of the form Edit stay as they are.")
        return
    with zipfile.ZipFile(path) as archive, Image.open(archive.open("91.jpg")) as smear:
        part = np.array(smear.convert("RGB"))[177:241, 229:293]
    viewer = camera.viewer
    viewer.layers.clear()
    cells = viewer.add_image(part, name="blood cell", rgb=True)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Edit")
    widget.prior.value, widget.quality.value = "blood", chosen.quality
    widget.invert()

    def idle() -> bool:
        return not (widget.controller.busy or widget.latest.busy)

    if not wait(lambda: idle() and widget.rows.directions, seconds=chosen.timeout):
        raise SystemExit(f"The inversion did not end: {widget.status.text()}")
    for number, strength in ((2, 3.0), (1, -2.0)):
        widget.rows.set_strength(number, strength)
        wait(idle, seconds=chosen.timeout)
    cells.translate = (0, -72)  # beside the preview, to compare
    viewer.fit_to_view() if hasattr(viewer, "fit_to_view") else viewer.reset_view()
    for theme in THEMES:
        camera.shoot(f"edit-{theme}", theme)
    viewer.window.remove_dock_widget(widget)


def show_train(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the form Train a prior; the run is discarded."""
    path = chosen.data / "nuclei" / "train.npz"
    if not path.exists():
        print(f"No {path}: the pictures of the form Train a prior stay as they are.")
        return
    with np.load(path) as file:
        images = [file[key] for key in file.files]
    side = 256
    planes = [image[:side, :side] for image in images if min(image.shape) >= side][:100]
    viewer = camera.viewer
    viewer.layers.clear()
    viewer.add_image(np.stack(planes), name="nuclei", contrast_limits=(0, 160))
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train a prior")
    widget.fields.layers.value = [viewer.layers["nuclei"]]
    widget.fields.name.value = "my-nuclei"
    widget.fields.domain.value = "nuclei, fluorescence, 20x"
    widget.fields.minutes.value = chosen.train_minutes
    for theme in THEMES:
        camera.shoot(f"train-form-{theme}", theme)
    viewer.theme = "dark"
    widget.train_button.click()
    monitor = widget.monitor
    if not wait(lambda: bool(monitor.distance.lines), seconds=chosen.timeout):
        raise SystemExit(f"Nothing was measured: {widget.status.text()} {monitor.pace.text()}")
    wait(lambda: len(monitor.distance.lines[0]) >= chosen.distances, seconds=chosen.timeout)
    for theme in THEMES:
        camera.shoot(f"train-running-{theme}", theme)
    for _ in range(2):
        monitor.discard_button.click()
    wait(lambda: widget.keeper.job is None, seconds=chosen.timeout)
    viewer.window.remove_dock_widget(widget)


def show_analyse(camera: Camera, chosen: argparse.Namespace) -> None:
    """Take the pictures of the form Analyse after a layer study, and after the roles of codes."""
    viewer = camera.viewer
    viewer.layers.clear()
    viewer.add_image(load_sample(chosen.sample).truth, name="nuclei")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Analyse")
    fields = widget.fields
    fields.cuts.value, fields.codes.value, fields.task.value = (
        "1, 3, 5, 7, 9",
        "1, 5, 20",
        "missing",
    )
    fields.restarts.value, fields.steps.value, fields.quality.value = 1, 40, "fast"
    for kind in ("study", "roles"):
        fields.kind.value = kind
        widget.run()
        if not wait(lambda: not widget.controller.busy, seconds=chosen.timeout):
            raise SystemExit(f"The {kind} did not end: {widget.panel.status.text()}")
        viewer.layers["nuclei"].visible = False
        part = viewer.layers[-1]  # below it, other layers of this analysis are hidden
        viewer.camera.center = part.data_to_world([0] * (part.ndim - 2) + [31.5, 31.5])
        viewer.camera.zoom = 8
        name = "analyse" if kind == "study" else "analyse-roles"
        for theme in THEMES:
            camera.shoot(f"{name}-{theme}", theme)
        part.visible = False
    viewer.window.remove_dock_widget(widget)
    viewer.layers.clear()


SHOWS = {
    "inpaint": show_inpaint,
    "tasks": show_tasks,
    "batch": show_batch,
    "priors": show_priors,
    "edit": show_edit,
    "train": show_train,
    "analyse": show_analyse,
}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--prior", type=Path, help="a .safetensors file; the bundled one if left")
    parser.add_argument("--sample", default="nuclei_bubble")
    parser.add_argument("--quality", default="balanced")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--train-minutes", type=int, default=30, help="of Train a prior")
    parser.add_argument("--distances", type=int, default=4, help="measured before its picture")
    parser.add_argument("--only", choices=SHOWS, help="the pictures of these forms alone")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.prior is not None:
        os.environ["NAPARI_MGANPRIOR_PRIORS"] = str(chosen.prior.parent)
    with tempfile.TemporaryDirectory() as settings:
        os.environ["NAPARI_MGANPRIOR_CONFIG"] = settings  # the pictures show a new user's form
        viewer = napari.Viewer()
        viewer.window.resize(*SIZE)
        camera = Camera(viewer, chosen.folder)
        for name, show in SHOWS.items():
            if chosen.only in (None, name):
                show(camera, chosen)
        viewer.close()


if __name__ == "__main__":
    main()
