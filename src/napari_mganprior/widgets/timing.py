"""What each quality will cost here, told before Run is pressed."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.runs.collector import CollectorHold
from napari_mganprior.runs.paces import PaceStore, Setup
from napari_mganprior.runs.timing import Answer, Question, answer, start_measuring, time_in_words

__all__ = ["QualityTimes"]

_log = logging.getLogger(__name__)
_SETTLE_MS = 300  # a stroke of the brush sends many events
_POLL_MS = 100
_LEAVE_SECONDS = 2.0

StartMeasuring = Callable[[Question, Path], "subprocess.Popen[bytes]"]


class QualityTimes(QObject):
    """Words such as "fast · about 4 s" for every quality, from what was measured here.

    Call `refresh` whenever the form has changed: the windows are counted in a thread, and where
    nothing is known of this prior on this device, a small program measures it once. Nothing here
    loads torch into this process.

    Parameters
    ----------
    ask : callable
        Returns the `Question` of the form as it stands, or None while it is not complete; called
        in the window's thread. It must not hold this object.
    parent : QObject
        With whom this ends. Without one, Python might collect this object while the counting
        thread is at work, in that thread, which Qt does not survive.
    folder : Path, optional
        Where measurements are kept; the user's cache folder if left out.
    start : callable, optional
        Starts the measuring program.

    Attributes
    ----------
    changed : Signal
        `texts` would say something else now.
    """

    changed = Signal()

    def __init__(
        self,
        ask: Callable[[], Question | None],
        parent: QObject,
        *,
        folder: Path | None = None,
        start: StartMeasuring = start_measuring,
    ) -> None:
        super().__init__(parent)
        self._ask = ask
        self._store = PaceStore(folder)
        self._start = start
        self._work = _Work()
        self._known: Answer | None = None
        self._running: Answer | None = None  # of the run under way
        self._tried: set[Setup] = set()
        self._told = self.texts()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._look)
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._collect)
        # Nothing here may hold this object: it is gone when the signal arrives.
        self.destroyed.connect(partial(_leave, self._work))

    @property
    def busy(self) -> bool:
        """Whether something is being counted or measured, or will be."""
        return self._settle.isActive() or self._poll.isActive()

    def seconds(self) -> dict[str, float | None]:
        """Return the seconds of every quality at the most, None where they are not known."""
        return dict.fromkeys(QUALITIES) if self._known is None else dict(self._known.seconds)

    def texts(self) -> dict[str, str]:
        """Return what to show for every quality: "fast · about 4 s", or "fast" alone."""
        measuring = self._work.child is not None
        told = {}
        for quality, seconds in self.seconds().items():
            if seconds is not None:
                told[quality] = f"{quality} · about {time_in_words(seconds)}"
            else:
                told[quality] = f"{quality} · measuring ..." if measuring else quality
        return told

    def refresh(self) -> None:
        """Look again soon: the form, or what lies under it, has changed."""
        if not self._work.closed:
            self._settle.start()

    def hold(self) -> None:
        """Let a run begin: stop measuring, which would slow it down, and remember what it does."""
        self._work.held = True
        self._running = self._known
        if self._work.end_child() and self._known is not None:
            self._tried.discard(self._known.setup)  # it was not its fault
        self._tell()

    def release(
        self, recipe: dict[str, Any] | None = None, *, seconds: float | None = None
    ) -> None:
        """Learn from a run that has ended, and look again.

        Parameters
        ----------
        recipe : dict, optional
            Of its `Restoration`; left out when it failed or was cancelled.
        seconds : float, optional
            What it took without pauses; the recipe's if left out.
        """
        self._work.held = False
        made, self._running = self._running, None
        # the form may have changed between the last look and Run
        same = made is not None and (recipe or {}).get("n_windows") == made.windows.total
        plain = not (recipe or {}).get("overrides")  # others have a pace of their own
        if recipe is not None and made is not None and same and plain:
            self._store.record(recipe, made.windows, made.setup, seconds=seconds)
        self.refresh()

    def close(self) -> None:
        """Stop everything for good; no thread, process or timer is left."""
        self._settle.stop()
        self._poll.stop()
        _leave(self._work)

    def _look(self) -> None:
        if self._work.closed:
            return
        if self._work.thread is not None:
            self._settle.start()  # after the one under way
            return
        question = self._ask()
        if question is None:
            self._known = None
            self._tell()
            return
        # torch in this process: the last run has loaded it, the next one need not
        loaded = "torch" in sys.modules
        self._work.begin(question, partial(answer, question, self._store, loaded=loaded))
        self._poll.start()

    def _collect(self) -> None:
        work = self._work
        if work.thread is not None and not work.thread.is_alive():
            work.end_thread()
            self._known = work.found
            self._measure_if_unknown()
        if work.child is not None and work.child.poll() is not None:
            work.end_child()
            self.refresh()
        if work.thread is None and work.child is None:
            self._poll.stop()
        self._tell()

    def _measure_if_unknown(self) -> None:
        known, question = self._known, self._work.question
        self._work.question = None
        if known is None or question is None or self._work.held or self._work.child is not None:
            return
        unknown = known.windows.total > 0 and None in known.seconds.values()
        if unknown and known.setup not in self._tried:
            self._tried.add(known.setup)  # once: what failed will fail again
            try:
                self._work.child = self._start(question, self._store.folder)
            except (MGANPriorError, OSError) as error:
                _log.debug("Measuring could not be started: %s", error)

    def _tell(self) -> None:
        texts = self.texts()
        if texts != self._told:
            self._told = texts
            self.changed.emit()


class _Work:
    """What goes on beside the window: it can be ended after the Qt object is gone."""

    def __init__(self) -> None:
        self.closed = self.held = False
        self.question: Question | None = None
        self.found: Answer | None = None
        self.thread: threading.Thread | None = None
        self.child: subprocess.Popen[bytes] | None = None
        self.hold: CollectorHold | None = None
        self.abandoned = self.over = False

    def begin(self, question: Question, find: Callable[[], Answer]) -> None:
        """Find an answer in a thread."""
        self.question, self.found, self.over = question, None, False
        self.thread = threading.Thread(
            target=self._run, args=(find,), name="napari-mganprior times", daemon=True
        )
        self.hold = CollectorHold()
        self.thread.start()

    def end_thread(self, timeout: float | None = None) -> None:
        """Wait for the thread's end."""
        thread, self.thread = self.thread, None
        if thread is not None:
            thread.join(timeout)
            self.abandoned = thread.is_alive()
        if self.hold is not None and (self.over or not self.abandoned):
            self.hold.release()

    def end_child(self) -> bool:
        """End the measuring program, or take its exit status; say whether there was one."""
        child, self.child = self.child, None
        if child is None:
            return False
        if child.stdin is not None:
            child.stdin.close()
        if child.poll() is None:
            child.kill()
        child.wait()
        return True

    def _run(self, find: Callable[[], Answer]) -> None:
        try:
            self.found = find()
        except MGANPriorError as error:
            _log.debug("No time can be told: %s", error)
        except Exception:  # noqa: BLE001  a time that cannot be told must not trouble anybody
            _log.debug("No time can be told.", exc_info=True)
        finally:
            self.over = True
            if self.abandoned and self.hold is not None:
                self.hold.release()


def _leave(work: _Work, *_: object) -> None:
    work.closed = True
    work.end_child()
    work.end_thread(_LEAVE_SECONDS)
