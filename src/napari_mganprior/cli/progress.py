"""A progress bar with ETA on stderr, for people only: where stderr is a file there is none."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["follow"]

Step = TypeVar("Step")


def follow(
    steps: Iterable[Step],
    place: Callable[[Step], tuple[int, int, str]],
    *,
    unit: str,
    quiet: bool,
    label: str = "",
) -> Iterator[Step]:
    """Pass steps through and show how far they are.

    Parameters
    ----------
    steps : iterable
        The work; it happens while this is iterated over.
    place : callable
        Tells of a step how much is done, of how much, and a note to show behind the bar.
    unit : str
        What is counted.
    quiet : bool
        Show nothing.
    label : str
        Shown before the bar.
    """
    hidden = quiet or not sys.stderr.isatty()
    width = min(100, shutil.get_terminal_size().columns)
    with tqdm(desc=label or None, unit=unit, disable=hidden, ncols=width, leave=False) as bar:
        for step in steps:
            done, total, note = place(step)
            bar.total = total
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)
            yield step
