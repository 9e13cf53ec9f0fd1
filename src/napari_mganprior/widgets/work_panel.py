"""Progress, Cancel and the last word of work on a prior."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.prior_jobs import PriorEnd, PriorJob, PriorStep, PriorWork

__all__ = ["WorkPanel"]

_POLL_MS = 100
_LEAVE_SECONDS = 1.0
_STATUS_LINES = 2


@dataclass
class _Under:
    """What is under way; it outlives the panel by a moment."""

    job: PriorJob | None = None


class WorkPanel(QWidget):
    """Let work on a prior be done in a thread, one at a time, and say how far it is.

    Attributes
    ----------
    busy_changed : Signal
        Work has begun, or ended.
    ended : Signal
        With a `PriorEnd` that has a step; other ends are told in words.
    """

    busy_changed = Signal()
    ended = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._under = _Under()
        self.bar, self.cancel_button = QProgressBar(), QPushButton("Cancel")
        self.status = QLabel()
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._look)
        self.cancel_button.clicked.connect(self.cancel)
        self._lay_out()
        self._show_busy()
        # Nothing here may hold this widget: it is gone when the signal arrives.
        self.destroyed.connect(partial(_leave, self._under))

    @property
    def busy(self) -> bool:
        """Whether work is under way."""
        return self._under.job is not None

    def start(self, work: Callable[[], PriorWork]) -> None:
        """Begin.

        Parameters
        ----------
        work : callable
            Makes the generator of the steps, in the thread.
        """
        if self.busy:
            return
        job = PriorJob(work)
        try:
            job.start()
        except MGANPriorError as error:
            self.tell(error)
            return
        self._under.job = job
        self.say("")
        self._show_busy()
        self._timer.start()

    def cancel(self) -> None:
        """End what is under way after its stage; nothing of it stays."""
        if self._under.job is not None:
            self._under.job.cancel()
            self.cancel_button.setEnabled(False)
            self.say("Cancelling after the stage under way ...")

    def say(self, text: str) -> None:
        """Show a message for people."""
        if text != self.status.text():
            self.status.setText(text)

    def tell(self, error: MGANPriorError) -> None:
        """Show an error, here and in napari's corner."""
        self.say(str(error))
        show_error(str(error))

    def _lay_out(self) -> None:
        self.bar.setTextVisible(False)
        self.cancel_button.setToolTip("End now and leave no prior behind")
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)  # a file's words are no markup
        # A long message must wrap, never widen the dock.
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        layout.addWidget(self.status)

    def _look(self) -> None:
        job = self._under.job
        if job is None:
            self._timer.stop()
            return
        end = job.poll()
        if end is None:
            if job.step is not None and not job.cancelling:
                self._show_step(job.step)
            return
        self._under.job = None
        self._timer.stop()
        self._finish(end, job.step)
        self._show_busy()

    def _finish(self, end: PriorEnd, last: PriorStep | None) -> None:
        if end.error is not None:
            self.tell(end.error)
        elif end.step is None:
            left = "nothing was written" if last is None else last.left
            self.say(f"Cancelled; {left}.")
        else:
            self.say("")
            self.ended.emit(end)

    def _show_step(self, step: PriorStep) -> None:
        self.bar.setRange(0, step.n_steps)  # 0 of 0 is a moving bar: its end is unknown
        self.bar.setValue(step.index)
        self.say(f"{step.doing[:1].upper()}{step.doing[1:]} ...")

    def _show_busy(self) -> None:
        self.bar.setRange(0, 0)
        self.bar.setVisible(self.busy)
        self.cancel_button.setVisible(self.busy)
        self.cancel_button.setEnabled(self.busy)
        self.busy_changed.emit()


def _leave(under: _Under, *_: object) -> None:
    if under.job is not None:
        under.job.cancel()
        under.job.join(_LEAVE_SECONDS)
        under.job = None
