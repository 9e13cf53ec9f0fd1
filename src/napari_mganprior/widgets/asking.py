"""From the fields of a form to what a run is asked: why it cannot start, or all that it needs."""

from dataclasses import replace

from napari.components import ViewerModel

from napari_mganprior.priors import user_folder
from napari_mganprior.runs import RunRequest
from napari_mganprior.widgets.fields import TaskFields
from napari_mganprior.widgets.inputs import Choice, Inputs, check_inputs, take_inputs
from napari_mganprior.widgets.outcome import Wanted
from napari_mganprior.widgets.preferences import current_preferences, engine_options
from napari_mganprior.widgets.prior_fit import check_prior
from napari_mganprior.widgets.reference import check_reference, take_reference

__all__ = ["find_fault", "take_request"]


def find_fault(fields: TaskFields, choice: Choice, viewer: ViewerModel) -> str:
    """Find the reason why a run cannot start, as far as that is cheap.

    Parameters
    ----------
    fields : TaskFields
        The form's.
    choice : Choice
        What they say about pixels.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.

    Returns
    -------
    str
        What was got, what was wanted and what to do; empty if nothing is wrong.
    """
    fault = check_inputs(choice, viewer) or fields.fault()
    fault = fault or check_reference(
        choice.image,
        fields.reference.value,
        viewer.dims,
        choice.scope,
        growth=fields.spec.growth(choice.options),
        coloured=fields.spec.grey_only,
    )
    fault = fault or check_prior(choice, fields.prior.value)
    if not fault and fields.prior.value is None:
        fault = f"No prior found. Put a .safetensors file into {user_folder()}."
    return fault


def take_request(fields: TaskFields, viewer: ViewerModel) -> tuple[RunRequest, Inputs, Wanted]:
    """Take what a run needs, as a form says now.

    Parameters
    ----------
    fields : TaskFields
        The form's.
    viewer : ViewerModel
        Says which slice is shown, and what is in view.

    Returns
    -------
    RunRequest
        What the engine is asked.
    Inputs
        What was taken from the layers.
    Wanted
        What the run shall bring besides its result.

    Raises
    ------
    MGANPriorError
        If the layers cannot be read, or a setting is refused.
    """
    inputs = take_inputs(fields.choice(), viewer)
    preferences = current_preferences()
    request = RunRequest(
        image=inputs.image,
        mask=inputs.mask,
        prior=fields.prior.value,
        task=fields.spec.name,
        options=inputs.options,
        overrides=fields.overrides(),
        pick=fields.pick.value,
        quality=fields.quality.value,
        seed=int(fields.seed.value),
        **engine_options(preferences, fields.device.value),
        zoom=fields.zoom_factor() if fields.spec.zooms else 1.0,
        grow=inputs.grow,
        feather=inputs.feather,
        region=inputs.region,
        planes=inputs.cut.planes,
        preview_interval=1 / preferences.preview_rate if fields.preview.value else None,
        history=bool(fields.history.value),
    )
    # The request has copies of its own; a stack need not be kept twice.
    inputs = replace(inputs, image=request.image, mask=request.mask)
    return request, inputs, _take_wanted(fields, viewer)


def _take_wanted(fields: TaskFields, viewer: ViewerModel) -> Wanted:
    reference, truth = fields.reference.value, None
    if reference is not None:
        truth = take_reference(reference, viewer.dims, fields.scope.value)
    return Wanted(
        invented=bool(fields.mark.value),
        uncertainty=bool(fields.uncertainty.value),
        residual=bool(fields.residual.value),
        best=bool(fields.best.value),
        history=bool(fields.history.value),
        truth=truth,
        truth_name="" if reference is None else reference.name,
    )
