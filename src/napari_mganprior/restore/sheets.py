"""What the tasks that draw the whole image share: windows are read from a sheet, and searched."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mganprior.canvas import Sheet
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import Step
from napari_mganprior.operators.base import Operator
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.search import search_measurement
from napari_mganprior.tiling import Window

__all__ = ["SheetTask"]


class SheetTask(WindowTask):
    """A restoration of which every pixel is drawn; a leaf says how the image was measured."""

    _surface: Sheet

    @abstractmethod
    def _measured_by(
        self, window: Window, values: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[Operator, InversionConfig]:
        """Return how a window's values came about, and the settings to search its codes with."""

    def _search(self, window: Window, rng: torch.Generator) -> Iterator[Step]:
        values, weight = self._surface.read(window)
        operator, config = self._measured_by(window, values, weight)
        return search_measurement(
            values,
            weight,
            window,
            self._prior,
            config,
            operator=operator,
            rng=rng,
            device=self._device,
            start=self._known_codes(),
        )
