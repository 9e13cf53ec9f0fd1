"""The seconds an evaluation takes on this machine: kept in a file, asked for before a run."""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from napari_mganprior.errors import StorageError
from napari_mganprior.files import write_atomically
from napari_mganprior.inversion.config import METHODS, QUALITIES, preset
from napari_mganprior.runs.windows import KINDS, Windows
from napari_mganprior.settings import cache_folder

__all__ = ["PICTURE_IN_CODES", "PaceStore", "Setup"]

_FORMAT = 1
_RUNS_KEPT = 5
_MOST_ENTRIES = 500  # of a table; the oldest go
_LONGEST = 1e6  # s; a number beyond was not measured here
# What the qualities of one machine cost relative to each other, where only one was measured:
# every restart draws its codes up to the cut and one picture from there on, which costs about as
# much as 3 codes (0.6 to 9 on a CPU, by precision and cut). Thin damage is cut later.
PICTURE_IN_CODES = 3
_THIN_BY_THICK = 1.5


@dataclass(frozen=True, slots=True)
class Setup:
    """What the pace of a run depends on, besides its quality and the machine.

    Attributes
    ----------
    sha256 : str
        Of the prior's file.
    device, precision : str
        As asked for, ``"auto"`` included.
    threads : int
        CPU threads as asked for; 0 leaves the choice to torch.
    """

    sha256: str
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0


