"""From arrays back to layers: names, place, look and the recipe."""

import copy
from collections.abc import Collection
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_mganprior.widgets.inputs import Inputs

__all__ = [
    "METADATA_KEY",
    "add_invented",
    "add_mask",
    "add_preview",
    "add_result",
    "add_uncertainty",
    "unused_name",
    "update_preview",
]

METADATA_KEY = "napari-mganprior"
_INVENTED_COLOUR = "#ff00d4"


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
        (H, W) or (H, W, 3).
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
            "image": inputs.image_name,
            "mask": inputs.labels_name,
            "damage_labels": "all" if inputs.label is None else inputs.label,
            "slice": [
                None if axis in inputs.plane.axes else at
                for axis, at in enumerate(inputs.plane.point)
            ],
        },
    }
    return viewer.add_image(
        _in_stack(inputs, _with_alpha(inputs, image)),
        name=unused_name(f"{inputs.image_name} inpainted", _names(viewer)),
        metadata={METADATA_KEY: copy.deepcopy(full)},
        multiscale=False,
        **inputs.look,
    )


def add_invented(
    viewer: ViewerModel, inputs: Inputs, invented: NDArray[np.bool_], result_name: str
) -> Labels:
    """Add a labels layer that outlines the pixels that were invented, not measured.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    invented : ndarray
        (H, W), bool.
    result_name : str
        Name of the layer whose pixels they are.

    Returns
    -------
    Labels
        The new layer; 1 is invented.
    """
    layer = viewer.add_labels(
        _in_stack(inputs, invented.astype(np.uint8)),
        name=unused_name(f"{result_name}: invented", _names(viewer)),
        colormap=DirectLabelColormap(
            color_dict={None: "transparent", 0: "transparent", 1: _INVENTED_COLOUR}
        ),
        opacity=0.5,
        **inputs.place,
    )
    layer.contour = 1  # the outline only: what was invented must stay visible
    return layer


def add_uncertainty(
    viewer: ViewerModel, inputs: Inputs, uncertainty: NDArray[np.float32], result_name: str
) -> Image:
    """Add an image layer that says how far the restarts disagree.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    uncertainty : ndarray
        (H, W), float32, in the image's units; 0 where measured.
    result_name : str
        Name of the layer it is about.

    Returns
    -------
    Image
        The new layer; where it is 0 one sees what lies under it.
    """
    largest = float(uncertainty.max())
    return viewer.add_image(
        _in_stack(inputs, uncertainty),
        name=unused_name(f"{result_name}: uncertainty", _names(viewer)),
        colormap="magma",
        contrast_limits=(0.0, largest if largest > 0 else 1.0),
        blending="additive",
        rgb=False,
        multiscale=False,
        **inputs.place,
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
        name=unused_name(f"{image.name} damage", _names(viewer)),
        **place,
    )
    layer.mode = "paint"
    return layer


def add_preview(viewer: ViewerModel, inputs: Inputs, image: NDArray[Any]) -> Image:
    """Add a layer that shows a run's best picture so far."""
    return viewer.add_image(
        _in_stack(inputs, _with_alpha(inputs, image)),
        name=unused_name(f"{inputs.image_name} preview", _names(viewer)),
        multiscale=False,
        **inputs.look,
    )


def update_preview(layer: Image, inputs: Inputs, image: NDArray[Any]) -> None:
    """Show a newer picture in a preview layer."""
    layer.data = _in_stack(inputs, _with_alpha(inputs, image))


def _with_alpha(inputs: Inputs, image: NDArray[Any]) -> NDArray[Any]:
    return image if inputs.alpha is None else np.dstack([image, inputs.alpha])


def _in_stack(inputs: Inputs, plane: NDArray[Any]) -> NDArray[Any]:
    axes = [at for at in range(len(inputs.plane.point)) if at not in inputs.plane.axes]
    return np.expand_dims(plane, tuple(axes)) if axes else plane


def _names(viewer: ViewerModel) -> set[str]:
    return {layer.name for layer in viewer.layers}
