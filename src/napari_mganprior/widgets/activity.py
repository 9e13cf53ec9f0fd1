"""The run in napari's Activity dock."""

from typing import Any

from napari.utils import progress

from napari_mganprior.runs import Progress, RunController, RunState

__all__ = ["Activity"]

_PARTS = 1000
_LEAST = 20


class Activity:
    """An entry in the Activity dock for as long as a run lasts.

    Parameters
    ----------
    controller : RunController
        Whose runs they are.
    title : str
        What stands beside the bar.
    """

    def __init__(self, controller: RunController, title: str) -> None:
        self._title = title
        self._bar: Any = None
        controller.state_changed.connect(self._on_state)
        controller.progressed.connect(self._on_progress)

    def close(self) -> None:
        """Take the entry away, if there is one."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

    def _on_state(self, state: RunState) -> None:
        if state is RunState.IDLE:
            self.close()
        elif self._bar is None:
            # gui: napari draws it; tqdm would write into the terminal as well
            self._bar = progress(total=_PARTS, desc=self._title, gui=True)

    def _on_progress(self, news: Progress) -> None:
        if self._bar is None:
            return
        more = round(_PARTS * news.fraction) - self._bar.n
        if more >= _LEAST:  # each update makes napari draw the whole window
            self._bar.update(more)
