"""A small curve of the loss, drawn as the run goes on."""

from math import isfinite, log10

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["LossCurve"]

_HEIGHT = 72
_MARGIN = 4
_MOST_POINTS = 2000
_FLOOR = 1e-12  # the logarithm of a perfect fit


class LossCurve(QWidget):
    """Paint the loss against the step, on a logarithmic scale, one line a window.

    Parameters
    ----------
    parent : QWidget, optional
        The widget it is part of.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: dict[int, list[tuple[int, float]]] = {}
        self._n_steps = 1
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "The misfit on the measured pixels (logarithmic) against the steps done; one line for "
            "each window. Where it is flat, more steps help little."
        )

    @property
    def lines(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """Steps and losses, window by window."""
        return tuple(tuple(line) for line in self._lines.values())

    def clear(self) -> None:
        """Begin anew."""
        self._lines, self._n_steps = {}, 1
        self.update()

    def add(self, step: int, n_steps: int, loss: float, window: int) -> None:
        """Add a point; `update` draws it.

        Parameters
        ----------
        step, n_steps : int
            Number of the step and upper bound of their number.
        loss : float
            Misfit, 0 or more; what is not a number is left out.
        window : int
            Number of the window.
        """
        if not isfinite(loss):
            return
        line = self._lines.setdefault(window, [])
        line.append((step, loss))
        # A night's run must not fill the memory: every second point goes, the shape stays.
        if len(line) > _MOST_POINTS:
            del line[1:-1:2]
        self._n_steps = max(self._n_steps, n_steps)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Ask for a low strip."""
        return QSize(120, _HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  Qt's name
        """Draw frame, lines and the range of values in the theme's colours."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().windowText().color()
        faint = self.palette().windowText().color()
        faint.setAlphaF(0.3)
        painter.setPen(faint)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        losses = [log10(max(loss, _FLOOR)) for line in self._lines.values() for _, loss in line]
        if not losses:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "loss")
            return
        low, high = min(losses), max(losses)
        painter.setPen(QPen(ink, 1.5))
        for line in self._lines.values():
            painter.drawPolyline(QPolygonF([self._place(*point, low, high) for point in line]))
        faint.setAlphaF(0.8)
        painter.setPen(faint)
        inside = self.rect().adjusted(_MARGIN, 1, -_MARGIN, -1)
        right = Qt.AlignmentFlag.AlignRight
        painter.drawText(inside, right | Qt.AlignmentFlag.AlignTop, f"{10**high:.2g}")
        painter.drawText(inside, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom,
                         f"{10**low:.2g}")  # fmt: skip

    def _place(self, step: int, loss: float, low: float, high: float) -> QPointF:
        width, height = self.width() - 2 * _MARGIN, self.height() - 2 * _MARGIN
        share = (log10(max(loss, _FLOOR)) - low) / (high - low) if high > low else 0.5
        return QPointF(_MARGIN + width * step / self._n_steps, _MARGIN + height * (1 - share))
