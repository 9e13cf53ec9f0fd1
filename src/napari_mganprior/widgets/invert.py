"""The dock widget "Invert": draw a picture as well as a prior can, and keep its codes."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import prior_sha256
from napari_mganprior.restore.codes_file import image_sha256_in, load_codes, save_codes
from napari_mganprior.widgets.form import TaskForm
from napari_mganprior.widgets.inputs import Choice

__all__ = ["InvertWidget"]


class InvertWidget(TaskForm):
    """Draw an image layer anew as well as a prior can.

    Attributes
    ----------
    save_button : QPushButton
        Writes the codes of the last result to a file.
    """

    task = "invert"
    help_topic = "invert"

    def _more(self) -> QWidget:
        self._codes: tuple[Any, ...] = ()
        self._sha256 = ""
        self._image_sha256: str | None = None
        self._checked: tuple[Any, str] = (None, "")
        self.save_button = QPushButton("Save codes ...")
        self.save_button.setToolTip(
            "Write the codes of the last result to an .npz file, to begin another run at them or "
            "to edit"
        )
        self.save_button.setEnabled(False)
        self.save_button.clicked.connect(self._ask_and_save)
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.save_button)
        layout.addStretch(1)
        return row

    def save_codes(self, path: Path) -> None:
        """Write the codes of the last result to a file, and say so, or why not."""
        try:
            save_codes(path, self._codes, self._sha256, self._image_sha256)
        except MGANPriorError as error:
            self._tell(error)
        else:
            self.panel.say(f"The codes of {len(self._codes)} windows are in {path.name}.")

    def _find_own_fault(self, choice: Choice) -> str:
        path, prior = choice.options.get("codes"), self.fields.prior.value
        if path is None or prior is None:
            return ""
        try:
            changed = Path(path).stat().st_mtime_ns
        except OSError:
            changed = 0
        key = (path, changed, prior)
        if key != self._checked[0]:
            self._checked = (key, _check_codes(path, prior))
        return self._checked[1]

    def _on_result(self, restoration: Any) -> None:
        self._codes = tuple(restoration.codes or ())
        self._sha256 = str((restoration.recipe.get("prior") or {}).get("sha256", ""))
        self._image_sha256 = image_sha256_in(restoration.recipe)
        self.save_button.setEnabled(bool(self._codes))

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the codes", "codes.npz", "*.npz")
        if path:
            self.save_codes(Path(path))


def _check_codes(path: str, prior: str) -> str:
    """Return why a file of codes cannot be begun at; empty if it can."""
    try:
        load_codes(path, prior_sha256(find_prior(prior)))
    except MGANPriorError as error:
        return str(error)
    return ""
