"""The dock widget "Colorize": a grey picture in, several proposals in colour out."""

from napari_mganprior.widgets.form import TaskForm

__all__ = ["ColorizeWidget"]


class ColorizeWidget(TaskForm):
    """Give a grey image layer colours that a prior knows."""

    task = "colorize"
    help_topic = "colorize"
