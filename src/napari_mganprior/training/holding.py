"""Keep some images aside, so that a prior can be measured on some it never saw.

* From five files on: files, chosen by their names and the seed. Each image of an archive and each
  array is a file.
* From fewer files with eight planes or more: a run of neighbouring planes of each, at a place
  chosen by its name and the seed; neighbours look alike, and singly they would be no test.
* From a few large images: a band at one end of each, half a crop away from the rest.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from napari_mganprior.training.data import FEWEST, Region
from napari_mganprior.training.pixels import PixelStore

__all__ = ["hold_some_out"]

_MANY_FILES = 5


def hold_some_out(
    store: PixelStore, regions: Sequence[Region], resolution: int, share: float, seed: int
) -> tuple[list[Region], list[Region], str]:
    """Split images into those to learn from and those kept aside.

    Parameters
    ----------
    store : PixelStore
        Holds the images.
    regions : sequence of Region
        One an image.
    resolution : int
        Side of a crop in pixels.
    share : float
        To keep aside, above 0, at most 0.5.
    seed : int
        Chooses which; the same for the same names.

    Returns
    -------
    kept, aside : list of Region
        No pixel is in both.
    how : str
        What was held out, in words; empty if nothing could be spared.
    """
    files: dict[str, list[Region]] = {}
    for region in regions:
        files.setdefault(store.picture(region.number).file, []).append(region)
    if len(files) >= _MANY_FILES:
        return _files(files, share, seed)
    if len(regions) >= FEWEST:
        return _planes(store, files, share, seed)
    return _bands(store, regions, resolution, share, seed)


def _files(
    files: dict[str, list[Region]], share: float, seed: int
) -> tuple[list[Region], list[Region], str]:
    n = max(1, round(len(files) * share))
    chosen = set(sorted(files, key=lambda name: (_number(name, seed), name))[:n])
    kept = [region for name, some in files.items() if name not in chosen for region in some]
    aside = [region for name, some in files.items() if name in chosen for region in some]
    return kept, aside, f"{n} of {len(files)} files"


def _planes(
    store: PixelStore, files: dict[str, list[Region]], share: float, seed: int
) -> tuple[list[Region], list[Region], str]:
    kept: list[Region] = []
    aside: list[Region] = []
    runs: list[str] = []
    largest = max(len(some) for some in files.values())
    for name, some in files.items():
        n = round(len(some) * share)
        if len(some) == largest and not aside:
            n = max(1, n)
        start = _number(name, seed) % (len(some) - n + 1)
        aside += some[start : start + n]
        kept += some[:start] + some[start + n :]
        if n:
            first, last = (store.picture(some[i].number).key for i in (start, start + n - 1))
            runs.append(first if n == 1 else f"{first} to {last}")
    return kept, aside, f"{len(aside)} of {len(kept) + len(aside)} planes: {', '.join(runs)}"


def _bands(
    store: PixelStore, regions: Sequence[Region], resolution: int, share: float, seed: int
) -> tuple[list[Region], list[Region], str]:
    kept: list[Region] = []
    aside: list[Region] = []
    for region in regions:
        upright = region.height >= region.width
        side = region.height if upright else region.width
        band, margin = max(resolution, round(side * share)), resolution // 2
        rest = side - band - margin
        if rest < 2 * resolution:
            kept.append(region)  # too small to be divided
            continue
        first = _number(store.picture(region.number).key, seed) % 2 == 0
        starts = (band + margin, 0) if first else (0, side - band)  # of the rest, of the band
        for some, start, length in ((kept, starts[0], rest), (aside, starts[1], band)):
            if upright:
                some.append(replace(region, top=region.top + start, height=length))
            else:
                some.append(replace(region, left=region.left + start, width=length))
    return kept, aside, f"a band at one end of {len(aside)} images" if aside else ""


def _number(name: str, seed: int) -> int:
    """Return a number that depends on the name and the seed, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big")
