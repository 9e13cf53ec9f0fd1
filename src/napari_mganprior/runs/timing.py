"""How long a run will take on this machine, told before it begins.

What a run costs is the number of windows, which follows from the damage, times the evaluations a
quality spends on one, times the seconds of an evaluation, which are measured: by a small program
(``python -m napari_mganprior.runs.timing PRIOR DEVICE``) where nothing is known yet, and by every
real run after that. Importing this file imports no torch.
"""

import argparse
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.inversion.config import QUALITIES, InversionConfig, preset
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import prior_sha256, read_header
from napari_mganprior.runs.paces import PICTURE_IN_CODES, PaceStore, Setup
from napari_mganprior.runs.tasks import find_task
from napari_mganprior.runs.windows import (
    KINDS,
    Windows,
    count_grid,
    count_windows,
    plan_windows,
)

if TYPE_CHECKING:
    from napari_mganprior.generators.checkpoint import LoadedPrior

__all__ = [
    "Answer",
    "Question",
    "answer",
    "count_windows",
    "estimate_seconds",
    "measure",
    "plan_windows",
    "start_measuring",
    "time_in_words",
]

_UNTOLD = {"method", "features", "feature_weight", "tune_steps"}
_NICE = 10
_LONGEST = 10.0  # s; what is not measured by then is scaled from what is
_LONGEST_CASE = 0.8  # s
_STEPS = (3, 9)  # evaluations of one case, at least and at most


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """What somebody is about to run.

    Attributes
    ----------
    mask : array of bool or None
        Damage as marked, (H, W), or (P, H, W) for a stack; not to be changed later. None for tasks
        that draw the whole image.
    prior : str
        A prior's name or the path of its file.
    device, precision : str
        As asked for, ``"auto"`` included.
    threads : int
        CPU threads as asked for; 0 leaves the choice to torch.
    zoom : float or None
        Enlargement to the prior's scale; None where the run will estimate it.
    grow : int
        Pixels by which the damage is grown.
    region : tuple of int or None
        (top, left, bottom, right); only damage inside is restored.
    task : str
        Its name.
    shape : tuple of int
        Of the image without colours, (H, W) or (P, H, W); needed where there is no mask.
    options, overrides : mapping
        As in `RunRequest`.
    """

    mask: NDArray[np.bool_] | None
    prior: str
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    zoom: float | None = 1.0
    grow: int = 0
    region: tuple[int, int, int, int] | None = None
    task: str = "inpaint"
    shape: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a `Question`.

    Attributes
    ----------
    windows : Windows
        How many windows would be searched.
    setup : Setup
        What the pace depends on.
    seconds : dict
        Quality -> seconds, None while nothing was measured.
    """

    windows: Windows
    setup: Setup
    seconds: dict[str, float | None]


def answer(question: Question, store: PaceStore, *, loaded: bool = True) -> Answer:
    """Find out what is known about a run.

    Parameters
    ----------
    question : Question
        What is about to be run.
    store : PaceStore
        What was measured.
    loaded : bool
        Whether torch and the prior are in memory already; else the time to load them is added.

    Returns
    -------
    Answer
        Without seconds where the run will estimate its zoom, on which the windows depend, and for
        methods whose pace is not measured.

    Raises
    ------
    PriorError
        If there is no such prior, or its file is damaged.
    """
    path = find_prior(question.prior)
    setup = Setup(prior_sha256(path), question.device, question.precision, question.threads)
    if question.zoom is None or _UNTOLD & question.overrides.keys():
        return Answer(Windows(), setup, dict.fromkeys(QUALITIES))
    resolution = read_header(path).resolution
    if question.mask is None:
        windows = _whole(question, resolution, question.zoom)
    else:
        windows = count_windows(
            question.mask,
            resolution=resolution,
            zoom=question.zoom,
            grow=question.grow,
            region=question.region,
        )
    effort = {quality: _effort(question, quality) for quality in QUALITIES}
    return Answer(windows, setup, store.estimate(setup, windows, loaded=loaded, effort=effort))


def _whole(question: Question, resolution: int, zoom: float) -> Windows:
    """Count the windows of a task that draws the whole image, at the cut it is drawn at."""
    task = find_task(question.task)
    factor = task.growth(question.options)
    if resolution % factor:
        return Windows()
    height, width = question.shape[-2:]
    each = count_grid((height, width), resolution=resolution, zoom=zoom, factor=factor)
    several = math.prod(question.shape[:-2]) * int(question.options.get("proposals", 1))
    n = each * several
    return Windows(0, n) if task.is_cut_for_detail(question.options) else Windows(n, 0)


def _effort(question: Question, quality: str) -> float:
    """Return how many times the work of a quality as it is for filling holes."""
    plain, task = preset(quality), find_task(question.task)
    changed = {
        "n_steps": task.steps * plain.n_steps,
        "n_codes": task.n_codes or plain.n_codes,
        "n_restarts": plain.n_restarts,
    }
    changed |= {key: question.overrides[key] for key in changed if key in question.overrides}
    work = changed["n_steps"] * changed["n_restarts"] * (changed["n_codes"] + PICTURE_IN_CODES)
    return float(work / (plain.n_steps * plain.n_restarts * (plain.n_codes + PICTURE_IN_CODES)))


def estimate_seconds(
    question: Question, quality: str, *, folder: Path | None = None, loaded: bool = True
) -> float | None:
    """Estimate the seconds of one run from what was measured on this machine.

    Parameters
    ----------
    question : Question
        What is about to be run.
    quality : {"fast", "balanced", "best"}
        Its quality.
    folder : Path, optional
        Where measurements are kept; the user's cache folder if left out.
    loaded : bool
        As for `answer`.

    Returns
    -------
    float or None
        Seconds; None where nothing was measured yet.
    """
    return answer(question, PaceStore(folder), loaded=loaded).seconds[quality]


def time_in_words(seconds: float) -> str:
    """Write an estimate for people, no more exactly than it is known.

    Examples
    --------
    >>> [time_in_words(s) for s in (0.2, 4.4, 33, 88, 200, 9000)]
    ['1 s', '4 s', '35 s', '1.5 min', '3 min', '2.5 h']
    """
    if seconds < 20:
        return f"{max(1, round(seconds))} s"
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    number, unit = (seconds / 60, "min") if seconds < 3570 else (seconds / 3600, "h")
    return f"{round(2 * number) / 2 if number < 3 else round(number):g} {unit}"


def start_measuring(question: Question, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the small program that measures; it ends by itself, also when this process does.

    Parameters
    ----------
    question : Question
        Whose prior, device, precision and threads are measured.
    folder : Path, optional
        Where to keep what was measured; the user's cache folder if left out.

    Returns
    -------
    subprocess.Popen
        Its exit status is 0 when something was measured.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
    command = [sys.executable, "-P", "-m", "napari_mganprior.runs.timing"]
    command += [str(find_prior(question.prior)), question.device, "--until-eof"]
    command += ["--precision", question.precision, "--threads", str(question.threads)]
    command += ["--folder", str(PaceStore(folder).folder)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # its end tells the child that we are gone
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=flags,
    )


def measure(
    prior: str,
    device: str = "auto",
    *,
    precision: str = "auto",
    threads: int = 0,
    folder: Path | None = None,
) -> None:
    """Measure the seconds of an evaluation for every quality and keep them; loads torch.

    Parameters
    ----------
    prior : str
        A prior's name or the path of its file.
    device, precision : str
        As for `Inpainting` and `InversionConfig`.
    threads : int
        CPU threads; 0 leaves the choice to torch.
    folder : Path, optional
        Where to keep what was measured; the user's cache folder if left out.

    Raises
    ------
    PriorError, DeviceError, ComputeError
        If such a run cannot be made.
    """
    started = time.perf_counter()
    import torch

    from napari_mganprior.arrays import choose_device, network_dtype
    from napari_mganprior.generators.checkpoint import load_prior

    if threads > 0:
        torch.set_num_threads(threads)
    loaded = load_prior(find_prior(prior))
    where = choose_device(device)
    cuts = loaded.generator.cuts
    list(_steps(loaded, replace(preset(QUALITIES[0], cuts), n_steps=1), "thick", where.type))
    store, setup = PaceStore(folder), Setup(loaded.sha256, device, precision, threads)
    store.keep_device(
        setup,
        str(where),
        name=torch.cuda.get_device_name(where) if where.type == "cuda" else "",
        precision=str(network_dtype("auto", where)).removeprefix("torch."),
    )
    # the first step chooses kernels and starts threads: part of what loading costs
    loaded_at = time.perf_counter()
    store.keep_loading(setup, loaded_at - started)
    # counted from here on, so that a machine which loads slowly is measured too
    for kind in KINDS:
        for quality in QUALITIES:
            if time.perf_counter() - loaded_at < _LONGEST:
                config = replace(preset(quality, cuts), precision=precision)
                store.keep_measured(setup, quality, kind, _pace(loaded, config, kind, str(where)))


def _pace(prior: "LoadedPrior", config: InversionConfig, kind: str, device: str) -> float:
    """Seconds of an evaluation, with its share of what every window costs once."""
    began = time.perf_counter()
    seconds: list[float] = []
    for taken in _steps(prior, config, kind, device):
        seconds.append(taken)
        enough = time.perf_counter() - began > _LONGEST_CASE and len(seconds) >= _STEPS[0]
        if enough or len(seconds) == _STEPS[1]:
            break
    first, rest = seconds[0], seconds[1:] or seconds
    return (first + (config.n_steps - 1) * float(np.median(rest))) / config.n_steps


def _steps(prior: "LoadedPrior", config: InversionConfig, kind: str, device: str) -> Any:
    """Yield the seconds of every step of a search in a made-up window."""
    from napari_mganprior.restore import Inpainting

    side = max(prior.generator.resolution, 16)
    image = np.random.default_rng(0).random((side, side)).astype(np.float32)
    mask = np.zeros(image.shape, dtype=bool)
    half = max(side // 8, 6) if kind == "thick" else 1
    mask[side // 2 - half : side // 2 + half, side // 4 : -(side // 4)] = True
    if prior.generator.image_channels > 1:
        image = np.stack([image] * prior.generator.image_channels, axis=-1)
    before = time.perf_counter()
    for _ in Inpainting(image, mask, prior, config=config, device=device):
        now = time.perf_counter()
        yield now - before
        before = now


def _leave_at_eof() -> None:
    """End this process when the other end of its standard input closes."""
    os.read(0, 1)  # not sys.stdin: a thread inside it aborts the interpreter's own end
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; what ``python -m napari_mganprior.runs.timing`` does.

    Parameters
    ----------
    arguments : sequence of str, optional
        In place of those of the command line.

    Returns
    -------
    int
        0, or 1 if such a run cannot be made, which standard error explains.
    """
    parser = argparse.ArgumentParser(description=(main.__doc__ or "").splitlines()[0])
    parser.add_argument("prior", help="a prior's name or file")
    parser.add_argument("device", nargs="?", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to keep what was measured")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    options = parser.parse_args(arguments)
    if options.until_eof:
        threading.Thread(target=_leave_at_eof, daemon=True).start()
        if hasattr(os, "nice"):
            os.nice(_NICE)
    try:
        measure(
            options.prior,
            options.device,
            precision=options.precision,
            threads=options.threads,
            folder=options.folder,
        )
    except MGANPriorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
