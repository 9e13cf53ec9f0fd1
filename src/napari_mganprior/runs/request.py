"""What one run is asked to do: plain data, taken once, sharing nothing with the window."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import SettingsError

__all__ = ["RunRequest"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunRequest:
    """One inpainting, as asked for.

    The arrays are copied here, so that what the user paints or deletes during the run cannot
    reach it. Make it in the thread that owns the layers.

    Attributes
    ----------
    image : ndarray
        (H, W) or (H, W, 3), in the user's own dtype and range.
    mask : ndarray
        (H, W), bool; True is damage.
    prior : str
        A prior's name or the path of its file.
    quality : str
        Name of a preset: "fast", "balanced" or "best".
    seed : int
        0 or more.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    zoom : float or None
        Pixel-size factor; None estimates it.
    preview_interval : float or None
        Shortest time between two previews in seconds; None makes none.
    history : bool
        Whether pictures of the iterations are kept and come with the result.

    Raises
    ------
    SettingsError
        If the preview interval or the seed is out of its range.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_]
    prior: str
    quality: str = "balanced"
    seed: int = 0
    device: str = "auto"
    zoom: float | None = 1.0
    preview_interval: float | None = None
    history: bool = False

    def __post_init__(self) -> None:
        if self.preview_interval is not None and not self.preview_interval > 0:
            raise SettingsError(
                f"Got a preview interval of {self.preview_interval} s; wanted more than 0, or "
                "None for no preview."
            )
        if self.seed < 0:
            raise SettingsError(f"Got seed {self.seed}; wanted 0 or more. Choose another seed.")
        object.__setattr__(self, "image", np.array(self.image))
        object.__setattr__(self, "mask", np.array(self.mask, dtype=bool))
