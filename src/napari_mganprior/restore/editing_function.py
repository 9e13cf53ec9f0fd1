"""Editing and interpolating in one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.editing import Direction, learn_direction
from napari_mganprior.editing.finding import unit_along
from napari_mganprior.editing.groups import LEAST_EXAMPLES, example_config
from napari_mganprior.errors import ImageError
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore.codes_file import load_codes
from napari_mganprior.restore.editing import Editing, Which
from napari_mganprior.restore.editor import Editor
from napari_mganprior.restore.interpolation import way_between
from napari_mganprior.restore.reconstruction import Reconstruction
from napari_mganprior.restore.result import Restoration, WindowCodes

if TYPE_CHECKING:
    from napari.types import ImageData

__all__ = ["edit", "example_code", "interpolate", "learn_from_images", "learned"]

Codes = str | Path | Restoration | Sequence[WindowCodes]


def edit(
    image: "ImageData",
    moves: Mapping[Which, float] | Sequence[tuple[Which, float]],
    *,
    prior: str | Path = "nuclei",
    codes: Codes = (),
    keep_detail: bool = True,
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
) -> "ImageData":
    """Change what an image shows along directions of a prior's codes.

    Every pixel that differs from the image is invented.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    moves : mapping, or sequence of pairs
        Directions and strengths, as for `Editing`: ``{1: 2.0, "boundary.npy": -1.5}``.
    prior : str or Path
        Name of an installed prior, or a file.
    codes : str, Path, Restoration or sequence of WindowCodes, optional
        Of this image, from `save_codes`, `Reconstruction` or `load_codes`; left out, the image is
        inverted first. A file that holds those of another image is refused.
    keep_detail : bool
        Keep what the prior cannot draw; else the drawing itself is returned.
    quality, seed, device, zoom
        As for `inpaint`; of the inversion.

    Returns
    -------
    array
        Same shape and dtype. For which pixels are invented, and the recipe, use `Editing`.

    Raises
    ------
    ImageError, PriorError, DirectionError, SettingsError, StorageError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    loaded = load_prior(find_prior(str(prior)))
    run = Editing(
        image,
        loaded,
        moves,
        codes=_read(codes, loaded, image),
        keep_detail=keep_detail,
        quality=quality,
        seed=seed,
        device=device,
        zoom=zoom,
    )
    for _ in run:
        pass
    return run.result().image


def interpolate(
    first: "ImageData",
    second: "ImageData",
    *,
    n: int = 9,
    prior: str | Path = "nuclei",
    keep_detail: bool = True,
    quality: str = "balanced",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
) -> "ImageData":
    """Draw the way from one image to another through a prior's codes.

    Codes go along great circles, importances along straight lines; the codes of the second image
    are first brought into the order in which they resemble those of the first. All pictures but
    the ends are invented.

    Parameters
    ----------
    first, second : array
        (H, W) or (H, W, 3), of the same shape and dtype.
    n : int
        How many pictures, both ends included, 2 .. 1000.
    prior : str or Path
        Name of an installed prior, or a file.
    keep_detail : bool
        Mix what the prior cannot draw of both images into the pictures, so that the ends are the
        images.
    quality, seed, device, zoom
        As for `inpaint`; of the inversions.

    Returns
    -------
    array
        (n, H, W) or (n, H, W, 3), of the images' dtype.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    loaded = load_prior(find_prior(str(prior)))
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.dtype != other.dtype:
        raise ImageError(
            f"Got images of {one.shape}, {one.dtype} and {other.shape}, {other.dtype}; wanted two "
            "alike. Crop one to the size of the other, and convert it to its type."
        )
    options = {"quality": quality, "seed": seed, "device": device}
    start = _inverted(one, loaded, zoom=zoom, **options)
    # both at the same pixel-size factor, so that their windows lie on each other
    end = _inverted(other, loaded, zoom=start.zoom, **options)
    return np.stack(list(way_between(start, end, n, keep_detail=keep_detail)))


def learn_from_images(
    like: Sequence["ImageData"],
    unlike: Sequence["ImageData"],
    *,
    prior: str | Path = "nuclei",
    name: str = "learnt",
    seed: int = 0,
    device: str = "auto",
    zoom: float | None = 1.0,
) -> Direction:
    """Learn a direction from examples: positive strengths make a picture more like the first.

    Each example is inverted with a single code, and stands in the learning as this code: see
    `example_code`.

    Parameters
    ----------
    like, unlike : sequence of array
        At least two images each, as for `invert`; their sizes may differ.
    prior : str or Path
        Name of an installed prior, or a file.
    name : str
        Of the direction.
    seed, device, zoom
        As for `invert`.

    Returns
    -------
    Direction
        For `edit`, or `napari_mganprior.editing.save_boundary`.

    Raises
    ------
    DirectionError
        If a group has fewer than two examples.
    ImageError, PriorError, SettingsError, DeviceError, ComputeError
        As for `invert`.
    """
    loaded = load_prior(find_prior(str(prior)))
    groups: list[NDArray[np.float32]] = []
    if min(len(like), len(unlike)) < LEAST_EXAMPLES:  # refused, before hours of work
        learn_direction(np.zeros((len(like), 1)), np.zeros((len(unlike), 1)))
    config = example_config(loaded.generator.direction_space)
    for group in (like, unlike):
        codes = []
        for image in group:
            run = Reconstruction(
                image,
                loaded,
                config=config,
                seed=seed,
                device=device,
                zoom=zoom,
            )
            for _ in run:
                pass
            codes.append(example_code(loaded, run.result()))
        groups.append(np.stack(codes))
    return learned(loaded, groups[0], groups[1], name)


def learned(
    prior: LoadedPrior, like: NDArray[np.float32], unlike: NDArray[np.float32], name: str
) -> Direction:
    """Learn a direction from example codes, (n, D) and (m, D) in the space codes are moved in."""
    space = prior.generator.direction_space
    found = learn_direction(like, unlike, name=name, space=space)
    unit = unit_along(prior.generator, found.vector, space)
    return Direction(found.name, found.vector, space, unit, found.source)


def example_code(prior: LoadedPrior, restoration: Restoration) -> NDArray[np.float32]:
    """Return the one code that stands for an inverted example, (D,).

    At the cut 0 the importances multiply the code's own numbers, so that what is drawn is that of
    one code z * alpha, brought to the sphere where codes live on one. An example of several
    windows or searches stands as their mean.

    Parameters
    ----------
    prior : LoadedPrior
        It was inverted with.
    restoration : Restoration
        Of an inversion with `example_config`.
    """
    codes = np.concatenate([(c.z * c.alpha)[:, 0] for c in restoration.codes]).astype(np.float64)
    if prior.generator.direction_space == "z":
        codes *= prior.generator.code_radius / np.linalg.norm(codes, axis=1, keepdims=True)
    mean: NDArray[np.float32] = codes.mean(axis=0).astype(np.float32)
    return mean


def _inverted(image: NDArray[Any], prior: LoadedPrior, **options: Any) -> Editor:
    run = Reconstruction(image, prior, **options)
    for _ in run:
        pass
    return Editor(image, run.result().codes, prior, zoom=run.zoom, device=str(options["device"]))


def _read(
    codes: Codes, prior: LoadedPrior, image: "ImageData"
) -> Restoration | Sequence[WindowCodes]:
    return load_codes(codes, prior.sha256, image) if isinstance(codes, (str, Path)) else codes
