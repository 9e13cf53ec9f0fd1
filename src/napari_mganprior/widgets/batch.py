"""The dock widget "Batch": many images restored alike, one after another, with a table."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from napari.layers.base import Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.runs import Progress, RunController, RunResult
from napari_mganprior.runs.batch import SUMMARY, BatchRow, write_summary
from napari_mganprior.runs.file_task import open_any
from napari_mganprior.runs.recipe import form_state
from napari_mganprior.settings import recall
from napari_mganprior.widgets.activity import Activity
from napari_mganprior.widgets.batch_jobs import BatchJob, plan_files, plan_layers
from napari_mganprior.widgets.pages import lay_out_form, may_be_cut
from napari_mganprior.widgets.preferences import current_preferences, obey
from napari_mganprior.widgets.recipe_view import recipe_of
from napari_mganprior.widgets.run_panel import RunPanel
from napari_mganprior.widgets.scroll import FieldScroll
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["BatchWidget"]

LAYERS, FOLDER = "selected image layers", "files of a folder"
OWN_DAMAGE = "layer named 'IMAGE damage'"
LAST = "last settings of Inpaint"
_COLUMNS = ("image", "outcome", "result", "invented", "s", "loss")
_HINTS = (
    "The layer or file that was restored",
    "What became of it",
    "The layer or file of the result, or the reason why there is none",
    "How many pixels are invented",
    "Seconds it took",
    "Misfit on the measured pixels at the end",
)
_WORDS, _NUMBERS = (0, 2), (3, 4, 5)
_LEAVE_SECONDS = 1.0
_TIPS = {
    "source": "The image layers selected in the layer list, or all PNG and TIFF files of a folder",
    "damage": "One layer for all images, or for each the layer that is called like it plus "
    "' damage', as 'New' in the form Inpaint makes it",
    "settings": "Prior, quality, seed, damage, slices and region: as in the last run of the form "
    "Inpaint, or as in the recipe of a result",
    "images": "The folder with the images",
    "masks": "The folder with a mask for each image, called like it or NAME_mask, or one mask "
    "file for all; not 0 is damage",
    "output": "The folder for the results and the table of them; nothing there is replaced",
}


class BatchWidget(QWidget):
    """Restore many images alike, and say in a table what became of each.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered.
    open_task : callable, optional
        Makes the task from a request, in the run's thread.

    Attributes
    ----------
    source, damage, settings, images, masks, output : Widget
        What the user chooses.
    panel : RunPanel
        Buttons, progress and status.
    table : QTableWidget
        One row an image.
    controller : RunController
        The run under way.
    """

    _docked = False

    def __init__(
        self, napari_viewer: ViewerModel, open_task: Callable[[Any], Any] = open_any
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._jobs: list[BatchJob] = []
        self._rows: list[BatchRow] = []
        self._names: list[str] = []
        self._folder: Path | None = None
        self._ended = False
        self.controller = RunController(open_task)
        self._make_fields()
        self.panel = RunPanel(self.controller, queues=False)
        self.table = QTableWidget(0, len(_COLUMNS))
        self._activity = Activity(self.controller, "Batch")
        self._lay_out()
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self._connect()
        self.reset_choices()
        self.destroyed.connect(
            partial(_leave, self.controller, self._watch, self._activity, self._jobs)
        )

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if self._watch.closed:
            return
        for box in (self.damage, self.settings):
            chosen = box.value
            with box.changed.blocked():
                box.reset_choices()
                if chosen in box.choices:
                    box.value = chosen
        self._watch.follow(())
        self.check()

    def check(self) -> str:
        """Grey the Run button, or not, and say why; returns the reason."""
        if self._watch.closed:
            return ""
        layers = self.source.value == LAYERS
        self.damage.enabled = layers
        for field in (self.images, self.masks, self.output):
            field.enabled = not layers
        fault, note = self._find_fault()
        self.panel.set_fault(fault, note)
        return fault

    def run(self) -> None:
        """Plan the batch from what the form says, and begin."""
        if self.controller.busy or self._jobs or self.check():
            return
        try:
            jobs = self._plan()
        except MGANPriorError as error:
            self._tell(error)
            return
        self._jobs[:] = jobs
        self._names = [job.name for job in jobs]
        self._rows, self._ended = [], False
        self._folder = None if self.source.value == LAYERS else self._folders()[2]
        obey(current_preferences(), self.controller)
        self._show_table()
        self._next()

    def event(self, event: QEvent | None) -> bool:
        """Cancel when the dock is closed."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self._jobs.clear()
                self.controller.cancel()
            self._docked = self.parent() is not None
        return bool(super().event(event))

    def _make_fields(self) -> None:
        self.source = ComboBox(choices=(LAYERS, FOLDER), tooltip=_TIPS["source"])
        self.damage = ComboBox(
            choices=partial(_damage_choices, self._viewer),
            tooltip=_TIPS["damage"],
        )
        self.settings = ComboBox(
            choices=partial(_settings_choices, self._viewer), tooltip=_TIPS["settings"]
        )
        folder = FileDialogMode.EXISTING_DIRECTORY
        self.images = FileEdit(mode=folder, tooltip=_TIPS["images"], nullable=True)
        self.masks = FileEdit(mode=folder, tooltip=_TIPS["masks"], nullable=True)
        self.output = FileEdit(mode=folder, tooltip=_TIPS["output"], nullable=True)

    def _lay_out(self) -> None:
        fields = QWidget()
        may_be_cut(self.source, self.damage, self.settings)
        lay_out_form(
            fields,
            (
                ("Images", [self.source]),
                ("Damage", [self.damage]),
                ("Settings", [self.settings]),
                ("Image folder", [self.images]),
                ("Mask folder", [self.masks]),
                ("Output folder", [self.output]),
            ),
        )
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(90)
        self.panel.fold.setChecked(False)  # the table needs the room
        for column, hint in enumerate(_HINTS):
            if (item := self.table.horizontalHeaderItem(column)) is not None:
                item.setToolTip(hint)
        if (header := self.table.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            for column in _WORDS:  # long ones are cut, and whole in the tooltip
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        if (rows := self.table.verticalHeader()) is not None:
            rows.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(FieldScroll(fields))
        layout.addWidget(self.panel)
        layout.addWidget(self.table, 1)

    def _connect(self) -> None:
        for field in (
            self.source, self.damage, self.settings, self.images, self.masks, self.output,
        ):  # fmt: skip
            field.changed.connect(self._on_field_changed)
        self.panel.run_requested.connect(self.run)
        self.panel.stop_button.clicked.connect(self._stop)
        self.panel.cancel_button.clicked.connect(self._stop)
        self.controller.progressed.connect(self._on_progressed)
        self.controller.finished.connect(self._on_finished)
        self.controller.failed.connect(self._on_failed)
        self.controller.cancelled.connect(self._on_cancelled)

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()
        else:
            self.check()

    def _on_field_changed(self, _: Any = None) -> None:
        self.check()

    def _selected(self) -> list[Image]:
        chosen = self._viewer.layers.selection
        return [x for x in self._viewer.layers if isinstance(x, Image) and x in chosen]

    def _find_fault(self) -> tuple[str, str]:
        """Return why a batch cannot start, and what is good to know if it can."""
        if self.source.value == LAYERS:
            n = len(self._selected())
            if not n:
                return "No image layer is selected. Select one or more in the layer list.", ""
            return "", f"{n} image{'s' if n > 1 else ''} selected."
        try:
            self._folders()
        except SettingsError as error:
            return str(error), ""
        return "", "Ready."

    def _folders(self) -> tuple[Path, Path, Path]:
        """Return the folders of images, masks and results; SettingsError where one is missing."""
        chosen = {}
        for name, field in (("image", self.images), ("mask", self.masks), ("output", self.output)):
            path = field.value
            if not isinstance(path, Path) or path == Path():  # what magicgui makes of nothing
                raise SettingsError(f"No {name} folder. Choose one.")
            chosen[name] = path
        if not chosen["image"].is_dir():
            raise SettingsError(f"'{chosen['image']}' is no folder; wanted images. Choose another.")
        if not chosen["mask"].exists():
            raise SettingsError(
                f"'{chosen['mask']}' is not there; wanted masks. Choose another folder or file."
            )
        return chosen["image"], chosen["mask"], chosen["output"]

    def _state(self) -> Mapping[str, Any]:
        chosen = self.settings.value
        recipe = recipe_of(chosen) if isinstance(chosen, Layer) else None
        return recall("inpaint") if recipe is None else form_state(recipe)

    def _plan(self) -> list[BatchJob]:
        state = self._state()
        if self.source.value == LAYERS:
            damage = None if self.damage.value == OWN_DAMAGE else self.damage.value
            return plan_layers(self._viewer, self._selected(), damage, state)
        return plan_files(*self._folders(), state)

    def _next(self) -> None:
        """Start the first job that can start; rows of those that cannot say why."""
        while self._jobs and not self._ended:
            job = self._jobs[0]
            fault = job.fault
            if job.request is not None:
                self._show_row(BatchRow(image=job.name, outcome="running"))
                try:
                    self.controller.start(job.request)
                except MGANPriorError as error:
                    fault = str(error)
                else:
                    return
            self._jobs.pop(0)
            self._note(BatchRow(image=job.name, message=fault))
        while self._jobs:
            self._note(BatchRow(image=self._jobs.pop(0).name, outcome="cancelled"))
        self._tell_end()

    def _note(self, row: BatchRow) -> None:
        self._show_row(row)
        self._rows.append(row)
        if self._folder is not None:
            try:
                write_summary(self._folder / SUMMARY, self._rows)
            except MGANPriorError as error:
                self._tell(error)

    def _stop(self) -> None:
        self._ended = True

    def _on_progressed(self, progress: Progress) -> None:
        self._set_cell(len(self._rows), 1, f"{100 * progress.fraction:.0f} %")

    def _on_finished(self, result: RunResult) -> None:
        if not self._jobs:  # the form was closed meanwhile
            return
        job = self._jobs.pop(0)
        name = job.finish(result)
        self._note(BatchRow.restored(job.name, name, result.restoration, stopped=result.stopped))
        self._next()

    def _on_failed(self, error: MGANPriorError) -> None:
        if not self._jobs:
            return
        self._note(BatchRow(image=self._jobs.pop(0).name, message=str(error)))
        self._next()

    def _on_cancelled(self) -> None:
        self._ended = True
        if self._jobs:
            self._note(BatchRow(image=self._jobs.pop(0).name, outcome="cancelled"))
        self._next()

    def _tell_end(self) -> None:
        done = sum(row.outcome in ("restored", "stopped") for row in self._rows)
        table = "" if self._folder is None else f" The table is in {self._folder / SUMMARY}."
        self.panel.say(f"{done} of {len(self._rows)} images restored.{table}")

    def _show_table(self) -> None:
        self.table.setRowCount(len(self._names))
        for number, name in enumerate(self._names):
            for column in range(len(_COLUMNS)):
                self._set_cell(number, column, "")
            self._set_cell(number, 0, name)
            self._set_cell(number, 1, "waiting")

    def _show_row(self, row: BatchRow) -> None:
        number = len(self._rows)
        loss = f"{row.loss:.2g}" if isinstance(row.loss, float) else ""
        seconds = ""
        if isinstance(row.seconds, float):
            seconds = f"{row.seconds:.{int(row.seconds < 100)}f}"
        invented = str(row.invented_pixels or "")
        told = "; ".join(filter(None, (Path(row.output).name, row.message)))
        for column, text in enumerate((row.image, row.outcome, told, invented, seconds, loss)):
            self._set_cell(number, column, text)

    def _set_cell(self, row: int, column: int, text: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(text)
        if column in _NUMBERS:
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.setItem(row, column, item)

    def _tell(self, error: MGANPriorError) -> None:
        self.panel.say(str(error))
        show_error(str(error))


def _damage_choices(viewer: ViewerModel, _: Any = None) -> list[tuple[str, Any]]:
    marks = [layer for layer in viewer.layers if isinstance(layer, Labels | Shapes)]
    return [(OWN_DAMAGE, OWN_DAMAGE), *((layer.name, layer) for layer in marks)]


def _settings_choices(viewer: ViewerModel, _: Any = None) -> list[tuple[str, Any]]:
    having = [x for x in viewer.layers if (recipe_of(x) or {}).get("task") == "inpaint"]
    return [(LAST, LAST), *((f"recipe of {layer.name}", layer) for layer in having)]


def _leave(
    controller: RunController,
    watch: ViewerWatch,
    activity: Activity,
    jobs: list[BatchJob],
    *_: object,
) -> None:
    watch.closed = True
    jobs.clear()
    activity.close()
    controller.close(_LEAVE_SECONDS)
