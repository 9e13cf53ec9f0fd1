"""The fields of an import: which file, and what of it is to become a prior."""

from pathlib import Path

from magicgui.widgets import ComboBox, FileEdit, FloatSpinBox, LineEdit
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_mganprior.errors import SettingsError
from napari_mganprior.priors import prior_names
from napari_mganprior.runs.prior_jobs import LAYOUTS, ImportOrder
from napari_mganprior.widgets.pages import lay_out_form, may_be_cut

__all__ = ["DESCRIBED", "FORMATS", "RECOGNISE", "ImportForm"]

FORMATS = (
    "Generators (*.pt *.pth *.bin *.ckpt *.pkl *.pickle *.safetensors *.npz *.h5 *.hdf5);;"
    "All files (*)"
)
RECOGNISE, DESCRIBED = "recognise", "architecture file"
_TIPS = {
    "name": "What the prior is called from then on: letters, digits and dashes",
    "layout": "How the file is laid out. It is recognised by the names of its weights; 'recognise' "
    "fits unless the message says otherwise.",
    "description": "A JSON file that describes the network: docs/architecture-files.md says how",
    "number": "Of a conditional generator: the number of the class it is to draw, counted from 0; "
    "empty for any other",
    "truncation": "Below 1, codes are drawn nearer to the mean: better pictures, less variety",
    "licence": "Under which the weights may be used; it goes into the prior's card",
}


class ImportForm(QWidget):
    """Ask what is to be imported, and how.

    Attributes
    ----------
    asked : Signal
        "Import" was pressed.
    closed : Signal
        "Close" was pressed.
    """

    asked = Signal()
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._path: Path | None = None
        self.file = QLabel()
        # a long name is cut, it never widens the dock
        self.file.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.name = LineEdit(tooltip=_TIPS["name"])
        self.layouts = ComboBox(choices=(RECOGNISE, *LAYOUTS, DESCRIBED), tooltip=_TIPS["layout"])
        self.description = FileEdit(filter="*.json", nullable=True, tooltip=_TIPS["description"])
        self.number = LineEdit(tooltip=_TIPS["number"])
        self.truncation = FloatSpinBox(
            value=1.0, min=0.01, max=1.0, step=0.05, tooltip=_TIPS["truncation"]
        )
        self.licence = LineEdit(tooltip=_TIPS["licence"])
        self.import_button, self.close_button = QPushButton("Import"), QPushButton("Close")
        self._lay_out()
        self.layouts.changed.connect(self._on_layout)
        self.import_button.clicked.connect(self._on_import)
        self.close_button.clicked.connect(self._on_close)
        self._on_layout()

    def offer(self, path: Path) -> None:
        """Ask about a file; what was asked about the last one is forgotten."""
        self._path = path
        self.file.setText(path.name)
        self.file.setToolTip(str(path))
        self.name.value = _free_name(path.stem)
        self.layouts.value = RECOGNISE
        self.description.value = None
        self.number.value = ""
        self.truncation.value = 1.0
        self.licence.value = ""

    def order(self) -> ImportOrder:
        """Return what is asked for.

        Raises
        ------
        SettingsError
            If something is missing, or the class is no number.
        """
        if self._path is None:
            raise SettingsError("No file. Choose one with 'Import ...', or drop one here.")
        layout, description = self.layouts.value, None
        if layout == DESCRIBED:
            chosen = self.description.value
            if not isinstance(chosen, Path) or chosen == Path():  # what magicgui makes of nothing
                raise SettingsError("No architecture file. Choose one, or another architecture.")
            description = chosen
        return ImportOrder(
            path=self._path,
            name=str(self.name.value).strip(),
            layout=layout if layout in LAYOUTS else None,
            description=description,
            number=_class_number(str(self.number.value).strip()),
            truncation=float(self.truncation.value),
            licence=str(self.licence.value).strip(),
        )

    def _lay_out(self) -> None:
        may_be_cut(self.layouts)
        for field in (self.name, self.number, self.licence):
            field.native.setAcceptDrops(False)  # a file dropped here is meant for the form
        fields = QWidget()
        lay_out_form(
            fields,
            (
                ("Name", [self.name]),
                ("Architecture", [self.layouts]),
                ("Described in", [self.description]),
                ("Class", [self.number]),
                ("Truncation", [self.truncation]),
                ("Licence", [self.licence]),
            ),
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.import_button)
        buttons.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.file)
        layout.addWidget(fields)
        layout.addLayout(buttons)
        layout.addStretch(1)

    def _on_import(self) -> None:
        self.asked.emit()

    def _on_close(self) -> None:
        self.closed.emit()

    def _on_layout(self, _: object = None) -> None:
        self.description.enabled = self.layouts.value == DESCRIBED


def _class_number(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not text.isascii():
        raise SettingsError(
            f"Got the class {text!r}; wanted a whole number from 0 on. Leave it empty if the "
            "generator has no classes."
        )
    return int(text)


def _free_name(stem: str) -> str:
    """Return a name that no prior has yet."""
    taken, name, number = set(prior_names()), stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
