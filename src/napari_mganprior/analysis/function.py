"""Analyses in one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mganprior.analysis.config import StudyConfig
from napari_mganprior.analysis.outcome import Roles, Study
from napari_mganprior.analysis.parts import Region
from napari_mganprior.analysis.roles import CodeRoles
from napari_mganprior.analysis.study import LayerStudy
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import find_prior
from napari_mganprior.restore import load_codes

if TYPE_CHECKING:
    from napari.types import ImageData, LabelsData

__all__ = ["code_roles", "layer_study"]


def layer_study(
    image: "ImageData",
    *,
    task: str = "invert",
    prior: str | Path = "nuclei",
    cuts: Sequence[int] = (),
    codes: Sequence[int] = (1, 5, 10, 20),
    trial: bool = True,
    mask: "LabelsData | None" = None,
    truth: "ImageData | None" = None,
    factor: int = 4,
    quality: str | None = None,
    n_restarts: int | None = None,
    n_steps: int | None = None,
    region: Region = "middle",
    seed: int = 0,
    device: str = "auto",
) -> Study:
    """Do the same with an image at several cuts of a prior and with several numbers of codes.

    The layer study of Gu, Shen, Zhou, CVPR 2020,
    https://doi.org/10.1109/CVPR42600.2020.00308.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    task : {"invert", "inpaint", "missing", "denoise", "super-resolve", "colorize"}
        What is done.
    prior : str or Path
        Name of an installed prior, or a file.
    cuts : sequence of int
        Cuts; all from 1 to the last if left out.
    codes : sequence of int
        Numbers of codes.
    trial : bool
        The image is good: a copy is damaged (`DAMAGES` says how), restored, and compared with it.
        False restores the image itself.
    mask : array, optional
        (H, W); pixels that are not 0 are damaged. Without a trial.
    truth : array, optional
        What the results are compared with. Without a trial; without either, results are compared
        by their misfit on measured pixels that the search did not see.
    factor : {2, 4, 8, 16}
        For "super-resolve".
    quality : {"fast", "balanced", "best"}, optional
        Each combination is searched as long as the task is by itself; 2 searches of 60 evaluations
        if left out.
    n_restarts, n_steps : int, optional
        Searches of each combination, and their evaluations at the most, in place of those.
    region : tuple of int or str
        (top, left, bottom, right); "middle" is one drawing of the prior from the image's middle,
        "whole" all of it.
    seed, device
        As for `inpaint`.

    Returns
    -------
    Study
        Rows of figures, the stack of results, and what the study found.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError, ComputeError
        If an input cannot be used or the computation fails.
    """
    config = StudyConfig.of_quality(
        quality, task=task, cuts=tuple(cuts), codes=tuple(codes), n_restarts=n_restarts,
        n_steps=n_steps, trial=trial, factor=factor,
    )  # fmt: skip
    loaded = load_prior(find_prior(str(prior)))
    study = LayerStudy(
        image, loaded, config, mask=mask, truth=truth, region=region, seed=seed, device=device
    )
    for _ in study:
        pass
    return study.result()


def code_roles(
    image: "ImageData",
    *,
    prior: str | Path = "nuclei",
    codes: str | Path | None = None,
    quality: str = "balanced",
    region: Region = "middle",
    seed: int = 0,
    device: str = "auto",
) -> Roles:
    """Say which code draws what.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : str or Path
        Name of an installed prior, or a file.
    codes : str or Path, optional
        A file that `save_codes` wrote after an inversion of this part of the image; without it the
        image is inverted.
    quality, seed, device
        As for `invert`.
    region
        As for `layer_study`.

    Returns
    -------
    Roles
        Labels, each code's contribution, and what each draws alone.

    Raises
    ------
    ImageError, PriorError, StorageError, SettingsError, DeviceError, ComputeError
        If an input cannot be used (codes of another prior, for one) or the computation fails.
    """
    loaded = load_prior(find_prior(str(prior)))
    given = () if codes is None else load_codes(codes, loaded.sha256)
    roles = CodeRoles(
        image, loaded, codes=given, quality=quality, region=region, seed=seed, device=device
    )
    for _ in roles:
        pass
    return roles.result()
