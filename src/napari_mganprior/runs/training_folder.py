"""The folder of a training run: what was asked for, how far it is, and who works in it.

It outlives the program, so that a run goes on after a crash. Importing this imports no torch.
"""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_mganprior.errors import SettingsError, StorageError, TrainingError
from napari_mganprior.files import write_atomically
from napari_mganprior.files.locking import FileLock, is_locked
from napari_mganprior.priors import check_prior_name, prior_names, user_folder
from napari_mganprior.runs.training_news import TrainingPoint

__all__ = [
    "CHECKPOINT",
    "COPIED",
    "SavedRun",
    "TrainingOrder",
    "check_training_name",
    "hold_folder",
    "is_held",
    "is_run",
    "list_runs",
    "read_history",
    "read_order",
    "remove_run",
    "run_folder",
    "training_folder",
    "was_stopped",
    "write_history",
    "write_order",
    "write_progress",
]

CHECKPOINT = "checkpoint.pt"
COPIED = "sources"
"""What was copied out of layers."""

_ORDER, _PROGRESS, _HISTORY, _LOCK = "run.json", "progress.json", "history.json", "lock"
_VERSION = 1
_PATIENCE, _BETWEEN = 1.0, 0.05  # seconds for a folder to be free, and between two attempts


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOrder:
    """What a user asks of a training run; stored in its folder.

    Attributes
    ----------
    name : str
        Of the prior it becomes, and of its folder.
    inputs : tuple of str
        Files and folders with images, absolute paths; ``sources`` for what was copied from layers.
    shown : str
        Where the images come from, in words.
    domain, licence : str
        For the prior's card; may be empty.
    resolution : int
        Side of the crops in pixels, a power of two.
    minutes : float or None
        Time to train, above 0; None where the number of crops is given.
    n_images : int or None
        Crops to see, in place of a time.
    seed : int
        Of every random number of the run, 0 or more.
    device : str
        Where it computes.
    encoder : bool
        Whether an encoder is trained at the end, for a tenth of the time.
    settings : dict
        More fields of `TrainingConfig`, for those who know them.

    Raises
    ------
    SettingsError
        If something is missing or out of its range.
    """

    name: str
    inputs: tuple[str, ...]
    shown: str = ""
    domain: str = ""
    licence: str = ""
    resolution: int = 64
    minutes: float | None = 30.0
    n_images: int | None = None
    seed: int = 0
    device: str = "auto"
    encoder: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_prior_name(self.name)
        if not self.inputs:
            raise SettingsError("Got no images to train on; wanted layers or files. Choose some.")
        if (self.minutes is None) == (self.n_images is None):
            raise SettingsError(
                f"Got minutes {self.minutes} and n_images {self.n_images}; wanted one of the two. "
                "Leave the other out."
            )
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise SettingsError(
                f"Got a time of {self.minutes} minutes; wanted more than 0. Try 30."
            )
        if self.n_images is not None and self.n_images < 1:
            raise SettingsError(f"Got {self.n_images} crops; wanted 1 or more. Try 50000.")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {"version": _VERSION, **asdict(self), "inputs": list(self.inputs)}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "TrainingOrder":
        """Read what `to_dict` wrote; SettingsError where it is something else."""
        known = {f.name for f in fields(cls)}
        try:
            given = {key: value for key, value in raw.items() if key in known}
            return cls(**{**given, "inputs": tuple(map(str, given["inputs"]))})
        except (KeyError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"Got an order that does not fit ({error}); wanted one that a training run wrote. "
                "Discard the run."
            ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedRun:
    """A run that has not ended, as the disk knows it.

    Attributes
    ----------
    order : TrainingOrder
        What was asked for.
    folder : Path
        Where it lies.
    images_seen : int
        Crops up to the last checkpoint.
    n_images : int
        Crops at its end; 0 while that is not known.
    stopped : bool
        Whether it was told to stop: only its prior is still to be made.
    """

    order: TrainingOrder
    folder: Path
    images_seen: int
    n_images: int
    stopped: bool = False

    @property
    def trained(self) -> bool:
        """Whether training is over, so that only the prior is still to be made."""
        return self.stopped or 0 < self.n_images <= self.images_seen


def training_folder() -> Path:
    """Return the folder of the runs that have not ended; it need not exist."""
    return user_folder() / "training"


def run_folder(name: str) -> Path:
    """Return the folder of the run of this name; it need not exist.

    Raises
    ------
    SettingsError
        If the name cannot be a file's.
    """
    check_prior_name(name)
    return training_folder() / name


def check_training_name(name: str) -> None:
    """Refuse a name that a new run cannot have.

    Raises
    ------
    SettingsError
        If it cannot be a file's name, or a prior or another run has it.
    """
    check_prior_name(name)
    if name in prior_names():
        raise SettingsError(
            f"Got the name {name!r}, which a prior has already; wanted a new one. Choose another, "
            "or remove that prior in the form Priors."
        )
    if is_run(run_folder(name)):
        raise SettingsError(
            f"Got the name {name!r}, which a run has that has not ended; wanted a new one. Resume "
            "or discard that run, or choose another name."
        )


def write_order(folder: Path, order: TrainingOrder) -> None:
    """Store what is asked for; StorageError if that fails."""
    _write(folder / _ORDER, order.to_dict())


def read_order(folder: Path) -> TrainingOrder:
    """Read what was asked for.

    Raises
    ------
    TrainingError
        If the file is missing or damaged.
    """
    try:
        return TrainingOrder.from_dict(json.loads((folder / _ORDER).read_bytes()))
    except (OSError, ValueError) as error:  # SettingsError is a ValueError
        raise TrainingError(
            f"Could not read {folder / _ORDER} ({error}); wanted what was asked of the run. "
            "Discard the run and start it again."
        ) from error


def write_progress(folder: Path, images_seen: int, n_images: int, *, stopped: bool = False) -> None:
    """Store how far the checkpoint is, and whether that is the end; StorageError if that fails."""
    values = {"images_seen": images_seen, "n_images": n_images, "stopped": stopped}
    _write(folder / _PROGRESS, values)


def was_stopped(folder: Path) -> bool:
    """Whether a run was told to stop, and is to train no more."""
    return bool(_read_progress(folder)["stopped"])


def write_history(folder: Path, points: list[TrainingPoint]) -> None:
    """Store the curves up to the checkpoint; StorageError if that fails."""
    _write(folder / _HISTORY, [list(point) for point in points])


def read_history(folder: Path, images_seen: int) -> list[TrainingPoint]:
    """Read the curves up to a checkpoint; what cannot be read is no loss."""
    try:
        raw = json.loads((folder / _HISTORY).read_bytes())
        points = [TrainingPoint(*values) for values in raw]
        return [point for point in points if point.images_seen <= images_seen]
    except (OSError, ValueError, TypeError):
        return []


def list_runs() -> tuple[SavedRun, ...]:
    """Return the runs that can go on, in alphabetical order; not those that are under way."""
    found = []
    for path in sorted(training_folder().glob(f"*/{_ORDER}")):
        with contextlib.suppress(TrainingError):
            order, held = read_order(path.parent), is_held(path.parent)
            if not held:
                found.append(
                    SavedRun(order=order, folder=path.parent, **_read_progress(path.parent))
                )
    return tuple(found)


def remove_run(folder: Path) -> None:
    """Delete a run and all that belongs to it.

    Raises
    ------
    TrainingError
        If a process works at it.
    StorageError
        If it cannot be deleted.
    """
    if not folder.exists():
        return
    try:
        with hold_folder(folder):
            (folder / _ORDER).unlink(missing_ok=True)  # first: without it there is no run
            if sys.platform != "win32":  # there an open file cannot be deleted
                shutil.rmtree(folder)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        why = getattr(error.__cause__, "strerror", None) or error.strerror or error
        raise StorageError(
            f"Could not remove {folder} ({why}); wanted permission to delete "
            "there. Close other programs that use it, or delete it yourself."
        ) from error


def is_held(folder: Path) -> bool:
    """Whether a process works in a folder."""
    return is_locked(folder / _LOCK)


def is_run(folder: Path) -> bool:
    """Whether there is a run in a folder that can go on."""
    return (folder / _ORDER).exists()


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep others from working in a folder; the system lets go when this process dies.

    Raises
    ------
    TrainingError
        If another process works in it.
    StorageError
        If there can be no file in it.
    """
    with FileLock(folder / _LOCK) as lock:
        last = time.monotonic() + _PATIENCE
        try:
            while not (mine := lock.take()) and time.monotonic() < last:
                time.sleep(_BETWEEN)  # `is_held` holds it for an instant, too
        except OSError as error:
            file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
            told = (
                f"Could not write into {folder} ({error.strerror or error}); wanted permission to."
                if file is None
                else f"Got {folder} to train in, where {file} is a file; wanted a folder."
            )
            raise StorageError(
                f"{told} Choose another folder: with -o in the shell; for the form, another cache "
                "folder in Preferences."
            ) from error
        if not mine:
            raise TrainingError(
                f"Got the run in {folder}, which another process works at; wanted one that is "
                "free. Wait until it has ended, or choose another name or folder."
            )
        yield


def _read_progress(folder: Path) -> dict[str, Any]:
    try:
        raw = json.loads((folder / _PROGRESS).read_bytes())
        numbers = {key: int(raw[key]) for key in ("images_seen", "n_images")}
        return {**numbers, "stopped": raw.get("stopped") is True}
    except (OSError, ValueError, KeyError, TypeError):
        return {"images_seen": 0, "n_images": 0, "stopped": False}


def _write(path: Path, values: Any) -> None:
    write_atomically(path, json.dumps(values, allow_nan=False).encode())
