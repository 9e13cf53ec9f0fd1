"""What the user prefers, and what a form said last; kept in JSON files between sessions.

They lie in the user's configuration folder, or in the one that the environment variable
``NAPARI_MGANPRIOR_CONFIG`` names: ``preferences.json`` and ``last/TASK.json``. Every file is
replaced whole, so two programs that write at once leave one of their two files, never a mixture.
A file that cannot be understood is put aside under the same name with ``.bad`` behind it.
"""

import contextlib
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from napari_mganprior.errors import SettingsError, StorageError

__all__ = [
    "Preferences",
    "cache_folder",
    "config_folder",
    "is_offline",
    "load_preferences",
    "read_preferences",
    "recall",
    "remember",
    "save_preferences",
]

_FOLDER_VARIABLE = "NAPARI_MGANPRIOR_CONFIG"
_CACHE_VARIABLE = "NAPARI_MGANPRIOR_CACHE"
_OFFLINE_VARIABLE = "NAPARI_MGANPRIOR_OFFLINE"
_APP = "napari-mganprior"
_PRECISIONS = ("auto", "float32", "bfloat16")
_MOST_THREADS = 1024
_PREVIEW_RATES = (0.1, 25.0)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
_TASK = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What holds for every run unless its form says otherwise.

    Attributes
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    threads : int
        Processor threads of a run, 0 to 1024; 0 leaves the choice to PyTorch.
    cache_folder : str
        Where downloads, timings and priors are kept, an absolute path, ``~`` allowed; empty for
        the system's own place.
    precision : str
        ``"auto"``, ``"float32"`` or ``"bfloat16"``.
    default_prior : str
        Name of the prior that a new form offers first; not empty. It need not be there.
    preview_rate : float
        Live previews a second at most, 0.1 to 25.
    process_mode : bool
        Whether runs happen in a process of their own.
    offline : bool
        Whether nothing may be downloaded.

    Raises
    ------
    SettingsError
        If a value is of another type or out of its range.
    """

    device: str = "auto"
    threads: int = 0
    cache_folder: str = ""
    precision: str = "auto"
    default_prior: str = "nuclei"
    preview_rate: float = 4.0
    process_mode: bool = False
    offline: bool = False

    def __post_init__(self) -> None:
        text = ("device", "cache_folder", "precision", "default_prior")
        for name in text:
            if not isinstance(getattr(self, name), str):
                raise _unwanted(name, getattr(self, name), "text", "Put it into quotes")
        if not _DEVICE.fullmatch(self.device):
            raise _unwanted("device", self.device, "auto, cpu, cuda, cuda:N or mps", "Choose auto")
        if not _is_whole(self.threads) or not 0 <= self.threads <= _MOST_THREADS:
            wanted = f"a whole number from 0 to {_MOST_THREADS}"
            raise _unwanted("threads", self.threads, wanted, "0 leaves the choice to PyTorch")
        if self.cache_folder and not _is_absolute(self.cache_folder):
            wanted = "an absolute path, or nothing"
            raise _unwanted("cache_folder", self.cache_folder, wanted, "Write the whole path")
        if self.precision not in _PRECISIONS:
            raise _unwanted("precision", self.precision, ", ".join(_PRECISIONS), "Choose auto")
        if not self.default_prior.strip():
            raise _unwanted("default_prior", self.default_prior, "a prior's name", "Try nuclei")
        low, high = _PREVIEW_RATES
        if not _is_number(self.preview_rate) or not low <= self.preview_rate <= high:
            wanted = f"a number from {low:g} to {high:g}"
            raise _unwanted("preview_rate", self.preview_rate, wanted, "4 a second is usual")
        for name in ("process_mode", "offline"):
            if not isinstance(getattr(self, name), bool):
                raise _unwanted(name, getattr(self, name), "true or false", "Choose one")


def config_folder() -> Path:
    """Return the folder of the files, which need not exist."""
    if folder := os.environ.get(_FOLDER_VARIABLE):
        return Path(folder).expanduser()
    from platformdirs import user_config_path

    return user_config_path(_APP, appauthor=False)


def cache_folder(preferences: Preferences | None = None) -> Path:
    """Return where downloads and timings are kept; it need not exist.

    The environment variable ``NAPARI_MGANPRIOR_CACHE`` names another folder.

    Parameters
    ----------
    preferences : Preferences, optional
        Those to obey; the stored ones if not given.
    """
    if folder := os.environ.get(_CACHE_VARIABLE):
        return Path(folder).expanduser()
    chosen = (preferences or load_preferences()).cache_folder
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path(_APP, appauthor=False)


def is_offline(preferences: Preferences | None = None) -> bool:
    """Whether nothing may be downloaded.

    The environment variable ``NAPARI_MGANPRIOR_OFFLINE`` decides where it is set: ``0``, ``no``,
    ``off`` and ``false`` allow downloads, anything else forbids them.

    Parameters
    ----------
    preferences : Preferences, optional
        Those to obey; the stored ones if not given.
    """
    if said := os.environ.get(_OFFLINE_VARIABLE, "").strip().lower():
        return said not in ("0", "no", "off", "false")
    return (preferences or load_preferences()).offline


def read_preferences(values: Mapping[str, Any], source: str) -> Preferences:
    """Take from a mapping what can be used, and the defaults for the rest.

    Parameters
    ----------
    values : mapping
        By the names of `Preferences`. A warning is logged for every unknown name and every value
        that cannot be used.
    source : str
        Where the values come from; for the warnings.
    """
    known = {field.name for field in fields(Preferences)}
    taken = Preferences()
    for name, value in values.items():
        if name not in known:
            _log.warning("%s: there is no preference %r; it is left out", source, name)
            continue
        try:
            taken = replace(taken, **{name: value})
        except SettingsError as error:
            _log.warning("%s: %s The default is taken.", source, error)
    return taken


def load_preferences() -> Preferences:
    """Read the stored preferences; the defaults where there is nothing that can be used."""
    path = _preferences_path()
    return read_preferences(_load(path), path.name)


def save_preferences(preferences: Preferences) -> None:
    """Store preferences in place of the earlier ones.

    Parameters
    ----------
    preferences : Preferences
        All of them.

    Raises
    ------
    StorageError
        If the folder cannot be written to, or the disk is full.
    """
    _save(_preferences_path(), asdict(preferences))


def remember(task: str, form: Mapping[str, Any]) -> None:
    """Store what a task's form says, in place of what it said before.

    A disk that cannot be written to is no reason not to run: it is logged as a warning.

    Parameters
    ----------
    task : str
        Name of the task, for example ``"inpaint"``: small letters, digits, ``-`` and ``_``.
    form : mapping
        JSON-able.

    Raises
    ------
    SettingsError
        If the task's name is none, or the form holds what JSON cannot.
    """
    path = _form_path(task)
    try:
        _save(path, dict(form))
    except StorageError as error:
        _log.warning("The settings of %s are not remembered: %s", task, error)


def recall(task: str) -> dict[str, Any]:
    """Return what a task's form said last; empty if that is unknown.

    Parameters
    ----------
    task : str
        As for `remember`.

    Raises
    ------
    SettingsError
        If the task's name is none.
    """
    return _load(_form_path(task))


def _preferences_path() -> Path:
    return config_folder() / "preferences.json"


def _form_path(task: str) -> Path:
    if not _TASK.fullmatch(task):
        wanted = "small letters, digits, - and _"
        raise _unwanted("task", task, wanted, "Give it the name of a task, such as inpaint")
    # A file for each: two programs that run different tasks do not undo each other's.
    return config_folder() / "last" / f"{task}.json"


def _save(path: Path, values: dict[str, Any]) -> None:
    try:
        text = json.dumps(values, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"Got values for {path.name} that JSON cannot hold ({error}); wanted text, finite "
            "numbers, true, false, null, lists and dicts of them. Convert them first."
        ) from error
    from napari_mganprior.files import write_atomically  # brings numpy, which reading need not

    write_atomically(path, f"{text}\n".encode())


def _load(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        _log.warning("%s cannot be read (%s); the defaults are taken", path, error)
        return {}
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        return _put_aside(path, str(error))
    return values if isinstance(values, dict) else _put_aside(path, "it holds no JSON object")


def _put_aside(path: Path, why: str) -> dict[str, Any]:
    bad = path.with_name(f"{path.name}.bad")
    _log.warning("%s is damaged (%s); the defaults are taken, it is kept as %s", path, why, bad)
    with contextlib.suppress(OSError):  # read-only, or another program was faster
        path.replace(bad)
    return {}


def _unwanted(name: str, got: object, wanted: str, advice: str) -> SettingsError:
    return SettingsError(f"Got {name} {got!r}; wanted {wanted}. {advice}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_absolute(path: str) -> bool:
    try:
        return Path(path).expanduser().is_absolute()
    except RuntimeError:  # ~NAME of nobody here
        return False
