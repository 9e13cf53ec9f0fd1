"""What is done to priors in a thread: installed, a stranger's file imported, samples drawn.

All are generators of frozen steps; a `PriorJob` goes through one of them. Importing this file
imports no torch.
"""

import atexit
import contextlib
import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.priors import remove_prior
from napari_mganprior.runs.collector import CollectorHold, collect_if_due, start_held
from napari_mganprior.runs.failures import explain, forget_frames

if TYPE_CHECKING:
    from napari_mganprior.priors import InstallStep, PriorEntry

__all__ = [
    "LAYOUTS",
    "ImportOrder",
    "InstallOrder",
    "PriorEnd",
    "PriorJob",
    "PriorStep",
    "PriorWork",
    "draw_sheet",
    "import_foreign",
    "install_asked",
]

LAYOUTS = (
    "pggan",
    "pggan-zoo",
    "pggan-tf",
    "stylegan",
    "stylegan2",
    "stylegan2-rosinality",
    "stylegan2-nvidia",
    "biggan-deep",
    "biggan",
    "dcgan",
)
"""`imports.adapter_names` without "described", which needs an architecture file; listed here
because asking the adapters themselves loads torch.
"""

_log = logging.getLogger(__name__)
_PAUSE_WHEN_LEAVING = 10.0
_KEPT = "no prior was installed; what was downloaded is kept, and the next try goes on from there"
_SHEET = 512  # px, about the side of a sheet
_MOST, _LEAST = 8, 2  # samples along a side of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOrder:
    """What a user asks of an import.

    Attributes
    ----------
    path : Path
        The stranger's file.
    name : str
        Of the new prior; the file's own if empty.
    layout : str or None
        One of `LAYOUTS`; recognised if None.
    description : Path or None
        An architecture file, in place of a layout.
    number : int or None
        Class of a conditional generator, 0 or more; None where it has none.
    truncation : float
        Above 0, 1 at most; 1 is none.
    licence : str
        Under which the weights may be used.
    """

    path: Path
    name: str = ""
    layout: str | None = None
    description: Path | None = None
    number: int | None = None
    truncation: float = 1.0
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOrder:
    """What a user asks of an installation.

    Attributes
    ----------
    source : str
        A file, a folder, or an https address.
    name : str
        Of the new prior; the file's own if empty.
    sha256 : str
        What the file must have; anything if empty.
    """

    source: str
    name: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriorStep:
    """Where the work on a prior is.

    Attributes
    ----------
    index, n_steps : int
        Steps done, of how many; 0 of 0 while it is not known.
    doing : str
        What comes next, in words.
    name : str
        The prior, in the last step; empty before.
    sheet : array or None
        Its samples side by side, bytes (H, W) or (H, W, 3), in the last step of `draw_sheet`.
    note : str
        What there is to say at the end, in the last step.
    left : str
        What is left if it is cancelled here, in words.
    """

    index: int = 0
    n_steps: int = 0
    doing: str
    name: str = ""
    sheet: NDArray[Any] | None = None
    note: str = ""
    left: str = "nothing was written"


PriorWork = Generator[PriorStep]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriorEnd:
    """How the work on a prior ended; with neither, it was cancelled.

    Attributes
    ----------
    step : PriorStep or None
        The last one.
    error : MGANPriorError or None
        Why it failed, in words for people.
    """

    step: PriorStep | None = None
    error: MGANPriorError | None = None


def import_foreign(order: ImportOrder) -> PriorWork:
    """Make a prior from somebody else's file.

    Closed before it has ended, also at its last step, it leaves nothing behind.

    Parameters
    ----------
    order : ImportOrder
        What is asked for.

    Yields
    ------
    PriorStep
        Before each stage what it does.

    Raises
    ------
    MGANPriorError
        If the file or an option is refused, or the prior cannot be written.
    """
    yield PriorStep(doing="loading PyTorch")
    from napari_mganprior.imports import import_steps, read_description

    options: dict[str, Any] = {}
    if order.number is not None:
        options["class"] = order.number
    if order.truncation != 1.0:
        options["truncation"] = order.truncation
    layout = order.layout
    if order.description is not None:
        layout, options["description"] = "described", read_description(order.description)
    steps = import_steps(
        order.path,
        name=order.name or None,
        architecture=layout,
        options=options,
        licence=order.licence,
    )
    with contextlib.closing(steps):
        for step in steps:
            entry = step.entry
            try:
                yield PriorStep(
                    index=step.index,
                    n_steps=step.n_steps,
                    doing=step.doing,
                    name="" if entry is None else entry.name,
                )
            except GeneratorExit:
                if entry is not None:
                    _undo(entry)
                raise


