"""Viewers without Qt, windows with it, and tasks that are held where the test wants them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_mganprior.runs import RunRequest, RunState
from napari_mganprior.widgets.inpaint import InpaintWidget


class HeldTask:
    """Fills the hole with the mean of the rest, one step for each opening of the gate."""

    def __init__(self, request: RunRequest, gate: threading.Semaphore, n_steps: int) -> None:
        self.request = request
        self.gate = gate
        self.n_steps = n_steps

    def __iter__(self) -> Iterator[Any]:
        for index in range(1, self.n_steps + 1):
            assert self.gate.acquire(timeout=20)
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1 / index, window=2, n_windows=7
            )

    @property
    def mask(self) -> np.ndarray:
        """As large as the image."""
        image, mask = np.asarray(self.request.image), self.request.mask
        return np.broadcast_to(mask if image.ndim == mask.ndim else mask[..., None], image.shape)

    def preview(self) -> np.ndarray:
        image = np.array(self.request.image)
        planes = image[None] if self.request.planes == "one" else image
        masks = self.mask[None] if self.request.planes == "one" else self.mask
        for plane, mask in zip(planes, masks, strict=True):
            if mask.any():
                plane[mask] = plane[~mask].mean()
        return image

    def result(self) -> Any:
        return SimpleNamespace(
            image=self.preview(),
            invented=self.request.mask,
            uncertainty=np.where(self.request.mask, 2.5, 0).astype(np.float32),
            residual=np.where(self.mask, 0, -1.5).astype(np.float32),
            history=(1.0, 0.5),
            codes=None,
            estimated=None,
            average=self.preview(),
            best=self.preview(),
            recipe={"task": "inpaint", "seed": self.request.seed},
        )


class Held:
    """Opens held tasks, and lets their steps through."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.requests: list[RunRequest] = []
        self.n_steps = 3
        self.fail: Exception | None = None

    def __call__(self, request: RunRequest) -> HeldTask:
        self.requests.append(request)
        if self.fail is not None:
            raise self.fail
        return HeldTask(request, self.gate, self.n_steps)

    def let(self, steps: int = 3) -> None:
        for _ in range(steps):
            self.gate.release()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.let(1000)


@pytest.fixture
def model() -> ViewerModel:
    return ViewerModel()


@pytest.fixture(autouse=True)
def priors(prior_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Offer the tiny priors as the user's own."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    return prior_folder


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no form start a program that measures for ten seconds."""

    def refuse(question: Any, folder: Path) -> Any:
        raise OSError("not in this test")

    monkeypatch.setattr("napari_mganprior.runs.timing.start_measuring", refuse)


@pytest.fixture(autouse=True)
def napari_page(settings_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep what napari's Preferences store for us beside our own settings of the test."""
    from napari import settings

    path = settings_folder / "napari-mganprior.yaml"
    if hasattr(settings, "get_plugin_settings"):  # napari 0.9
        monkeypatch.setattr(settings, "_CFG_PATH", str(path.with_name("napari.yaml")))
        settings._clear_plugin_settings_cache()
        yield path
        settings._clear_plugin_settings_cache()
    else:
        yield path


@pytest.fixture
def open_widget(make_napari_viewer: Any, qtbot: Any) -> Callable[..., InpaintWidget]:
    """Return a function that docks the widget in a viewer's window."""

    def dock(viewer: Any, open_task: Any) -> InpaintWidget:
        widget = InpaintWidget(viewer, open_task)
        viewer.window.add_dock_widget(widget, name="Inpaint")
        return widget

    return dock


class Window:
    """A viewer with an image, its damage and the widget, ready to run a held task."""

    def __init__(self, viewer: Any, widget: InpaintWidget, held: Held, qtbot: Any) -> None:
        self.viewer, self.widget, self.held, self.qtbot = viewer, widget, held, qtbot

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    @property
    def said(self) -> str:
        return str(self.widget.panel.status.text())

    def run(self) -> None:
        """Run to the end."""
        self.widget.run()
        assert self.widget.controller.busy, self.said
        self.held.let(self.held.n_steps)
        self.idle()

    def idle(self) -> None:
        self.qtbot.waitUntil(lambda: not self.widget.controller.busy, timeout=10_000)

    def running(self) -> None:
        """Let one step through and wait until its run is under way."""
        self.held.let(1)
        state = self.widget.controller
        self.qtbot.waitUntil(lambda: state.state is RunState.RUNNING, timeout=10_000)

    def until(self, *names: str) -> None:
        """Wait until there are layers of these names."""
        self.qtbot.waitUntil(lambda: set(names) <= set(self.names), timeout=10_000)

    def step(self, index: int) -> None:
        """Let one step through and wait for its news."""
        self.held.let(1)
        text = f"step {index} of"
        self.qtbot.waitUntil(lambda: text in self.widget.panel.numbers.text(), timeout=10_000)


def _fill(viewer: Any) -> None:
    image = np.full((20, 16), 7, np.uint16)
    mask = np.zeros(image.shape, np.uint8)
    mask[4:8, 4:8] = 1
    viewer.add_image(image, name="cells", scale=(0.5, 0.5))
    viewer.add_labels(mask, name="holes", scale=(0.5, 0.5))


@pytest.fixture
def window(make_napari_viewer: Any, open_widget: Any, held: Held, qtbot: Any) -> Window:
    viewer = make_napari_viewer()
    _fill(viewer)
    widget = open_widget(viewer, held)
    assert widget.check() == ""
    return Window(viewer, widget, held, qtbot)


@pytest.fixture
def bench(model: ViewerModel, held: Held, qtbot: Any) -> Window:
    """Return the same without napari's window, which takes long to open."""
    _fill(model)
    widget = InpaintWidget(model, held)
    qtbot.addWidget(widget)
    assert widget.check() == ""
    return Window(model, widget, held, qtbot)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("napari-mganprior"):
            thread.join(10.0)
            assert not thread.is_alive(), f"{thread} is left over"
