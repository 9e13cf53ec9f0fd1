"""The row that offers to go on with a run that has not ended."""

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from napari_mganprior.runs.training_folder import SavedRun, list_runs

__all__ = ["ResumeRow"]

_SURE_MS = 5000
_DISCARD, _SURE = "Discard", "Really discard?"
_RESUME, _KEEP = "Resume", "Keep"
_TIPS = {
    _RESUME: "Go on from its last checkpoint",
    _KEEP: "Make a prior of the best state; it trains no more",
}


class ResumeRow(QWidget):
    """Offer the runs that a crash, or the end of napari, has interrupted; hidden without any.

    Where training is over and only the prior is still to be made, Resume is called Keep.

    Attributes
    ----------
    resume_asked, discard_asked : Signal
        With the `SavedRun`.
    """

    resume_asked = Signal(object)
    discard_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._runs: tuple[SavedRun, ...] = ()
        self.box = QComboBox()
        self.resume_button = QPushButton(_RESUME)
        self.discard_button = QPushButton(_DISCARD)
        self._unsure = QTimer(self)
        self._unsure.setSingleShot(True)
        self._unsure.setInterval(_SURE_MS)
        self._unsure.timeout.connect(self._be_unsure)
        self._lay_out()
        self.box.currentIndexChanged.connect(self._on_chosen)
        self.resume_button.clicked.connect(self._on_resume)
        self.discard_button.clicked.connect(self._on_discard)

    @property
    def runs(self) -> tuple[SavedRun, ...]:
        """Those that are offered."""
        return self._runs

    def refresh(self) -> None:
        """Offer the runs there are now."""
        runs = list_runs()
        if runs != self._runs:
            self._runs = runs
            self.box.blockSignals(True)
            self.box.clear()
            self.box.addItems([_told(run) for run in runs])
            self.box.blockSignals(False)
            self._on_chosen()
        self.setVisible(bool(runs))

    def _lay_out(self) -> None:
        self.box.setToolTip("Training that has not ended: after a crash, or when napari was closed")
        self.box.setAccessibleName("Runs that have not ended")
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setMinimumContentsLength(12)
        self.resume_button.setToolTip(_TIPS[_RESUME])
        self.discard_button.setToolTip("Delete it; asks once more")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.resume_button)
        layout.addWidget(self.discard_button)
        self.hide()

    @property
    def _chosen(self) -> SavedRun | None:
        at = self.box.currentIndex()
        return self._runs[at] if 0 <= at < len(self._runs) else None

    def _on_resume(self) -> None:
        if self._chosen is not None:
            self.resume_asked.emit(self._chosen)

    def _on_discard(self) -> None:
        if self._chosen is None:
            return
        if not self._unsure.isActive():
            self._unsure.start()
            self.discard_button.setText(_SURE)
            return
        run = self._chosen
        self._be_unsure()
        self.discard_asked.emit(run)

    def _on_chosen(self, _: int = 0) -> None:
        trained = self._chosen is not None and self._chosen.trained
        self.resume_button.setText(_KEEP if trained else _RESUME)
        self.resume_button.setToolTip(_TIPS[self.resume_button.text()])
        self._be_unsure()

    def _be_unsure(self) -> None:
        self._unsure.stop()
        self.discard_button.setText(_DISCARD)


def _told(run: SavedRun) -> str:
    of = f" of {run.n_images:,}" if run.n_images else ""
    how = ", stopped" if run.stopped else ", trained" if run.trained else ""
    return f"{run.order.name} ({run.images_seen:,}{of} crops{how})"
