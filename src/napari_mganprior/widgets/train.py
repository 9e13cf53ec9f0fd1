"""The dock widget "Train a prior": from your own images to a prior that every form offers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.runs.training_folder import SavedRun, remove_run
from napari_mganprior.runs.training_job import TrainingJob
from napari_mganprior.runs.training_news import TrainingEnd, TrainingNews
from napari_mganprior.settings import recall, remember
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.preferences import current_preferences
from napari_mganprior.widgets.scroll import FieldScroll
from napari_mganprior.widgets.train_fields import TrainFields
from napari_mganprior.widgets.train_keeper import TrainingKeeper, training_keeper
from napari_mganprior.widgets.train_monitor import TrainMonitor
from napari_mganprior.widgets.train_resume import ResumeRow
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["TrainWidget"]

_STATUS_LINES = 3
_LOOK_MS = 2000  # a run that is still saving is offered when it is done
_TASK = "train"


class TrainWidget(QWidget):
    """Train a prior on layers or files, and watch it.

    The run belongs to the application: it goes on when this is closed, and is there again when
    this is opened.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered.
    sizes : sequence of int, optional
        Sides of the crops to choose from, pixels.
    settings : mapping, optional
        More fields of `TrainingConfig`, for which there is no field in the form.

    Attributes
    ----------
    fields : TrainFields
        What the user chooses.
    resume_row : ResumeRow
        Runs that have not ended, or whose prior is still to be made.
    train_button : QPushButton
        Begins.
    monitor : TrainMonitor
        In place of the fields while there is a run.
    status : QLabel
        Why training cannot begin, or how the last run ended.
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        sizes: Sequence[int] = (64, 128, 256),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._keeper = training_keeper()
        self._said = ""
        self.fields = TrainFields(lambda: list(napari_viewer.layers), sizes, settings)
        self.fields.restore(recall(_TASK))
        current_preferences()  # napari reads its manifests for it once, which would hold up Train
        self.resume_row = ResumeRow()
        self.train_button = QPushButton("Train")
        self.status = QLabel()
        self.monitor = TrainMonitor()
        self._setup = QWidget()
        self._lay_out()
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self._looking = QTimer(self)
        self._looking.setInterval(_LOOK_MS)
        self._connect()
        self._show_run()
        self.reset_choices()
        self.destroyed.connect(partial(_leave, self._watch))

    @property
    def keeper(self) -> TrainingKeeper:
        """Who has the run."""
        return self._keeper

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if not self._watch.closed:
            self._watch.follow(())
            self.fields.refresh_layers()

    def check(self) -> str:
        """Grey the button, or not, and say why; returns the reason."""
        fault = self.fields.fault()
        self.train_button.setEnabled(not fault)
        self.train_button.setToolTip(fault or "Begin; the window stays free to work in")
        self._say(self._said or fault)
        return fault

    def train(self) -> None:
        """Begin with what the form says."""
        try:
            order, layers = self.fields.order()
            preferences = current_preferences()
            if order.device == "auto":
                order = replace(order, device=preferences.device)
            job = TrainingJob.begin(order, layers, threads=preferences.threads)
        except MGANPriorError as error:
            self._tell(error)
            return
        remember(_TASK, self.fields.state())
        self._start(job)

    def resume_run(self, run: SavedRun) -> None:
        """Go on with a run."""
        self._start(TrainingJob(run.order.name, threads=current_preferences().threads))

    def discard_run(self, run: SavedRun) -> None:
        """Delete a run that is not under way."""
        try:
            remove_run(run.folder)
        except MGANPriorError as error:
            self._tell(error)
        else:
            self._close_with(f"Discarded '{run.order.name}'.")
        self._look()

    def event(self, event: QEvent | None) -> bool:
        """Look for runs that can go on, and for names that are free, when it is shown."""
        if event is not None and event.type() == QEvent.Type.Show and not self._keeper.job:
            self._look()
            self.check()
        return bool(super().event(event))

    def _lay_out(self) -> None:
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        # a long message must wrap, never widen the dock
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        self.status.setAccessibleName("Status")
        inner = QVBoxLayout(self._setup)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.resume_row)
        inner.addWidget(FieldScroll(self.fields))
        inner.addWidget(self.train_button)
        inner.addWidget(self.status)
        inner.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self._setup, 1)
        layout.addWidget(self.monitor, 1)
        layout.addWidget(help_label("train-a-prior"))

    def _connect(self) -> None:
        self.fields.changed.connect(self._on_fields)
        self.train_button.clicked.connect(self.train)
        self.resume_row.resume_asked.connect(self.resume_run)
        self.resume_row.discard_asked.connect(self.discard_run)
        self._looking.timeout.connect(self._look)
        self._keeper.told.connect(self._on_news)
        self._keeper.changed.connect(self._on_changed)
        monitor = self.monitor
        monitor.pause_asked.connect(self._pause)
        monitor.resume_asked.connect(self._resume)
        monitor.stop_asked.connect(self._stop)
        monitor.discard_asked.connect(self._discard)

    def _start(self, job: TrainingJob) -> None:
        window: QWidget = self  # of napari, also where the dock floats
        while (parent := window.parentWidget()) is not None:
            window = parent
        try:
            self._keeper.start(job, None if window is self else window)
        except MGANPriorError as error:
            self._tell(error)

    def _show_run(self) -> None:
        """Show the run under way, or the fields."""
        busy = self._keeper.job is not None
        # hidden first: both at once would make the window grow for good
        for widget in (self._setup, self.monitor) if busy else (self.monitor, self._setup):
            widget.setVisible((widget is self.monitor) is busy)
        if busy:
            self._looking.stop()
            self.monitor.clear()
            self.monitor.show_news(self._keeper.sofar)
        else:
            self._looking.start()
            self._look()

    def _look(self) -> None:
        if self.isVisible() or not self.resume_row.runs:
            self.resume_row.refresh()

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()

    def _on_fields(self) -> None:
        self._said = ""
        self.check()

    def _on_news(self, news: TrainingNews) -> None:
        self.monitor.show_news(news)

    def _on_changed(self, end: TrainingEnd | None) -> None:
        self._show_run()
        if end is None:
            return
        if end.prior:
            self._close_with(f"'{end.prior}' is trained, and every form offers it now.")
        elif end.error is not None:
            self._close_with(str(end.error))
        elif end.kept:
            self._close_with("Saved. It goes on when you press Resume, or Keep after a stop.")
        else:
            self._close_with("Discarded; nothing was kept.")

    def _close_with(self, said: str) -> None:
        """Say how something ended, until a field is changed."""
        self.check()
        self._said = said
        self._say(said)

    def _pause(self) -> None:
        if self._keeper.job is not None:
            self._keeper.job.pause()

    def _resume(self) -> None:
        if self._keeper.job is not None:
            self._keeper.job.resume()

    def _stop(self) -> None:
        if self._keeper.job is not None:
            self._keeper.job.stop()

    def _discard(self) -> None:
        if self._keeper.job is not None:
            self.monitor.end("Discarding ...")
            self._keeper.job.discard()

    def _say(self, text: str) -> None:
        if text != self.status.text():
            self.status.setText(text)
            self.status.setToolTip(text)

    def _tell(self, error: MGANPriorError) -> None:
        self._close_with(str(error))
        show_error(str(error))


def _leave(watch: ViewerWatch, *_: object) -> None:
    watch.closed = True
