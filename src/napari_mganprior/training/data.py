"""Random crops of the user's own images, normalised as the prior will see them later."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.pictures import Picture, UnusableImageError, array_pictures
from napari_mganprior.training.pixels import BLANK, CACHE_BYTES, PixelStore

__all__ = [
    "CropSource",
    "Region",
    "check_kinds",
    "check_size",
    "check_usable",
    "load_images",
    "whole_region",
]

FEWEST = 8  # images, or pieces of large ones, that are anything to learn from
_BLANK_KEPT = 0.1  # share of blank crops kept: empty background belongs to the domain, too
_TRIES = 8
_FAILURES = 200  # images in a row that can no longer be read: then it is no accident
_LARGEST_SHOWN = 2048  # px of an image that is looked at as a whole


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


@dataclass(frozen=True, slots=True)
class Region:
    """The part of an image that crops are drawn from.

    Attributes
    ----------
    number : int
        Of the image in its `PixelStore`.
    top, left, height, width : int
        In pixels.
    """

    number: int
    top: int
    left: int
    height: int
    width: int


class CropSource:
    """Draws random crops; every image is equally likely, whatever its size.

    The crops depend on the images and on the source of randomness alone, not on how much is kept
    in memory.

    Parameters
    ----------
    images : mapping of str to array
        Images (H, W) or (H, W, C) of numbers, all with the same 1 to 4 channels; those smaller
        than a crop and those with NaN or infinity are left out. `open_sources` reads files.
    resolution : int
        Side of a crop in pixels.
    cache_bytes : int
        Room for decoded images, a byte a pixel and channel.

    Attributes
    ----------
    resolution : int
        Side of a crop in pixels.
    image_channels : int
        1 for grey, 3 for RGB, or as many as were chosen.
    skipped : dict of str to str
        Keys of the images left out, and why.

    Raises
    ------
    TrainingError
        If an image is no picture, if several kinds are mixed, if fewer than 8 images (or pieces
        of larger ones) can be used, or if those show nothing.
    """

    def __init__(
        self,
        images: Mapping[str, NDArray[np.generic]],
        resolution: int,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        _check_pictures(images)
        store, regions = PixelStore(cache_bytes), []
        skipped: dict[str, str] = {}
        for key, image in images.items():
            (picture,) = array_pictures(key, image, axes="YXS"[: image.ndim], channels=_all(image))
            try:
                regions.append(whole_region(store, store.add(check_size(picture, resolution))))
            except UnusableImageError as why:
                skipped[key] = str(why)
        check_usable(store, regions, resolution, skipped)
        self._set(store, regions, resolution, skipped)

    @classmethod
    def of_regions(
        cls,
        store: PixelStore,
        regions: Sequence[Region],
        resolution: int,
        skipped: Mapping[str, str] | None = None,
    ) -> "CropSource":
        """Draw from parts of images that are in a store already, and were checked.

        Parameters
        ----------
        store : PixelStore
            Holds the images; several sources may share it.
        regions : sequence of Region
            One an image, at least one; none smaller than a crop.
        resolution : int
            Side of a crop in pixels.
        skipped : mapping of str to str, optional
            What was left out before, and why.
        """
        source = cls.__new__(cls)
        source._set(store, regions, resolution, dict(skipped or {}))
        return source

    def _set(
        self,
        store: PixelStore,
        regions: Sequence[Region],
        resolution: int,
        skipped: dict[str, str],
    ) -> None:
        self.resolution = resolution
        self.skipped = skipped
        self.image_channels = store.picture(regions[0].number).channels
        self._store, self._regions = store, tuple(regions)

    @property
    def n_images(self) -> int:
        """How many images crops are drawn from."""
        return len(self._regions)

    def images(self, most: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield the images crops are drawn from, (C, H, W), 0 to 255 for -1 to 1.

        Parameters
        ----------
        most : int, optional
            At most so many, evenly spaced; all if left out. Of an image larger than 2048 px the
            middle is shown; one that can no longer be read is left out.
        """
        n = self.n_images if most is None else min(most, self.n_images)
        for i in range(n):
            region = self._regions[i * self.n_images // n]
            height, width = (min(s, _LARGEST_SHOWN) for s in (region.height, region.width))
            top = region.top + (region.height - height) // 2
            left = region.left + (region.width - width) // 2
            pixels = self._store.window(region.number, top, left, height, width)
            if pixels is not None:
                yield pixels

    def batch(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw crops, each turned, mirrored and shifted at random.

        Returns
        -------
        Tensor
            (n, C, resolution, resolution) in [-1, 1].

        Raises
        ------
        TrainingError
            If the images can no longer be read.
        """
        return torch.stack([self._crop(rng) for _ in range(n)])

    def batches(self, n: int, size: int, rng: torch.Generator) -> Iterable[Tensor]:
        """Draw ``n`` crops in batches of at most ``size``."""
        for start in range(0, n, size):
            yield self.batch(min(size, n - start), rng)

    def _crop(self, rng: torch.Generator) -> Tensor:
        side, tries, failures = self.resolution, 0, 0
        while True:
            numbers = torch.rand(5, generator=rng).tolist()
            region = self._regions[int(numbers[0] * len(self._regions))]
            top = region.top + int(numbers[1] * (region.height - side + 1))
            left = region.left + int(numbers[2] * (region.width - side + 1))
            pixels = self._store.window(region.number, top, left, side, side)
            if pixels is None:
                failures += 1
                if failures >= _FAILURES:
                    raise TrainingError(
                        f"Got {failures} images in a row that can no longer be read, such as "
                        f"{self._store.picture(region.number).key}; wanted the files where they "
                        "were. Bring them back, then go on from the last checkpoint."
                    )
                continue
            tries += 1
            crop = torch.from_numpy(pixels).float() / 127.5 - 1
            if crop.std() >= BLANK or numbers[4] < _BLANK_KEPT or tries >= _TRIES:
                break
        turn = int(numbers[3] * 8)
        crop = torch.rot90(crop, turn % 4, (1, 2))
        return crop.flip(2) if turn >= 4 else crop


def check_usable(
    store: PixelStore, regions: Sequence[Region], resolution: int, skipped: Mapping[str, str]
) -> None:
    """Refuse too few images, mixed kinds, and images of nothing.

    A few large images are as good as many small ones: where there are fewer than 8, the pieces of
    twice a crop's side that they can be cut into count.

    Raises
    ------
    TrainingError
        As said.
    """
    pieces = sum(
        (region.height // (2 * resolution)) * (region.width // (2 * resolution))
        for region in regions
    )
    if max(len(regions), pieces) < FEWEST:
        left_out = _some([f"{key} ({why})" for key, why in skipped.items()])
        raise TrainingError(
            f"Got {len(regions)} usable images of at least {resolution}x{resolution} px out of "
            f"{len(regions) + len(skipped)}{', without ' if left_out else ''}{left_out}; wanted at "
            f"least {FEWEST}, or large ones with room for {FEWEST} pieces of "
            f"{2 * resolution}x{2 * resolution} px. Add images, or choose a smaller resolution."
        )
    check_kinds(store, regions)
    if all(store.is_blank(region.number) for region in regions):
        raise TrainingError(
            f"Got {len(regions)} images that are all blank (one grey value, or nearly so); "
            "wanted pictures of something. Check how the images were saved."
        )


def check_kinds(store: PixelStore, regions: Sequence[Region]) -> None:
    """Refuse images with different numbers of channels.

    Raises
    ------
    TrainingError
        If there are several kinds; it names one of each.
    """
    kinds: dict[int, list[str]] = {}
    for region in regions:
        picture = store.picture(region.number)
        kinds.setdefault(picture.channels, []).append(picture.key)
    if len(kinds) > 1:
        raise TrainingError(_mixed(kinds))


def _check_pictures(images: Mapping[str, NDArray[np.generic]]) -> None:
    """Refuse what is no picture at all, and several kinds, before anything is computed."""
    kinds: dict[int, list[str]] = {}
    for key, image in images.items():
        shape, dtype = np.shape(image), np.asarray(image).dtype
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in (1, 2, 3, 4) or dtype.kind not in "uif":
            raise TrainingError(
                f"Got an array of shape {shape} and type {dtype} under {key!r}; wanted an image "
                "(H, W) or (H, W, C), of 1 to 4 channels, of whole or floating-point numbers. "
                "Take single slices of stacks, and remove everything that is no image."
            )
        kinds.setdefault(channels, []).append(key)
    if len(kinds) > 1:
        raise TrainingError(_mixed(kinds))


def _mixed(kinds: Mapping[int, Sequence[str]]) -> str:
    names = {1: "grey", 3: "RGB"}
    parts = [
        f"{len(keys)} {names.get(channels, f'{channels}-channel')} images, such as {keys[0]!r}"
        for channels, keys in sorted(kinds.items())
    ]
    return (
        f"Got {', and '.join(parts)}; wanted one kind, since a prior draws one kind. Train on one "
        "of them, or turn all into grey (channels=grey)."
    )


def _all(image: NDArray[np.generic]) -> tuple[int, ...] | None:
    return tuple(range(image.shape[2])) if image.ndim == 3 else None


def check_size(picture: Picture, resolution: int) -> Picture:
    """Return the image, or raise `UnusableImageError` if it is smaller than a crop."""
    if min(picture.shape) < resolution:
        raise UnusableImageError(f"only {picture.shape[0]}x{picture.shape[1]} px")
    return picture


def whole_region(store: PixelStore, number: int) -> Region:
    """Return all of an image."""
    return Region(number, 0, 0, *store.picture(number).shape)


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
