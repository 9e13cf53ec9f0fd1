"""The test pictures of the quality benchmark: held-in domains, and pictures from outside them."""

import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import ValueMap

__all__ = ["DOMAINS", "OUTSIDE", "Picture", "pictures"]

DOMAINS = ("nuclei", "histology", "blood", "satellite")
OUTSIDE = {
    "grey": ("cell", "coins", "human_mitosis"),
    "rgb": ("immunohistochemistry", "coffee", "retina"),
}
"""What scikit-image ships, to see what a prior does with what it has never seen."""

_BUSY = {"nuclei": 0.25}  # standard deviation from which a crop is worth damaging
_BUSY_ELSE = 0.2
_BLOOD = (400, 540)  # rows and columns without burnt-in scale bars and arrows


@dataclass(frozen=True)
class Picture:
    """A crop of a held-out image.

    Attributes
    ----------
    name : str
        Of the image, with the number of the crop where there are several.
    truth : array of float32
        (size, size) or (size, size, 3) in [-1, 1]; the percentiles are those of the whole image.
    """

    name: str
    truth: NDArray[np.float32]


def pictures(
    domain: str, data: Path, *, size: int, count: int, part: str = "test"
) -> list[Picture]:
    """Draw busy crops, the same each time; fewer where there are fewer.

    Parameters
    ----------
    domain : str
        One of `DOMAINS`, or ``"outside-grey"``, ``"outside-rgb"``.
    data : Path
        The folder of data sets.
    size : int
        Side of a crop in pixels.
    count : int
        How many; taken evenly from the images there are, several from each where they are few.
    part : {"test", "train"}
        Which part of the data set; "train" is for choosing the strength of other methods.
    """
    if domain.startswith("outside-"):
        images = _outside(domain.removeprefix("outside-"))
    else:
        images = _images(data / domain, part)
    images = {n: im for n, im in images.items() if min(im.shape[:2]) >= size}
    if not images:
        return []
    names = list(images)
    found: list[Picture] = []
    per_image = -(-count // len(names))
    chosen = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    for number in range(per_image):
        for index in chosen:
            # a picture as large as a crop has one crop only
            if len(found) < count and (number == 0 or min(images[names[index]].shape[:2]) > size):
                name = names[index] if number == 0 else f"{names[index]} {number + 1}"
                crop = _crop(images[names[index]], size, (int(index), number), domain)
                found.append(Picture(name, crop))
    return found


def _crop(
    image: NDArray[np.uint8], size: int, seed: tuple[int, int], domain: str
) -> NDArray[np.float32]:
    rng = np.random.default_rng([0, *seed])
    encoded = ValueMap.from_percentiles(image).encode(image)
    best, busiest = encoded[:size, :size], 0.0
    for _ in range(50):
        top, left = (int(rng.integers(n - size + 1)) for n in image.shape[:2])
        crop = encoded[top : top + size, left : left + size]
        spread = float(crop.std())
        if spread > busiest:
            best, busiest = crop, spread
        if spread > _BUSY.get(domain, _BUSY_ELSE):
            break
    return np.ascontiguousarray(best)


@lru_cache(maxsize=4)
def _images(folder: Path, part: str) -> dict[str, NDArray[np.uint8]]:
    if (path := folder / f"{part}.npz").exists():
        with np.load(path, allow_pickle=False) as held:
            names = held.files if part == "test" else held.files[:: max(1, len(held.files) // 12)]
            return {name: held[name] for name in names}
    if not (path := folder / f"{part}.zip").exists():
        return {}
    from PIL import Image

    found = {}
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg")))
        for name in names[:: max(1, len(names) // 40)]:
            with Image.open(io.BytesIO(archive.read(name))) as image:
                array = np.asarray(image.convert("RGB"))
            if folder.name == "blood":
                array = array[: _BLOOD[0], : _BLOOD[1]]
            found[Path(name).stem] = array
    return found


@lru_cache(maxsize=4)
def _outside(kind: str) -> dict[str, NDArray[np.uint8]]:
    from skimage import data as shipped

    found = {}
    for name in OUTSIDE[kind]:
        if name == "human_mitosis" and not _downloaded("mitosis.tif"):
            continue  # scikit-image would have to download it
        image = np.asarray(getattr(shipped, name)())
        if image.dtype != np.uint8:
            image = np.clip(image / image.max() * 255, 0, 255).astype(np.uint8)
        found[name] = image
    return found


def _downloaded(name: str) -> bool:
    cache = Path.home() / ".cache" / "scikit-image"
    return any(cache.rglob(name)) if cache.is_dir() else False
