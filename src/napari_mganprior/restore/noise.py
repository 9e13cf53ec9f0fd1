"""How noisy an image is: a level given, or measured in the image itself. And which pixels are bad.

Numpy and scipy only; everything is in the image's own units.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, convolve1d, gaussian_filter, median_filter, percentile_filter

from napari_mganprior.errors import ImageError, SettingsError

__all__ = ["NOISES", "NoiseConfig", "find_bad_pixels", "mended", "smoothed"]

NOISES = ("gaussian", "poisson")
# wavelet of Daubechies with two vanishing moments: a plane has no detail in it
_DB2 = np.array([-0.48296291, 0.83651630, -0.22414387, -0.12940952])
_LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1])  # a plane gives 0, noise of variance 1 gives 36
_NORMAL_MAD = 0.6744897501960817  # median of |x| for a standard normal x
_BINS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseConfig:
    """What the noise of a measurement is like; checked when made, stored with every result.

    Attributes
    ----------
    model : {"gaussian", "poisson"}
        The same everywhere, or growing with the signal as photons make it: at a pixel of the
        value s the variance is ``gain * (s - offset) + read_noise ** 2``.
    level : float or None
        Standard deviation, above 0; for "gaussian". None measures it.
    gain : float or None
        Value of one photon, above 0; for "poisson", as the following. None measures it.
    offset : float or None
        Value where no light falls.
    read_noise : float or None
        Standard deviation where no light falls, 0 or more. An image tells only
        ``read_noise ** 2 - gain * offset``: where both are None, one of them becomes 0.
    """

    model: str = "gaussian"
    level: float | None = None
    gain: float | None = None
    offset: float | None = None
    read_noise: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range, or of the other model.
        """
        if self.model not in NOISES:
            raise SettingsError(
                f"Got the noise {self.model!r}; wanted one of {', '.join(NOISES)}. Choose gaussian "
                "where nothing is known."
            )
        own = ("level",) if self.model == "gaussian" else ("gain", "offset", "read_noise")
        for name in ("level", "gain", "offset", "read_noise"):
            value = getattr(self, name)
            if value is None:
                continue
            if name not in own:
                raise SettingsError(
                    f"Got {name} for {self.model} noise; wanted only {', '.join(own)}. Leave it "
                    "out, or choose the other noise."
                )
            if isinstance(value, bool) or not np.isfinite(value):
                raise SettingsError(f"Got {name} = {value!r}; wanted a finite number. Correct it.")
            if name in ("level", "gain") and value <= 0:
                raise SettingsError(
                    f"Got {name} = {value}; wanted more than 0. Leave it out to have it measured."
                )
            if name == "read_noise" and value < 0:
                raise SettingsError(
                    f"Got read_noise = {value}; wanted 0 or more. Leave it out to have it measured."
                )

    def measured(self, image: NDArray[Any], bad: NDArray[np.bool_]) -> "NoiseConfig":
        """Fill in the numbers that are None from an image.

        Parameters
        ----------
        image : array
            (H, W) or (H, W, C).
        bad : array of bool
            Pixels to leave out, (H, W).

        Raises
        ------
        ImageError
            If no noise, or none of this kind, can be found in it.
        """
        planes = mended(image, bad).reshape(*bad.shape, -1)
        if self.model == "gaussian":
            level = self.level
            if level is None:
                level = float(np.mean([_gaussian_level(p) for p in np.moveaxis(planes, -1, 0)]))
            if not level > 0:
                raise ImageError(
                    "Got an image in which no noise was found; wanted a noisy one. Give the noise "
                    "level yourself (--level)."
                )
            return replace(self, level=level)
        if None not in (self.gain, self.offset, self.read_noise):
            return self
        slope, constant = _mean_variance(planes)
        gain = slope if self.gain is None else self.gain
        if not gain > 0:
            raise ImageError(
                "Got an image whose noise does not grow with brightness; wanted that of photons. "
                "Choose gaussian noise, or give the gain (--gain)."
            )
        offset, read_noise = self.offset, self.read_noise
        if offset is None:
            known = 0.0 if read_noise is None else read_noise**2
            offset = (known - constant) / gain if read_noise is not None or constant < 0 else 0.0
        if read_noise is None:
            read_noise = float(np.sqrt(max(constant + gain * offset, 0.0)))
        return replace(self, gain=float(gain), offset=float(offset), read_noise=read_noise)

    def variance(
        self, signal: NDArray[np.floating], *, photons: float = 0.0
    ) -> NDArray[np.float64]:
        """Variance of the noise at pixels of some values; all numbers must be known.

        Parameters
        ----------
        signal : array
            Values without noise.
        photons : float
            No pixel is taken to have fewer than so many, 0 or more.
        """
        if self.level is not None:
            return np.full(signal.shape, self.level**2)
        assert self.gain is not None
        assert self.offset is not None
        assert self.read_noise is not None
        seen = np.maximum((signal - self.offset) / self.gain, photons)
        return np.asarray(self.gain**2 * seen + self.read_noise**2, np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "NoiseConfig":
        """Read settings that `to_dict` wrote.

        Raises
        ------
        SettingsError
            If a name is unknown or a number out of range.
        """
        unknown = sorted(raw.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise SettingsError(
                f"Got unknown settings {unknown} for the noise; wanted only model, level, gain, "
                "offset and read_noise. Remove them, or update napari-mganprior."
            )
        return cls(**raw)


def find_bad_pixels(image: NDArray[Any], *, threshold: float = 8.0) -> NDArray[np.bool_]:
    """Find dead, hot, and salt-and-pepper pixels: those unlike all that surrounds them.

    A pixel is bad where it differs from the median of its 24 neighbours by more than
    ``threshold`` times their spread (from their quartiles, which edges make large), or that of
    the whole image where it is larger.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, C); bad in one channel is bad. NaN and infinity are bad.
    threshold : float
        Standard deviations, above 0. Lower finds more, and takes more fine structure for damage.

    Returns
    -------
    array of bool
        (H, W).

    Raises
    ------
    SettingsError
        If the threshold is not above 0.
    """
    if not threshold > 0:
        raise SettingsError(
            f"Got a threshold of {threshold}; wanted more than 0 standard deviations. Choose 8."
        )
    values = np.asarray(image)
    planes = values.astype(np.float64).reshape(*values.shape[:2], -1)
    around = np.ones((5, 5), dtype=bool)
    around[2, 2] = False
    bad: NDArray[np.bool_] = np.asarray(~np.isfinite(planes).all(axis=-1))
    for plane in np.moveaxis(planes, -1, 0):
        plain = np.where(np.isfinite(plane), plane, np.median(plane[~bad]) if not bad.all() else 0)
        middle = median_filter(plain, footprint=around, mode="mirror")
        low, high = (
            percentile_filter(plain, share, footprint=around, mode="mirror") for share in (25, 75)
        )
        away = np.abs(plain - middle)
        # rounding, and what cannot be told from it, is no damage
        least = 0.5 if values.dtype.kind in "biu" else 1e-3 * float(np.ptp(plain))
        spread = (high - low) / (2 * _NORMAL_MAD)
        spread = np.maximum(spread, max(float(np.median(away)) / _NORMAL_MAD, least))
        bad = bad | (away > threshold * spread)
    return bad


def mended(image: NDArray[Any], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Put the mean of the nearest good pixels, by a Gaussian of 1.5 px, in place of bad ones.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, C).
    bad : array of bool
        (H, W).
    """
    hidden = bad if image.ndim == 2 else bad[..., None]
    values = np.where(hidden, 0.0, image).astype(np.float64)
    if not bad.any():
        return values
    return np.where(hidden, smoothed(image, bad, sigma=1.5), values)


def smoothed(
    image: NDArray[Any], bad: NDArray[np.bool_], *, sigma: float = 1.0
) -> NDArray[np.float64]:
    """Average over a Gaussian, bad pixels left out.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, C).
    bad : array of bool
        (H, W).
    sigma : float
        Standard deviation of the Gaussian in pixels, above 0.
    """
    good = (~bad if image.ndim == 2 else ~bad[..., None]).astype(np.float64)
    good = np.broadcast_to(good, image.shape)
    width = (sigma, sigma, 0)[: image.ndim]
    values = np.where(good > 0, image, 0.0).astype(np.float64)
    share = gaussian_filter(good, width, mode="reflect", truncate=6.0)
    total = gaussian_filter(values, width, mode="reflect", truncate=6.0)
    everywhere = values.sum() / good.sum()  # far from any good pixel
    return np.asarray(np.where(share > 1e-6, total / np.maximum(share, 1e-6), everywhere))


def _gaussian_level(plane: NDArray[np.float64]) -> float:
    """Median of the finest diagonal wavelet details.

    Donoho, Johnstone, 1994, https://doi.org/10.1093/biomet/81.3.425, section 4.2.
    """
    details = convolve1d(convolve1d(plane, _DB2, axis=0, mode="mirror"), _DB2, axis=1)
    return float(np.median(np.abs(details))) / _NORMAL_MAD


def _mean_variance(planes: NDArray[np.float64]) -> tuple[float, float]:
    """Fit ``variance = slope * value + constant`` over pixels sorted by their local mean.

    In each of a dozen classes of alike values the variance comes from the median of second
    differences, which edges, being few, do not move; after Foi et al., 2008,
    https://doi.org/10.1109/TIP.2008.2001399.
    """
    means, variances = [], []
    for plane in np.moveaxis(planes, -1, 0):
        local = gaussian_filter(plane, 1.5, mode="mirror").ravel()
        rough = np.abs(convolve(plane, _LAPLACIAN, mode="mirror")).ravel()
        for part in np.array_split(np.argsort(local), _BINS):
            means.append(local[part].mean())
            variances.append((np.median(rough[part]) / _NORMAL_MAD) ** 2 / 36)
    x, v = np.array(means), np.array(variances)
    if np.ptp(x) == 0:
        return 0.0, float(v.mean())
    # a variance is known to a share of itself: small ones count more
    weights = 1 / np.maximum(v, 0.05 * v.max() + 1e-300)
    slope, constant = np.polyfit(x, v, 1, w=weights)
    return float(slope), float(constant)
