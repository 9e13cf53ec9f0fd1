"""A prior's card in words, and a picture of its samples."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPixmap, QTextOption
from qtpy.QtWidgets import QSizePolicy, QTextEdit, QVBoxLayout, QWidget

__all__ = ["PriorCardView", "SamplePicture"]

_LEAST = 120  # px
_HINT = QSize(260, 260)


class SamplePicture(QWidget):
    """A picture as large as fits, or words where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap = QPixmap()
        self._words = ""
        self.setMinimumHeight(_LEAST)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)

    @property
    def empty(self) -> bool:
        """Whether there is no picture."""
        return self._pixmap.isNull()

    def show_file(self, path: Path) -> None:
        """Show a picture's file; nothing if it cannot be read."""
        self._show(QPixmap(str(path)), "The picture cannot be read.")

    def show_sheet(self, sheet: NDArray[np.uint8]) -> None:
        """Show bytes (H, W), or (H, W, 3) in the order red, green, blue."""
        sheet = np.ascontiguousarray(sheet)
        kinds = QImage.Format
        kind = kinds.Format_Grayscale8 if sheet.ndim == 2 else kinds.Format_RGB888
        height, width = sheet.shape[:2]
        # a pixmap has pixels of its own, so the bytes may go
        image = QImage(sheet.tobytes(), width, height, sheet.strides[0], kind)
        self._show(QPixmap.fromImage(image), "")

    def show_words(self, words: str) -> None:
        """Show words in place of a picture."""
        self._show(QPixmap(), words)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Ask for room to see something."""
        return _HINT

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802  Qt's name
        """Draw the picture in the middle."""
        painter = QPainter(self)
        if self._pixmap.isNull():
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect(), int(flags), self._words)
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            size = self._pixmap.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
            place = QRect(0, 0, size.width(), size.height())
            place.moveCenter(self.rect().center())
            painter.drawPixmap(place, self._pixmap)
        painter.end()

    def _show(self, pixmap: QPixmap, words: str) -> None:
        self._pixmap, self._words = pixmap, words
        self.setToolTip(
            ""
            if pixmap.isNull()
            else "Samples as they came, none picked: codes drawn at random with a fixed seed"
        )
        self.update()


class PriorCardView(QWidget):
    """What a prior draws, and what is known about it.

    Attributes
    ----------
    picture : SamplePicture
        Its samples.
    words : QTextEdit
        Its card, to read and to copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = SamplePicture()
        self.words = QTextEdit()
        self.words.setReadOnly(True)
        self.words.setAcceptDrops(False)
        self.words.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.words.setMinimumHeight(_LEAST)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.picture, 1)
        layout.addWidget(self.words, 1)

    def tell(self, card: Mapping[str, str]) -> None:
        """Show texts by what they are about; they may come from a stranger's file."""
        rows = "".join(
            f"<tr><td style='white-space: nowrap'>{escape(about)}&nbsp;&nbsp;</td>"
            f"<td>{escape(text)}</td></tr>"
            for about, text in card.items()
        )
        self.words.setHtml(f"<table cellspacing='2'>{rows}</table>")

    def tell_fault(self, fault: Any) -> None:
        """Say why there is no card."""
        self.words.setPlainText(str(fault))
