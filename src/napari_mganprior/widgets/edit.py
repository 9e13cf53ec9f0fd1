"""The dock widget "Edit": invert a picture, then move its codes with sliders."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_mganprior.editing.base import Direction
from napari_mganprior.editing.groups import LEAST_EXAMPLES, example_config
from napari_mganprior.errors import DirectionError, ImageError, MGANPriorError
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import read_header
from napari_mganprior.restore.result import Restoration
from napari_mganprior.runs import Progress, RunController, RunRequest, RunResult
from napari_mganprior.runs.latest import Answer, Latest
from napari_mganprior.runs.live import Drawn, LiveEdit, Opened, Row
from napari_mganprior.widgets.edit_fields import BAR_STEPS
from napari_mganprior.widgets.edit_layers import Taken, take_picture
from napari_mganprior.widgets.edit_shown import EditShown
from napari_mganprior.widgets.kept_codes import find_codes, holds_codes
from napari_mganprior.widgets.preferences import current_preferences, engine_options, obey
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["EditWidget"]

_POLL_MS = 15
_STYLED = ("stylegan", "stylegan2")
_LEAVE_SECONDS = 1.0


class EditWidget(EditShown):
    """Change what a picture shows along directions of a prior's codes.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered, and where results go.

    Attributes
    ----------
    controller : RunController
        The inversions.
    latest : Latest
        The thread that draws.
    rows : DirectionRows
        The sliders.
    examples : Examples
        The groups that a direction is learnt from.
    """

    _docked = False

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.controller, self.latest = RunController(), Latest()
        self._live = LiveEdit()
        self._runs: dict[int, tuple[str, Any]] = {}  # of a request: what it is for
        self._learning: dict[int, list[tuple[int, Any]]] = {}
        self._tickets: dict[int, tuple[str, Taken | None]] = {}  # what for, and of which picture
        self._ready = False
        self._open_prior: str | None = None
        self._open_zoom = 1.0
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self._connect()
        self.reset_choices()
        active = napari_viewer.layers.selection.active
        if active in self.image.choices:
            self.image.value = active
        # Nothing here may hold this widget: it is gone when the signal arrives.
        self.destroyed.connect(partial(_leave, self.controller, self.latest, self._watch))
        self._enable()

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if self._watch.closed:
            return
        for box in (self.image, self.other):
            chosen = box.value
            with box.changed.blocked():
                box.reset_choices()
                if chosen is not None and chosen in box.choices:
                    box.value = chosen
        self._watch.follow([self.image.value])
        self.examples.image = self.image.value
        self._enable()

    def invert(self) -> None:
        """Invert the plane on screen of the image that is chosen."""
        layer = self.image.value
        if layer is None or self.controller.busy:
            return
        try:
            taken = take_picture(layer, self._viewer.dims)
            self._run(taken.pixels, "open", (taken, self.prior.value, self.found_by.value))
        except MGANPriorError as error:
            self._tell(error)

    def open_codes(self, path: Path | None = None) -> None:
        """Open a picture whose codes a layer brings, or a file; asks for one if need be."""
        layer = self.image.value
        if layer is None or self.controller.busy:
            return
        if path is None and not holds_codes(layer):
            chosen, _ = QFileDialog.getOpenFileName(self, "Codes", "", "Codes (*.npz)")
            if not chosen:
                return
            path = Path(chosen)
        try:
            found = find_codes(layer, self._viewer, path, self.prior.value, self.zoom.value)
        except MGANPriorError as error:
            self._tell(error)
            return
        self.refresh_priors()
        self.image.value, self.prior.value = found.layer, found.prior
        self._say("Loading PyTorch and the prior ...")
        self._open(found.taken, found.prior, self.found_by.value, found.restoration)

    def keep(self) -> None:
        """Make a layer of its own of what the sliders say."""
        if self._ready and self.rows.moves():
            steps = self._live.keep(self.rows.moves(), keep_detail=self._keeps_detail())
            # neither a slider moved at once nor another picture may take it away
            self._ask(lambda: steps, "keep", later=True, lasting=True)

    def load_boundary(self, path: Path | None = None) -> None:
        """Add a slider for a boundary file; asks for one if none is given."""
        if path is None:
            chosen, _ = QFileDialog.getOpenFileName(self, "Boundary", "", "Boundaries (*.npy)")
            if not chosen:
                return
            path = Path(chosen)
        if self._ready:
            self._ask(partial(self._live.boundary, path), "direction", later=True)

    def learn(self) -> None:
        """Learn a direction from the two groups of examples."""
        groups = self.examples.like, self.examples.unlike
        try:
            for group, label in zip(groups, ("like these", "like those"), strict=True):
                if len(group) < LEAST_EXAMPLES:
                    raise DirectionError(
                        f"Got {len(group)} example{'s' * (len(group) != 1)} in the group "
                        f"'{label}'; wanted at least {LEAST_EXAMPLES}. Select layers and press "
                        "'Add selected'."
                    )
            self._learning = {0: [], 1: []}
            for number, group in enumerate(groups):
                for at, (_, pixels) in enumerate(group):
                    self._run(pixels, "example", (number, at))
        except MGANPriorError as error:
            self._tell(error)

    def draw_way(self) -> None:
        """Invert the other image, then draw the pictures between."""
        layer = self.other.value
        if not self._ready or layer is None or self._taken is None:
            return
        try:
            taken = take_picture(layer, self._viewer.dims)
            if taken.pixels.shape != self._taken.pixels.shape:
                raise ImageError(
                    f"Got '{taken.name}' of {taken.pixels.shape[:2]} pixels and "
                    f"'{self._taken.name}' of {self._taken.pixels.shape[:2]}; wanted two alike. "
                    "Crop one to the size of the other."
                )
            self._run(taken.pixels, "way", taken)
        except MGANPriorError as error:
            self._tell(error)

    def reset(self) -> None:
        """Bring all sliders to 0."""
        self.rows.reset()

    def event(self, event: QEvent | None) -> bool:
        """Stop everything when the dock is closed."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.controller.clear_queue()
                self.controller.cancel()
                self.latest.forget_later(lasting=True)
            self._docked = self.parent() is not None
        return bool(super().event(event))

    def _connect(self) -> None:
        self.invert_button.clicked.connect(self.invert)
        self.codes_button.clicked.connect(self._on_codes)
        self.cancel_button.clicked.connect(self._cancel)
        self.keep_button.clicked.connect(self.keep)
        self.reset_button.clicked.connect(self.reset)
        self.way_button.clicked.connect(self.draw_way)
        self.boundary_button.clicked.connect(self._on_boundary)
        self.examples.learn_requested.connect(self.learn)
        self.examples.refused.connect(self._say)
        self.rows.changed.connect(self._draw)
        self.detail.changed.connect(self._on_detail)
        self.image.changed.connect(self._on_image)
        self.controller.progressed.connect(self._on_progress)
        self.controller.finished.connect(self._on_finished)
        self.controller.failed.connect(self._on_failed)
        self.controller.cancelled.connect(self._on_cancelled)

    def _run(self, pixels: Any, purpose: str, what: Any) -> None:
        """Invert something; what it is for is remembered until it ends."""
        new = purpose == "open"
        prior = self.prior.value if new or self._open_prior is None else self._open_prior
        zoom = float(self.zoom.value) if new else self._open_zoom
        preferences = current_preferences()
        obey(preferences, self.controller)
        self.latest.threads = preferences.threads
        config = example_config(_space(prior)) if purpose == "example" else None
        request = RunRequest(
            image=pixels, mask=None, prior=prior, task="invert", quality=self.quality.value,
            config=config, zoom=zoom, **engine_options(preferences, "auto"),
        )  # fmt: skip
        self._runs[id(request)] = (purpose, (what, request))
        self.controller.enqueue(request)
        self._say("Loading PyTorch and the prior ..." if new else "Inverting ...")
        self._timer.start()
        self._enable()

    def _ask(self, make: Any, purpose: str, *, later: bool = False, lasting: bool = False) -> None:
        latest = self.latest
        ticket = latest.ask_later(make, lasting=lasting) if later else latest.ask(make)
        self._tickets[ticket] = (purpose, self._taken)
        self._timer.start()

    def _draw(self) -> None:
        if self._ready:
            moves = self.rows.moves()
            self._ask(partial(self._live.draw, moves, keep_detail=self._keeps_detail()), "draw")
            self._enable()

    def _poll(self) -> None:
        self.controller.poll()
        for answer in self.latest.take():
            self._on_answer(answer)
        if not self.controller.busy and not self.latest.busy:
            self._timer.stop()

    def _on_answer(self, answer: Answer) -> None:
        purpose, taken = self._tickets.get(answer.ticket, ("", None))
        if answer.last:
            self._tickets.pop(answer.ticket, None)
        if answer.error is not None:
            self._tell(answer.error)
        value = answer.value
        if taken is not self._taken and isinstance(value, Drawn | Opened | Row | Direction):
            return  # of a picture that is not open any more
        if isinstance(value, Drawn):
            self._show(value)
        elif isinstance(value, Opened):
            self._on_opened(value)
        elif isinstance(value, Row):
            self.rows.show_pictures(value.direction, value.pictures)
        elif isinstance(value, Direction):
            self._add_direction(value)
        elif purpose == "keep" and value is not None:
            self._on_kept(value, taken)
        elif purpose.startswith("way to ") and isinstance(value, np.ndarray):
            self._on_way(value, purpose.removeprefix("way to "), taken)

    def _on_opened(self, opened: Opened) -> None:
        self._ready, self._preview = True, None
        self.rows.show_directions(opened.directions)
        for direction in opened.directions:
            self._ask(partial(self._live.row, direction), "row", later=True)
        for direction in opened.directions:
            self._ask(partial(self._live.prepare, direction), "prepare", later=True)
        name = "" if self._taken is None else self._taken.name
        self._say(f"'{name}' can be edited: move a slider. Every pixel that changes is invented.")
        self._enable()

    def _add_direction(self, direction: Direction) -> None:
        self.rows.add(direction)
        self.tabs.setCurrentIndex(0)
        for work in (self._live.row, self._live.prepare):
            self._ask(partial(work, direction), "row", later=True)
        right = direction.source.get("left_out_right")
        told = f"A slider for '{direction.name}' is there."
        if right is not None:
            n = sum(direction.source["examples"])
            told += f" {right} of {n} examples are told apart by what the others teach."
        self._say(told)

    def _on_finished(self, result: RunResult) -> None:
        purpose, what = self._runs.pop(self._running_id, ("", None))
        self.bar.setValue(0)
        found = result.restoration
        if purpose == "open":
            taken, prior, method = what[0]
            self._open(taken, prior, method, found)
        elif purpose == "example":
            self._learning[what[0][0]].append((what[0][1], found))
            if not any(kind == "example" for kind, _ in self._runs.values()):
                like, unlike = ([f for _, f in self._learning[n]] for n in (0, 1))
                name = self.examples.name.text().strip() or "learnt"
                self._ask(partial(self._live.learn, like, unlike, name), "direction", later=True)
        elif purpose == "way":
            taken = what[0]
            steps = self._live.way(
                found, taken.pixels, int(self.pictures.value), keep_detail=self._keeps_detail()
            )
            self._ask(lambda: steps, f"way to {taken.name}", later=True, lasting=True)
        self._enable()

    def _open(self, taken: Taken, prior: str, method: str, found: Restoration) -> None:
        """Look for directions; then sliders can move the codes."""
        self._taken, self._open_prior = taken, prior
        self._open_zoom = float(found.recipe.get("zoom", 1.0))
        self._ready = False
        self.latest.forget_later()
        preferences = current_preferences()
        self.latest.threads = preferences.threads
        options = engine_options(preferences, "auto")
        work = partial(self._live.open, found, taken.pixels, prior, method=method, **options)
        self._ask(work, "open")
        self._enable()

    @property
    def _running_id(self) -> int:
        """The oldest request: runs end in the order in which they were asked for."""
        return next(iter(self._runs), 0)

    def _on_progress(self, progress: Progress) -> None:
        self.bar.setValue(round(BAR_STEPS * progress.fraction))
        more = f", {len(self._runs) - 1} more after it" if len(self._runs) > 1 else ""
        self._say(
            f"Inverting: step {progress.index} of {progress.n_steps}, window {progress.window} of "
            f"{progress.n_windows}{more}."
        )

    def _on_failed(self, error: MGANPriorError) -> None:
        self._runs.clear()
        self.controller.clear_queue()
        self.bar.setValue(0)
        self._tell(error)
        self._enable()

    def _on_cancelled(self) -> None:
        self._runs.clear()
        self.bar.setValue(0)
        self._say("Cancelled; nothing was changed.")
        self._enable()

    def _cancel(self) -> None:
        self.controller.clear_queue()
        self.controller.cancel()
        self._enable()

    def _on_codes(self) -> None:
        self.open_codes()

    def _on_boundary(self) -> None:
        self.load_boundary()

    def _on_detail(self, _: bool) -> None:
        if self.rows.moves() or self._preview is not None:
            self._draw()

    def _on_image(self, _: Any) -> None:
        self.examples.image = self.image.value
        self._enable()

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()

    def _keeps_detail(self) -> bool:
        return bool(self.detail.value)

    def _enable(self) -> None:
        busy = bool(self._runs)
        self.invert_button.setEnabled(self.image.value is not None and not busy)
        self.codes_button.setEnabled(self.image.value is not None and not busy)
        self.offer_codes(inside=holds_codes(self.image.value))
        self.cancel_button.setEnabled(busy)
        for part in (self.rows, self.boundary_button, self.reset_button, self.detail.native):
            part.setEnabled(self._ready)
        self.keep_button.setEnabled(self._ready and bool(self.rows.moves()))
        self.examples.learn_button.setEnabled(self._ready and not busy)
        self.way_button.setEnabled(self._ready and not busy and self.other.value is not None)


def _leave(controller: RunController, latest: Latest, watch: ViewerWatch, *_: object) -> None:
    watch.closed = True
    controller.close(_LEAVE_SECONDS)
    latest.close(_LEAVE_SECONDS)


def _space(prior: str) -> str:
    """Where codes of a prior are moved, as its header says."""
    return "w" if read_header(find_prior(prior)).architecture in _STYLED else "z"
