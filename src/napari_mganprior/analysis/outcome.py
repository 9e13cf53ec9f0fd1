"""What analyses yield on their way and return at their end. Numpy only."""

import csv
import io
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.restore.result import WindowCodes

__all__ = ["ENOUGH", "AnalysisStep", "Roles", "Study", "StudyRow"]

ENOUGH = 0.1
"""dB below the best from which more codes count as no gain."""


@dataclass(frozen=True, slots=True)
class AnalysisStep:
    """How far an analysis is.

    Attributes
    ----------
    index, n_steps : int
        Steps done and at the most.
    loss : float
        Mean squared error of the search under way over measured pixels, generator's range.
    window, n_windows : int
        Number of the combination or code under way, from 1, and how many there are.
    doing : str
        What is under way, in words.
    row : StudyRow or None
        A combination's figures, in its last step.
    """

    index: int
    n_steps: int
    loss: float
    window: int
    n_windows: int
    doing: str = ""
    row: "StudyRow | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """What came of one cut and one number of codes.

    Attributes
    ----------
    cut : int
        Composing layer l.
    map_size, channels : int
        Height and channels of the maps there.
    n_codes : int
        Codes N.
    psnr : float or None
        In dB, over the restored pixels; None without a truth.
    ssim : float or None
        Over the restored pixels; None without a truth.
    held_out : float or None
        Root mean square misfit on measured pixels that the search did not see, in the image's
        units; None where none were held out.
    residual : float
        Root mean square of drawn minus measured, in the image's units.
    spread : float
        Mean standard deviation over restarts, in the image's units.
    evaluations : int
        Of the generator.
    seconds : float
        Spent.
    """

    cut: int
    map_size: int
    channels: int
    n_codes: int
    psnr: float | None
    ssim: float | None
    held_out: float | None
    residual: float
    spread: float
    evaluations: int
    seconds: float

    @property
    def score(self) -> float:
        """What combinations are compared by, the higher the better.

        PSNR where a truth is known, else the misfit on held-out pixels, else the residual; both
        as decibels of one unit.
        """
        if self.psnr is not None:
            return self.psnr
        error = self.residual if self.held_out is None else self.held_out
        return -20 * float(np.log10(max(error, 1e-12)))


@dataclass(frozen=True, eq=False)
class Study:
    """The same image and task at several cuts and numbers of codes.

    Attributes
    ----------
    rows : tuple of StudyRow
        One a combination that was finished; cut after cut.
    stack : array
        Restored images, (n_cuts, n_codes, H, W) or (n_cuts, n_codes, H, W, 3), in the dtype of
        the task's results; zeros where a combination was not reached.
    cuts, codes : tuple of int
        What the stack's first two axes stand for.
    measured : array
        What was restored: the image, or the trial's damaged copy.
    mask : array of bool or None
        Damage, (H, W); None for tasks without.
    truth : array or None
        What the results were compared with.
    corner : tuple of int
        Row and column in the given image at which the studied part begins.
    recipe : dict
        JSON-able: settings, prior, seed, versions.
    """

    rows: tuple[StudyRow, ...]
    stack: NDArray[Any]
    cuts: tuple[int, ...]
    codes: tuple[int, ...]
    measured: NDArray[Any]
    mask: NDArray[np.bool_] | None
    truth: NDArray[Any] | None
    corner: tuple[int, int] = (0, 0)
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def score_name(self) -> str:
        """What `StudyRow.score` is here, in words."""
        row = self.rows[0]
        if row.psnr is not None:
            return "PSNR (dB)"
        return "fit of held-out pixels (dB)" if row.held_out is not None else "fit (dB)"

    @property
    def best(self) -> StudyRow:
        """The combination with the highest score."""
        return max(self.rows, key=lambda row: row.score)

    def grid(self) -> NDArray[np.float64]:
        """Scores, (n_cuts, n_codes); NaN where a combination was not reached."""
        scores = np.full((len(self.cuts), len(self.codes)), np.nan)
        for row in self.rows:
            scores[self.cuts.index(row.cut), self.codes.index(row.n_codes)] = row.score
        return scores

    def enough_codes(self) -> int:
        """Smallest number of codes within 0.1 dB of the best at the best cut."""
        there = [row for row in self.rows if row.cut == self.best.cut]
        return min(row.n_codes for row in there if row.score >= self.best.score - ENOUGH)

    def finding(self) -> str:
        """Say in a sentence what the study found."""
        best = self.best
        words = f"Best: cut {best.cut} ({best.map_size}x{best.map_size} maps), {best.n_codes} codes"
        words += f", {self.score_name} {best.score:.2f}."
        enough = self.enough_codes()
        if enough < best.n_codes:
            words += f" {enough} codes come within {ENOUGH} dB of it."
        return words

    def to_csv(self) -> str:
        """Write the rows as text, a line each, under a line of names."""
        return _as_csv([asdict(row) for row in self.rows], [f.name for f in fields(StudyRow)])


@dataclass(frozen=True, eq=False)
class Roles:
    """What each code does in a drawing.

    Attributes
    ----------
    labels : array of uint8
        (H, W): the number, from 1, of the code whose removal changes the pixel most; 0 where
        nothing was drawn. Windows of a large image have codes of their own: there the same
        number means another code on either side of a window's border.
    contributions : array of float32
        (N, H, W) or (N, H, W, 3): the drawing minus the drawing without code n, in the image's
        units.
    alone : array of float32
        (N, H, W) or (N, H, W, 3): what code n draws by itself, in the image's units.
    drawing : array of float32
        (H, W) or (H, W, 3): what all codes draw together, in the image's units.
    layer : int
        The cut at which the codes are composed.
    codes : tuple of WindowCodes
        Of the search looked at; one restart, the best, a window.
    corner : tuple of int
        Row and column in the given image at which the studied part begins.
    recipe : dict
        JSON-able: prior, settings and seed of the search, or where the codes came from.
    """

    labels: NDArray[np.uint8]
    contributions: NDArray[np.float32]
    alone: NDArray[np.float32]
    drawing: NDArray[np.float32]
    layer: int
    codes: tuple[WindowCodes, ...]
    corner: tuple[int, int] = (0, 0)
    recipe: dict[str, Any] = field(default_factory=dict)

    def shares(self) -> tuple[float, ...]:
        """Share of the drawn pixels of which each code is the first contributor, 0 .. 1."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.contributions) + 1)[1:]
        return tuple(float(n) for n in counts / max(1, counts.sum()))

    def strengths(self) -> tuple[float, ...]:
        """Mean absolute change that each code's removal makes, in the image's units."""
        return tuple(float(np.abs(part).mean()) for part in self.contributions)

    def to_csv(self) -> str:
        """Write a line a code: its share of the pixels, and the mean change it makes."""
        rows = [
            {"code": n + 1, "share": round(share, 6), "mean_change": strength}
            for n, (share, strength) in enumerate(zip(self.shares(), self.strengths(), strict=True))
        ]
        return _as_csv(rows, ["code", "share", "mean_change"])


def _as_csv(rows: list[dict[str, Any]], names: list[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None else value for name, value in row.items()} for row in rows
    )
    return text.getvalue()
