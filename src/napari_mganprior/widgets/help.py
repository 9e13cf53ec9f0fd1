"""The "What is this?" links: from a form to the page that explains it."""

from napari.utils.notifications import show_info
from qtpy.QtCore import QEvent, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QPalette
from qtpy.QtWidgets import QLabel

from napari_mganprior.errors import SettingsError

__all__ = ["GUIDE", "TOPICS", "HelpLabel", "help_label", "help_url"]

GUIDE = "https://github.com/napari-mganprior/napari-mganprior/blob/main/docs/using.md"

TOPICS = (
    "inpaint",
    "denoise",
    "super-resolve",
    "colorize",
    "invert",
    "advanced",
    "damage",
    "prior",
    "quality",
    "pixel-size-factor",
    "slices-and-regions",
    "steering-a-run",
    "trusting-a-result",
    "repeating-a-run",
    "many-images",
    "edit",
    "manage-priors",
    "train-a-prior",
    "analyse",
    "preferences",
)
"""The headings of docs/using.md that links point at, as GitHub writes them into a URL."""


def help_url(topic: str) -> str:
    """Return where a topic is explained.

    Parameters
    ----------
    topic : str
        One of `TOPICS`.

    Raises
    ------
    SettingsError
        If it is none of them.

    Examples
    --------
    >>> help_url("prior").partition("docs/")[2]
    'using.md#prior'
    """
    if topic not in TOPICS:
        raise SettingsError(
            f"Got the help topic {topic!r}; wanted one of: {', '.join(TOPICS)}. Choose one, or "
            "add a heading to docs/using.md."
        )
    return f"{GUIDE}#{topic}"


class HelpLabel(QLabel):
    """A link that opens in the browser, in the colour of the text around it.

    Parameters
    ----------
    topic : str
        One of `TOPICS`.
    text : str
        What the link says.
    """

    def __init__(self, topic: str, text: str = "What is this?") -> None:
        super().__init__()
        self._url, self._words = help_url(topic), text
        self.setToolTip(f"Open the guide in the browser: {self._url}")
        # also with Tab and Enter
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.linkActivated.connect(_open)
        self._write()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802  Qt's name
        """Follow the theme: Qt draws links dark blue on any ground."""
        super().changeEvent(event)
        if event is not None and event.type() in (
            QEvent.Type.PaletteChange,
            QEvent.Type.StyleChange,
        ):
            self._write()

    def _write(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.WindowText).name()
        text = f'<a href="{self._url}" style="color: {colour}">{self._words}</a>'
        if text != self.text():
            self.setText(text)


def help_label(topic: str) -> QLabel:
    """Return a link "What is this?" to what the guide says about a topic.

    Parameters
    ----------
    topic : str
        One of `TOPICS`.

    Raises
    ------
    SettingsError
        If it is none of them.
    """
    return HelpLabel(topic)


def _open(url: str) -> None:
    if not QDesktopServices.openUrl(QUrl(url)):
        show_info(f"No browser could be opened. The guide is at {url}")
