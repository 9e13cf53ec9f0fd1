"""What a task's inputs must be like: checked once, at the door, with a reason and a remedy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.arrays import ValueMap
from napari_mganprior.errors import ImageError, MaskError, PriorError, SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.methods import check_method

__all__ = [
    "check_cut",
    "check_data_term",
    "check_image",
    "check_prior",
    "check_zoom",
    "checked_mask",
    "checked_pick",
    "checked_seed",
]

_SMALLEST = 16
_ZOOMS = (0.125, 8.0)
_LARGEST = np.float64(1e30)  # squares of differences of such numbers are finite
_FARTHEST = np.float64(1e12)  # times the span of the others; float64 holds both


def checked_mask(
    mask: ArrayLike, image: NDArray[Any], *, may_be_empty: bool = False
) -> NDArray[np.bool_]:
    """Turn a mask into booleans, True where an image is damaged.

    Raises
    ------
    MaskError
        If it has another shape, is empty, or leaves next to nothing measured.
    """
    raw = np.asarray(mask)
    if raw.dtype.kind not in "biu":
        raise MaskError(
            f"Got a mask of type {raw.dtype}; wanted booleans or whole numbers, 0 where the image "
            "is fine. Convert it, or paint a Labels layer."
        )
    if raw.shape != image.shape[:2]:
        raise MaskError(
            f"Got a mask of shape {raw.shape} for an image of shape {image.shape[:2]}; wanted the "
            "same height and width. Make the mask from this image."
        )
    damage: NDArray[np.bool_] = np.asarray(raw != 0)
    if not damage.any() and not may_be_empty:
        raise MaskError(
            "Got an empty mask; wanted at least one damaged pixel. Paint the damage with a label."
        )
    measured = int(damage.size - damage.sum())
    if measured < _SMALLEST:
        raise MaskError(
            f"Got a mask that leaves {measured} of {damage.size} pixels; wanted at least "
            f"{_SMALLEST} undamaged pixels to restore from. Mark only what is damaged."
        )
    return damage


def check_image(image: NDArray[Any], damage: NDArray[np.bool_] | None = None) -> None:
    """Check that an image can be restored; values under the damage do not matter.

    Raises
    ------
    ImageError
        If shape, type or values do not allow it.
    """
    if image.dtype.kind not in "iuf":
        raise ImageError(
            f"Got an image of type {image.dtype}; wanted whole or floating-point numbers. Convert "
            "it to uint8, uint16 or float32."
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        hint = (
            "Drop the alpha channel."
            if image.ndim == 3 and image.shape[2] == 4
            else "Choose one slice or channel."
        )
        raise ImageError(
            f"Got an image of shape {image.shape}; wanted (height, width) for grey or (height, "
            f"width, 3) for RGB. {hint}"
        )
    if min(image.shape[:2]) < _SMALLEST:
        raise ImageError(
            f"Got an image of {image.shape[0]}x{image.shape[1]} pixels; wanted at least "
            f"{_SMALLEST}x{_SMALLEST}. Choose a larger image or region."
        )
    measured = image if damage is None else image[~damage]
    if image.dtype.kind == "f":
        bad = int(measured.size - np.isfinite(measured).sum())
        if bad:
            raise ImageError(
                f"Got {bad} values that are NaN or infinite outside the mask; wanted finite "
                "numbers. Mark those pixels as damage, or replace them."
            )
    _check_extremes(measured)
    if measured.min() == measured.max():
        raise ImageError(
            f"Got a constant image (every undamaged pixel is {measured.flat[0]}); wanted some "
            "structure to restore from. Choose another image or slice."
        )


def _check_extremes(measured: NDArray[Any]) -> None:
    """Refuse what no arithmetic with the other values survives: marks for "no data", mostly."""
    if measured.dtype.kind in "iu" and measured.dtype.itemsize < 8:
        return
    extreme = (measured > _LARGEST) | (measured < -_LARGEST)
    others, said = measured[~extreme], ""
    if others.size:
        line = ValueMap.from_percentiles(others)
        reach = _FARTHEST * (line.high - line.low)
        extreme |= (measured > line.high + reach) | (measured < line.low - reach)
        said = f" where most others lie in {line.low:.4g} .. {line.high:.4g}"
    if extreme.any():
        found = measured[extreme].astype(np.float64)
        worst = found[np.abs(found).argmax()]
        raise ImageError(
            f"Got {found.size} extreme values, up to {worst:.4g} outside the mask{said}; "
            f"wanted at most {_LARGEST:g}, and {_FARTHEST:g} times the span of the others. If they "
            "stand for missing data, mark those pixels as damage; or replace them."
        )


def check_prior(prior: LoadedPrior, image: NDArray[Any]) -> None:
    """Check that a prior draws images of this kind.

    Raises
    ------
    PriorError
        If one is grey and the other RGB.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    kinds = {1: "grey", 3: "RGB"}
    drawn = prior.generator.image_channels
    if channels != drawn:
        raise PriorError(
            f"Got {'an' if channels == 3 else 'a'} {kinds[channels]} image for the prior "
            f"{prior.card.name!r}, which draws {kinds[drawn]} images; wanted the same kind. "
            f"Choose a prior for {kinds[channels]} images, or convert the image to {kinds[drawn]}."
        )


