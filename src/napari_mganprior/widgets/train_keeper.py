"""Who keeps a training run while its form is closed: the application, one run at a time."""

from dataclasses import replace
from functools import partial
from typing import Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QApplication

from napari_mganprior.runs.training_job import TrainingJob
from napari_mganprior.runs.training_news import TrainingEnd, TrainingNews
from napari_mganprior.widgets.prior_offer import offer_everywhere

__all__ = ["TrainingKeeper", "training_keeper"]

_NAME = "napari-mganprior training"
_POLL_MS = 100


class TrainingKeeper(QObject):
    """Owns the run, collects its news, and tells every form that is open.

    Attributes
    ----------
    told : Signal
        With the `TrainingNews` that are new.
    changed : Signal
        A run has begun, or ended; with the `TrainingEnd` then, else None.
    """

    told = Signal(object)
    changed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName(_NAME)
        self._job: TrainingJob | None = None
        self._sofar = TrainingNews()
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._collect)

    @property
    def job(self) -> TrainingJob | None:
        """The run under way."""
        return self._job

    @property
    def sofar(self) -> TrainingNews:
        """Everything the run has told, all points and notices, for a form opened later."""
        return self._sofar

    def start(self, job: TrainingJob, window: QObject | None = None) -> None:
        """Begin.

        Parameters
        ----------
        job : TrainingJob
            Not started yet; its errors are the caller's.
        window : QObject, optional
            When it is closed, the run stops at a checkpoint.
        """
        if self._job is not None:
            return
        job.start()
        self._job, self._sofar = job, TrainingNews(doing="Starting")
        if window is not None:
            # the window's last word comes when it is half gone: only the job may be touched
            window.destroyed.connect(partial(_leave, job))
        self._timer.start()
        self.changed.emit(None)

    def _collect(self) -> None:
        job = self._job
        if job is None:
            self._timer.stop()
            return
        news = job.collect()
        if news is None:
            return
        end, news = news.end, replace(news, end=None)
        self._sofar = self._sofar.then(news)
        self.told.emit(news)
        if end is None:
            return
        self._job = None
        self._timer.stop()
        _announce(job.name, end)
        self.changed.emit(end)


def training_keeper() -> TrainingKeeper:
    """Return the application's keeper, made when it is first asked for."""
    application = QApplication.instance()
    assert application is not None
    found: Any = application.findChild(TrainingKeeper, _NAME)
    return found if found is not None else TrainingKeeper(application)


def _announce(name: str, end: TrainingEnd) -> None:
    """Tell it in napari's corner as well: no form may be open."""
    if end.prior:
        offer_everywhere()
        show_info(f"The prior '{end.prior}' is trained. Every form offers it now.")
    elif end.error is not None:
        show_error(f"Training '{name}': {end.error}")


def _leave(job: TrainingJob, *_: object) -> None:
    job.leave()
