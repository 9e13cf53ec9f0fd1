"""The dock widget "Priors": which there are, what each draws, and how to bring your own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.errors import MGANPriorError, PriorError
from napari_mganprior.priors import (
    find_prior,
    prior_names,
    prior_source,
    remove_prior,
    user_folder,
)
from napari_mganprior.priors.words import ORIGINS, images_in_words, tell_prior
from napari_mganprior.runs.prior_jobs import (
    ImportOrder,
    PriorEnd,
    PriorJob,
    PriorStep,
    PriorWork,
    draw_sheet,
    import_foreign,
)
from napari_mganprior.widgets.fields import InpaintFields
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.import_form import FORMATS, ImportForm
from napari_mganprior.widgets.prior_card import PriorCardView

__all__ = ["PriorsWidget"]

_POLL_MS = 100
_SURE_MS = 5000
_LEAVE_SECONDS = 1.0
_COLUMNS = ("prior", "from", "images")
_ROWS = 5
_STATUS_LINES = 2
_REMOVE, _SURE = "Remove", "Really remove?"


@dataclass
class _Work:
    """What is under way; it outlives the widget by a moment."""

    job: PriorJob | None = None


class PriorsWidget(QWidget):
    """List the priors, show what each draws, import and remove your own.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Of the window it is docked in.
    importing : callable, optional
        Goes through the steps of an import, in a thread.

    Attributes
    ----------
    table : QTableWidget
        One row a prior.
    card : PriorCardView
        The selected one.
    form : ImportForm
        In place of the card while there is a file to import.
    """

    _docked = False

    def __init__(
        self,
        napari_viewer: ViewerModel,
        importing: Callable[[ImportOrder], PriorWork] = import_foreign,
    ) -> None:
        super().__init__()
        self._importing = importing
        self._work = _Work()
        self._names: tuple[str, ...] = ()
        self._sheets: dict[str, PriorStep] = {}
        self.table = QTableWidget(0, len(_COLUMNS))
        self.import_button = QPushButton("Import ...")
        self.draw_button = QPushButton("Draw samples")
        self.remove_button = QPushButton(_REMOVE)
        self.folder_button = QPushButton("Open folder")
        self.bar, self.cancel_button = QProgressBar(), QPushButton("Cancel")
        self.status = QLabel()
        self.card, self.form = PriorCardView(), ImportForm()
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._unsure = QTimer(self)
        self._unsure.setInterval(_SURE_MS)
        self._unsure.setSingleShot(True)
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self.refresh()
        # Nothing here may hold this widget: it is gone when the signal arrives.
        self.destroyed.connect(partial(_leave, self._work))

    @property
    def busy(self) -> bool:
        """Whether an import, or drawing samples, is under way."""
        return self._work.job is not None

    @property
    def selected(self) -> str | None:
        """Name of the selected prior."""
        row = self.table.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None

    def refresh(self, select: str | None = None) -> None:
        """List the priors there are now.

        Parameters
        ----------
        select : str, optional
            The one to select; if left out, what was selected, or the first.
        """
        chosen = select or self.selected
        names = prior_names()
        if names != self._names or select is not None:
            self._names = names
            self._fill(names.index(chosen) if chosen in names else 0)
            self._show_card()

    def offer(self, path: Path) -> None:
        """Ask how a file is to be imported."""
        if self.busy:
            self._say("One import at a time. Wait for its end, or press Cancel.")
            return
        if not path.is_file():
            self._say(f"'{path.name}' is no file; wanted the file of a generator. Choose another.")
            return
        self.form.offer(path)
        self._show_form(True)
        self._say("Nothing in the file is run. Press Import.")

    def start_import(self) -> None:
        """Begin with what the form says."""
        if self.busy:
            return
        try:
            order = self.form.order()
            self._start(partial(self._importing, order))
        except MGANPriorError as error:
            self._tell(error)

    def draw_samples(self) -> None:
        """Draw samples of the selected prior."""
        name = self.selected
        if self.busy or name is None:
            return
        try:
            self._start(partial(draw_sheet, name))
        except MGANPriorError as error:
            self._tell(error)

    def cancel(self) -> None:
        """End what is under way after its stage; nothing of it stays."""
        if self._work.job is not None:
            self._work.job.cancel()
            self.cancel_button.setEnabled(False)
            self._say("Cancelling after the stage under way ...")

    def remove(self) -> None:
        """Ask once, then delete the selected prior."""
        name = self.selected
        if name is None:
            return
        if not self._unsure.isActive():
            self._unsure.start()
            self.remove_button.setText(_SURE)
            return
        self._be_unsure()
        try:
            remove_prior(name)
        except MGANPriorError as error:
            self._tell(error)
        else:
            self._say(f"Removed '{name}'.")
        self._sheets.pop(name, None)
        self.refresh()
        _offer_everywhere()

    def open_folder(self) -> None:
        """Show the folder of the user's own priors, made if need be."""
        folder = user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._say(f"Could not make the folder {folder} ({error.strerror or error}).")
            return
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self._say(f"Your own priors are in {folder}")

    def event(self, event: QEvent | None) -> bool:
        """Cancel when the dock is closed; look again when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.cancel()
                self._be_unsure()
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            self.refresh()
        return bool(super().event(event))

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802  Qt's name
        """Take files, nothing else."""
        if event is not None and _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802  Qt's name
        """Offer the file."""
        paths = [] if event is None else _dropped(event)
        if event is None or not paths:
            return
        event.acceptProposedAction()
        if len(paths) > 1:
            self._say(f"Got {len(paths)} files; wanted one. Drop one after another.")
        else:
            self.offer(paths[0])

    def _lay_out(self) -> None:
        self._lay_out_table()
        self.import_button.setToolTip(
            "Make a prior from somebody else's generator: choose its file, or drop it here"
        )
        self.draw_button.setToolTip("Draw samples of the selected prior; nothing is written")
        self.folder_button.setToolTip("Where your own priors are: .safetensors files")
        self.cancel_button.setToolTip("End now and leave nothing behind")
        # as wide for the longer word, so that the buttons do not jump
        self.remove_button.setText(_SURE)
        self.remove_button.setMinimumWidth(self.remove_button.sizeHint().width())
        self.remove_button.setText(_REMOVE)
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)  # a file's words are no markup
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        for row in (
            (self.import_button, self.draw_button),
            (self.remove_button, self.folder_button),
        ):
            layout.addLayout(_side_by_side(*row))
        layout.addLayout(_side_by_side(self.bar, self.cancel_button))
        layout.addWidget(self.status)
        layout.addWidget(self.form, 1)
        layout.addWidget(self.card, 1)
        layout.addWidget(help_label("manage-priors"))
        self._show_form(False)
        self._show_busy()

    def _lay_out_table(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(_COLUMNS)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        if (rows := table.verticalHeader()) is not None:
            rows.hide()
            table.setFixedHeight((_ROWS + 1) * rows.defaultSectionSize())
        if (header := table.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setHighlightSections(False)

    def _connect(self) -> None:
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.import_button.clicked.connect(self._ask_for_file)
        self.draw_button.clicked.connect(self.draw_samples)
        self.remove_button.clicked.connect(self.remove)
        self.folder_button.clicked.connect(self.open_folder)
        self.cancel_button.clicked.connect(self.cancel)
        self.form.asked.connect(self.start_import)
        self.form.closed.connect(self._close_form)
        self._poll.timeout.connect(self._look)
        self._unsure.timeout.connect(self._be_unsure)

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import a generator", "", FORMATS)
        if path:
            self.offer(Path(path))

    def _fill(self, current: int) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._names))
        for row, name in enumerate(self._names):
            try:
                cells = (name, ORIGINS[prior_source(name)], images_in_words(name))
            except PriorError:  # the card says what is wrong
                cells = (name, "", "damaged")
            for column, text in enumerate(cells):
                self.table.setItem(row, column, QTableWidgetItem(text))
        if self._names:
            self.table.selectRow(current)
        self.table.blockSignals(False)

    def _on_selected(self) -> None:
        self._be_unsure()
        self._show_card()

    def _show_card(self) -> None:
        name = self.selected
        fault = True
        if name is None:
            self.card.tell_fault("There is no prior. Import one.")
            self.card.picture.show_words("")
        else:
            try:
                self.card.tell({"Prior": name, **tell_prior(name)})
                fault = False
            except PriorError as error:
                self.card.tell_fault(error)
            self._show_picture(name)
        self.draw_button.setEnabled(not fault and self.card.picture.empty and not self.busy)
        own = name is not None and _is_own(name)
        self.remove_button.setEnabled(own and not self.busy)
        self.remove_button.setToolTip(
            "Delete the selected prior's file, and the pictures beside it"
            if own
            else "Only your own priors can be removed"
        )

    def _show_picture(self, name: str) -> None:
        picture = self.card.picture
        drawn = self._sheets.get(name)
        if drawn is not None and drawn.sheet is not None:
            picture.show_sheet(drawn.sheet)
            return
        beside = _grid_beside(name)
        if beside is not None and beside.is_file():
            picture.show_file(beside)
        else:
            picture.show_words("No picture of its samples yet: press 'Draw samples'.")

    def _show_form(self, shown: bool) -> None:
        self.form.setVisible(shown)
        self.card.setVisible(not shown)

    def _close_form(self) -> None:
        self._show_form(False)
        self._say("")

    def _start(self, work: Callable[[], PriorWork]) -> None:
        job = PriorJob(work)
        job.start()
        self._work.job = job
        self._say("")
        self._show_busy()
        self._poll.start()

    def _look(self) -> None:
        job = self._work.job
        if job is None:
            self._poll.stop()
            return
        end = job.poll()
        if end is None:
            if job.step is not None and not job.cancelling:
                self._show_step(job.step)
            return
        self._work.job = None
        self._poll.stop()
        self._show_busy()
        self._finish(end)
        self._show_card()

    def _finish(self, end: PriorEnd) -> None:
        if end.error is not None:
            self._tell(end.error)
        elif end.step is None:
            self._say("Cancelled; nothing was written.")
        elif end.step.sheet is not None:
            self._sheets[end.step.name] = end.step
            self._say("")
        else:
            self._show_form(False)
            self._sheets.pop(end.step.name, None)  # of an older one by that name
            self.refresh(end.step.name)
            self._say(f"Imported '{end.step.name}'; look at its samples. Every form offers it.")
            _offer_everywhere()

    def _show_step(self, step: PriorStep) -> None:
        self.bar.setRange(0, step.n_steps)  # 0 of 0 is a moving bar: its end is unknown
        self.bar.setValue(step.index)
        self._say(f"{step.doing[:1].upper()}{step.doing[1:]} ...")

    def _show_busy(self) -> None:
        busy = self.busy
        self.bar.setVisible(busy)
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
        self.import_button.setEnabled(not busy)
        self.form.setEnabled(not busy)
        if busy:
            self.draw_button.setEnabled(False)
            self.remove_button.setEnabled(False)

    def _be_unsure(self) -> None:
        self._unsure.stop()
        self.remove_button.setText(_REMOVE)

    def _say(self, text: str) -> None:
        if text != self.status.text():
            self.status.setText(text)

    def _tell(self, error: MGANPriorError) -> None:
        self._say(str(error))
        show_error(str(error))


def _side_by_side(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget)
    return row


def _is_own(name: str) -> bool:
    try:
        return prior_source(name) == "user"
    except PriorError:
        return False


def _grid_beside(name: str) -> Path | None:
    try:
        path = find_prior(name)
    except PriorError:
        return None
    return path.with_name(f"{path.stem}_grid.png")


def _dropped(event: QDropEvent) -> list[Path]:
    """Return the files that are dragged; none where there is anything else among them."""
    data = event.mimeData()
    urls = data.urls() if data is not None and data.hasUrls() else []
    return [Path(url.toLocalFile()) for url in urls] if all(u.isLocalFile() for u in urls) else []


def _offer_everywhere() -> None:
    """Let every open form offer the priors there are now."""
    for widget in QApplication.allWidgets():
        if isinstance(widget, InpaintFields):
            widget.refresh_priors()


def _leave(work: _Work, *_: object) -> None:
    if work.job is not None:
        work.job.cancel()
        work.job.join(_LEAVE_SECONDS)
        work.job = None
