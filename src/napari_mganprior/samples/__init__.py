"""Two real micrographs with damage that is known, so that a restoration can be measured.

Where they come from stands in README.md beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import SettingsError

__all__ = ["SAMPLES", "Sample", "load_sample"]

SAMPLES = ("nuclei_scratch", "nuclei_bubble")
_FOLDER = Path(__file__).parent
_SATURATED = 255  # scratches of the film and bubbles of the mounting medium show as pure white


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample image.

    Attributes
    ----------
    name : str
        One of `SAMPLES`.
    truth : ndarray
        The undamaged image, (256, 256) uint8.
    damaged : ndarray
        The same with the masked pixels saturated.
    mask : ndarray of bool
        (256, 256), True at damage.
    """

    name: str
    truth: NDArray[np.uint8]
    damaged: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def load_sample(name: str) -> Sample:
    """Load a sample image and damage it.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.

    Raises
    ------
    SettingsError
        If there is no sample of that name.
    """
    if name not in SAMPLES:
        raise SettingsError(
            f"Got the sample {name!r}; wanted one of: {', '.join(SAMPLES)}. Choose one of those."
        )
    truth, mask = _read(f"{name}.png"), _read(f"{name}_mask.png") != 0
    damaged = np.where(mask, np.uint8(_SATURATED), truth)
    return Sample(name, truth, damaged, mask)


def _read(file_name: str) -> NDArray[Any]:
    from PIL import Image

    with Image.open(_FOLDER / file_name) as image:
        return np.array(image)
