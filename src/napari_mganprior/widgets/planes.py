"""Which planes of a layer a run takes, and the way back into the layer's axes.

No Qt here; everything works on napari's models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers.base import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

__all__ = [
    "SCOPES",
    "Cut",
    "Plane",
    "current_plane",
    "cut_layer",
    "describe_cut",
    "full_resolution",
    "spatial_shape",
    "to_world",
]

SCOPES = ("slice", "slices", "channels")
"""The current slice; all slices, each from its neighbour; all planes and colours by themselves."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A 2-D plane of a layer's data.

    Attributes
    ----------
    axes : tuple of int
        The two data axes that span it, ascending.
    point : tuple of int
        One whole number per spatial axis; where the plane stands on all other axes, 0 on `axes`.
    """

    axes: tuple[int, int]
    point: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether the layer has no other axis."""
        return len(self.point) == 2

    @property
    def others(self) -> tuple[int, ...]:
        """The axes that do not span it."""
        return tuple(axis for axis in range(len(self.point)) if axis not in self.axes)

    def index(self) -> tuple[int | slice, ...]:
        """Return the index that cuts the plane out of the data."""
        return tuple(slice(None) if axis in self.axes else at for axis, at in enumerate(self.point))

    def shape(self, layer: Layer) -> tuple[int, int]:
        """Return the plane's height and width in pixels."""
        full = spatial_shape(layer)
        return full[self.axes[0]], full[self.axes[1]]


