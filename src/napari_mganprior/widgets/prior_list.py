"""The list of priors, a row each."""

from contextlib import suppress

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_mganprior.errors import PriorError
from napari_mganprior.priors import prior_names, prior_source
from napari_mganprior.priors.words import ORIGINS, images_in_words

__all__ = ["PriorList"]

_COLUMNS = ("prior", "from", "images")
_ROWS = 4


class PriorList(QTableWidget):
    """All priors: bundled, the user's own, registered from Python; one of them is selected."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self._names: tuple[str, ...] = ()
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        if (rows := self.verticalHeader()) is not None:
            rows.hide()
            self.setFixedHeight((_ROWS + 1) * rows.defaultSectionSize())
        if (header := self.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setHighlightSections(False)

    @property
    def selected(self) -> str | None:
        """Name of the selected prior; None where there is none."""
        row = self.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None

    def refresh(self, select: str | None = None) -> bool:
        """List the priors there are now; returns whether anything is new. No signal is sent.

        Parameters
        ----------
        select : str, optional
            The one to select; if left out, what was selected, or the first.
        """
        chosen, names = select or self.selected, prior_names()
        if names == self._names and select is None:
            return False
        self._names = names
        self.blockSignals(True)
        self._fill()
        self.selectRow(names.index(chosen) if chosen in names else 0)
        self.blockSignals(False)
        return True

    def _fill(self) -> None:
        self.setRowCount(len(self._names))
        for row, name in enumerate(self._names):
            origin, kind = "", "damaged"
            with suppress(PriorError):  # the card says what is wrong
                origin = ORIGINS[prior_source(name)]
                kind = images_in_words(name)
            for column, text in enumerate((name, origin, kind)):
                self.setItem(row, column, QTableWidgetItem(text))
