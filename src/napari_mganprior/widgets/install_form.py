"""The fields of an installation: from where, and what is known about the file."""

from magicgui.widgets import LineEdit
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_mganprior.errors import SettingsError
from napari_mganprior.runs.prior_jobs import InstallOrder
from napari_mganprior.widgets.pages import lay_out_form

__all__ = ["InstallForm"]

_TITLE = "Install a prior"
_EXPLAINED = (
    "From a file, a folder of priors, or an https address. It is checked before it is listed."
)
_TIPS = {
    "source": "A .safetensors file, a folder of such files, or an address that begins with "
    "https://. A broken download is gone on with.",
    "name": "What the prior is called from then on; empty for the file's own name",
    "sha256": "64 digits that whoever offers the file states beside it. Empty: the hash is shown "
    "and stored, and you trust the source.",
}


class InstallForm(QWidget):
    """Ask what is to be installed.

    Attributes
    ----------
    source, name, sha256 : LineEdit
        What is asked for.
    asked : Signal
        "Install" was pressed.
    closed : Signal
        "Close" was pressed.
    """

    asked = Signal()
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.source = LineEdit(tooltip=_TIPS["source"])
        self.name = LineEdit(tooltip=_TIPS["name"])
        self.sha256 = LineEdit(tooltip=_TIPS["sha256"])
        self.file_button, self.folder_button = QPushButton("File ..."), QPushButton("Folder ...")
        self.install_button, self.close_button = QPushButton("Install"), QPushButton("Close")
        self._lay_out()
        self.file_button.clicked.connect(self._ask_for_file)
        self.folder_button.clicked.connect(self._ask_for_folder)
        self.install_button.clicked.connect(self._on_install)
        self.close_button.clicked.connect(self._on_close)

    def offer(self, source: str = "") -> None:
        """Ask about a source; what was asked about the last one is forgotten."""
        self.source.value = source
        self.name.value = self.sha256.value = ""
        self.source.native.setFocus()

    def order(self) -> InstallOrder:
        """Return what is asked for.

        Raises
        ------
        SettingsError
            If there is no source.
        """
        source = str(self.source.value).strip()
        if not source:
            raise SettingsError(
                "Got nothing to install; wanted a file, a folder or an https address. Choose one."
            )
        return InstallOrder(
            source=source,
            name=str(self.name.value).strip(),
            sha256=str(self.sha256.value).strip(),
        )

    def _lay_out(self) -> None:
        for field in (self.source, self.name, self.sha256):
            field.native.setAcceptDrops(False)  # what is dropped here is meant for the form
        self.source.native.setPlaceholderText("https://... or a path")
        self.sha256.native.setPlaceholderText("64 digits, if they are stated")
        words = QLabel(_EXPLAINED)
        words.setWordWrap(True)
        fields = QWidget()
        lay_out_form(
            fields,
            (("From", [self.source]), ("sha256", [self.sha256]), ("Name", [self.name])),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(words)
        layout.addWidget(fields)
        for pair in (
            (self.file_button, self.folder_button),
            (self.install_button, self.close_button),
        ):
            row = QHBoxLayout()
            row.setSpacing(4)
            for button in pair:
                row.addWidget(button, 1)
            layout.addLayout(row)
        layout.addStretch(1)

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, _TITLE, "", "Priors (*.safetensors)")
        if path:
            self.source.value = path

    def _ask_for_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, _TITLE):
            self.source.value = path

    def _on_install(self) -> None:
        self.asked.emit()

    def _on_close(self) -> None:
        self.closed.emit()
