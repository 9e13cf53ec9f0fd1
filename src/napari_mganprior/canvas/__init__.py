"""The picture being restored, window by window.

Numpy only. Values are in [-1, 1]; everything happens at the prior's scale, in an image padded
to at least one window.
"""

from napari_mganprior.canvas.base import AVERAGE, BEST
from napari_mganprior.canvas.holes import Canvas, corrected
from napari_mganprior.canvas.sheet import Sheet

__all__ = ["AVERAGE", "BEST", "Canvas", "Sheet", "corrected"]
