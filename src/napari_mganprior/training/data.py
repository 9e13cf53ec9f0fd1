"""Random crops of the user's own images, normalised as the prior will see them later."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mganprior.arrays import ValueMap, to_tensor
from napari_mganprior.errors import TrainingError

__all__ = ["CropSource", "load_images"]

_BLANK = 0.05  # standard deviation in [-1, 1] under which a crop shows nothing
_BLANK_KEPT = 0.1  # share of blank crops kept: empty background belongs to the domain, too
_TRIES = 8


def load_images(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the images of an ``.npz`` file, one (H, W) or (H, W, 3) array a key.

    Raises
    ------
    TrainingError
        If the file cannot be read or holds objects instead of numbers.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise TrainingError(
            f"Could not read {path} ({error}); wanted an .npz file with one image array a key. "
            "Check the path."
        ) from error


class CropSource:
    """Draws random crops; every image is equally likely, whatever its size.

    Parameters
    ----------
    images : mapping of str to array
        Images (H, W) or (H, W, 3); those smaller than a crop are left out.
    resolution : int
        Side of a crop in pixels.

    Raises
    ------
    TrainingError
        If fewer than 8 images are large enough.
    """

    def __init__(self, images: Mapping[str, NDArray[np.generic]], resolution: int) -> None:
        kept = [a for a in images.values() if min(a.shape[:2]) >= resolution]
        if len(kept) < 8:
            raise TrainingError(
                f"Got {len(kept)} images of at least {resolution}x{resolution} px out of "
                f"{len(images)}; wanted at least 8. Add images, or choose a smaller resolution."
            )
        self.resolution = resolution
        self._images: list[Tensor] = []
        for image in kept:
            values = np.asarray(image)
            encoded = ValueMap.from_percentiles(values).encode(values)
            # bytes instead of floats: a quarter of the memory, and finer than the data
            self._images.append(((to_tensor(encoded)[0] + 1) * 127.5).round().to(torch.uint8))

    def batch(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw crops, each turned, mirrored and shifted at random.

        Returns
        -------
        Tensor
            (n, C, resolution, resolution) in [-1, 1].
        """
        return torch.stack([self._crop(rng) for _ in range(n)])

    def batches(self, n: int, size: int, rng: torch.Generator) -> Iterable[Tensor]:
        """Draw ``n`` crops in batches of at most ``size``."""
        for start in range(0, n, size):
            yield self.batch(min(size, n - start), rng)

    def _crop(self, rng: torch.Generator) -> Tensor:
        side = self.resolution
        for _ in range(_TRIES):
            numbers = torch.rand(5, generator=rng).tolist()
            image = self._images[int(numbers[0] * len(self._images))]
            top = int(numbers[1] * (image.shape[1] - side + 1))
            left = int(numbers[2] * (image.shape[2] - side + 1))
            crop = image[:, top : top + side, left : left + side].float() / 127.5 - 1
            if crop.std() >= _BLANK or numbers[4] < _BLANK_KEPT:
                break
        turn = int(numbers[3] * 8)
        crop = torch.rot90(crop, turn % 4, (1, 2))
        return crop.flip(2) if turn >= 4 else crop
