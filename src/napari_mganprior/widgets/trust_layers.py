"""Layers that help to judge a result: what was invented, how sure it is, how well it fits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_mganprior.widgets.geometry import with_axis
from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.results import in_layer, names_in, unused_name

__all__ = ["add_best", "add_history", "add_invented", "add_residual", "add_uncertainty"]

_INVENTED_COLOUR, _ESTIMATED_COLOUR = "#ff00d4", "#00c8ff"
_RESIDUAL_COLOURS = ((0.77, 0.11, 0.49, 1.0), (0.97, 0.97, 0.97, 0.0), (0.3, 0.57, 0.13, 1.0))
"""The ends of PiYG; clear between them, so that one sees the picture where the drawing fits."""


def add_invented(
    viewer: ViewerModel,
    inputs: Inputs,
    invented: NDArray[np.bool_],
    result_name: str,
    estimated: NDArray[np.bool_] | None = None,
) -> Labels:
    """Add a labels layer that outlines the pixels that were invented, or drawn anew.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    invented : ndarray
        (H, W) or (P, H, W), bool.
    result_name : str
        Name of the layer whose pixels they are.
    estimated : ndarray, optional
        As large; pixels that were measured and drawn anew.

    Returns
    -------
    Labels
        The new layer; 1 is invented, 2 an estimate of what was measured.
    """
    found = invented.astype(np.uint8)
    if estimated is not None:
        found[estimated] = 2
    layer = viewer.add_labels(
        in_layer(inputs, found, np.max),
        name=unused_name(f"{result_name}: invented", names_in(viewer)),
        colormap=DirectLabelColormap(
            color_dict={
                None: "transparent", 0: "transparent", 1: _INVENTED_COLOUR, 2: _ESTIMATED_COLOUR
            }
        ),
        opacity=0.5,
        **inputs.result_place,
    )  # fmt: skip
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
        (H, W) or (P, H, W), float32, in the image's units; 0 where measured. Of colours restored
        one by one the largest counts.
    result_name : str
        Name of the layer it is about.

    Returns
    -------
    Image
        The new layer; where it is 0 one sees what lies under it.
    """
    largest = float(uncertainty.max())
    return viewer.add_image(
        in_layer(inputs, uncertainty, np.max),
        name=unused_name(f"{result_name}: uncertainty", names_in(viewer)),
        colormap="magma",
        contrast_limits=(0.0, largest if largest > 0 else 1.0),
        blending="additive",
        rgb=False,
        multiscale=False,
        **inputs.result_place,
    )


def add_residual(
    viewer: ViewerModel, inputs: Inputs, residual: NDArray[np.float32], result_name: str
) -> Image:
    """Add an image layer of drawing minus measurement: how well the prior can say what was seen.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    residual : ndarray
        Of the shape of `Inputs.image`, float32, in the image's units; 0 where nothing was measured
        or searched. Of colours the mean is shown.
    result_name : str
        Name of the layer it is about.

    Returns
    -------
    Image
        The new layer: magenta where the drawing is too dark, green where it is too bright, clear
        where it fits; its limits lie as far below 0 as above.
    """
    if inputs.coloured:
        residual = residual.mean(axis=-1)
    planes = in_layer(inputs, residual, np.mean)
    largest = float(np.abs(planes).max())
    limit = largest if largest > 0 else 1.0
    return viewer.add_image(
        planes,
        name=unused_name(f"{result_name}: residual", names_in(viewer)),
        colormap=Colormap(_RESIDUAL_COLOURS, name="PiYG, clear at 0"),
        contrast_limits=(-limit, limit),
        blending="translucent",
        rgb=False,
        multiscale=False,
        **inputs.image_place,
    )


def add_best(
    viewer: ViewerModel, inputs: Inputs, image: NDArray[Any], which: str, result_name: str
) -> Image:
    """Add the best of the searches beside their mean, or their mean beside the best.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    image : ndarray
        Of the result's shape.
    which : {"average", "best"}
        What it is.
    result_name : str
        Name of the layer it stands beside.
    """
    return viewer.add_image(
        in_layer(inputs, image),
        name=unused_name(f"{result_name}: {which}", names_in(viewer)),
        multiscale=False,
        visible=False,  # it would hide the result
        **inputs.result_look,
    )


def add_history(
    viewer: ViewerModel,
    inputs: Inputs,
    images: NDArray[Any],
    steps: Sequence[int],
    result_name: str,
) -> Image:
    """Add the pictures of a run's iterations as a stack to scrub through.

    Parameters
    ----------
    viewer : ViewerModel
        Where to. Its slider of the iterations is put to the last one.
    inputs : Inputs
        What was taken when Run was pressed.
    images : ndarray
        T pictures, (T, ...), each of the shape of `Inputs.image`.
    steps : sequence of int
        The T numbers of their steps; kept in the layer's metadata.
    result_name : str
        Name of the layer whose history it is.

    Returns
    -------
    Image
        The new layer; its first axis is the iterations, a picture a unit.
    """
    layer = viewer.add_image(
        np.stack([in_layer(inputs, image) for image in images]),
        name=unused_name(f"{result_name}: history", names_in(viewer)),
        metadata={"steps": [int(step) for step in steps]},
        multiscale=False,
        **{**inputs.result_look, **with_axis(inputs.result_place, "iteration")},
    )
    if layer.ndim == viewer.dims.ndim:
        viewer.dims.set_current_step(0, len(images) - 1)
    return layer
