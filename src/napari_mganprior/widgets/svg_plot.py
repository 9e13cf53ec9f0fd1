"""A plot that is SVG text, shown in a form and written to a file as it is."""

from qtpy.QtCore import QByteArray, QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPalette
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["SvgPlot"]

_WIDTH, _HEIGHT = 320, 200


class SvgPlot(QWidget):
    """Paint an SVG document as large as there is room, in the ink of the theme.

    Attributes
    ----------
    document : str
        The SVG text on show, black where the theme's ink is; empty for none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.document = ""
        self._renderer = QSvgRenderer(self)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumHeight(_HEIGHT)

    def show_document(self, document: str, ink: str) -> None:
        """Show a document.

        Parameters
        ----------
        document : str
            SVG text; empty shows nothing.
        ink : str
            The colour in it that is to be the theme's.
        """
        self.document, self._ink = document, ink
        self._load()

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Ask for the shape of a plot."""
        return QSize(_WIDTH, _HEIGHT)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802  Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        kinds = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
        if event is not None and event.type() in kinds and self.document:
            self._load()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  Qt's name
        """Draw the document, undistorted."""
        if not self.document:
            return
        wanted = self._renderer.defaultSize()
        wanted.scale(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        left = (self.width() - wanted.width()) / 2
        painter = QPainter(self)
        self._renderer.render(painter, QRectF(left, 0, wanted.width(), wanted.height()))
        painter.end()

    def _load(self) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText).name()
        text = self.document.replace(self._ink, ink)
        self._renderer.load(QByteArray(text.encode()))
        self.update()
