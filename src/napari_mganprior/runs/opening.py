"""From a request to the task that carries it out: the only place of this room that loads torch."""

from typing import Any

from napari_mganprior.runs.base import Task
from napari_mganprior.runs.request import RunRequest

__all__ = ["open_inpainting"]


def open_inpainting(request: RunRequest) -> Task:
    """Load the prior and check the inputs of an inpainting.

    Parameters
    ----------
    request : RunRequest
        What is asked for.

    Returns
    -------
    Task
        An `Inpainting`, or a `SeriesInpainting` for several planes, at its first step.

    Raises
    ------
    MGANPriorError
        If an input or a setting is refused.
    """
    # Only here, so that the thread, not the window, waits for torch.
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore import Inpainting, SeriesInpainting

    prior = load_prior(find_prior(request.prior))
    given = request.config is not None or request.shrink > 0
    options: dict[str, Any] = {
        "quality": request.quality,
        "config": request.settings(prior.generator.cuts) if given else None,
        "seed": request.seed,
        "device": request.device,
        "zoom": request.zoom,
        "precision": None if request.precision == "auto" else request.precision,
        "damage": request.damage,
        "start": request.start,
    }
    if request.planes == "one":
        return Inpainting(request.image, request.mask, prior, **options)
    return SeriesInpainting(
        request.image, request.mask, prior, linked=request.planes == "slices", **options
    )
