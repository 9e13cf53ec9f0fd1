"""From a task's name and its inputs to what does it: one plane, a series, or several proposals."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from numpy.typing import ArrayLike

from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.making import make_task
from napari_mganprior.restore.proposals import Proposals, check_proposals
from napari_mganprior.restore.result import Restoration, RestoreStep
from napari_mganprior.restore.series import Series
from napari_mganprior.restore.tasks import find_task

__all__ = ["Run", "open_run", "restored"]

Run = WindowTask | Series


def open_run(
    task: str,
    image: Any,
    prior: LoadedPrior,
    *,
    mask: ArrayLike | None = None,
    planes: str = "one",
    options: Mapping[str, Any] | None = None,
    damage: DamageConfig | None = None,
    **engine: Any,
) -> Run:
    """Check everything and return what is to be iterated over.

    Parameters
    ----------
    task : str
        Its name, as `restore.tasks.TASKS` has it.
    image : array
        (H, W) or (H, W, 3); (P, H, W) or (P, H, W, 3) for several planes, which may be lazy.
    prior : LoadedPrior
        What draws.
    mask : array, optional
        (H, W) or (P, H, W); not 0 where pixels are damaged or bad.
    planes : {"one", "slices", "channels"}
        One plane; several that resemble their neighbours, or that do not.
    options : mapping, optional
        What the task is told.
    damage : DamageConfig, optional
        For inpainting.
    **engine
        quality, config, overrides, seed, device, zoom, precision and start, as for `Inpainting`.

    Raises
    ------
    MGANPriorError
        If something cannot be used; the message says what to do.
    """
    told = find_task(task).told(options or {})
    proposals = told.get("proposals", 1)
    check_proposals(proposals)
    if planes == "one" and proposals == 1:
        return make_task(task, image, prior, mask=mask, options=told, damage=damage, **engine)
    if planes == "one":
        return Proposals(image, prior, proposals=proposals, task=task, options=told, **engine)
    if proposals > 1:
        raise SettingsError(
            f"Got {proposals} proposals for each of several planes; wanted one. Choose one "
            "proposal, or the current slice."
        )
    return Series(
        image, mask, prior, task=task, options=told, linked=planes == "slices", damage=damage,
        **engine,
    )  # fmt: skip


class _Finishing(Protocol):
    def __iter__(self) -> Iterator[RestoreStep]: ...

    def result(self) -> Restoration: ...


def restored(run: _Finishing) -> Restoration:
    """Let a run go on to its end and return its result."""
    for _ in run:
        pass
    return run.result()
