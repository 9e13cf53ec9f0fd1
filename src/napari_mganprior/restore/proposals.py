"""Several results of one image to choose from, each of a seed of its own."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.damage import pack_mask
from napari_mganprior.errors import ImageError, SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.restore.result import Restoration, sha256_of
from napari_mganprior.restore.series import Series

__all__ = ["Proposals", "check_proposals"]

_MOST = 100


class Proposals(Series):
    """One task done to one image with several seeds, to be iterated over.

    The result is a stack of the proposals, the first of which is that of ``seed``.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3).
    prior : LoadedPrior
        From `load_prior`.
    proposals : int
        How many, 1 .. 100.
    task : str
        Its name.
    **engine
        As for `Series`.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If the input cannot be used; the message says what to do.
    """

    _key = "proposals"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
        proposals: int,
        task: str = "colorize",
        **engine: Any,
    ) -> None:
        check_proposals(proposals)
        self._image: NDArray[Any] = np.array(image, copy=True)
        if self._image.ndim not in (2, 3):
            raise ImageError(
                f"Got an image of shape {self._image.shape} for several proposals; wanted one "
                "plane, (height, width). Choose one slice."
            )
        images = np.broadcast_to(self._image, (proposals, *self._image.shape))
        super().__init__(images, None, prior, task=task, linked=False, **engine)

    def _take_over(self) -> None:
        self._sha256 = sha256_of(self._image)  # of one image, however many proposals
        start: Restoration | None = self._start
        if start is not None and start.recipe.get(self._key) != len(self._images):
            self._start = None
        super()._take_over()

    def _mask_sha256(self) -> str:
        return sha256_of(self._masks[0])

    def _seed_of(self, plane: int) -> int:
        return self._seed + plane

    def _about_planes(self) -> dict[str, Any]:
        nothing = self._masks[0]
        return {
            "proposals": len(self._images),
            "image": {
                "dimensions": list(self._image.shape),
                "dtype": str(self._image.dtype),
                "sha256": self._sha256,
            },
            "mask": {
                "sha256": sha256_of(nothing),
                "damaged_pixels": 0,
                "dimensions": list(nothing.shape),
                "packed": pack_mask(nothing),
            },
        }


def check_proposals(proposals: Any) -> None:
    """Check how many results are wanted.

    Raises
    ------
    SettingsError
        If they are none, or more than can be looked through.
    """
    if isinstance(proposals, bool) or not isinstance(proposals, int) or not 1 <= proposals <= _MOST:
        raise SettingsError(
            f"Got {proposals} proposals; wanted 1 to {_MOST}. Choose a number in between."
        )
