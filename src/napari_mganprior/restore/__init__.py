"""An image restored: one plane, a series of planes, or a recipe once more."""

from napari_mganprior.restore.function import inpaint
from napari_mganprior.restore.inpainting import Inpainting
from napari_mganprior.restore.replay import Replay, replay
from napari_mganprior.restore.result import Restoration, RestoreStep
from napari_mganprior.restore.search import search_window
from napari_mganprior.restore.series import SeriesInpainting

__all__ = [
    "Inpainting",
    "Replay",
    "Restoration",
    "RestoreStep",
    "SeriesInpainting",
    "inpaint",
    "replay",
    "search_window",
]
