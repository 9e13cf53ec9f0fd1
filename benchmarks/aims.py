"""What the project set out to reach, and whether it did: ours minus the best rival, paired."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import OURS, SINGLE

__all__ = ["AIMS", "Aim", "Verdict", "aims_table", "judge"]

Row = dict[str, Any]
_BASELINES = ("biharmonic", "deep image prior")


@dataclass(frozen=True)
class Aim:
    """A difference that is wanted.

    Attributes
    ----------
    words : str
        As the issue says it.
    task, figure : str
        What is compared.
    rivals : tuple of str
        Methods to beat: the best of them, on average over the pictures all were measured on.
    wanted : float
        Smallest difference, ours better.
    """

    words: str
    task: str
    figure: str
    rivals: tuple[str, ...]
    wanted: float = 0.0

    @property
    def sign(self) -> int:
        """1 where more is better, -1 for distances."""
        return -1 if self.figure in ("deep", "ciede2000") else 1

    @property
    def unit(self) -> str:
        """Of the figure."""
        return " dB" if self.figure.endswith("psnr") else ""


_NLM = "non-local means"
AIMS = (
    Aim("inversion, 20 codes, 8 dB above a single code", "invert", "psnr", (SINGLE,), 8.0),
    Aim("centre hole 3 dB above Deep Image Prior", "hole", "psnr", ("deep image prior",), 3.0),
    Aim("80 % missing above every baseline", "missing", "psnr", _BASELINES),
    Aim("x4 above bicubic", "x4", "psnr", ("bicubic",)),
    Aim("x4 nearer than bicubic in deep features", "x4", "deep", ("bicubic",)),
    Aim("x8 above bicubic", "x8", "psnr", ("bicubic",)),
    Aim("x8 nearer than bicubic in deep features", "x8", "deep", ("bicubic",)),
    Aim("sigma 25/255 above non-local means", "gaussian", "psnr", (_NLM,)),
    Aim("10 photons above non-local means", "poisson", "psnr", (_NLM,)),
    Aim("colours above the grey input", "colorize", "psnr", ("grey input",)),
    Aim("colours nearer than grey (CIEDE2000)", "colorize", "ciede2000", ("grey input",)),
)


@dataclass(frozen=True)
class Verdict:
    """What came of an aim in a domain.

    Attributes
    ----------
    aim : Aim
        Which.
    domain : str
        Where.
    rival : str
        The best of its rivals.
    ours, theirs : float
        Means over the pictures both were measured on.
    gains : array
        Ours better by so much, picture by picture.
    """

    aim: Aim
    domain: str
    rival: str
    ours: float
    theirs: float
    gains: Any

    @property
    def reached(self) -> bool:
        """Whether the mean gain is as large as wanted."""
        mean = float(self.gains.mean())
        return mean > self.aim.wanted if self.aim.wanted == 0 else mean >= self.aim.wanted


def judge(rows: list[Row], domains: tuple[str, ...]) -> list[Verdict]:
    """Compare ours with the best rival of every aim, domain by domain."""
    found = []
    for aim in AIMS:
        for domain in domains:
            mine = _by_picture(rows, aim, domain, OURS)
            best: Verdict | None = None
            for rival in aim.rivals:
                theirs = _by_picture(rows, aim, domain, rival)
                both = sorted(mine.keys() & theirs.keys())
                if not both:
                    continue
                one, other = (np.array([d[k] for k in both]) for d in (mine, theirs))
                verdict = Verdict(
                    aim, domain, rival, float(one.mean()), float(other.mean()),
                    aim.sign * (one - other),
                )  # fmt: skip
                if best is None or verdict.gains.mean() < best.gains.mean():
                    best = verdict
            if best is not None:
                found.append(best)
    return found


def _by_picture(rows: list[Row], aim: Aim, domain: str, method: str) -> dict[Any, float]:
    size = 128 if aim.task == "x8" else 64
    return {
        (r["image"], r["number"]): float(r[aim.figure])
        for r in rows
        if (r["domain"], r["task"], r["method"], r["size"]) == (domain, aim.task, method, size)
        and aim.figure in r
    }


def aims_table(verdicts: list[Verdict], remarks: dict[str, str]) -> str:
    """Write the table; below it why an aim is missed, and what was or could be tried.

    Parameters
    ----------
    verdicts : list of Verdict
        All of them.
    remarks : dict
        Under "task/figure/domain" or "task/figure": reason and next idea.
    """
    lines = [
        "| aim | domain | ours | best rival | by how much | better on | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for v in verdicts:
        digits = 2 if v.aim.unit or v.aim.figure == "ciede2000" else 4
        mean, n = float(v.gains.mean()), len(v.gains)
        error = f" ± {v.gains.std(ddof=1) / np.sqrt(n):.{digits}f}" if n > 1 else ""
        note = ""
        if not v.reached:
            key = f"{v.aim.task}/{v.aim.figure}"
            told = remarks.get(f"{key}/{v.domain}", remarks.get(key, "not looked into yet."))
            if told not in notes:
                notes.append(told)
            note = f" ({notes.index(told) + 1})"
        lines.append(
            f"| {v.aim.words} | {v.domain} | {v.ours:.{digits}f} | {v.rival} "
            f"{v.theirs:.{digits}f} | {mean:+.{digits}f}{error}{v.aim.unit} | "
            f"{int((v.gains > 0).sum())} of {n} | {'yes' if v.reached else 'no' + note} |"
        )
    reached = sum(v.reached for v in verdicts)
    lines.append(f"\n{reached} of {len(verdicts)} reached.")
    lines += [f"\n({number}) {told}" for number, told in enumerate(notes, 1)]
    return "\n".join(lines)