def check_cut(config: InversionConfig, prior: LoadedPrior) -> None:
    """Check that a prior can be cut, and its codes live, where the settings say.

    Raises
    ------
    SettingsError
        If it has fewer layers, other code spaces, no noise inputs to search, or does not go with
        the method.
    """
    n_layers = prior.generator.n_layers
    for name in ("layer", "fine_layer"):
        if getattr(config, name) > n_layers:
            raise SettingsError(
                f"Got {name} {getattr(config, name)} for the prior {prior.card.name!r}, which has "
                f"cuts 0 to {n_layers}; wanted one of those. Choose a smaller {name}."
            )
    generator = prior.generator.in_space(config.code_space)
    check_method(generator, prior.encoder, config, (config.layer, config.fine_layer))
    if config.optimise_noise and prior.generator.noise_above(0).numel() == 0:
        raise SettingsError(
            f"Got optimise_noise for the prior {prior.card.name!r}, whose generator has no noise "
            "inputs; wanted a style generator. Set it to False, or choose another prior."
        )
    if config.feature_weight > 0 and config.features == "vgg16":
        _check_vgg16(prior)
    elif config.feature_weight > 0 and prior.discriminator is None:
        raise SettingsError(
            f"Got feature_weight {config.feature_weight} for the prior {prior.card.name!r}, which "
            "has no discriminator; wanted 0. Set it to 0, set features to vgg16, or choose another "
            "prior."
        )


def _check_vgg16(prior: LoadedPrior) -> None:
    from napari_mganprior.priors import find_weights

    channels = prior.generator.image_channels
    if channels not in (1, 3):
        raise SettingsError(
            f"Got features vgg16 for the prior {prior.card.name!r} of {channels} channels; wanted "
            "a grey or RGB one. Set features to discriminator."
        )
    find_weights("vgg16")


def check_data_term(config: InversionConfig, task: str, *, noise_known: bool) -> None:
    """Check that a likelihood is asked for only where noise grows with the signal.

    Raises
    ------
    SettingsError
        If a task knows no such noise.
    """
    if config.data_term != "mse" and not noise_known:
        raise SettingsError(
            f"Got the data term {config.data_term} for {task}, which knows of no noise that grows "
            "with the signal; wanted denoising with poisson noise. Set data_term to mse."
        )


def check_zoom(zoom: float, shape: tuple[int, ...]) -> None:
    """Check an enlargement and the size of what comes of it.

    Raises
    ------
    SettingsError
        If it is out of range, or leaves too few pixels.
    """
    low, high = _ZOOMS
    if not low <= zoom <= high:
        raise SettingsError(
            f"Got a zoom of {zoom}; wanted {low} to {high}. Choose 1 to leave the size as it is."
        )
    if min(shape[:2]) * zoom < _SMALLEST / 2:
        raise SettingsError(
            f"Got a zoom of {zoom} for an image of {shape[0]}x{shape[1]} pixels; wanted at least "
            f"{_SMALLEST // 2} pixels a side after it. Choose a larger zoom."
        )


def checked_pick(pick: str) -> str:
    """Check which of the restarts' pictures is wanted.

    Raises
    ------
    SettingsError
        If it is neither their mean nor the best of them.
    """
    if pick not in ("average", "best"):
        raise SettingsError(
            f"Got the pick {pick!r}; wanted 'average' or 'best' of the searches. Choose average."
        )
    return pick


def checked_seed(seed: int) -> int:
    """Turn a seed into a plain whole number.

    Raises
    ------
    SettingsError
        If it is negative or not whole.
    """
    if seed < 0 or int(seed) != seed:
        raise SettingsError(f"Got seed {seed}; wanted a whole number from 0 up. Choose 0.")
    return int(seed)
