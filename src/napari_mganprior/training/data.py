"""Random crops of the user's own images, normalised as the prior will see them later."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

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
        # opened here, since numpy leaves it open when it is no archive
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            images = {key: file[key] for key in file.files}
    except Exception as error:  # the readers of zip, deflate and npy raise whatever they meet
        raise TrainingError(
            f"Could not read {path} ({error}); wanted an .npz file with one image array a key, and "
            "no Python objects. Check the path, or save the images again with numpy.savez."
        ) from error
    wrong = sorted(key for key, image in images.items() if not isinstance(image, np.ndarray))
    if wrong:
        raise TrainingError(
            f"Got entries of {path} that are no arrays: {_some(wrong)}; wanted one image array a "
            "key. Save the images again with numpy.savez."
        )
    return images


class CropSource:
    """Draws random crops; every image is equally likely, whatever its size.

    Parameters
    ----------
    images : mapping of str to array
        Images (H, W) or (H, W, 3) of numbers, all with the same channels; those smaller than
        a crop and those with NaN or infinity are left out.
    resolution : int
        Side of a crop in pixels.

    Attributes
    ----------
    skipped : dict of str to str
        Keys of the images left out, and why.

    Raises
    ------
    TrainingError
        If an image is no grey or RGB picture, if both kinds are mixed, if fewer than 8 images
        can be used, or if those show nothing.
    """

    def __init__(self, images: Mapping[str, NDArray[np.generic]], resolution: int) -> None:
        _check_kinds(images)
        self.resolution = resolution
        self.skipped = {
            key: why for key, image in images.items() if (why := _fault(image, resolution))
        }
        kept = [image for key, image in images.items() if key not in self.skipped]
        if len(kept) < 8:
            left_out = _some([f"{key} ({why})" for key, why in self.skipped.items()])
            raise TrainingError(
                f"Got {len(kept)} usable images of at least {resolution}x{resolution} px out of "
                f"{len(images)}{', without ' if left_out else ''}{left_out}; wanted at least 8. "
                "Add images, or choose a smaller resolution."
            )
        self._images: list[Tensor] = []
        for image in kept:
            values = np.asarray(image)
            encoded = ValueMap.from_percentiles(values).encode(values)
            # bytes instead of floats: a quarter of the memory, and finer than the data
            self._images.append(((to_tensor(encoded)[0] + 1) * 127.5).round().to(torch.uint8))
        if all(image.float().std() < _BLANK * 127.5 for image in self._images):
            raise TrainingError(
                f"Got {len(kept)} images that are all blank (one grey value, or nearly so); "
                "wanted pictures of something. Check how the images were saved."
            )

    @property
    def n_images(self) -> int:
        """How many images crops are drawn from."""
        return len(self._images)

    @property
    def image_channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self._images[0].shape[0]

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images crops are drawn from, (C, H, W), 0 to 255 for -1 to 1."""
        for image in self._images:
            yield image.numpy()

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


def _check_kinds(images: Mapping[str, NDArray[np.generic]]) -> None:
    """Refuse what is no picture at all, and grey images mixed with RGB."""
    kinds: dict[int, list[str]] = {}
    for key, image in images.items():
        shape, dtype = np.shape(image), np.asarray(image).dtype
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in (1, 3) or dtype.kind not in "uif":
            raise TrainingError(
                f"Got an array of shape {shape} and type {dtype} under {key!r}; wanted an image "
                "(H, W) or (H, W, 3) of whole or floating-point numbers. Take single slices of "
                "stacks, drop alpha channels and remove everything that is no image."
            )
        kinds.setdefault(channels, []).append(key)
    if len(kinds) > 1:
        raise TrainingError(
            f"Got {len(kinds[1])} grey images, such as {kinds[1][0]!r}, and {len(kinds[3])} RGB "
            f"images, such as {kinds[3][0]!r}; wanted one kind, since a prior draws one kind. "
            "Train on one of them, or turn all into grey."
        )


def _fault(image: NDArray[np.generic], resolution: int) -> str:
    """Say why an image cannot be used; an empty string means that it can."""
    if min(image.shape[:2]) < resolution:
        return f"only {image.shape[0]}x{image.shape[1]} px"
    return "" if np.isfinite(image).all() else "NaN or infinity in it"


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
