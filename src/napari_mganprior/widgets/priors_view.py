"""The dock widget "Priors": which there are, what each draws, and how to bring your own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.errors import MGANPriorError, PriorError
from napari_mganprior.priors import find_prior, prior_source, remove_prior, user_folder
from napari_mganprior.priors.header import read_header
from napari_mganprior.priors.words import tell_prior
from napari_mganprior.runs.prior_jobs import (
    ImportOrder,
    InstallOrder,
    PriorEnd,
    PriorStep,
    PriorWork,
    draw_sheet,
    import_foreign,
    install_asked,
)
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.import_form import FORMATS, ImportForm
from napari_mganprior.widgets.install_form import InstallForm
from napari_mganprior.widgets.preferences import current_preferences
from napari_mganprior.widgets.prior_card import PriorCardView
from napari_mganprior.widgets.prior_list import PriorList
from napari_mganprior.widgets.prior_offer import offer_everywhere
from napari_mganprior.widgets.work_panel import WorkPanel

__all__ = ["PriorsWidget"]

_SURE_MS = 5000
_REMOVE, _SURE = "Remove", "Really remove?"


class PriorsWidget(QWidget):
    """List the priors, show what each draws, install, import and remove your own.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Of the window it is docked in.
    importing : callable, optional
        Goes through the steps of an import, in a thread.
    installing : callable, optional
        The same for an installation.

    Attributes
    ----------
    table : PriorList
        One row a prior.
    panel : WorkPanel
        What is under way, and the last word about it.
    card : PriorCardView
        The selected prior.
    form : ImportForm
        In place of the card while there is a file to import.
    install_form : InstallForm
        In place of the card while there is something to install.
    """

    _docked = _fault = False

    def __init__(
        self,
        napari_viewer: ViewerModel,
        importing: Callable[[ImportOrder], PriorWork] = import_foreign,
        installing: Callable[[InstallOrder], PriorWork] = install_asked,
    ) -> None:
        super().__init__()
        self._importing, self._installing = importing, installing
        self._sheets: dict[str, PriorStep] = {}  # drawn on demand, by name
        self.table, self.panel = PriorList(), WorkPanel()
        self.card, self.form, self.install_form = PriorCardView(), ImportForm(), InstallForm()
        self.install_button = QPushButton("Install ...")
        self.import_button = QPushButton("Import ...")
        self.draw_button = QPushButton("Draw samples")
        self.remove_button = QPushButton(_REMOVE)
        self.folder_button = QPushButton("Open folder")
        self._unsure = QTimer(self)
        self._unsure.setInterval(_SURE_MS)
        self._unsure.setSingleShot(True)
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self.refresh()

    @property
    def selected(self) -> str | None:
        """Name of the selected prior."""
        return self.table.selected

    def refresh(self, select: str | None = None) -> None:
        """List the priors there are now.

        Parameters
        ----------
        select : str, optional
            The one to select; if left out, what was selected, or the first.
        """
        if self.table.refresh(select):
            self._show_card()

    def refresh_priors(self) -> None:
        """List them anew: another form has made one."""
        self.refresh()

    def offer_install(self, source: str = "") -> None:
        """Ask what is to be installed."""
        if self.panel.busy:
            return
        self.install_form.offer(source)
        self._show_only(self.install_form)
        self.panel.say("Press Install." if source else "")

    def start_install(self) -> None:
        """Begin with what the form says."""
        try:
            order = self.install_form.order()
        except MGANPriorError as error:
            self.panel.tell(error)
        else:
            current_preferences()  # what the page says of being offline, the thread reads in a file
            self.panel.start(partial(self._installing, order))

    def offer(self, path: Path) -> None:
        """Ask how a file is to be imported; priors, and folders of them, are to be installed."""
        if self.panel.busy:
            return
        if path.is_dir() or _is_prior(path):
            self.offer_install(str(path))
            return
        if not path.is_file():
            self.panel.say(f"'{path.name}' is no file; wanted a generator's. Choose another.")
            return
        self.form.offer(path)
        self._show_only(self.form)
        self.panel.say("Nothing in the file is run. Press Import.")

    def start_import(self) -> None:
        """Begin with what the form says."""
        try:
            order = self.form.order()
        except MGANPriorError as error:
            self.panel.tell(error)
        else:
            self.panel.start(partial(self._importing, order))

    def draw_samples(self) -> None:
        """Draw samples of the selected prior."""
        if self.selected is not None:
            self.panel.start(partial(draw_sheet, self.selected))

    def remove(self) -> None:
        """Ask once, then delete the selected prior."""
        name = self.selected
        if name is None or self.panel.busy:
            return
        if not self._unsure.isActive():
            self._unsure.start()
            self.remove_button.setText(_SURE)
            return
        self._be_unsure()
        try:
            remove_prior(name)
        except MGANPriorError as error:
            self.panel.tell(error)
        else:
            self.panel.say(f"Removed '{name}'.")
        self._sheets.pop(name, None)
        self.refresh()
        offer_everywhere()

    def open_folder(self) -> None:
        """Show the folder of the user's own priors, made if need be."""
        folder = user_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.panel.say(f"Could not make the folder {folder} ({error.strerror or error}).")
            return
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self.panel.say(f"Your own priors are in {folder}")

    def event(self, event: QEvent | None) -> bool:
        """Cancel when the dock is closed; look again when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.panel.cancel()
                self._be_unsure()
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            self.refresh()  # a file may have been copied into the folder
        return bool(super().event(event))

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802  Qt's name
        """Take files and addresses, nothing else, and none while work is under way."""
        if event is not None and _dropped(event) and not self.panel.busy:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802  Qt's name
        """Offer the file, or what is at the address."""
        sources = [] if event is None or self.panel.busy else _dropped(event)
        if event is None or not sources:
            return
        event.acceptProposedAction()
        (first, *others) = sources
        if others:
            self.panel.say(f"Got {len(sources)} files; wanted one. Drop one after another.")
        elif isinstance(first, Path):
            self.offer(first)
        else:
            self.offer_install(first)

    def _lay_out(self) -> None:
        self.install_button.setToolTip(
            "Take over a ready prior: from a file, a folder or an https address, or drop it here"
        )
        self.import_button.setToolTip(
            "Make a prior from somebody else's generator: choose its file, or drop it here"
        )
        self.draw_button.setToolTip("Draw samples of the selected prior; nothing is written")
        self.folder_button.setToolTip("Where your own priors are: .safetensors files")
        # as wide for the longer word, so that the buttons do not jump
        self.remove_button.setText(_SURE)
        self.remove_button.setMinimumWidth(self.remove_button.sizeHint().width())
        self.remove_button.setText(_REMOVE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        for buttons in (
            (self.install_button, self.import_button, self.folder_button),
            (self.draw_button, self.remove_button),
        ):
            row = QHBoxLayout()
            row.setSpacing(4)
            for button in buttons:
                row.addWidget(button, 1)
            layout.addLayout(row)
        layout.addWidget(self.panel)
        for widget in (self.install_form, self.form, self.card):
            layout.addWidget(widget, 1)
        layout.addWidget(help_label("manage-priors"))
        self._show_only(self.card)

    def _connect(self) -> None:
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.install_button.clicked.connect(self._ask_what_to_install)
        self.import_button.clicked.connect(self._ask_for_file)
        self.draw_button.clicked.connect(self.draw_samples)
        self.remove_button.clicked.connect(self.remove)
        self.folder_button.clicked.connect(self.open_folder)
        self.form.asked.connect(self.start_import)
        self.form.closed.connect(self._close_form)
        self.install_form.asked.connect(self.start_install)
        self.install_form.closed.connect(self._close_form)
        self.panel.busy_changed.connect(self._enable)
        self.panel.ended.connect(self._on_ended)
        self._unsure.timeout.connect(self._be_unsure)

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import a generator", "", FORMATS)
        if path:
            self.offer(Path(path))

    def _ask_what_to_install(self) -> None:
        self.offer_install()

    def _on_selected(self) -> None:
        self._be_unsure()
        if not self.panel.busy:
            self._show_only(self.card)
        self._show_card()

    def _on_ended(self, end: PriorEnd) -> None:
        step = end.step
        if step is None:
            return
        if step.sheet is not None:
            self._sheets[step.name] = step
            self._show_card()
            return
        self._show_only(self.card)
        self._sheets.pop(step.name, None)  # of an older one by that name
        self.refresh(step.name)
        offer_everywhere()
        imported = f"Imported '{step.name}': look at its samples. Every form offers it now."
        self.panel.say(step.note or imported)

    def _show_card(self) -> None:
        name = self.selected
        self._fault = name is None
        if name is None:
            self.card.tell_fault("There is no prior. Import one.")
            self.card.picture.show_words("")
        else:
            try:
                self.card.tell({"Prior": name, **tell_prior(name)})
            except PriorError as error:
                self._fault = True
                self.card.tell_fault(error)
            self._show_picture(name)
        self._enable()

    def _show_picture(self, name: str) -> None:
        picture = self.card.picture
        drawn, beside = self._sheets.get(name), _grid_beside(name)
        if drawn is not None and drawn.sheet is not None:
            picture.show_sheet(drawn.sheet)
        elif beside is not None and beside.is_file():
            picture.show_file(beside)
        elif self._fault:
            picture.show_words("")
        else:
            picture.show_words("No picture of its samples yet: press 'Draw samples'.")

    def _show_only(self, shown: QWidget) -> None:
        # hidden first: both at once would make the window grow for good
        for widget in (self.card, self.form, self.install_form):
            if widget is not shown:
                widget.setVisible(False)
        shown.setVisible(True)

    def _close_form(self) -> None:
        self._show_only(self.card)
        self.panel.say("")

    def _enable(self) -> None:
        busy, name = self.panel.busy, self.selected
        own = name is not None and _is_own(name)
        for widget in (self.install_button, self.import_button, self.form, self.install_form):
            widget.setEnabled(not busy)
        self.draw_button.setEnabled(not (busy or self._fault) and self.card.picture.empty)
        self.remove_button.setEnabled(own and not busy)
        self.remove_button.setToolTip(
            "Delete the selected prior's file, and the pictures beside it"
            if own
            else "Only your own priors can be removed"
        )

    def _be_unsure(self) -> None:
        self._unsure.stop()
        self.remove_button.setText(_REMOVE)


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


def _is_prior(path: Path) -> bool:
    """Whether a file is a prior of this program, by its first bytes."""
    try:
        read_header(path)
    except PriorError:
        return False
    return True


def _dropped(event: QDropEvent) -> list[Path | str]:
    """Return the files and https addresses dragged; none where there is anything else too."""
    data = event.mimeData()
    urls = data.urls() if data is not None and data.hasUrls() else []
    if not all(url.isLocalFile() or url.scheme() == "https" for url in urls):
        return []
    return [Path(url.toLocalFile()) if url.isLocalFile() else url.toString() for url in urls]