def install_asked(order: InstallOrder) -> PriorWork:
    """Install a prior, or all priors of a folder.

    Closed before it has ended, also at its last step, it leaves no prior behind; what has been
    downloaded is kept for the next try.

    Parameters
    ----------
    order : InstallOrder
        What is asked for.

    Yields
    ------
    PriorStep
        How far it is.

    Raises
    ------
    MGANPriorError
        If the source or an option is refused, or the prior cannot be written.
    """
    yield PriorStep(doing="looking at the source")
    from napari_mganprior.priors import install_steps

    steps = install_steps(
        order.source, sha256=order.sha256 or None, name=order.name or None, overwrite=False
    )
    with contextlib.closing(steps):
        for step in steps:
            try:
                yield PriorStep(
                    index=step.index,
                    n_steps=step.n_steps,
                    doing=step.doing,
                    name=step.entries[0].name if step.entries else "",
                    note=_told(step),
                    left=_KEPT if step.downloading else "nothing was written",
                )
            except GeneratorExit:
                for entry in step.entries:
                    if entry.name in step.fresh:
                        with contextlib.suppress(MGANPriorError):
                            remove_prior(entry.name)
                raise


def draw_sheet(name: str) -> PriorWork:
    """Draw samples of a prior, the same each time.

    Parameters
    ----------
    name : str
        A prior's name.

    Yields
    ------
    PriorStep
        Before each stage what it does, and last the samples.

    Raises
    ------
    PriorError
        If the prior is missing or damaged.
    """
    yield PriorStep(doing="loading PyTorch and the prior")
    import torch

    from napari_mganprior.arrays import seeded
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors import find_prior
    from napari_mganprior.priors.grid import GRID_SEED, contact_sheet

    generator = load_prior(find_prior(name)).generator
    side = min(_MOST, max(_LEAST, _SHEET // generator.resolution))
    drawn = []
    codes = generator.sample_codes(side * side, rng=seeded(GRID_SEED)).split(side)
    for row, z in enumerate(codes):
        yield PriorStep(index=row, n_steps=side, doing="drawing samples")
        with torch.no_grad():  # never across a yield: it belongs to the thread
            drawn.append(generator(z).float().clamp(-1, 1))
    sheet = contact_sheet(torch.cat(drawn), side)
    yield PriorStep(index=side, n_steps=side, doing="done", name=name, sheet=sheet)


class PriorJob:
    """Goes through the steps of a work in a daemon thread; whoever owns it looks how far it is.

    Parameters
    ----------
    work : callable
        Makes the generator of the steps; called in the thread.
    """

    def __init__(self, work: Callable[[], PriorWork]) -> None:
        self._work: Callable[[], PriorWork] | None = work
        self._cancelled = threading.Event()
        # One reference each, replaced as a whole: nothing half-written can be seen.
        self._step: PriorStep | None = None
        self._end: PriorEnd | None = None
        self._hold: CollectorHold | None = None
        self._abandoned = False
        self._thread = threading.Thread(
            target=self._run, name="napari-mganprior prior", daemon=True
        )

    def start(self) -> None:
        """Start the thread.

        Raises
        ------
        MGANPriorError
            If the system gives no thread.
        """
        self._hold = start_held(self._thread, self._leave)

    @property
    def step(self) -> PriorStep | None:
        """The latest step."""
        return self._step

    @property
    def cancelling(self) -> bool:
        """Whether it was told to end."""
        return self._cancelled.is_set()

    def poll(self) -> PriorEnd | None:
        """Return how it ended, or None while it has not; call it some ten times a second."""
        collect_if_due()
        if self._end is not None:
            self.join()  # its last act was to post the end
        return self._end

    def cancel(self) -> None:
        """End after the stage under way and leave nothing behind."""
        self._cancelled.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end; returns whether it ended.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds.
        """
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        self._abandoned = not ended
        if (ended or self._end is not None) and self._hold is not None:
            self._hold.release()
        return ended

    def _leave(self) -> None:
        self.cancel()
        self._thread.join(_PAUSE_WHEN_LEAVING)

    def _run(self) -> None:
        end = PriorEnd()
        try:
            end = self._go()
        except BaseException as error:  # noqa: BLE001  nothing may leave the thread unseen
            if not self._cancelled.is_set():
                told = explain(error)
                _log.debug("Work on a prior failed.\n%s", forget_frames(told))
                end = PriorEnd(error=told)
        finally:
            self._work = None
            atexit.unregister(self._leave)
            self._end = end
            if self._abandoned and self._hold is not None:
                self._hold.release()  # nobody waits for this thread any more

    def _go(self) -> PriorEnd:
        assert self._work is not None
        with contextlib.closing(self._work()) as steps:
            for step in steps:
                self._step = step
                if self._cancelled.is_set():
                    return PriorEnd()  # closing undoes what the last stage did
        return PriorEnd(step=self._step)


def _told(step: "InstallStep") -> str:
    if not step.entries:
        return ""
    names = ", ".join(f"'{entry.name}'" for entry in step.entries)
    verb = "Installed" if step.fresh else "Already there:"
    told = f"{verb} {names}, sha256 {step.entries[0].sha256[:16]}..."
    refused = "".join(f" Left out {name}: {why}" for name, why in step.refused.items())
    return f"{told} Every form offers it now.{refused}"


def _undo(entry: "PriorEntry") -> None:
    for path in (entry.path, entry.path.with_name(f"{entry.path.stem}_grid.png")):
        with contextlib.suppress(OSError):
            path.unlink()
