"""Buttons, progress and status of one run; the same under every task."""

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.runs import Progress, RunController, RunState
from napari_mganprior.widgets.loss_curve import LossCurve
from napari_mganprior.widgets.pace import Pace, tell_duration, tell_memory
from napari_mganprior.widgets.retry import RetryRow

__all__ = ["RunPanel"]

_POLL_MS = 100
_DRAW_MS = 300
"""A word that changes makes Qt draw the whole window anew, the picture included."""
_BAR_STEPS = 1000
_STATUS_LINES = 4


class RunPanel(QWidget):
    """Steer and watch the run of a `RunController`.

    It polls the controller while there is a run, so all the controller's signals arrive in the
    window's thread.

    Parameters
    ----------
    controller : RunController
        Whose run it is.
    parent : QWidget, optional
        The widget it is part of.
    queues : bool
        Whether another run can be asked for while one is on.
    does : str
        What a run does, for the button's tooltip.

    Attributes
    ----------
    run_requested : Signal
        The run button was pressed; while a run is on it reads "Queue".
    queue_dropped : Signal
        The cross beside the number of waiting runs was pressed; they are dropped already.
    retry : RetryRow
        What can be tried after a run that did not fit into memory.
    """

    run_requested = Signal()
    queue_dropped = Signal()

    def __init__(
        self,
        controller: RunController,
        parent: QWidget | None = None,
        *,
        queues: bool = True,
        does: str = "restore the damaged pixels",
    ) -> None:
        super().__init__(parent)
        self._queues, self._does = queues, f"{does[0].upper()}{does[1:]}"
        self._controller = controller
        self._fault = self._note = self._said = ""
        self.run_button = QPushButton("Run")
        self.pause_button = QPushButton("Pause")
        self.stop_button = QPushButton("Stop and keep")
        self.cancel_button = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.bar.setRange(0, _BAR_STEPS)
        self.bar.setTextVisible(False)
        self.numbers = _line(QLabel())
        self.pace = _line(QLabel())
        self.curve = LossCurve()
        self.fold = QToolButton()
        self.drop_button = QToolButton()
        self.retry = RetryRow()
        self._pace, self._told_pace = Pace(), ""
        self._news: Progress | None = None  # not drawn yet
        self.status = _line(QLabel())
        self.status.setWordWrap(True)
        # Kept free also while there is nothing to say, so that the form does not jump.
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._lay_out()

        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(controller.poll)
        self._draw_timer = QTimer(self)
        self._draw_timer.setInterval(_DRAW_MS)
        self._draw_timer.timeout.connect(self._draw)
        self.run_button.clicked.connect(self._ask_for_run)
        self.pause_button.clicked.connect(self._pause_or_resume)
        self.stop_button.clicked.connect(controller.stop)
        self.cancel_button.clicked.connect(controller.cancel)
        controller.state_changed.connect(self._show_state)
        controller.progressed.connect(self._show_progress)
        controller.queue_changed.connect(self._show_queue)
        self.drop_button.clicked.connect(self._drop_queue)
        self._show_state(controller.state)

    def set_fault(self, fault: str, note: str = "") -> None:
        """Grey the Run button and say why, or let it be pressed.

        Parameters
        ----------
        fault : str
            Why a run cannot start; empty if it can.
        note : str
            What is good to know before it does.
        """
        news = (fault, note) != (self._fault, self._note)
        self._fault, self._note = fault, note
        self._enable()
        # The word about the last run stays until there is something else to say.
        if not self._controller.busy and (news or not self._said):
            self.say(fault or note)

    def say(self, text: str) -> None:
        """Show a message for people, and how many runs wait."""
        self._said = text
        waiting = self._controller.waiting
        told = f"{text} {waiting} waiting.".strip() if waiting else text
        self.status.setText(told)
        self.status.setToolTip(told)

    def _lay_out(self) -> None:
        # As wide for the longer word, so that the buttons do not jump.
        self.run_button.setText("Queue")
        self.run_button.setMinimumWidth(self.run_button.sizeHint().width())
        self.pause_button.setToolTip("Wait after the step under way; press again to go on")
        self.stop_button.setToolTip("End now and keep the best picture so far")
        self.cancel_button.setToolTip("End now and keep nothing")
        self.drop_button.setText("\N{MULTIPLICATION SIGN}")
        self.drop_button.setToolTip("Drop the runs that wait; the one under way goes on")
        self.drop_button.hide()
        self.fold.setText("Loss")
        self.fold.setToolTip("Show or hide the curve of the loss")
        self.fold.setCheckable(True)
        self.fold.setChecked(True)
        self.fold.setArrowType(Qt.ArrowType.DownArrow)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.toggled.connect(self._fold)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.run_button, self.pause_button, self.stop_button, self.cancel_button):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.numbers)
        below = QHBoxLayout()
        below.addWidget(self.pace, 1)
        below.addWidget(self.drop_button)
        below.addWidget(self.fold)
        layout.addLayout(below)
        layout.addWidget(self.curve)
        layout.addWidget(self.status)
        layout.addWidget(self.retry)

    def _ask_for_run(self) -> None:
        self.run_requested.emit()

    def _drop_queue(self) -> None:
        self._controller.clear_queue()
        self.queue_dropped.emit()

    def _show_queue(self, waiting: int) -> None:
        self.drop_button.setVisible(waiting > 0)
        self.drop_button.setText(f"{waiting} waiting \N{MULTIPLICATION SIGN}")
        self.say(self._said)

    def _fold(self, opened: bool) -> None:
        self.curve.setVisible(opened)
        self.fold.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)

    def _pause_or_resume(self) -> None:
        if self._controller.state is RunState.PAUSED:
            self._controller.resume()
        else:
            self._controller.pause()

    def _show_state(self, state: RunState) -> None:
        if state is RunState.IDLE:
            self._timer.stop()
            self._news = None
        else:
            self._timer.start()
        if state is RunState.LOADING:
            self.bar.setRange(0, 0)  # a moving bar: its end is unknown
            self.numbers.setText("")
            self.pace.setText("")
            self.curve.clear()
            self._pace = Pace()
            self.say("Loading PyTorch and the prior ...")
        elif state is RunState.RUNNING:
            self.bar.setRange(0, _BAR_STEPS)
            self.say("Restoring ...")
        elif state is RunState.PAUSED:
            self.say("Paused.")
        elif state is RunState.STOPPING:
            self.say("Ending after the step under way ...")
        else:
            self.bar.setRange(0, _BAR_STEPS)
            self.bar.setValue(0)
            self.numbers.setText("")
        self.pause_button.setText("Resume" if state is RunState.PAUSED else "Pause")
        self._enable()

    def _enable(self) -> None:
        state = self._controller.state
        busy = state is not RunState.IDLE
        self.run_button.setText("Queue" if busy and self._queues else "Run")
        does = "Do this when the runs before it have ended" if busy else self._does
        self.run_button.setToolTip(self._fault or does)
        self.run_button.setEnabled(not self._fault and (self._queues or not busy))
        self.pause_button.setEnabled(state in (RunState.RUNNING, RunState.PAUSED))
        # Cancel also stays open while a stop is under way.
        self.stop_button.setEnabled(state not in (RunState.IDLE, RunState.STOPPING))
        self.cancel_button.setEnabled(state is not RunState.IDLE)

    def _show_progress(self, progress: Progress) -> None:
        self._told_pace = self._pace.tell(progress)
        # windows are counted anew in every plane, and in every proposal
        window = (progress.plane - 1) * progress.n_windows + progress.window
        self.curve.add(progress.index, progress.n_steps, progress.loss, window)
        self._news = progress
        if not self._draw_timer.isActive():
            self._draw()
            self._draw_timer.start()

    def _draw(self) -> None:
        progress, self._news = self._news, None
        if progress is None:
            self._draw_timer.stop()
            return
        self.bar.setValue(round(_BAR_STEPS * progress.fraction))
        parts = [f"step {progress.index} of {progress.n_steps}", f"loss {progress.loss:.3g}"]
        if progress.n_windows > 1:
            parts.insert(0, f"window {progress.window} of {progress.n_windows}")
        if progress.n_planes > 1:
            parts.insert(0, f"plane {progress.plane} of {progress.n_planes}")
        if progress.remaining is not None:  # first: what does not fit is cut off at the end
            parts.insert(0, f"{tell_duration(progress.remaining)} left")
        self.numbers.setText(" · ".join(parts))
        self.numbers.setToolTip(self.numbers.text())
        self.pace.setText(" · ".join(filter(None, (self._told_pace, tell_memory()))))
        self.curve.update()


def _line(label: QLabel) -> QLabel:
    # A long message must wrap or be cut, never widen the dock.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
