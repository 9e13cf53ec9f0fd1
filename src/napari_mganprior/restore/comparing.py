"""Networks that compare pictures: for a search, and for a report of how good its result is."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from napari_mganprior.arrays import ValueMap, to_tensor
from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.imports.readers import open_foreign
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.perceptual import LPIPS, VGG16, unit_distance
from napari_mganprior.priors import find_weights

__all__ = ["DISTANCES", "choose_distance", "comparing_network", "deep_distance"]

DISTANCES = ("lpips-vgg", "discriminator")
_PERCENTILES = (1.0, 99.8)
_MAPS = 3  # of the discriminator, as the search compares
_SMALLEST = 16  # px


def comparing_network(config: InversionConfig, prior: LoadedPrior) -> nn.Module | None:
    """Return the network whose inner maps a search compares; None where there is none.

    Parameters
    ----------
    config : InversionConfig
        Its ``features`` name the network.
    prior : LoadedPrior
        Whose discriminator it may be.

    Raises
    ------
    PriorError
        If the weights of VGG16 are not here, or are others.
    """
    if config.features == "vgg16" and config.feature_weight > 0:
        return _vgg16(*_identity("vgg16"))
    return prior.discriminator


def choose_distance(prior: LoadedPrior | None = None) -> str:
    """Return the best of `DISTANCES` that can be measured here.

    Parameters
    ----------
    prior : LoadedPrior, optional
        Its discriminator serves where LPIPS has not been fetched.

    Raises
    ------
    PriorError
        If there is none.
    """
    try:
        find_weights("vgg16")
        find_weights("lpips-vgg")
    except PriorError:
        if prior is None or prior.discriminator is None:
            raise
        return "discriminator"
    return "lpips-vgg"


def deep_distance(
    a: ArrayLike,
    b: ArrayLike,
    prior: LoadedPrior | None = None,
    *,
    kind: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """How different two pictures look to a network.

    Parameters
    ----------
    a, b : array
        (H, W) or (H, W, 3), at least 16x16 px, in the same units; ``a`` is the truth where there
        is one.
    prior : LoadedPrior, optional
        Whose discriminator compares where ``kind`` is "discriminator".
    kind : {"lpips-vgg", "discriminator"}, optional
        LPIPS v0.1 with VGG16, or the mean squared distance of the first three maps of the prior's
        discriminator, channels of length 1 at every pixel. `choose_distance` if left out. Numbers
        of different kinds, or of different priors, cannot be compared.
    value_range : tuple of float, optional
        Values that become -1 and 1; the 1st and the 99.8th percentile of ``a`` if left out.
        Published LPIPS figures take (0, 255) for 8 bit.

    Returns
    -------
    float
        0 for the same picture; LPIPS is about 1 for very different ones.

    Raises
    ------
    ImageError
        If the pictures are of different shapes, too small, or not finite.
    SettingsError
        If the kind is unknown, or the range is empty.
    PriorError
        If weights are not here, or the prior draws other channels or has no discriminator.

    References
    ----------
    Zhang et al., CVPR 2018, https://doi.org/10.1109/CVPR.2018.00068.

    Examples
    --------
    >>> from napari_mganprior import deep_distance, load_prior
    >>> deep_distance(truth, restored, load_prior(path))  # doctest: +SKIP
    """
    one, other = _checked(a, b)
    kind = choose_distance(prior) if kind is None else kind
    if kind not in DISTANCES:
        raise SettingsError(
            f"Got the distance {kind!r}; wanted one of {', '.join(DISTANCES)}. Choose one of those."
        )
    pair = torch.cat([to_tensor(image) for image in _encoded(one, other, value_range)])
    if kind == "lpips-vgg":
        network: nn.Module = _lpips(*_identity("vgg16"), *_identity("lpips-vgg"))
        with torch.no_grad():
            return float(network(pair[:1], pair[1:]))
    return float(_by_discriminator(pair, prior))


@torch.no_grad()
def _by_discriminator(pair: Tensor, prior: LoadedPrior | None) -> Tensor:
    if prior is None or prior.discriminator is None:
        raise PriorError(
            "Got a distance by the discriminator and no prior that has one; wanted such a prior. "
            "Give one that was trained with napari-mganprior, or fetch vgg16 and lpips-vgg."
        )
    channels = prior.generator.image_channels
    if channels != pair.shape[1]:
        raise PriorError(
            f"Got pictures of {pair.shape[1]} channels for the prior {prior.card.name!r} of "
            f"{channels}; wanted the same. Choose a prior of their kind."
        )
    place = next(prior.discriminator.parameters()).device
    maps = prior.discriminator.features(pair.to(place), _MAPS)  # type: ignore[operator]
    return unit_distance([m[:1] for m in maps], [m[1:] for m in maps])


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    one, other = np.asarray(a), np.asarray(b)
    if one.shape != other.shape:
        raise ImageError(
            f"Got pictures of shapes {one.shape} and {other.shape} to compare; wanted the same. "
            "Compare pictures of the same size."
        )
    fits = one.ndim == 2 or (one.ndim == 3 and one.shape[2] == 3)
    if not fits or min(one.shape[:2]) < _SMALLEST:
        raise ImageError(
            f"Got pictures of shape {one.shape} to compare; wanted (H, W) or (H, W, 3) of at least "
            f"{_SMALLEST}x{_SMALLEST} px. Choose one plane, or a larger cut-out."
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ImageError(
            "Got NaN or infinity in pictures to compare; wanted numbers. Fill them in first."
        )
    return one, other


def _encoded(
    one: NDArray[Any], other: NDArray[Any], value_range: tuple[float, float] | None
) -> list[NDArray[np.float32]]:
    if value_range is None:
        low, high = _PERCENTILES
        values = ValueMap.from_percentiles(one, low=low, high=high)
    else:
        low, high = (float(end) for end in value_range)
        if not (np.isfinite([low, high]).all() and high > low):
            raise SettingsError(
                f"Got the value range {value_range}; wanted two numbers, the first one smaller. "
                "For 8 bit give (0, 255)."
            )
        values = ValueMap(low, high)
    return [values.encode(one), values.encode(other)]


def _identity(name: str) -> tuple[Path, int, int]:
    """Return what tells whether a file of weights is still the same."""
    path = find_weights(name)
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=1)
def _vgg16(path: Path, mtime_ns: int, size: int) -> VGG16:
    return VGG16(open_foreign(path).tensors)


@lru_cache(maxsize=1)
def _lpips(
    path: Path, mtime_ns: int, size: int, linear: Path, linear_mtime_ns: int, linear_size: int
) -> LPIPS:
    return LPIPS(open_foreign(path).tensors, open_foreign(linear).tensors)
