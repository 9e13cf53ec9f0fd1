"""How fields are laid out: rows with a label, on pages of the same height."""

from collections.abc import Mapping, Sequence
from typing import Any

from magicgui.widgets import ComboBox
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QTabWidget,
    QWidget,
)

__all__ = ["in_pairs", "lay_out_form", "lay_out_pages", "may_be_cut"]

Row = tuple[Any, ...]
"""The label, the fields, the first of which is stretched, and maybe a unit; tick boxes without a
label stand in columns.
"""
_COLUMNS = 3


def may_be_cut(*boxes: ComboBox, letters: int = 12) -> None:
    """Let a long choice be cut off rather than widen the dock."""
    for box in boxes:
        box.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        box.native.setMinimumContentsLength(letters)


def in_pairs(rows: Sequence[Row]) -> list[Row]:
    """Put rows of one field side by side, so that a page with many stays short.

    Parameters
    ----------
    rows : sequence of (str, list of one field)
        Rows of tick boxes stay as they are, at the end.

    Returns
    -------
    list of rows
        The label of the second field stands before it in the same row.
    """
    single = [row for row in rows if row[0]]
    paired: list[Row] = []
    for at in range(0, len(single), 2):
        first, *rest = single[at : at + 2]
        paired.append(first if not rest else (first[0], [*first[1], rest[0][0], *rest[0][1]]))
    return [*paired, *(row for row in rows if not row[0])]


def lay_out_pages(pages: Mapping[str, Sequence[Row]]) -> QTabWidget:
    """Make a tab of each page.

    Parameters
    ----------
    pages : mapping
        A page's name, and its rows.

    Returns
    -------
    QTabWidget
        As high as its highest page.
    """
    tabs = QTabWidget()
    tabs.setUsesScrollButtons(False)
    for name, rows in pages.items():
        page = QWidget()
        lay_out_form(page, rows, margin=4)
        tabs.addTab(page, name)
    return tabs


def lay_out_form(
    page: QWidget, rows: Sequence[Row], below: QWidget | None = None, margin: int = 0
) -> None:
    """Put rows of fields on a page.

    Parameters
    ----------
    page : QWidget
        An empty widget.
    rows : sequence of (str, list of fields) or (str, list of fields, str)
        The label, the fields, and maybe their unit.
    below : QWidget, optional
        What comes under the rows.
    margin : int
        Around them, in pixels of the screen.
    """
    form = QFormLayout(page)
    form.setContentsMargins(margin, margin, margin, margin)
    form.setSpacing(4)
    # Otherwise macOS keeps the fields at their narrowest.
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for text, fields, *unit in rows:
        if text:
            label = QLabel(text)
            label.setToolTip(fields[0].tooltip)
            form.addRow(label, _row(fields, unit))
        else:
            form.addRow(_ticks(fields))
    if below is not None:
        form.addRow(below)


def _ticks(fields: Sequence[Widget]) -> QWidget:
    block = QWidget()
    layout = QGridLayout(block)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for at, field in enumerate(fields):
        layout.addWidget(field.native, *divmod(at, _COLUMNS))
    return block


def _row(fields: Sequence[Any], unit: Sequence[str]) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(fields[0].native, 1)
    words = any(isinstance(field, str) for field in fields)
    for at, field in enumerate(fields[1:], start=1):
        if isinstance(field, str):
            label = QLabel(field)
            label.setToolTip(fields[at + 1].tooltip)
            layout.addWidget(label)
        else:
            layout.addWidget(field.native, int(words))
    for word in unit:
        layout.addWidget(QLabel(word))
    return row
