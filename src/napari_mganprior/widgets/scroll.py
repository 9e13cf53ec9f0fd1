"""A scroll area that takes the height of what is in it where there is room."""

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QWidget

__all__ = ["FieldScroll"]


class FieldScroll(QScrollArea):
    """Fields as high as they like where there is room, scrolled up and down where there is none.

    It is never narrower than they can be, so that nothing is cut off at the side.

    Parameters
    ----------
    fields : QWidget
        What is in it.
    """

    def __init__(self, fields: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setWidget(fields)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Ask for the height of the fields."""
        fields = self.widget()
        if fields is None:
            return super().sizeHint()
        # a page of many lines may wish for less than it needs; a style sheet may add a rim
        wanted = fields.sizeHint().expandedTo(fields.minimumSizeHint())
        return wanted.grownBy(self.contentsMargins())

    def minimumSizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Ask for the least width of the fields, and of a scroll bar beside them."""
        least, fields, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if fields is None or bar is None:
            return least
        return QSize(fields.minimumSizeHint().width() + bar.sizeHint().width(), least.height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Follow the fields: another theme, another font, another height."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
