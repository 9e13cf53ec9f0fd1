"""One image file restored as a run: read, restored and written in the run's thread."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_mganprior.errors import MaskError
from napari_mganprior.files import check_output
from napari_mganprior.runs.base import Task, TaskStep
from napari_mganprior.runs.batch import Laid, lay_out, write_result
from napari_mganprior.runs.opening import open_task
from napari_mganprior.runs.request import RunRequest

__all__ = ["FileRequest", "FileTask", "open_any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRequest:
    """One image file, to be restored into another.

    Attributes
    ----------
    path, output : Path
        The files.
    masks : Path
        The mask's file, or a folder of masks, as for `batch.find_mask`.
    scope : str
        "slice" for an image of one plane, "slices" or "channels" for several.
    invert : bool
        Whether damage is where the mask is 0.
    options : dict
        Keywords of `RunRequest`: prior, quality, task, seed, and so on.
    preview_interval, history
        As in `RunRequest`; a batch shows neither.
    """

    path: Path
    output: Path
    masks: Path
    scope: str = "slice"
    invert: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    preview_interval: float | None = None
    history: bool = False

    @property
    def device(self) -> str:
        """Where it is to be computed."""
        return str(self.options.get("device", "auto"))


class FileTask:
    """A restoration that is written to a file when its result is asked for.

    Parameters
    ----------
    task : Task
        What computes.
    laid : Laid
        What was read.
    output : Path
        Where to.
    """

    def __init__(self, task: Task, laid: Laid, output: Path) -> None:
        self._task, self._laid, self._output = task, laid, output

    def __iter__(self) -> Iterator[TaskStep]:
        """Compute."""
        return iter(self._task)

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far."""
        return self._task.preview()

    def result(self) -> Any:
        """Write the file and return the restoration."""
        restoration = self._task.result()
        write_result(self._output, self._laid, restoration)
        return restoration


def open_any(request: RunRequest | FileRequest) -> Task:
    """Open a request of either kind.

    Parameters
    ----------
    request : RunRequest or FileRequest
        What is asked for.

    Raises
    ------
    MGANPriorError
        If a file, an input or a setting is refused.
    """
    if isinstance(request, RunRequest):
        return open_task(request)
    # only colours that are told apart need to be known beforehand
    planes = {"planes": {}, "image": {"dimensions": [3] if request.scope == "channels" else []}}
    recipe = {} if request.scope == "slice" else planes
    laid = lay_out(request.path, recipe, request.masks)
    if laid.mask is None:
        raise MaskError(
            f"Got no mask for {request.path.name}; wanted its damage. Choose a mask, or a folder "
            "of masks."
        )
    shown = laid.file.array if laid.colours_apart else laid.image
    check_output(request.output, shown, overwrite=True, planes=laid.planes)
    task = open_task(
        RunRequest(
            image=laid.image,
            mask=~laid.mask if request.invert else laid.mask,
            planes="one" if request.scope == "slice" else request.scope,
            **request.options,
        )
    )
    return FileTask(task, laid, request.output)
