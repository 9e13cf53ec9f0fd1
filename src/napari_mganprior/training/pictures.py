"""One image to draw crops from, wherever it lies: a plane of an array, a page of a file.

A plane is (H, W) or (H, W, C) with 1 to 4 channels. How an array's axes are understood:

* Where they are named (OME-Zarr, TIFF), the names count: Y and X make the plane, C or S are
  channels, every other axis counts planes.
* Where they are not, the last axis holds colours if it has 3 or 4 entries, or if channels were
  chosen and it has at most 16; all axes before the plane count planes. Who knows better says so.
* Several channels that are no RGB picture need a choice. Nothing is added up or left out unasked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import SettingsError, TrainingError

__all__ = [
    "ArrayLike",
    "Channels",
    "Picture",
    "UnusableImageError",
    "Window",
    "array_pictures",
    "check_channels",
    "whole",
]

Window = tuple[slice, slice]
"""Rows and columns of a plane."""

Channels = Literal["grey", "each"] | tuple[int, ...] | None
"""Which channels are used.

Some by number, counted from 0; ``"grey"``: the brightness of colours, the mean of other channels;
``"each"``: every channel as a grey image of its own; None: grey and RGB as they are.
"""

MOST_PLANES = 20_000  # of one array or file; more are thinned out evenly
_MOST_CHANNELS = 16  # on a last axis without a name; a longer one is a side of the image
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in most image programs


class UnusableImageError(TrainingError):
    """An image cannot be used; the message says why in a few words, to stand in a list."""


class ArrayLike(Protocol):
    """What is needed of an array: numpy, dask, zarr and memory maps have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of its numbers."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be read, as a whole or in parts.

    Attributes
    ----------
    key : str
        Its name for people, the same on every machine: ``plate/a.tif``, ``stack.tif[12]``.
    file : str
        What it is held out with: the name of its file or array.
    shape : tuple of int
        Height and width in pixels.
    channels : int
        1 to 4, after the choice of channels.
    windowed : bool
        Whether a part can be read without reading the rest.
    read : callable
        Returns the pixels of a `Window`, (h, w) or (h, w, C); raises what its library raises,
        or `UnusableImageError`.
    """

    key: str
    file: str
    shape: tuple[int, int]
    channels: int
    windowed: bool
    read: Callable[[Window], NDArray[np.generic]]


def check_channels(channels: Channels) -> None:
    """Refuse a choice of channels that no prior could draw.

    Raises
    ------
    SettingsError
        If it is neither None, ``"grey"``, ``"each"`` nor 1 to 4 different numbers from 0 up.
    """
    if channels in (None, "grey", "each"):
        return
    chosen: Any = channels  # whatever a caller in Python may think of
    numbers = isinstance(chosen, tuple) and all(type(n) is int and n >= 0 for n in chosen)
    if not numbers or not 1 <= len(chosen) <= 4 or len(set(chosen)) < len(chosen):
        raise SettingsError(
            f"Got channels {channels!r}; wanted 'grey', 'each', or 1 to 4 different channels "
            "counted from 0, such as 0 or 0,2. Choose those that one prior should draw together."
        )


def array_pictures(
    name: str,
    data: ArrayLike,
    *,
    axes: str = "",
    rgb: bool | None = None,
    channels: Channels = None,
    windowed: bool = True,
) -> list[Picture]:
    """Split an array into its planes; nothing is read yet.

    Parameters
    ----------
    name : str
        For people, and what the planes are held out with.
    data : array
        At least two axes, of whole or floating-point numbers.
    axes : str
        A letter an axis, Y and X among them; C is channels, S colours. Empty if not known.
    rgb : bool, optional
        Whether the last axis holds colours, where somebody knows; used without ``axes``.
    channels : "grey", "each" or tuple of int, optional
        Which channels to use; see `Channels`.
    windowed : bool
        Whether reading a part of a plane costs less than reading all of it.

    Returns
    -------
    list of Picture
        One a plane, at most 20,000, evenly thinned out if there are more.

    Raises
    ------
    UnusableImageError
        If it is no image, or lacks a chosen channel.
    TrainingError
        If it has several channels that are no colours, and none was chosen.
    """
    shape, dtype = tuple(int(n) for n in data.shape), np.dtype(data.dtype)
    if len(shape) < 2 or dtype.kind not in "uif" or 0 in shape:
        raise UnusableImageError(f"no image: shape {shape}, type {dtype}")
    axes = axes.upper() if axes else _guess_axes(shape, rgb, channels)
    if len(axes) != len(shape) or axes.count("Y") != 1 or axes.count("X") != 1:
        raise UnusableImageError(f"axes {axes or '(none)'} for the shape {shape}")
    where = {letter: axes.index(letter) for letter in "YXCS" if letter in axes}
    if "C" in where and "S" in where:
        if shape[where["C"]] > 1:
            raise UnusableImageError(f"both channels and colours (axes {axes})")
        del where["C"]  # one channel of colours: the colours count
    if channels == "each":  # then they count planes, as time and depth do
        where = {letter: axis for letter, axis in where.items() if letter in "YX"}
    channel_axis = where.get("S", where.get("C"))
    stored = 1 if channel_axis is None else shape[channel_axis]
    picked = _pick(name, stored, channels, colours="S" in where)
    others = [i for i in range(len(shape)) if i not in where.values()]
    n_planes = int(np.prod([shape[i] for i in others], dtype=np.int64))
    chosen: Sequence[int] = range(n_planes)
    if n_planes > MOST_PLANES:
        chosen = np.linspace(0, n_planes - 1, MOST_PLANES).astype(np.int64).tolist()
    weights: tuple[float, ...] = ()
    if channels == "grey" and len(picked) > 1:
        weights = _LUMA if "S" in where else (1 / len(picked),) * len(picked)
    used = 1 if channels == "grey" else len(picked)

    def picture(plane: int) -> Picture:
        place = np.unravel_index(plane, [shape[i] for i in others]) if others else ()
        index: list[Any] = [slice(None)] * len(shape)
        for axis, at in zip(others, place, strict=True):
            index[axis] = int(at)

        def read(window: Window) -> NDArray[np.generic]:
            here = list(index)
            here[where["Y"]], here[where["X"]] = window
            block = np.asarray(data[tuple(here)])
            left = [axis for axis in range(len(shape)) if axis not in others]
            wanted = [where["Y"], where["X"], *([] if channel_axis is None else [channel_axis])]
            block = block.transpose([left.index(axis) for axis in wanted])
            return _use(block, picked, weights, transparent=stored == 4 and channels is None)

        size = (shape[where["Y"]], shape[where["X"]])
        key = f"{name}[{','.join(str(int(at)) for at in place)}]" if n_planes > 1 else name
        return Picture(key, name, size, used, windowed, read)

    return [picture(plane) for plane in chosen]


def whole(picture: Picture) -> Window:
    """Return the window of all of an image."""
    return slice(0, picture.shape[0]), slice(0, picture.shape[1])


def _guess_axes(shape: tuple[int, ...], rgb: bool | None, channels: Channels) -> str:
    last = shape[-1]
    few = isinstance(channels, tuple) and last <= min(_MOST_CHANNELS, *shape[-3:-1])
    colours = len(shape) > 2 and (last in (1, 3, 4) or few) if rgb is None else rgb
    ending = "YXS" if colours else "YX"
    return "Z" * (len(shape) - len(ending)) + ending


def _pick(name: str, stored: int, channels: Channels, *, colours: bool) -> tuple[int, ...]:
    """Choose among the channels that are stored."""
    if isinstance(channels, tuple):
        if max(channels) >= stored:
            raise UnusableImageError(f"no channel {max(channels)}, only {stored}, counted from 0")
        return channels
    if stored == 1 or channels == "grey":
        return tuple(range(min(stored, 3) if colours else stored))
    if colours and stored in (3, 4):
        return (0, 1, 2)
    raise TrainingError(
        f"Got {stored} channels in {name}, and nobody said which; wanted a choice. Choose one "
        "(channels=0), up to four that one prior should draw together (channels=0,1), their mean "
        "(channels=grey), or every one as an image of its own (channels=each)."
    )


def _use(
    block: NDArray[Any], picked: tuple[int, ...], weights: tuple[float, ...], *, transparent: bool
) -> NDArray[Any]:
    """Take the chosen channels of (h, w) or (h, w, C), or their weighted sum; (h, w) for one."""
    if block.ndim == 2:
        return block
    if transparent:
        opaque = np.iinfo(block.dtype).max if block.dtype.kind in "ui" else 1
        if not (block[..., 3] == opaque).all():
            raise UnusableImageError("transparent pixels (an alpha channel); choose channels 0,1,2")
    block = block[..., list(picked)]
    if weights:
        return np.asarray(block.astype(np.float32) @ np.asarray(weights, np.float32))
    return block[..., 0] if block.shape[2] == 1 else block
