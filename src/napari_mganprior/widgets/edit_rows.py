"""The sliders of the form Edit: a direction a row, with what it does as pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QSlider, QWidget

from napari_mganprior.editing.base import Direction
from napari_mganprior.runs.live import REACH

__all__ = ["DirectionRows"]

_STEPS = 10  # of a slider for a strength of 1
_THUMB = 26  # px of the screen
_THUMBS = 5
_LABEL = 14  # letters of a name that are shown


class _Slider(QSlider):
    """Goes back to 0 when it is double-clicked, and leaves the wheel to the form around it."""

    def mouseDoubleClickEvent(self, event: object) -> None:  # noqa: N802  Qt's name
        self.setValue(0)

    def wheelEvent(self, event: object) -> None:  # noqa: N802  Qt's name
        event.ignore()  # type: ignore[attr-defined]


class _Row:
    """One direction."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        name = direction.name
        self.label = QLabel(name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…")
        self.label.setToolTip(_describe(direction))
        self.pictures = QLabel()
        self.pictures.setFixedSize(QSize(_THUMBS * _THUMB, _THUMB))
        self.pictures.setToolTip(
            f"What direction {name} does to the middle of the picture: strengths -3, -1.5, 0, 1.5, "
            "3"
        )
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setRange(-round(REACH * _STEPS), round(REACH * _STEPS))
        self.slider.setMinimumWidth(70)
        self.slider.setAccessibleName(f"Strength of direction {name}")
        self.slider.setToolTip(
            "How far to go, in standard deviations of random codes; double-click for 0"
        )
        self.number = QLabel("0.0")
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.number.setMinimumWidth(self.number.fontMetrics().horizontalAdvance("-6.0"))

    @property
    def strength(self) -> float:
        return self.slider.value() / _STEPS


class DirectionRows(QWidget):
    """Sliders that say how far to go along directions.

    Attributes
    ----------
    changed : Signal
        A slider was moved.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[_Row] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(2, 1)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that have a slider, from the top."""
        return tuple(row.direction for row in self._rows)

    def show_directions(self, directions: Sequence[Direction]) -> None:
        """Replace all rows."""
        for row in self._rows:
            for part in (row.label, row.pictures, row.slider, row.number):
                self._grid.removeWidget(part)
                part.deleteLater()
        self._rows.clear()
        for direction in directions:
            self.add(direction)

    def add(self, direction: Direction) -> None:
        """Add a row."""
        row, at = _Row(direction), len(self._rows)
        self._rows.append(row)
        for column, part in enumerate((row.label, row.pictures, row.slider, row.number)):
            self._grid.addWidget(part, at, column)
        row.slider.valueChanged.connect(self._on_value)

    def moves(self) -> dict[Direction, float]:
        """Return how far to go along which directions; those at 0 are left out."""
        return {row.direction: row.strength for row in self._rows if row.slider.value()}

    def set_strength(self, number: int, strength: float) -> None:
        """Move a slider, from 0 at the top."""
        self._rows[number].slider.setValue(round(strength * _STEPS))

    def reset(self) -> None:
        """Bring all sliders to 0 and say so once."""
        moved = bool(self.moves())
        for row in self._rows:
            row.slider.blockSignals(True)
            row.slider.setValue(0)
            row.slider.blockSignals(False)
            row.number.setText("0.0")
        if moved:
            self.changed.emit()

    def show_pictures(self, direction: Direction, pictures: NDArray[np.uint8]) -> None:
        """Show what a direction does, (size, n * size) or (size, n * size, 3)."""
        row = next((row for row in self._rows if row.direction is direction), None)
        if row is not None:
            row.pictures.setPixmap(_pixmap(pictures, row.pictures.size()))

    def _on_value(self) -> None:
        for row in self._rows:
            row.number.setText(f"{row.strength:.1f}")
        self.changed.emit()


def _pixmap(pictures: NDArray[np.uint8], size: QSize) -> QPixmap:
    data = np.ascontiguousarray(pictures)
    height, width = data.shape[:2]
    colours = data.ndim == 3
    kind = QImage.Format.Format_RGB888 if colours else QImage.Format.Format_Grayscale8
    image = QImage(data.tobytes(), width, height, width * (3 if colours else 1), kind)
    return QPixmap.fromImage(image).scaled(
        size,
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )


def _describe(direction: Direction) -> str:
    source = direction.source
    told = {
        "sefa": "found in the weights through which codes come in (SeFa)",
        "pca": "found in features of random pictures (PCA)",
        "boundary": f"read from {source.get('file')}",
        "groups": "learnt from examples",
    }.get(str(source.get("kind")), "")
    if "left_out_right" in source:
        n = sum(source["examples"])
        told += f": {source['left_out_right']} of {n} are told apart by the others"
    return f"Direction {direction.name}, {told}"