@dataclass(frozen=True, slots=True)
class Cut:
    """The planes a run takes from a layer. P is their number for the engine.

    Where the colours of an RGB layer are restored one by one, each plane of the layer counts as
    three for the engine.

    Attributes
    ----------
    plane : Plane
        The one on screen.
    shape : tuple of int
        Of the layer, without a colour axis.
    scope : str
        One of `SCOPES`.
    colours : int
        How many colours of the layer count as planes of their own; 1 if none do.
    """

    plane: Plane
    shape: tuple[int, ...]
    scope: str = "slice"
    colours: int = 1

    @property
    def every(self) -> bool:
        """Whether all planes of the layer are taken, not only the one on screen."""
        return self.scope != "slice"

    @property
    def planes(self) -> str:
        """What `RunRequest.planes` is to be."""
        if not self.every or (self.plane.whole and self.colours == 1):
            return "one"
        return self.scope

    @property
    def others(self) -> tuple[int, ...]:
        """The lengths of the axes that do not span a plane."""
        return tuple(self.shape[axis] for axis in self.plane.others)

    @property
    def n_planes(self) -> int:
        """How many planes of the layer are taken, 1 or more; a plane in colours counts once."""
        return prod(self.others) if self.every else 1

    @property
    def size(self) -> tuple[int, int]:
        """A plane's height and width in pixels."""
        return self.shape[self.plane.axes[0]], self.shape[self.plane.axes[1]]

    def points(self) -> Iterator[tuple[int, ...]]:
        """Yield where each plane stands, as `Plane.point` does, in C order."""
        if not self.every:
            yield self.plane.point
            return
        for at in np.ndindex(*self.others):
            point = [0] * len(self.shape)
            for axis, where in zip(self.plane.others, at, strict=True):
                point[axis] = where
            yield tuple(point)

    def take(self, data: Any) -> Any:
        """Take the planes out of an array that has the layer's axes.

        Parameters
        ----------
        data : array
            With the layer's spatial axes, and a colour axis at the end or none; may be lazy.

        Returns
        -------
        array
            (H, W) or (H, W, C) of the plane on screen; (n, H, W) or (n, H, W, C) of all of them,
            lazy if `data` was.
        """
        if not self.every:
            return data[self.plane.index()]
        if isinstance(data, np.ndarray):
            tail = tuple(range(len(self.shape), data.ndim))
            turned = data.transpose((*self.plane.others, *self.plane.axes, *tail))
            return turned.reshape((self.n_planes, *self.size, *data.shape[len(self.shape) :]))
        from dask import array  # comes with napari

        da: Any = array

        lazy = data if isinstance(data, da.Array) else da.from_array(data, name=False)
        # One block a plane, so that the run reads one plane after the other.
        return da.stack([lazy[Plane(self.plane.axes, point).index()] for point in self.points()])

    def split(self, planes: Any) -> Any:
        """Turn what `take` returned into what the engine wants.

        Parameters
        ----------
        planes : array
            (H, W[, 3]) or (n, H, W[, 3]).

        Returns
        -------
        array
            (H, W[, 3]) for one plane, (P, H, W[, 3]) for several.
        """
        if self.colours == 1:
            return planes if self.planes != "one" or not self.every else planes[0]
        n, height, width = planes.shape[:3]
        if planes.ndim == 3:  # a mask: the same for every colour
            return planes.repeat(self.colours, axis=0)
        turned = planes.transpose((0, 3, 1, 2))
        return turned.reshape((n * self.colours, height, width))

    def gather(
        self, result: NDArray[Any], mix: Callable[..., NDArray[Any]] | None = None
    ) -> NDArray[Any]:
        """Bring what the engine returned back to the planes of the layer.

        Parameters
        ----------
        result : ndarray
            (H, W[, 3]) or (P, H, W[, 3]).
        mix : callable, optional
            ``np.any``, ``np.max`` and the like; makes one value of those of the colours where
            they were restored one by one. They become the last axis if there is none.

        Returns
        -------
        ndarray
            (n, H, W) or (n, H, W, 3).
        """
        if self.planes == "one":
            result = result[None]
        if self.colours == 1:
            return result
        coloured = np.moveaxis(result.reshape((-1, self.colours, *result.shape[1:])), 1, -1)
        return coloured if mix is None else mix(coloured, axis=-1)

    def place(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Put planes back into the layer's axes.

        Parameters
        ----------
        planes : ndarray
            (n, H, W) or (n, H, W, C).

        Returns
        -------
        ndarray
            With all the layer's axes; a single plane of a stack has length 1 on the others.
        """
        lengths = self.others if self.every else (1,) * len(self.plane.others)
        turned = planes.reshape((*lengths, *planes.shape[1:]))
        start = len(lengths)
        return np.moveaxis(turned, (start, start + 1), self.plane.axes)


def full_resolution(layer: Layer) -> Any:
    """Return a layer's data, at level 0 of a multiscale layer; may be lazy."""
    return layer.data[0] if layer.multiscale else layer.data


def spatial_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's data without a colour axis."""
    return tuple(int(n) for n in full_resolution(layer).shape[: layer.ndim])


def to_world(layer: Layer) -> Affine:
    """Return the transform from a layer's data to the world; takes (N, D) points at once."""
    inner = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    return layer.affine.compose(inner)


def current_plane(layer: Layer, dims: Dims) -> Plane:
    """Find the plane of a layer that is on screen.

    In 3-D display, where there is no such plane, it is the one spanned by the last two axes in
    the order of the sliders.
    """
    missing = dims.ndim - layer.ndim  # a layer has the last axes of the world
    order = [axis - missing for axis in dims.order if axis >= missing]
    first, second = sorted(order[-2:])
    here = np.rint(np.asarray(layer.world_to_data(dims.point))).astype(int)
    last = np.asarray(spatial_shape(layer)) - 1
    point = [
        0 if axis in (first, second) else int(at) for axis, at in enumerate(np.clip(here, 0, last))
    ]
    return Plane((first, second), tuple(point))


def cut_layer(layer: Layer, dims: Dims, scope: str = "slice") -> Cut:
    """Find which planes of an image layer a run takes.

    Parameters
    ----------
    layer : Layer
        An image of two axes or more.
    dims : Dims
        The viewer's; says which slice is shown.
    scope : str
        One of `SCOPES`.

    Returns
    -------
    Cut
        The planes.
    """
    colours = 3 if scope == "channels" and getattr(layer, "rgb", False) else 1
    return Cut(current_plane(layer, dims), spatial_shape(layer), scope, colours)


def describe_cut(layer: Layer, cut: Cut) -> str:
    """Say which planes will be restored; nothing where there is but one."""
    if cut.planes == "one":
        return _describe_plane(layer, cut.plane)
    if cut.colours > 1:
        of = "" if cut.n_planes == 1 else f" of each of the {cut.n_planes} planes"
        return f"The {cut.colours} colours{of} are restored one by one."
    if cut.scope == "channels":
        return f"All {cut.n_planes} planes are restored one by one."
    return f"All {cut.n_planes} slices are restored, each from its neighbour."


def _describe_plane(layer: Layer, plane: Plane) -> str:
    if plane.whole:
        return ""
    where = ", ".join(f"{_axis_name(layer, axis)} {plane.point[axis]}" for axis in plane.others)
    return f"The current slice is restored ({where})."


def _axis_name(layer: Layer, axis: int) -> str:
    labels = getattr(layer, "axis_labels", ())
    name = str(labels[axis]) if axis < len(labels) else ""
    # "-3", or "axis -3", is what napari calls an axis without a name.
    nameless = name.removeprefix("axis").strip().lstrip("-")
    return name if nameless and not nameless.isdigit() else f"axis {axis}, slice"
