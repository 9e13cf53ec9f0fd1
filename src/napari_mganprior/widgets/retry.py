"""What can be tried after a run that did not fit into memory."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_mganprior.runs import RunRequest

__all__ = ["RetryRow", "ran_on_cpu"]


class RetryRow(QWidget):
    """Two buttons, in sight only where they may help.

    Attributes
    ----------
    smaller_requested, cpu_requested : Signal
        One of the buttons was pressed.
    """

    smaller_requested = Signal()
    cpu_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.smaller_button = QPushButton("Retry smaller")
        self.smaller_button.setToolTip(
            "Run the same again with a smaller setting: fewer searches side by side, or fewer "
            "codes. It needs less memory and may restore less well."
        )
        self.cpu_button = QPushButton("Retry on CPU")
        self.cpu_button.setToolTip(
            "Run the same again on the processor, which has the computer's whole memory. It takes "
            "longer."
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for button in (self.smaller_button, self.cpu_button):
            layout.addWidget(button)
        layout.addStretch(1)
        self.smaller_button.clicked.connect(lambda _: self.smaller_requested.emit())
        self.cpu_button.clicked.connect(lambda _: self.cpu_requested.emit())
        self.offer(smaller=False, cpu=False)

    def offer(self, *, smaller: bool, cpu: bool) -> None:
        """Show the buttons that may help; the row goes where none does.

        Parameters
        ----------
        smaller : bool
            Whether there is a smaller setting.
        cpu : bool
            Whether the run was not on the CPU.
        """
        self.smaller_button.setVisible(smaller)
        self.cpu_button.setVisible(cpu)
        self.setVisible(smaller or cpu)


def ran_on_cpu(request: RunRequest, error: Exception) -> bool:
    """Say whether a run that did not fit into memory was on the CPU, where "auto" may lead to.

    Parameters
    ----------
    request : RunRequest
        What was asked for.
    error : Exception
        What it ended with; the name of torch's allocator is in the message.
    """
    said = f"{error} {error.__cause__ or ''}".lower()
    return (
        request.device == "cpu"
        or "cpuallocator" in said
        or isinstance(error.__cause__, MemoryError)
    )
