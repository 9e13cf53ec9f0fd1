"""Python's cyclic garbage collector, kept out of the threads that compute.

It runs in whichever thread allocates the object too many, and frees what it finds there. A form
that was closed is often found in a cycle, and Qt does not survive the deletion of a window in
another thread than its own. So while one of our threads computes, the collector is off, and the
thread that owns the windows lets it run instead, some ten times a second.
"""

import atexit
import gc
import threading
from collections.abc import Callable

from napari_mganprior.runs.failures import explain

__all__ = ["CollectorHold", "collect_if_due", "start_held"]

_lock = threading.Lock()
_holds: set["CollectorHold"] = set()
_enabled_before = True


class CollectorHold:
    """Keeps the collector off until it is released; make and release it in the owner's thread."""

    def __init__(self) -> None:
        global _enabled_before  # noqa: PLW0603  the collector itself is the process's
        with _lock:
            if not _holds:
                _enabled_before = gc.isenabled()
                gc.disable()
            _holds.add(self)

    def release(self) -> None:
        """Let the collector do as before, once all holds are released; again is no matter."""
        with _lock:
            if self not in _holds:
                return
            _holds.remove(self)
            if not _holds and _enabled_before:
                gc.enable()


def start_held(thread: threading.Thread, leave: Callable[[], object]) -> CollectorHold:
    """Start a thread that computes, with the collector off, and let it leave when Python ends.

    Parameters
    ----------
    thread : Thread
        Not started yet.
    leave : callable
        Registered with `atexit`; unregister it when the thread is over.

    Returns
    -------
    CollectorHold
        To be released when the thread has ended.

    Raises
    ------
    MGANPriorError
        If the system gives no thread.
    """
    atexit.register(leave)
    hold = CollectorHold()
    try:
        thread.start()
    except RuntimeError as error:
        hold.release()
        atexit.unregister(leave)
        raise explain(error) from error
    return hold


def collect_if_due() -> None:
    """Collect what the collector would have collected by now, in the thread that calls this."""
    if not _holds or not _enabled_before:
        return
    counts, thresholds = gc.get_count(), gc.get_threshold()
    for generation in (2, 1, 0):
        if counts[generation] > thresholds[generation] > 0:
            gc.collect(generation)
            return
