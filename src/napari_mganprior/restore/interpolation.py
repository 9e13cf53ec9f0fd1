"""The way from one picture to another through a prior's codes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mganprior.editing import between, match
from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.inversion.codes import Codes
from napari_mganprior.restore.base import to_pixels
from napari_mganprior.restore.editor import Editor

__all__ = ["way_between"]

_MOST_STEPS = 1000


def way_between(
    first: Editor, second: Editor, n: int, *, keep_detail: bool = True
) -> Iterator[NDArray[Any]]:
    """Draw the way from one picture to another one.

    Parameters
    ----------
    first, second : Editor
        Of pictures of the same shape, dtype, prior, cut and number of codes.
    n : int
        How many pictures, both ends included, 2 .. 1000.
    keep_detail : bool
        Mix into the drawing what it lacks of both pictures, so that the ends are the pictures.

    Yields
    ------
    array
        Of the images' shape and dtype, n of them.

    Raises
    ------
    ImageError, PriorError, SettingsError
        If the pictures do not go together.
    """
    theirs = _matched(first, second)
    if int(n) != n or not 2 <= n <= _MOST_STEPS:
        raise SettingsError(
            f"Got {n} pictures for a path; wanted 2 to {_MOST_STEPS}. Choose 9, say."
        )
    lacking = [e.image - e.unmoved if keep_detail else 0.0 for e in (first, second)]
    for share in np.linspace(0, 1, n):
        ends = ((first, 1 - share, lacking[0]), (second, share, lacking[1]))
        if keep_detail and share in (0, 1):  # but for rounding they come out of what follows
            yield (second if share else first).image.copy()
            continue
        picture, drawn = first.blended(
            [
                first.finished(first.compose(first.generator, codes))
                for codes in _way(first, theirs, float(share))
            ]
        )
        # each picture has its own black and white
        values = sum(w * (e.values.decode(picture) + detail) for e, w, detail in ends)
        outside = sum(w * e.image.astype(np.float64) for e, w, _ in ends)
        covered = drawn if first.image.ndim == 2 else drawn[..., None]
        yield to_pixels(np.where(covered, values, outside), first.image.dtype)


def _way(first: Editor, theirs: Codes, share: float) -> Iterator[Codes]:
    with torch.inference_mode():
        codes = between(first.generator, first.moving, theirs, share)
    yield from first.parts(codes)


def _matched(first: Editor, second: Editor) -> Codes:
    """Check that two pictures go together, and bring the second's codes into the first's order."""
    if first.prior.sha256 != second.prior.sha256:
        raise PriorError(
            "Got pictures inverted with two priors; wanted one. Invert both with the same."
        )
    one, other = ((e.image.shape, e.image.dtype, e.windows) for e in (first, second))
    if one != other:
        raise ImageError(
            f"Got pictures of {first.image.shape}, {first.image.dtype} in {first.n_windows} "
            f"windows and {second.image.shape}, {second.image.dtype} in {second.n_windows}; "
            "wanted two alike. Crop one to the size of the other and invert it with the same zoom."
        )
    kinds = [(e.layer, e.generator.code_space, e.codes[0].method) for e in (first, second)]
    if kinds[0] != kinds[1] or first.moving.z.shape != second.moving.z.shape:
        raise SettingsError(
            f"Got codes of {first.moving.z.shape[1]} at the cut {first.layer} and of "
            f"{second.moving.z.shape[1]} at the cut {second.layer}; wanted the same. Invert both "
            "with the same settings."
        )
    with torch.inference_mode():
        return match(first.generator, first.moving, second.moving, first.layer)
