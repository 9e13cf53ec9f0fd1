"""What a finished run brings into the viewer, and what is said about it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers.base import Layer

from napari_mganprior.runs import RunResult
from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.reference import compare_planes, describe_likeness
from napari_mganprior.widgets.results import add_result
from napari_mganprior.widgets.trust_layers import (
    add_history,
    add_invented,
    add_residual,
    add_uncertainty,
)

__all__ = ["Wanted", "show_result"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wanted:
    """What a run shall bring besides its result; taken when Run was pressed.

    Attributes
    ----------
    invented : bool
        A layer that outlines the invented pixels.
    uncertainty : bool
        A layer that says how far the restarts disagree.
    residual : bool
        A layer that says where the drawing misses what was measured.
    history : bool
        A layer of the iterations; the run must have kept them.
    truth : array or None
        (n, H, W) or (n, H, W, 3), what the result is compared with; may be lazy.
    truth_name : str
        The name of the layer it was taken from.
    """

    invented: bool = True
    uncertainty: bool = False
    residual: bool = False
    history: bool = False
    truth: Any = None
    truth_name: str = ""


def show_result(
    viewer: ViewerModel, inputs: Inputs, result: RunResult, wanted: Wanted
) -> tuple[tuple[Layer, ...], str]:
    """Add the layers of a run that was not cancelled.

    Parameters
    ----------
    viewer : ViewerModel
        Where to.
    inputs : Inputs
        What was taken when Run was pressed.
    result : RunResult
        What came back.
    wanted : Wanted
        What to add besides.

    Returns
    -------
    tuple of Layer
        The result, then what belongs to it.
    str
        What to tell the user.
    """
    restoration, cut = result.restoration, inputs.cut
    recipe = dict(restoration.recipe)
    invented = cut.gather(restoration.invented, np.any)
    said = ""
    if wanted.truth is not None:
        figures = compare_planes(wanted.truth, cut.gather(restoration.image), invented)
        said = " " + describe_likeness(figures, wanted.truth_name)
        recipe["likeness"] = {"reference": wanted.truth_name, **figures}
    layer = add_result(viewer, inputs, restoration.image, recipe)
    layers: list[Layer] = [layer]
    frames = result.frames
    if wanted.history and frames is not None:
        layers.append(add_history(viewer, inputs, frames.images, frames.steps, layer.name))
    if wanted.residual:
        layers.append(add_residual(viewer, inputs, restoration.residual, layer.name))
    if wanted.uncertainty:
        layers.append(add_uncertainty(viewer, inputs, restoration.uncertainty, layer.name))
    if wanted.invented:
        layers.append(add_invented(viewer, inputs, restoration.invented, layer.name))
    viewer.layers.selection.active = layer
    return tuple(layers), (
        f"{'Stopped early' if result.stopped else 'Done'}: '{layer.name}' is there; "
        f"{int(invented.sum())} of its pixels are invented.{_skipped(recipe)}{said}"
    )


def _skipped(recipe: dict[str, Any]) -> str:
    n = len((recipe.get("planes") or {}).get("skipped") or ())
    if not n:
        return ""
    return f" {n} {'plane is' if n == 1 else 'planes are'} as before; the recipe says why."
