"""Open files in a process that notices at once if anything in them runs.

``python guarded.py FILE...`` prints one line of JSON a file. Python tells an audit hook of every
program started, module imported, code executed, file written and class unpickled; here each of
them is counted and stopped. The process may take 1 GiB more than it had before the first file.
"""

import contextlib
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from foreign_files import write_foreign_files

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.imports import import_steps

__all__ = ["Tripped", "Tripwire", "limit_memory", "try_file", "warm_up"]

MEMORY = 1024**3  # bytes
DRAWING = 3  # the step with which the first picture is drawn; nothing is written before the last
STOPPED = (
    "_posixsubprocess",
    "code.__new__",
    "ctypes",
    "exec",
    "ftplib",
    "function.__new__",
    "http",
    "import",
    "marshal",
    "os.",
    "pathlib",
    "pickle.find_class",
    "pty",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "subprocess",
    "sys._getframe",
    "tempfile",
    "urllib",
    "webbrowser",
)
HARMLESS = {"os.listdir", "os.scandir", "os.fspath", "sys._getframe"}


class Tripped(BaseException):
    """Something in a file ran, or tried to."""


class Tripwire:
    """Counts and stops what no reader has to do; `armed` switches it."""

    def __init__(self) -> None:
        self.armed = False
        self.events: list[str] = []
        sys.addaudithook(self._heard)  # can never be taken away again

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed or event in HARMLESS:
            return
        writing = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if writing or event.startswith(STOPPED):
            self.events.append(f"{event} {args!r}"[:200])
            raise Tripped(self.events[-1])


def limit_memory(more: int = MEMORY) -> None:
    """Forbid this process to take more than so many bytes beyond what it has; Linux only."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def forget_peak() -> None:
    """Begin to measure the most memory anew; Linux only."""
    if peak_memory() > MEMORY // 4:  # else not worth the time
        gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the most memory this process had since `forget_peak`, in bytes; 0 if not known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def try_file(path: Path, tripwire: Tripwire) -> dict[str, Any]:
    """Import a file up to the first picture, and tell what came of it.

    Outcomes are ``refused`` by the reader, ``unknown`` (read, but of no known layout), ``drawn``;
    and those that must not be: ``tripped`` and ``crashed``.
    """
    n_events = len(tripwire.events)
    begun = time.monotonic()
    outcome, message, reached = "drawn", "", 0
    tripwire.armed = True
    try:
        for step in import_steps(path, name="x", folder=path.parent / "never-made"):
            reached = step.index
            if reached > DRAWING:
                break
    except MGANPriorError as error:
        outcome, message = "unknown" if reached else "refused", str(error)
    except Tripped as error:
        message = str(error)
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
        outcome, message = "crashed", f"{type(error).__name__}: {error}"
    finally:
        tripwire.armed = False
    return {
        "file": path.name,
        "outcome": "tripped" if len(tripwire.events) > n_events else outcome,
        "message": message,
        "seconds": round(time.monotonic() - begun, 3),
        "peak": peak_memory(),
    }


def warm_up() -> None:
    """Let libraries import what they import at first use, before the wire is armed."""
    with tempfile.TemporaryDirectory() as folder:
        for path in write_foreign_files(Path(folder)).values():
            for part in (1, 2):  # a whole file, and one that is refused
                path.write_bytes(path.read_bytes()[: path.stat().st_size // part])
                with contextlib.suppress(MGANPriorError):
                    for step in import_steps(path, folder=path.parent / "never-made"):
                        if step.index > DRAWING:
                            break


def main(names: list[str]) -> int:
    """Try files, one line each; a line before each tells which it was if the process dies."""
    warm_up()
    tripwire = Tripwire()
    limit_memory()
    for name in names:
        print(json.dumps({"begun": name}), flush=True)
        forget_peak()
        print(json.dumps(try_file(Path(name), tripwire)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
