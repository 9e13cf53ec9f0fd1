"""From arrays back to layers: names, place, look and the recipe."""

import copy
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_mganprior.widgets.inputs import Inputs

__all__ = [
    "METADATA_KEY",
    "add_mask",
    "add_preview",
    "add_result",
    "in_layer",
    "names_in",
    "unused_name",
    "update_preview",
]

METADATA_KEY = "napari-mganprior"


def unused_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name nobody has yet.

    Parameters
    ----------
    wanted : str
        Used as it is if it is free.
    taken : collection of str
        Names in use.

    Returns
    -------
    str
        The name wanted, or "wanted 2", "wanted 3", ...

    Examples
    --------
    >>> unused_name("cells inpainted", {"cells", "cells inpainted"})
    'cells inpainted 2'
    """
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted} {number}"
    return name


def add_result(
    viewer: ViewerModel, inputs: Inputs, image: NDArray[Any], recipe: dict[str, Any]
) -> Image:
    """Add a restored image exactly over the one it came from.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed; the layers themselves may be gone.
    image : ndarray
        (H, W) or (H, W, 3), or with a plane axis P before it.
    recipe : dict
        The restoration's; the layers and labels used are added to it.

    Returns
    -------
    Image
        The new layer, its recipe under `METADATA_KEY` of its metadata.
    """
    full = {
        **recipe,
        "layers": {
            **inputs.names,
            **inputs.marked,
            **_damage_labels(inputs),
            "slice": [
                None if inputs.cut.every or axis in inputs.plane.axes else at
                for axis, at in enumerate(inputs.plane.point)
            ],
        },
        "damage": {
            "grow": inputs.grow,
            "feather": inputs.feather,
            "region": None if inputs.region is None else list(inputs.region),
            **recipe.get("damage", {}),  # the engine knows best
        },
    }
    return viewer.add_image(
        in_layer(inputs, image),
        name=unused_name(f"{inputs.names['image']} {inputs.spec.done}", names_in(viewer)),
        metadata={METADATA_KEY: copy.deepcopy(full)},
        multiscale=False,
        **inputs.result_look,
    )


def add_mask(viewer: ViewerModel, image: Image) -> Labels:
    """Add an empty labels layer that lies on an image pixel by pixel, ready to paint.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    image : Image
        The image to be painted over.

    Returns
    -------
    Labels
        The new layer, its brush in hand.
    """
    data = image.data[0] if image.multiscale else image.data
    place = {
        key: getattr(image, key)
        for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        if hasattr(image, key)
    }
    layer = viewer.add_labels(
        np.zeros(data.shape[: image.ndim], dtype=np.uint8),
        name=unused_name(f"{image.name} damage", names_in(viewer)),
        **place,
    )
    layer.mode = "paint"
    return layer


def add_preview(viewer: ViewerModel, inputs: Inputs, image: NDArray[Any]) -> Image:
    """Add a layer that shows a run's best picture so far."""
    return viewer.add_image(
        in_layer(inputs, image),
        name=unused_name(f"{inputs.names['image']} preview", names_in(viewer)),
        multiscale=False,
        **inputs.result_look,
    )


def update_preview(layer: Image, inputs: Inputs, image: NDArray[Any]) -> None:
    """Show a newer picture in a preview layer."""
    layer.data = in_layer(inputs, image)


def in_layer(
    inputs: Inputs, image: NDArray[Any], mix: Callable[..., NDArray[Any]] | None = None
) -> NDArray[Any]:
    """Bring a picture of a run into the axes and colours of its layer.

    Parameters
    ----------
    inputs : Inputs
        What was taken when Run was pressed.
    image : ndarray
        (H, W) or (H, W, 3), or (P, H, W) or (P, H, W, 3), as `Inputs.image` is, or as large as
        the task makes it; of several proposals one after another.
    mix : callable, optional
        ``np.max`` and the like, for what has one value a pixel: makes one of those of colours
        that were restored one by one.

    Returns
    -------
    ndarray
        With all axes of the layer, and its opacity if it had one; an axis of the proposals in
        front, if there are several.
    """
    if inputs.proposals > 1:
        return np.stack([_in_layer(inputs, one, mix) for one in image])
    return _in_layer(inputs, image, mix)


def _in_layer(
    inputs: Inputs, image: NDArray[Any], mix: Callable[..., NDArray[Any]] | None
) -> NDArray[Any]:
    planes = inputs.cut.gather(image, mix)
    if inputs.alpha is not None and mix is None:
        alpha = np.asarray(inputs.alpha)
        alpha = alpha.repeat(inputs.growth, axis=-2).repeat(inputs.growth, axis=-1)
        planes = np.concatenate([planes, alpha.reshape((*planes.shape[:3], 1))], axis=-1)
    return inputs.cut.place(planes)


def names_in(viewer: ViewerModel) -> set[str]:
    """Return the names in use."""
    return {layer.name for layer in viewer.layers}


def _damage_labels(inputs: Inputs) -> dict[str, int | str]:
    labels = inputs.marked.get("labels")
    if labels is None:
        return {}
    return {"damage_labels": int(labels) if labels.isdecimal() else labels}
