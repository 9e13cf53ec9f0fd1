"""What a training run looks like: curves, samples, pace, notices, and the buttons that steer it."""

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

from napari_mganprior.runs.training_news import TrainingNews
from napari_mganprior.widgets.loss_curve import LossCurve
from napari_mganprior.widgets.pace import tell_duration
from napari_mganprior.widgets.prior_card import SamplePicture

__all__ = ["TrainMonitor"]

_BAR_STEPS = 1000
_SURE_MS = 5000
_DISCARD, _SURE = "Discard", "Really discard?"
_MOST_NOTICES = 5


class TrainMonitor(QWidget):
    """Show a run, and pass on what is pressed.

    Attributes
    ----------
    pause_asked, resume_asked, stop_asked, discard_asked : Signal
        A button was pressed; Discard twice.
    losses, augment, distance : LossCurve
        Of both networks; the strength of the augmentation; the sliced Wasserstein distance.
    picture : SamplePicture
        Samples for the same codes each time.
    """

    pause_asked = Signal()
    resume_asked = Signal()
    stop_asked = Signal()
    discard_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._notices: list[str] = []
        self._paused = self._ending = False
        self.pause_button = QPushButton("Pause")
        self.stop_button = QPushButton("Stop and keep")
        self.discard_button = QPushButton(_DISCARD)
        self.bar = QProgressBar()
        self.numbers, self.pace, self.notices = QLabel(), QLabel(), QLabel()
        self.losses = LossCurve(
            title="losses",
            names=("generator", "discriminator"),
            logarithmic=False,
            tip="The losses of both networks against the crops seen. They fight: neither should "
            "fall to 0 or rise without end. How good the samples are, they do not say.",
        )
        self.augment = LossCurve(
            title="augmentation",
            names=("augmentation",),
            logarithmic=False,
            bounds=(0.0, 1.0),
            tip="How strongly the crops are turned, shifted and changed before the discriminator "
            "sees them, 0 to 1. It rises when the discriminator begins to learn the images by "
            "heart: then more images would help.",
        )
        self.distance = LossCurve(
            title="distance, not measured yet",
            names=("distance",),
            logarithmic=False,
            bounds=(0.0, None),
            tip="Sliced Wasserstein distance x 1000 between samples and crops of images it never "
            "sees: smaller is better. Stop when it falls no more; the best one is kept.",
        )
        self.picture = SamplePicture()
        self._unsure = QTimer(self)
        self._unsure.setSingleShot(True)
        self._unsure.setInterval(_SURE_MS)
        self._unsure.timeout.connect(self.be_unsure)
        self._lay_out()
        self.pause_button.clicked.connect(self._on_pause)
        self.stop_button.clicked.connect(self._on_stop)
        self.discard_button.clicked.connect(self._on_discard)

    def clear(self) -> None:
        """Begin anew."""
        self._notices, self._paused, self._ending = [], False, False
        for curve in (self.losses, self.augment, self.distance):
            curve.clear()
        self.picture.show_words("Samples appear when training has begun.")
        for label in (self.numbers, self.pace, self.notices):
            label.setText("")
        self.bar.setRange(0, 0)
        self.be_unsure()
        self._enable(False)

    def show_news(self, news: TrainingNews) -> None:
        """Show what is new."""
        for point in news.points:
            at, n = point.images_seen, max(news.n_images, point.images_seen)
            self.losses.add(at, n, point.generator_loss, 0)
            self.losses.add(at, n, point.discriminator_loss, 1)
            self.augment.add(at, n, point.augment, 0)
            if point.distance is not None:
                self.distance.add(at, n, point.distance, 0)
        for curve in (self.losses, self.augment, self.distance):
            curve.reach(max(news.n_images, news.images_seen))
            curve.update()
        if news.sheet is not None:
            self.picture.show_sheet(news.sheet)
        self._show_numbers(news)
        self._paused = news.paused
        self.pause_button.setText("Resume" if news.paused else "Pause")
        if news.notices:
            new = [text for text in news.notices if text not in self._notices]
            self._notices = [*self._notices, *new][-_MOST_NOTICES:]
            _say(self.notices, "\n".join(reversed(self._notices)))
        self._enable(news.training and not self._ending)

    def be_unsure(self) -> None:
        """Take back the question whether to discard."""
        self._unsure.stop()
        self.discard_button.setText(_DISCARD)

    def end(self, words: str) -> None:
        """Say that the end is under way; no button but Discard is left."""
        self._ending = True
        _say(self.pace, words)
        self._enable(False)

    def _show_numbers(self, news: TrainingNews) -> None:
        known = news.n_images > 0
        done, of = news.images_seen, news.n_images
        if news.n_steps:  # the prior is being made: a bar of its own
            done, of = news.step, news.n_steps
        self.bar.setRange(0, _BAR_STEPS if of else 0)  # a moving bar: its end is unknown
        if of:
            self.bar.setValue(round(_BAR_STEPS * min(1.0, done / of)))
        if known:
            _say(self.numbers, f"{news.images_seen:,} of {news.n_images:,} crops")
        if self._ending and news.training:
            return
        parts = []
        if news.doing:
            parts.append(f"{news.doing} ...")
        elif news.paused:
            parts.append("Paused, and saved")
        elif news.rate is not None and news.remaining is not None:
            parts += [f"{tell_duration(news.remaining)} left", f"{news.rate:.3g} crops a second"]
        if parts:
            _say(self.pace, " · ".join(parts))

    def _enable(self, trains: bool) -> None:
        self.pause_button.setEnabled(trains)
        self.stop_button.setEnabled(trains)

    def _on_pause(self) -> None:
        (self.resume_asked if self._paused else self.pause_asked).emit()

    def _on_stop(self) -> None:
        self.end("Ending after the step under way ...")
        self.stop_asked.emit()

    def _on_discard(self) -> None:
        if not self._unsure.isActive():
            self._unsure.start()
            self.discard_button.setText(_SURE)
            return
        self.be_unsure()
        self.discard_asked.emit()

    def _lay_out(self) -> None:
        # as wide for the longer word, so that the buttons do not jump
        for button, longest in ((self.pause_button, "Resume"), (self.discard_button, _SURE)):
            short = button.text()
            button.setText(longest)
            button.setMinimumWidth(button.sizeHint().width())
            button.setText(short)
        self.pause_button.setToolTip("Save, and wait after the step under way; press to go on")
        self.stop_button.setToolTip("End now and make a prior of the best state so far")
        self.discard_button.setToolTip("End now and delete the run; asks once more")
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the training, then of making the prior")
        for label in (self.numbers, self.pace, self.notices):
            # a long message must wrap or be cut, never widen the dock
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.notices.setWordWrap(True)
        self.picture.setAccessibleName("Samples of the prior")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.pause_button, self.stop_button, self.discard_button):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        for widget in (self.bar, self.pace, self.numbers, self.losses):
            layout.addWidget(widget)
        pair = QHBoxLayout()
        pair.setSpacing(4)
        pair.addWidget(self.augment)
        pair.addWidget(self.distance)
        layout.addLayout(pair)
        layout.addWidget(self.picture, 1)
        layout.addWidget(self.notices)


def _say(label: QLabel, text: str) -> None:
    if text != label.text():
        label.setText(text)
        label.setToolTip(text)
