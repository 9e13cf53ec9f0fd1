"""Damage, as a form describes it, on the pixels of an image.

No Qt here; everything works on napari's models.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_mganprior.errors import MaskError, SettingsError
from napari_mganprior.widgets.outlines import check_axes, cover, cover_planes
from napari_mganprior.widgets.planes import (
    Cut,
    Plane,
    current_plane,
    full_resolution,
    spatial_shape,
    to_world,
)

__all__ = ["ALL_LABELS", "check_fit", "check_growth", "parse_labels", "take_damage", "write_labels"]

ALL_LABELS = "all"
Ranges = tuple[tuple[int, int], ...]


def parse_labels(text: str) -> Ranges | None:
    """Read which labels count.

    Parameters
    ----------
    text : str
        "all", or numbers and ranges from 1 up: "1, 3-5".

    Returns
    -------
    tuple of (first, last), or None
        Ascending; None for all labels.

    Raises
    ------
    SettingsError
        If it is neither.

    Examples
    --------
    >>> parse_labels("3-5, 1")
    ((1, 1), (3, 5))
    """
    said = text.strip().lower()
    if said == ALL_LABELS:
        return None
    ranges = []
    for part in said.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        good = first.isdecimal() and (last.isdecimal() if dash else True)
        low, high = (int(first), int(last) if dash else int(first)) if good else (0, 0)
        if not 1 <= low <= high:
            raise SettingsError(
                f"Got labels '{text}'; wanted 'all', or whole numbers from 1 up like '1, 3-5'. "
                "Write those that mark damage."
            )
        ranges.append((low, high))
    return tuple(sorted(ranges))


def write_labels(ranges: Ranges | None) -> str:
    """Write what `parse_labels` read.

    Examples
    --------
    >>> write_labels(parse_labels("3-5 ,1"))
    '1, 3-5'
    """
    if ranges is None:
        return ALL_LABELS
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def check_growth(grow: int, feather: int) -> None:
    """Check that the rim where result and original are mixed lies in what was grown.

    Raises
    ------
    SettingsError
        If it is wider.
    """
    if feather > grow:
        raise SettingsError(
            f"Got a feather of {feather} px for damage grown by {grow} px; wanted at most "
            f"{grow}, for what is painted must be replaced whole. Grow more, or feather less."
        )


def check_fit(image: Image, damage: Labels | Shapes, cut: Cut, dims: Dims) -> None:
    """Check that a layer of damage can be laid on an image.

    Raises
    ------
    MaskError
        If it has other axes, another shape or, for labels, another place.
    """
    if isinstance(damage, Shapes):
        check_axes(image, damage)
    else:
        _labels_plane(image, damage, cut, dims)


def take_damage(
    image: Image, damage: Labels | Shapes, ranges: Ranges | None, invert: bool, cut: Cut, dims: Dims
) -> NDArray[np.bool_]:
    """Find the damaged pixels.

    Parameters
    ----------
    image : Image
        The layer to restore.
    damage : Labels or Shapes
        The layer that marks damage.
    ranges : tuple or None
        The labels that count, from `parse_labels`.
    invert : bool
        Whether damage is where nothing is marked.
    cut : Cut
        Which planes of the image are meant.
    dims : Dims
        The viewer's; says which slice of the labels is shown.

    Returns
    -------
    ndarray
        (H, W) for the slice on screen, else (n, H, W); bool.

    Raises
    ------
    MaskError
        If the two layers do not lie on each other.
    """
    if isinstance(damage, Shapes):
        check_axes(image, damage)
        found = cover_planes(image, damage, cut) if cut.every else cover(image, damage, cut.plane)
        return ~found if invert else found
    plane = _labels_plane(image, damage, cut, dims)
    data = full_resolution(damage)
    if not cut.every:
        found = _marked(data[plane.index()], ranges)
    elif damage.ndim == image.ndim:
        found = _marked(cut.take(data), ranges)
    else:
        found = np.broadcast_to(_marked(data, ranges), (cut.n_planes, *cut.size))
    return ~found if invert else found


def _marked(values: Any, ranges: Ranges | None) -> NDArray[np.bool_]:
    there = np.asarray(values)
    if ranges is None:
        return np.asarray(there != 0)
    found = np.zeros(there.shape, dtype=bool)
    for first, last in ranges:
        found |= (there >= first) & (there <= last)
    return found


def _labels_plane(image: Image, labels: Labels, cut: Cut, dims: Dims) -> Plane:
    """Return the plane of the labels that lies on the image's, once all is checked."""
    plane = cut.plane
    if labels.ndim == image.ndim:
        mask_plane = Plane(plane.axes, current_plane(labels, dims).point)
        kept: Sequence[int] = range(image.ndim)
    elif labels.ndim == 2:  # one mask for every slice of a stack
        mask_plane = Plane((0, 1), (0, 0))
        kept = plane.axes
    else:
        raise MaskError(
            f"'{labels.name}' has {labels.ndim} axes, '{image.name}' {image.ndim}; wanted as "
            "many, or 2. Press 'New' for a labels layer that fits."
        )
    got: tuple[int, ...] = mask_plane.shape(labels)
    wanted: tuple[int, ...] = plane.shape(image)
    if cut.every and labels.ndim == image.ndim:
        got, wanted = spatial_shape(labels), spatial_shape(image)
    if got != wanted:
        raise MaskError(
            f"'{labels.name}' is {_written(got)} pixels, '{image.name}' {_written(wanted)}; "
            "wanted the same. Press 'New' for a labels layer that fits."
        )
    if not _same_place(image, labels, kept):
        raise MaskError(
            f"'{labels.name}' has another scale or position than '{image.name}' (scale "
            f"{_numbers(labels.scale[-2:])} against {_numbers(image.scale[-2:])}); wanted the "
            "same. Give it the image's scale, translate, rotate, shear and affine, or press "
            "'New' for a labels layer that fits."
        )
    return mask_plane


def _same_place(image: Image, labels: Labels, kept: Sequence[int]) -> bool:
    ours, theirs = to_world(image), to_world(labels)
    axes = list(kept)
    turn, shift = ours.linear_matrix[np.ix_(axes, axes)], ours.translate[axes]
    pixel = np.abs(turn).max(axis=1)
    # Half a pixel out is another pixel; less than a tenth is rounding in a file.
    return bool(
        np.all(np.abs(turn - theirs.linear_matrix) <= 1e-3 * pixel[:, None])
        and np.all(np.abs(shift - theirs.translate) <= 0.1 * pixel)
    )


def _written(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _numbers(values: Any) -> str:
    return " x ".join(f"{float(value):.4g}" for value in values)
