"""The pictures and the damage that the benchmarks share; everything follows from a seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import ValueMap

__all__ = ["MASKS", "Scene", "damage", "disc_on_edge", "scenes"]

MASKS = ("scratch", "disc", "missing")
_BUSY = 0.25  # standard deviation from which a crop is worth damaging


@dataclass(frozen=True)
class Scene:
    """A crop of a held-out image.

    Attributes
    ----------
    name : str
        Key of the image in the file.
    truth : array of float32
        (size, size) in [-1, 1]; the percentiles are those of the whole image.
    """

    name: str
    truth: NDArray[np.float32]


def scenes(path: Path, *, size: int, seed: int = 0) -> list[Scene]:
    """Draw one busy crop from every image of an ``.npz`` file."""
    found = []
    with np.load(path, allow_pickle=False) as images:
        for number, name in enumerate(images.files):
            image = images[name]
            rng = np.random.default_rng([seed, number])
            encoded = ValueMap.from_percentiles(image).encode(image)
            for _ in range(50):
                top, left = (int(rng.integers(n - size + 1)) for n in image.shape)
                crop = encoded[top : top + size, left : left + size]
                if crop.std() > _BUSY:
                    break
            found.append(Scene(name, crop))
    return found


def damage(kind: str, truth: NDArray[np.float32], *, seed: int) -> NDArray[np.bool_]:
    """Draw a mask.

    Parameters
    ----------
    kind : {"scratch", "disc", "missing"}
        Two straight scratches 3 px wide; one disc of 12 to 24 px centred on a cell edge; 80 % of
        the pixels missing.
    truth : array
        The picture, for its edges.
    seed : int
        Same seed, same mask.
    """
    rng = np.random.default_rng([seed, MASKS.index(kind)])
    size = truth.shape[0]
    rows, columns = np.mgrid[:size, :size]
    if kind == "missing":
        return np.asarray(rng.random(truth.shape) < 0.8)
    if kind == "disc":
        return disc_on_edge(truth, rng.uniform(12, 24), rng)
    mask = np.zeros(truth.shape, bool)
    for _ in range(2):
        angle = rng.uniform(0, np.pi)
        row, column = rng.uniform(size / 4, 3 * size / 4, 2)
        across = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
        mask |= np.abs(across) <= 1.5
    return mask


def disc_on_edge(
    truth: NDArray[np.float32], diameter: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Place a disc where the picture changes most, by chance, and away from its border.

    Parameters
    ----------
    truth : array
        The picture, square.
    diameter : float
        Of the disc in pixels.
    rng : Generator
        Same state, same place.
    """
    size = truth.shape[0]
    rows, columns = np.mgrid[:size, :size]
    slope = np.hypot(*np.gradient(truth)) ** 2 + 1e-6
    rim = size // 5
    slope[:rim] = slope[-rim:] = slope[:, :rim] = slope[:, -rim:] = 0
    centre = rng.choice(slope.size, p=slope.ravel() / slope.sum())
    row, column = divmod(int(centre), size)
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= diameter**2 / 4)