class PaceStore:
    """Measured seconds per evaluation, in a JSON file of the cache folder.

    A missing or damaged file counts as empty. Two processes that write at the same moment may
    lose one of the two measurements, never the file.

    Parameters
    ----------
    folder : Path, optional
        Where the file is; `cache_folder` if left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.path = self.folder / "seconds.json"

    def keep_device(self, setup: Setup, device: str, *, name: str, precision: str) -> None:
        """Keep what a device that was asked for turned out to be.

        Parameters
        ----------
        setup : Setup
            What was asked for.
        device : str
            The device, as torch writes it.
        name : str
            Its maker's name for it, empty for a CPU.
        precision : str
            What ``"auto"`` means on it.
        """
        found = {"device": device, "name": name, "auto": precision}
        self._put("devices", _machine(setup.device), lambda _: found)

    def keep_loading(self, setup: Setup, seconds: float) -> None:
        """Keep how long it took to load torch and a prior, and to make a first step."""
        self._put("loading", _machine(setup.device), lambda _: seconds)

    def keep_measured(self, setup: Setup, quality: str, kind: str, seconds: float) -> None:
        """Keep the seconds of an evaluation that the measuring program found.

        Parameters
        ----------
        setup : Setup
            Its device must have been kept.
        quality : str
            One of `QUALITIES`.
        kind : str
            One of `KINDS`.
        seconds : float
            Per evaluation, a window's share of other work included.
        """
        config = preset(quality)
        key = self._key(_table(self._read(), "devices"), setup, config.n_restarts, config.n_codes)
        if key is not None:
            self._put("seconds", f"{key} | {kind}", lambda old: {**_entry(old), "first": seconds})

    def record(
        self,
        recipe: dict[str, Any],
        windows: Windows,
        setup: Setup,
        *,
        seconds: float | None = None,
    ) -> bool:
        """Learn from a run that was made.

        Parameters
        ----------
        recipe : dict
            Of its `Restoration`; also of one stopped early.
        windows : Windows
            What it searched, from `count_windows`.
        setup : Setup
            What was asked for; the recipe says what it turned out to be.
        seconds : float, optional
            Without pauses; the recipe's if left out, which contain them.

        Returns
        -------
        bool
            Whether it could be used.
        """
        try:
            config, evaluations = recipe["config"], _evaluations(recipe)
            restarts, codes = int(config["n_restarts"]), int(config["n_codes"])
            device, precision = str(recipe["device"]), str(config["precision"])
            fits = recipe["prior"]["sha256"] == setup.sha256
            spent = float(recipe["seconds"] if seconds is None else seconds)
            # a quality is searched by the first method; others cost otherwise
            fits &= config.get("method", METHODS[0]) == METHODS[0]
            fits &= not config.get("tune_steps", 0)
        except (KeyError, TypeError, ValueError):
            return False
        if not (fits and windows.total and evaluations > 0 and 0 < spent < _LONGEST):
            return False
        known = _device(self._read(), setup) or {"device": "", "name": ""}
        name = _name(device) or (known["name"] if known["device"] == device else "")
        if (known["device"], known["name"]) != (device, name):
            automatic = precision if setup.precision == "auto" else ""
            self.keep_device(setup, device, name=name, precision=automatic)
        key = self._key(_table(self._read(), "devices"), setup, restarts, codes)
        if key is None:
            return False
        # what one window of each kind cost, if they cost what such windows usually do
        share = windows.thin / windows.total
        thick = spent / evaluations / (1 + share * (_THIN_BY_THICK - 1))
        for kind, pace in (("thick", thick), ("thin", thick * _THIN_BY_THICK)):
            if getattr(windows, kind) > 0:
                self._put("seconds", f"{key} | {kind}", lambda old, pace=pace: _longer(old, pace))
        return True

    def pace(self, setup: Setup, quality: str, kind: str) -> float | None:
        """Return the seconds of an evaluation; None where nothing is known.

        It is the median of the last five runs, else what the measuring program found, else scaled
        from another quality or kind of damage: in proportion to restarts x (codes + 3), and 1.5
        for thin damage.

        Parameters
        ----------
        setup : Setup
            What is asked for.
        quality : str
            One of `QUALITIES`.
        kind : str
            One of `KINDS`.
        """
        return self._pace(self._read(), setup, quality, kind)

    def estimate(
        self,
        setup: Setup,
        windows: Windows,
        *,
        loaded: bool = True,
        effort: Mapping[str, float] | None = None,
    ) -> dict[str, float | None]:
        """Estimate the seconds of a run of each quality.

        Parameters
        ----------
        setup : Setup
            What is asked for.
        windows : Windows
            What is to be searched, from `count_windows`.
        loaded : bool
            Whether torch and the prior are in memory already; else loading them is added.
        effort : mapping, optional
            Quality -> how many times its work for filling holes; once if left out.

        Returns
        -------
        dict
            Quality -> seconds at the most, or None where nothing was measured.
        """
        raw = self._read()
        loading = _table(raw, "loading").get(_machine(setup.device), 0.0)
        extra = 0.0 if loaded or not _is_seconds(loading) else loading
        found: dict[str, float | None] = {}
        for quality in QUALITIES:
            paces = [self._pace(raw, setup, quality, kind) for kind in KINDS]
            searched = sum(
                getattr(windows, kind) * pace
                for kind, pace in zip(KINDS, paces, strict=True)
                if pace is not None
            )
            known = windows.total > 0 and None not in paces
            steps = preset(quality).n_steps * (1.0 if effort is None else effort[quality])
            found[quality] = extra + steps * searched if known else None
        return found

    def _pace(self, raw: dict[str, Any], setup: Setup, quality: str, kind: str) -> float | None:
        seconds = _table(raw, "seconds")
        # the same kind of damage first, then the quality that costs most nearly the same
        others = sorted(
            ((k, q) for k in KINDS for q in QUALITIES),
            key=lambda other: (other[0] != kind, abs(_work(other[1]) - _work(quality))),
        )
        for other_kind, other in others:
            config = preset(other)
            key = self._key(_table(raw, "devices"), setup, config.n_restarts, config.n_codes)
            entry = _entry(seconds.get(f"{key} | {other_kind}"))
            pace = median(entry["runs"]) if entry["runs"] else entry["first"]
            if pace is not None:
                step = KINDS.index(kind) - KINDS.index(other_kind)
                return float(pace * _work(quality) / _work(other) * _THIN_BY_THICK**step)
        return None

    def _key(self, devices: dict[str, Any], setup: Setup, restarts: int, codes: int) -> str | None:
        known = _device({"devices": devices}, setup)
        if known is None:
            return None
        precision = known["auto"] if setup.precision == "auto" else setup.precision
        what = (setup.sha256, known["device"], known["name"], precision, f"{restarts}x{codes}")
        return " | ".join((*what, _threads(setup.threads), _machine("")))

    def _read(self) -> dict[str, Any]:
        try:
            raw = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        fits = isinstance(raw, dict) and raw.get("format") == _FORMAT
        return raw if fits else {}

    def _put(self, table: str, key: str, change: Any) -> None:
        raw = {"format": _FORMAT, **self._read()}
        entries = _table(raw, table)
        entries[key] = change(entries.pop(key, None))  # popped: what is new stands last
        raw[table] = dict(list(entries.items())[-_MOST_ENTRIES:])
        # times are a comfort: a full disk must not end a run
        with contextlib.suppress(StorageError):
            write_atomically(self.path, json.dumps(raw, indent=1).encode())


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return dict(found) if isinstance(found, dict) else {}


def _entry(raw: Any) -> dict[str, Any]:
    """Take what is usable of an entry: the last runs, and what was measured first."""
    raw = raw if isinstance(raw, dict) else {}
    runs, first = raw.get("runs"), raw.get("first")
    return {
        "runs": [s for s in runs if _is_seconds(s)] if isinstance(runs, list) else [],
        "first": first if _is_seconds(first) else None,
    }


def _longer(raw: Any, pace: float) -> dict[str, Any]:
    entry = _entry(raw)
    return {**entry, "runs": [*entry["runs"], pace][-_RUNS_KEPT:]}


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < _LONGEST


def _work(quality: str) -> float:
    config = preset(quality)
    return config.n_restarts * (config.n_codes + PICTURE_IN_CODES)


def _evaluations(recipe: dict[str, Any]) -> int:
    """Count the evaluations of the last part of a run, to which the recipe's seconds belong."""
    sessions = recipe.get("sessions") or [recipe]
    return int(sessions[-1]["evaluations"])


def _device(raw: dict[str, Any], setup: Setup) -> dict[str, str] | None:
    found = _table(raw, "devices").get(_machine(setup.device))
    if not isinstance(found, dict):
        return None
    if not all(isinstance(found.get(key), str) for key in ("device", "name", "auto")):
        return None
    return found if found["auto"] or setup.precision != "auto" else None


def _name(device: str) -> str:
    """Return the name of a graphics card, if torch, loaded by a run, can be asked for it."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(device)) if torch and "cuda" in device else ""


def _threads(asked: int) -> str:
    if asked <= 0:
        preset_by = os.environ.get("OMP_NUM_THREADS", "")
        count = getattr(os, "process_cpu_count", os.cpu_count)
        asked = int(preset_by) if preset_by.isdecimal() else count() or 1
    return f"{asked} threads"


def _machine(device: str) -> str:
    """Name this machine, its torch, and a device as asked for."""
    return " | ".join(filter(None, (device, platform.node(), _cpu(), f"torch {_torch()}")))


@lru_cache(maxsize=1)
def _cpu() -> str:
    with contextlib.suppress(OSError):  # only Linux has it; platform says nothing there
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@lru_cache(maxsize=1)
def _torch() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "unknown"
