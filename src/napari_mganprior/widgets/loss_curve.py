"""Small curves of the loss and the like, drawn as a run goes on."""

from collections.abc import Sequence
from math import isfinite, log10

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["LossCurve"]

_HEIGHT = 72
_MARGIN = 4
_MOST_POINTS = 2000
_FLOOR = 1e-12  # the logarithm of a perfect fit
_TIP = (
    "The misfit on the measured pixels (logarithmic) against the steps done; one line for "
    "each window. Where it is flat, more steps help little."
)
# not by colour alone; orange can be told from the ink of either theme
_PENS = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine)
_ORANGE = "#e08a00"


class LossCurve(QWidget):
    """Paint a number against the step, one line a window.

    Parameters
    ----------
    parent : QWidget, optional
        The widget it is part of.
    title : str
        What is drawn; shown while there is nothing to draw.
    tip : str
        The tooltip.
    names : sequence of str
        What the lines of window 0 and 1 are called; each is drawn in another style, with its
        last value. Without names all lines look alike.
    logarithmic : bool
        Whether the scale is.
    bounds : tuple of float or None
        Lowest and highest value of the scale; None for that of the data.
    """

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        title: str = "loss",
        tip: str = _TIP,
        names: Sequence[str] = (),
        logarithmic: bool = True,
        bounds: tuple[float | None, float | None] = (None, None),
    ) -> None:
        super().__init__(parent)
        self._lines: dict[int, list[tuple[int, float]]] = {}
        self._n_steps = 1
        self._title, self._names = title, tuple(names)
        self._logarithmic, self._bounds = logarithmic, bounds
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(tip)
        self.setAccessibleName(title)

    @property
    def lines(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """Steps and losses, window by window."""
        return tuple(tuple(line) for line in self._lines.values())

    @property
    def legend(self) -> tuple[str, ...]:
        """What is said of each line: its name and last value; empty without names."""
        signs = ("\N{EM DASH} ", "\N{EN DASH} \N{EN DASH} ") if len(self._names) > 1 else ("",)
        return tuple(
            f"{signs[number]}{name} {self._lines[number][-1][1]:.3g}"
            for number, name in enumerate(self._names)
            if number in self._lines
        )

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

    def reach(self, n_steps: int) -> None:
        """Set the upper bound of the steps anew, up or down."""
        self._n_steps = max(1, n_steps)

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
        values = [self._scaled(loss) for line in self._lines.values() for _, loss in line]
        if not values:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._title)
            return
        lowest, highest = self._bounds
        low = min(values) if lowest is None else lowest
        high = max(values) if highest is None else highest
        for number, line in self._lines.items():
            second = bool(self._names) and number > 0
            places = [self._place(*point, low, high) for point in line]
            pen = QPen(QColor(_ORANGE) if second else ink, 1.5, _PENS[second])
            painter.setPen(pen)
            painter.drawPolyline(QPolygonF(places))
            if len(places) == 1:
                painter.setPen(QPen(ink, 4))
                painter.drawPoint(places[0])
        faint.setAlphaF(0.8)
        painter.setPen(faint)
        inside = self.rect().adjusted(_MARGIN, 1, -_MARGIN, -1)
        sides = Qt.AlignmentFlag
        top, bottom = (f"{10**v:.2g}" if self._logarithmic else f"{v:.3g}" for v in (high, low))
        painter.drawText(inside, sides.AlignRight | sides.AlignTop, top)
        # lines with names begin at the left and are short at first
        side = sides.AlignRight if self._names else sides.AlignLeft
        painter.drawText(inside, side | sides.AlignBottom, bottom)
        for number, words in enumerate(self.legend):
            painter.setPen(QColor(_ORANGE) if number else ink)
            painter.drawText(inside, sides.AlignLeft | sides.AlignTop, words)
            inside.setLeft(inside.left() + painter.fontMetrics().horizontalAdvance(f"{words}   "))

    def _scaled(self, loss: float) -> float:
        return log10(max(loss, _FLOOR)) if self._logarithmic else loss

    def _place(self, step: int, loss: float, low: float, high: float) -> QPointF:
        top = _MARGIN + (self.fontMetrics().height() if self._names else 0)  # below the legend
        width, height = self.width() - 2 * _MARGIN, self.height() - _MARGIN - top
        share = (self._scaled(loss) - low) / (high - low) if high > low else 0.5
        return QPointF(_MARGIN + width * step / self._n_steps, top + height * (1 - share))
