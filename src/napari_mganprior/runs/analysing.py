"""An analysis as a run: what is asked for, and the task that carries it out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.analysis.config import StudyConfig
from napari_mganprior.errors import SettingsError
from napari_mganprior.runs.base import Task

__all__ = ["KINDS", "AnalysisRequest", "open_analysis"]

KINDS = ("study", "roles")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnalysisRequest:
    """One analysis, as asked for; the arrays are copied here.

    Attributes
    ----------
    kind : {"study", "roles"}
        A layer study, or the roles of codes.
    image : ndarray
        (H, W) or (H, W, 3).
    prior : str
        A prior's name or the path of its file.
    study : StudyConfig
        For a study.
    mask : ndarray or None
        (H, W); for a study of an image as it was measured.
    truth : ndarray or None
        What such a study is compared with.
    codes : Path or None
        For roles: a file of codes; None has the image inverted.
    quality : str
        Of that inversion.
    region : tuple of int or str
        The part, as for `analysis.LayerStudy`.
    seed : int
        0 or more.
    device : str
        As in `RunRequest`.
    preview_interval, history
        As in `RunRequest`.

    Raises
    ------
    SettingsError
        If there is no such kind.
    """

    kind: str
    image: NDArray[Any]
    prior: str
    study: StudyConfig = field(default_factory=StudyConfig)
    mask: NDArray[Any] | None = None
    truth: NDArray[Any] | None = None
    codes: Path | None = None
    quality: str = "balanced"
    region: tuple[int, int, int, int] | str = "middle"
    seed: int = 0
    device: str = "auto"
    preview_interval: float | None = None
    history: bool = False

    def __post_init__(self) -> None:
        """Copy the arrays."""
        if self.kind not in KINDS:
            raise SettingsError(
                f"Got the analysis {self.kind!r}; wanted one of {', '.join(KINDS)}. Choose study."
            )
        for name in ("image", "mask", "truth"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.array(array))


def open_analysis(request: AnalysisRequest) -> Task:
    """Load the prior and check the inputs of an analysis.

    Parameters
    ----------
    request : AnalysisRequest
        What is asked for.

    Returns
    -------
    Task
        A `LayerStudy` or a `CodeRoles` at its first step.

    Raises
    ------
    MGANPriorError
        If an input or a setting is refused.
    """
    # Only here, so that the thread, not the window, waits for torch.
    from napari_mganprior.analysis import CodeRoles, LayerStudy
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.restore import load_codes

    prior = load_prior(find_prior(request.prior))
    options: dict[str, Any] = {
        "region": request.region,
        "seed": request.seed,
        "device": request.device,
    }
    if request.kind == "study":
        return LayerStudy(
            request.image, prior, request.study, mask=request.mask, truth=request.truth, **options
        )
    codes = () if request.codes is None else load_codes(request.codes, prior.sha256)
    return CodeRoles(request.image, prior, codes=codes, quality=request.quality, **options)
