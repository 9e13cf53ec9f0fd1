"""From a request to the task that carries it out: the only place of this room that loads torch."""

from typing import Any

from napari_mganprior.runs.base import Task
from napari_mganprior.runs.request import RunRequest

__all__ = ["open_task"]


def open_task(request: RunRequest) -> Task:
    """Load the prior and check the inputs of a task.

    Parameters
    ----------
    request : RunRequest
        What is asked for.

    Returns
    -------
    Task
        Of one plane, of several, or of several proposals, at its first step.

    Raises
    ------
    MGANPriorError
        If an input or a setting is refused.
    """
    # Only here, so that the thread, not the window, waits for torch.
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore import open_run

    prior = load_prior(find_prior(request.prior))
    engine: dict[str, Any] = {
        "quality": request.quality,
        "config": request.config,
        "overrides": request.shrunk(),
        "seed": request.seed,
        "device": request.device,
        "zoom": request.zoom,
        "precision": None if request.precision == "auto" else request.precision,
        "start": request.start,
        "pick": request.pick,
    }
    task: Task = open_run(
        request.task,
        request.image,
        prior,
        mask=request.mask,
        planes=request.planes,
        options=request.options,
        damage=request.damage,
        **engine,
    )
    return task
