"""From layers to an analysis, and from its result to layers. No Qt here."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers.base import Layer
from numpy.typing import NDArray

from napari_mganprior.analysis.outcome import Roles, Study
from napari_mganprior.errors import ImageError
from napari_mganprior.widgets.planes import cut_layer, full_resolution, to_world
from napari_mganprior.widgets.results import METADATA_KEY, names_in, unused_name

__all__ = ["Place", "add_roles", "add_study", "take_plane"]


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where the plane that was analysed lies.

    Attributes
    ----------
    name : str
        Of its layer.
    affine : array
        From its pixels to the world, (3, 3).
    rgb : bool
        Whether it has colours.
    """

    name: str
    affine: NDArray[np.float64]
    rgb: bool

    def of_part(self, corner: tuple[int, int], n_axes: int, factor: float = 1.0) -> Any:
        """Return the affine of a part of it, with axes before its rows.

        Parameters
        ----------
        corner : tuple of int
            Row and column at which the part begins.
        n_axes : int
            How many axes stand before rows and columns.
        factor : float
            Pixels of the part along the side of one of the plane's.
        """
        inner = np.eye(3)
        inner[:2, :2] /= factor
        inner[:2, 2] = np.asarray(corner) - 0.5 * (1 - 1 / factor)
        whole = np.eye(3 + n_axes)
        whole[n_axes:, n_axes:] = self.affine @ inner
        return whole


def take_plane(layer: Layer, viewer: ViewerModel) -> tuple[NDArray[Any], Place]:
    """Copy the plane of a layer that is on screen, without alpha.

    Raises
    ------
    ImageError
        If its pixels cannot be read.
    """
    cut = cut_layer(layer, viewer.dims)
    try:
        pixels = np.array(cut.take(full_resolution(layer)))
    except (OSError, ValueError, IndexError) as error:
        raise ImageError(
            f"Could not read the pixels of '{layer.name}' ({error}); wanted readable data. Check "
            "that its file is still there, then open it again."
        ) from error
    rgb = bool(getattr(layer, "rgb", False))
    world = to_world(layer)
    axes = list(cut.plane.axes)
    affine = np.eye(3)
    affine[:2, :2] = world.linear_matrix[np.ix_(axes, axes)]
    affine[:2, 2] = np.asarray(world(np.asarray(cut.plane.point, float)))[axes]
    return pixels[..., :3] if rgb else pixels, Place(layer.name, affine, rgb)


def add_study(viewer: ViewerModel, place: Place, study: Study) -> Image:
    """Add the results of a study as a stack of cuts and numbers of codes, and what was given.

    Returns
    -------
    Image
        The stack, the recipe and the rows in its metadata.
    """
    task = study.recipe["config"]["task"]
    small = study.measured.shape[0] / study.stack.shape[2]  # below 1 for super-resolution
    trial = study.recipe["config"]["trial"]
    # the corner counts pixels of the given image: in a trial those of the results
    factor = 1.0 if trial else 1 / small
    limits = _limits(study.measured)
    if trial and task != "invert":
        viewer.add_image(
            study.measured,
            name=unused_name(f"{place.name} {task} given", names_in(viewer)),
            rgb=study.measured.ndim == 3,
            affine=place.of_part(study.corner, 0, small),
            visible=False,
            **({} if study.measured.ndim == 3 else {"contrast_limits": limits}),
        )
    rgb = study.stack.ndim == 5
    layer = viewer.add_image(
        study.stack,
        name=unused_name(f"{place.name} {task} study", names_in(viewer)),
        rgb=rgb,
        affine=place.of_part(study.corner, 2, factor),
        metadata={
            METADATA_KEY: {
                **study.recipe,
                "cuts": list(study.cuts),
                "codes": list(study.codes),
                "table": study.to_csv(),
            }
        },
        **({} if rgb else {"contrast_limits": limits}),
    )
    _name_axes(layer, ("cut", "codes", "y", "x"))
    return layer


def add_roles(viewer: ViewerModel, place: Place, roles: Roles) -> Labels:
    """Add each code's contribution and drawing as stacks, and the first contributors as labels.

    Returns
    -------
    Labels
        The number of the code that each pixel depends on most.
    """
    rgb = roles.contributions.ndim == 4
    strongest = float(np.abs(roles.contributions).max()) or 1.0
    low, high = _limits(roles.drawing)

    def stack(what: str, data: NDArray[Any], **look: Any) -> None:
        n_axes = data.ndim - 2 - rgb
        layer = viewer.add_image(
            data,
            name=unused_name(f"{place.name} {what}", names_in(viewer)),
            rgb=rgb,
            affine=place.of_part(roles.corner, n_axes),
            visible=False,
            **look,
        )
        _name_axes(layer, (*("code",) * n_axes, "y", "x"))

    def shown(data: NDArray[Any]) -> NDArray[Any]:
        # napari shows colours of floats from 0 to 1
        return np.clip((data - low) / (high - low), 0, 1) if rgb else data

    grey = {} if rgb else {"contrast_limits": (low, high)}
    stack("drawing", shown(roles.drawing), **grey)
    stack("codes alone", shown(roles.alone), **grey)
    if rgb:
        stack("contributions", np.clip(roles.contributions / (2 * strongest) + 0.5, 0, 1))
    else:
        # "PiYG" has a neutral middle for what does not change
        ends = (-strongest, strongest)
        stack("contributions", roles.contributions, colormap="PiYG", contrast_limits=ends)
    return viewer.add_labels(
        roles.labels,
        name=unused_name(f"{place.name} roles of codes", names_in(viewer)),
        affine=place.of_part(roles.corner, 0),
        metadata={METADATA_KEY: {**roles.recipe, "table": roles.to_csv()}},
    )


def _limits(image: NDArray[Any]) -> tuple[float, float]:
    low, high = (float(v) for v in (np.min(image), np.max(image)))
    return (low, high) if high > low else (low, low + 1.0)


def _name_axes(layer: Layer, names: tuple[str, ...]) -> None:
    if hasattr(layer, "axis_labels"):  # younger than napari 0.6.1's oldest
        layer.axis_labels = names
