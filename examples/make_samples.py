"""Make the sample images of the package again from the held-out nuclei.

    python examples/make_samples.py ../shared/data/nuclei/test.npz [FOLDER]

The seed is fixed, so the files come out the same.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEED = 20180416
SIDE = 256
# key in the archive, row and column of the cut's upper left corner
SOURCES = {"nuclei_scratch": ("64eeef16fdc4", 0, 0), "nuclei_bubble": ("700afb1cd830", 192, 128)}


def draw_scratches(rng: np.random.Generator, n: int = 5, width: float = 3.0) -> NDArray[np.bool_]:
    """Draw slightly bent lines that cross the image, ``width`` pixels wide."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), bool)
    for _ in range(n):
        angle = rng.uniform(0, np.pi)
        centre = rng.uniform(0.2, 0.8, 2) * SIDE
        bend = rng.uniform(-0.0015, 0.0015)
        along = (columns - centre[1]) * np.cos(angle) + (rows - centre[0]) * np.sin(angle)
        across = (rows - centre[0]) * np.cos(angle) - (columns - centre[1]) * np.sin(angle)
        half_length = rng.uniform(0.3, 0.6) * SIDE
        slope = np.hypot(1.0, 2 * bend * along)
        mask |= (np.abs(across - bend * along**2) / slope < width / 2) & (
            np.abs(along) < half_length
        )
    return mask


def draw_discs(rng: np.random.Generator, image: NDArray[np.uint8], n: int = 7) -> NDArray[np.bool_]:
    """Draw discs of 12 to 24 pixels across, centred on the rims of bright objects."""
    from skimage.filters import gaussian, threshold_otsu

    smooth = gaussian(image.astype(float), 1.5)
    bright = smooth > threshold_otsu(smooth)
    rim = bright & ~(
        np.roll(bright, 1, 0)
        & np.roll(bright, -1, 0)
        & np.roll(bright, 1, 1)
        & np.roll(bright, -1, 1)
    )
    rim[:16], rim[-16:], rim[:, :16], rim[:, -16:] = False, False, False, False
    places = np.argwhere(rim)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), bool)
    drawn: list[tuple[float, float]] = []
    while len(drawn) < n:
        row, column = places[rng.integers(len(places))]
        radius = rng.uniform(6, 12)
        if all(np.hypot(row - r, column - c) > 40 for r, c in drawn):
            mask |= np.hypot(rows - row, columns - column) < radius
            drawn.append((row, column))
    return mask


def main(archive: Path, folder: Path) -> None:
    """Write both images and their masks."""
    with np.load(archive) as images:
        for number, (name, (key, top, left)) in enumerate(SOURCES.items()):
            rng = np.random.default_rng([SEED, number])
            truth = images[key][top : top + SIDE, left : left + SIDE]
            scratched = name == "nuclei_scratch"
            mask = draw_scratches(rng) if scratched else draw_discs(rng, truth)
            Image.fromarray(truth).save(folder / f"{name}.png", optimize=True)
            mask_image = Image.fromarray(mask.astype(np.uint8) * 255)
            mask_image.save(folder / f"{name}_mask.png", optimize=True)
            print(f"{name}: {key}, {mask.mean():.1%} damaged, values {truth.min()}..{truth.max()}")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "src/napari_mganprior/samples",
    )
