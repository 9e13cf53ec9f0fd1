"""The dock widget "Inpaint": mark damage, press Run, get the picture restored."""

from napari_mganprior.widgets.form import TaskForm

__all__ = ["InpaintWidget"]


class InpaintWidget(TaskForm):
    """Restore the pixels of an image layer that another layer marks as damaged."""

    task = "inpaint"
    help_topic = "trusting-a-result"
