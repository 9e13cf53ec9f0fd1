"""What a finished run brings into the viewer, and what is said about it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers.base import Layer
from numpy.typing import NDArray

from napari_mganprior.runs import RunResult
from napari_mganprior.runs.tasks import noise_in_words
from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.kept_codes import keep_codes
from napari_mganprior.widgets.reference import compare_planes, describe_likeness
from napari_mganprior.widgets.results import add_result, in_layer
from napari_mganprior.widgets.trust_layers import (
    add_best,
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
    best : bool
        A layer of the best of the searches, where the result is their mean, or the other way
        round.
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
    best: bool = False
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
    invented = in_layer(inputs, restoration.invented, np.any)
    said = ""
    if wanted.truth is not None:
        hole = inputs.spec.replaces == "damage"
        where = cut.gather(restoration.invented if hole else _everywhere(restoration), np.any)
        figures = compare_planes(wanted.truth, cut.gather(restoration.image), where)
        said = " " + describe_likeness(figures, wanted.truth_name, inside=hole)
        recipe["likeness"] = {"reference": wanted.truth_name, **figures}
    layer = add_result(viewer, inputs, restoration.image, recipe)
    if inputs.spec.name == "invert":
        keep_codes(layer, restoration)
    layers: list[Layer] = [layer]
    frames = result.frames
    if wanted.history and frames is not None:
        layers.append(add_history(viewer, inputs, frames.images, frames.steps, layer.name))
    if wanted.best:
        which = "average" if recipe.get("pick") == "best" else "best"
        layers.append(add_best(viewer, inputs, getattr(restoration, which), which, layer.name))
    if wanted.residual:
        layers.append(add_residual(viewer, inputs, restoration.residual, layer.name))
    if wanted.uncertainty:
        layers.append(add_uncertainty(viewer, inputs, restoration.uncertainty, layer.name))
    if wanted.invented:
        layers.append(
            add_invented(viewer, inputs, restoration.invented, layer.name, restoration.estimated)
        )
    viewer.layers.selection.active = layer
    return tuple(layers), (
        f"{'Stopped early' if result.stopped else 'Done'}: '{layer.name}' is there; "
        f"{_told(inputs, recipe, int(invented.sum()))}{_skipped(recipe)}{said}"
    )


def _everywhere(restoration: Any) -> NDArray[np.bool_]:
    return np.ones_like(restoration.invented)


def _told(inputs: Inputs, recipe: dict[str, Any], invented: int) -> str:
    """Say what the pixels of a result are."""
    name = inputs.spec.name
    if name == "inpaint":
        return f"{invented} of its pixels are invented."
    if name == "colorize":
        several = f"{inputs.proposals} proposals, one a step of the slider; " * (
            inputs.proposals > 1
        )
        return f"{several}all colours are invented, the luma is the input."
    if name == "super_resolve":
        are = "are" if recipe["operator"]["kernel"] == "binning" else "come close to"
        return f"every pixel is an estimate; reduced again, they {are} the input."
    bad = f" {invented} bad pixels were filled." if invented else ""
    return f"every pixel is an estimate.{_noise(recipe)}{bad}"


def _noise(recipe: dict[str, Any]) -> str:
    told, each = noise_in_words(recipe)
    if each:
        told += ", the rest measured in each plane" if told else "measured in each plane"
    return f" The noise: {told}." if told else ""


def _skipped(recipe: dict[str, Any]) -> str:
    n = len((recipe.get("planes") or {}).get("skipped") or ())
    if not n:
        return ""
    return f" {n} {'plane is' if n == 1 else 'planes are'} as before; the recipe says why."
