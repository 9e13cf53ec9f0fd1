"""The dock widget "Analyse": the layer study, and the roles of codes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.analysis.outcome import Roles, Study
from napari_mganprior.analysis.plot import study_plot
from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files import write_atomically
from napari_mganprior.runs import RunController, RunResult
from napari_mganprior.runs.analysing import AnalysisRequest, open_analysis
from napari_mganprior.widgets.activity import Activity
from napari_mganprior.widgets.analyse_fields import AnalyseFields
from napari_mganprior.widgets.analyse_layers import Place, add_roles, add_study, take_plane
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.inputs import Choice
from napari_mganprior.widgets.preferences import current_preferences, engine_options, obey
from napari_mganprior.widgets.prior_fit import check_prior
from napari_mganprior.widgets.run_panel import RunPanel
from napari_mganprior.widgets.scroll import FieldScroll
from napari_mganprior.widgets.svg_plot import SvgPlot
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["AnalyseWidget"]

_INK = "#202020"
_LEAVE_SECONDS = 1.0
_STUDY_COLUMNS = ("cut", "map", "codes", "PSNR", "SSIM", "held out", "residual", "s")
_HINTS = (
    "Composing layer",
    "Height of the maps there in pixels",
    "How many are composed",
    "In dB, over the restored pixels; higher is better",
    "Over the restored pixels; 1 is the best",
    "Misfit on measured pixels that the search did not see, in grey values",
    "Drawn minus measured, root mean square, in grey values",
    "Seconds it took",
)
_ROLES_COLUMNS = ("code", "share of pixels", "mean change")


class AnalyseWidget(QWidget):
    """Look into a prior: the same task at every cut, or what each code draws.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered.
    open_task : callable, optional
        Makes the task from an `AnalysisRequest`, in the run's thread.

    Attributes
    ----------
    fields : AnalyseFields
        What the user chooses.
    panel : RunPanel
        Buttons, progress and status.
    table : QTableWidget
        One row a combination, or a code; a click on a row shows its picture.
    plot : SvgPlot
        Of the last study.
    pages : QTabWidget
        Plot and table.
    controller : RunController
        The run under way.
    """

    _docked = False

    def __init__(
        self, napari_viewer: ViewerModel, open_task: Callable[[Any], Any] = open_analysis
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._place: Place | None = None
        self._found: Study | Roles | None = None
        self._stack: Image | None = None
        self.controller = RunController(open_task)
        self.fields = AnalyseFields(lambda: self._viewer.layers)
        if (wanted := current_preferences().default_prior) in self.fields.prior.choices:
            self.fields.prior.value = wanted
        self.panel = RunPanel(self.controller, queues=False)
        self.table, self.plot = QTableWidget(0, 0), SvgPlot()
        self.save_button = QPushButton("Save table ...")
        self._activity = Activity(self.controller, "Analyse")
        self._lay_out()
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self._connect()
        self.reset_choices()
        self.destroyed.connect(partial(_leave, self.controller, self._watch, self._activity))

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if not self._watch.closed:
            self.fields.refresh_layers()
            self._watch.follow(())
            self.check()

    def check(self) -> str:
        """Grey the Run button, or not, and say why; returns the reason."""
        if self._watch.closed:
            return ""
        fault = self._find_fault()
        self.panel.set_fault(fault, "Ready.")
        return fault

    def run(self) -> None:
        """Begin what the form says."""
        if self.controller.busy or self.check():
            return
        try:
            request, self._place = self._order()
            obey(current_preferences(), self.controller)
            self.controller.start(request)  # type: ignore[arg-type]  # jobs take any request
        except MGANPriorError as error:
            self._tell(error)

    def save(self, path: Path) -> None:
        """Write the table as CSV, and the plot of a study as SVG beside it.

        Parameters
        ----------
        path : Path
            Of the table.
        """
        if self._found is None:
            return
        try:
            write_atomically(path, self._found.to_csv().encode())
            if isinstance(self._found, Study):
                plot = study_plot(self._found, ink=_INK)
                write_atomically(path.with_suffix(".svg"), plot.encode())
        except MGANPriorError as error:
            self._tell(error)
        else:
            self.panel.say(f"Written: {path}")

    def event(self, event: QEvent | None) -> bool:
        """Cancel when the dock is closed; look for new priors when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.controller.cancel()
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            self.fields.refresh_priors()
        return bool(super().event(event))

    def _find_fault(self) -> str:
        fields = self.fields
        if fields.image.value is None:
            return "No image layer. Open a picture, or one of the samples."
        if fields.prior.value is None:
            return "There is no prior. Import one in the form Priors."
        # only a picture that is to be given colours is another kind than the prior's
        apart = (fields.kind.value, fields.task.value, fields.trial.value)
        if apart != ("study", "colorize", False):
            chosen = Choice(image=fields.image.value, damage=None)
            if fault := check_prior(chosen, str(fields.prior.value)):
                return fault
        if fields.kind.value == "roles":
            return ""
        try:
            study = fields.study()
        except MGANPriorError as error:
            return str(error)
        needs = study.task in ("inpaint", "missing") and not study.trial
        if needs and fields.damage.value is None:
            return "No damage is chosen. Choose a labels layer, or tick 'try on a damaged copy'."
        return ""

    def _order(self) -> tuple[AnalysisRequest, Place]:
        fields = self.fields
        image, place = take_plane(fields.image.value, self._viewer)
        preferences = current_preferences()
        common: dict[str, Any] = {
            "kind": fields.kind.value,
            "image": image,
            "prior": str(fields.prior.value),
            "region": str(fields.part.value),
            "seed": int(fields.seed.value),
            "device": engine_options(preferences, str(fields.device.value))["device"],
        }
        if fields.kind.value == "roles":
            quality = str(fields.quality.value)
            return AnalysisRequest(codes=fields.codes_file(), quality=quality, **common), place
        study = fields.study()
        given: dict[str, Any] = {}
        if not study.trial:
            for name, layer in (("mask", fields.damage.value), ("truth", fields.truth.value)):
                if layer is not None:
                    given[name] = take_plane(layer, self._viewer)[0]
        return AnalysisRequest(study=study, **given, **common), place

    def _lay_out(self) -> None:
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setMinimumHeight(110)
        self.table.setToolTip("Click a row to see its picture")
        self.panel.fold.setChecked(False)  # table and plot need the room
        self.save_button.setToolTip("Write the table as CSV, and the plot as SVG beside it")
        self.save_button.setEnabled(False)
        self.pages = QTabWidget()
        self.pages.addTab(self.plot, "Plot")
        self.pages.addTab(self.table, "Table")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(FieldScroll(self.fields))
        layout.addWidget(self.panel)
        layout.addWidget(self.pages, 1)
        below = QHBoxLayout()
        below.addWidget(self.save_button, 1)
        below.addWidget(help_label("analyse"))
        layout.addLayout(below)

    def _connect(self) -> None:
        self.fields.changed.connect(self._on_field_changed)
        self.panel.run_requested.connect(self.run)
        self.table.cellClicked.connect(self._show_picture)
        self.save_button.clicked.connect(self._ask_and_save)
        self.controller.finished.connect(self._on_finished)
        self.controller.failed.connect(self._tell)
        self.controller.cancelled.connect(self._on_cancelled)

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()
        else:
            self.check()

    def _on_field_changed(self, _: Any = None) -> None:
        self.check()

    def _on_cancelled(self) -> None:
        self.panel.say("Cancelled. Nothing was kept.")

    def _on_finished(self, result: RunResult) -> None:
        place, found = self._place, result.restoration
        if place is None:
            return
        self._found = found
        if isinstance(found, Study):
            self._stack = add_study(self._viewer, place, found)
            self._fill(_STUDY_COLUMNS, [_cells(row) for row in found.rows])
            self.plot.show_document(study_plot(found, ink=_INK), _INK)
            words = found.finding()
            self.table.selectRow(found.rows.index(found.best))
            self._show_picture(found.rows.index(found.best))
        else:
            add_roles(self._viewer, place, found)
            pairs = zip(found.shares(), found.strengths(), strict=True)
            rows: list[tuple[str, ...]] = [
                (str(n), f"{100 * share:.1f} %", f"{change:.3g}")
                for n, (share, change) in enumerate(pairs, 1)
            ]
            self._fill(_ROLES_COLUMNS, rows)
            first = int(np.argmax(found.shares())) + 1
            words = f"Code {first} is the first contributor of {rows[first - 1][1]} of the pixels."
        self.pages.setTabEnabled(0, isinstance(found, Study))
        self.pages.setCurrentIndex(0 if isinstance(found, Study) else 1)
        self.save_button.setEnabled(True)
        stopped = "Stopped before the end. " if result.stopped else ""
        self.panel.say(f"{stopped}{words} {result.note}".strip())

    def _fill(self, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        self.table.clear()
        self.table.setColumnCount(len(columns))
        self.table.setHorizontalHeaderLabels(columns)
        if columns is _STUDY_COLUMNS:
            for column, hint in enumerate(_HINTS):
                item = self.table.horizontalHeaderItem(column)
                if item is not None:
                    item.setToolTip(hint)
        self.table.setRowCount(len(rows))
        for number, cells in enumerate(rows):
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(number, column, item)
        header = self.table.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        rows_header = self.table.verticalHeader()
        if rows_header is not None:
            rows_header.hide()

    def _show_picture(self, row: int, _column: int = 0) -> None:
        """Move the sliders to a row's picture."""
        found, dims = self._found, self._viewer.dims
        if isinstance(found, Study) and self._stack in self._viewer.layers:
            chosen = found.rows[row]
            at = (found.cuts.index(chosen.cut), found.codes.index(chosen.n_codes))
            for axis, step in zip((dims.ndim - 4, dims.ndim - 3), at, strict=True):
                dims.set_current_step(axis, step)
        elif isinstance(found, Roles) and dims.ndim > 2:
            dims.set_current_step(dims.ndim - 3, row)

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", "analysis.csv", "*.csv")
        if path:
            self.save(Path(path))

    def _tell(self, error: MGANPriorError) -> None:
        self.panel.say(str(error))
        show_error(str(error))


def _cells(row: Any) -> tuple[str, ...]:
    def told(value: float | None, digits: str) -> str:
        return "" if value is None else f"{value:{digits}}"

    return (
        str(row.cut),
        str(row.map_size),
        str(row.n_codes),
        told(row.psnr, ".2f"),
        told(row.ssim, ".3f"),
        told(row.held_out, ".3g"),
        told(row.residual, ".3g"),
        f"{row.seconds:.1f}",
    )


def _leave(controller: RunController, watch: ViewerWatch, activity: Activity, *_: object) -> None:
    watch.closed = True
    activity.close()
    controller.close(_LEAVE_SECONDS)
