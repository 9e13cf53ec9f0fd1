"""What a batch consists of: requests taken once, and where each result goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.priors import prior_names
from napari_mganprior.runs import RunRequest, RunResult
from napari_mganprior.runs.batch import find_images, outputs_for
from napari_mganprior.runs.file_task import FileRequest
from napari_mganprior.widgets.inputs import Choice, Inputs, check_inputs, take_inputs
from napari_mganprior.widgets.outcome import Wanted, show_result
from napari_mganprior.widgets.preferences import current_preferences, engine_options
from napari_mganprior.widgets.prior_fit import check_prior
from napari_mganprior.widgets.region import IN_VIEW, WHOLE

__all__ = ["BatchJob", "plan_files", "plan_layers"]

_ENGINE = ("prior", "quality", "seed", "device", "zoom", "grow", "feather")


@dataclass(frozen=True, slots=True, eq=False)
class BatchJob:
    """One image of a batch.

    Attributes
    ----------
    name : str
        Of the layer or file.
    request : RunRequest, FileRequest or None
        What the engine is asked; None where the image cannot be restored.
    finish : callable
        Called with the `RunResult`; returns the name of what it made.
    fault : str
        Why it cannot be restored.
    """

    name: str
    request: Any = None
    finish: Callable[[RunResult], str] = lambda _: ""
    fault: str = ""


def plan_layers(
    viewer: ViewerModel,
    images: Sequence[Image],
    damage: Labels | Shapes | None,
    state: Mapping[str, Any],
) -> list[BatchJob]:
    """Take the pixels of several layers.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are, and where the results go.
    images : sequence of Image
        The layers to restore.
    damage : Labels, Shapes or None
        What marks the damage in all of them; None for the layer "NAME damage" of each.
    state : mapping
        Settings, as a form states them.

    Returns
    -------
    list of BatchJob
        In the order given; those that cannot be restored say why.
    """
    jobs = []
    for image in images:
        marks = damage
        if marks is None and f"{image.name} damage" in viewer.layers:
            marks = viewer.layers[f"{image.name} damage"]
        if marks is None:
            fault = f"No layer '{image.name} damage'. Press 'New' in the form Inpaint, and paint."
            jobs.append(BatchJob(image.name, fault=fault))
            continue
        region = _region(viewer, state)
        if region is None:
            fault = (
                f"No shapes layer '{state['region']}' for the region. Choose another in Inpaint."
            )
            jobs.append(BatchJob(image.name, fault=fault))
            continue
        choice = Choice(
            region=region,
            image=image,
            damage=marks,
            labels=str(state.get("labels", "all")),
            invert=bool(state.get("invert", False)),
            grow=int(state.get("grow", 0)),
            feather=int(state.get("feather", 0)),
            scope=str(state.get("scope", "slice")),
        )
        jobs.append(_layer_job(viewer, choice, state))
    return jobs


def _layer_job(viewer: ViewerModel, choice: Choice, state: Mapping[str, Any]) -> BatchJob:
    assert choice.image is not None
    name = choice.image.name
    options = _options(state)
    fault = check_inputs(choice, viewer) or check_prior(choice, options["prior"])
    if fault:
        return BatchJob(name, fault=fault)
    try:
        inputs = take_inputs(choice, viewer)
        request = RunRequest(
            image=inputs.image,
            mask=inputs.mask,
            region=inputs.region,
            planes=inputs.cut.planes,
            **options,
        )
    except MGANPriorError as error:
        return BatchJob(name, fault=str(error))
    wanted = Wanted(
        invented=bool(state.get("invented", True)),
        uncertainty=bool(state.get("uncertainty", False)),
        residual=bool(state.get("residual", False)),
    )
    return BatchJob(name, request, partial(_show, viewer, inputs, wanted))


def plan_files(images: Path, masks: Path, output: Path, state: Mapping[str, Any]) -> list[BatchJob]:
    """List the files of a folder; they are read when their turn comes.

    Parameters
    ----------
    images, masks, output : Path
        Folders; ``masks`` may be a file.
    state : mapping
        Settings, as a form states them.

    Raises
    ------
    StorageError
        If there are no images, or results would replace files.
    SettingsError
        If the settings have a region, which files have not.
    """
    if state.get("region", WHOLE) != WHOLE:
        raise SettingsError(
            f"Got settings with the region '{state['region']}' for files; wanted the whole picture. "
            "Choose it on the page Where of Inpaint and run that once, or choose another recipe."
        )
    scope = str(state.get("scope", "slice"))
    paths = find_images([images])
    outputs = outputs_for(paths, output, planes=scope == "slices", overwrite=False)
    return [
        BatchJob(
            path.name,
            FileRequest(
                path=path,
                output=target,
                masks=masks,
                scope=scope,
                invert=bool(state.get("invert", False)),
                options=_options(state),
            ),
            partial(_written, target),
        )
        for path, target in zip(paths, outputs, strict=True)
    ]


def _region(viewer: ViewerModel, state: Mapping[str, Any]) -> str | Shapes | None:
    """Find the region that settings name; None if it is a layer that is not there."""
    name = state.get("region", WHOLE)
    if name in (WHOLE, IN_VIEW):
        return str(name)
    shapes = (layer for layer in viewer.layers if isinstance(layer, Shapes))
    return next((layer for layer in shapes if layer.name == name), None)


def _options(state: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: state[key] for key in _ENGINE if key in state}
    preferences = current_preferences()
    options |= engine_options(preferences, str(state.get("device", "auto")))
    if options.get("prior") not in prior_names():
        options["prior"] = preferences.default_prior
    return options


def _show(viewer: ViewerModel, inputs: Inputs, wanted: Wanted, result: RunResult) -> str:
    selected = set(viewer.layers.selection)
    layers, _ = show_result(viewer, inputs, result, wanted)
    # the choice of images must survive the result's being selected
    viewer.layers.selection.clear()
    viewer.layers.selection.update(layer for layer in selected if layer in viewer.layers)
    return str(layers[0].name)


def _written(target: Path, result: RunResult) -> str:
    return str(target)
