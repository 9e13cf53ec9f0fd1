"""Whether a prior draws images like the one chosen, as far as its header says."""

from functools import lru_cache
from pathlib import Path

from napari_mganprior.errors import PriorError
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import read_header
from napari_mganprior.widgets.inputs import Choice

__all__ = ["check_prior"]

_KINDS = {1: "grey", 3: "RGB"}


def check_prior(choice: Choice, name: str | None) -> str:
    """Find the reason why a prior cannot restore an image, without opening its weights.

    Parameters
    ----------
    choice : Choice
        What the form says.
    name : str or None
        The prior's.

    Returns
    -------
    str
        What was got, what was wanted and what to do; empty if nothing is known to be wrong.
    """
    if choice.image is None or name is None:
        return ""
    drawn = _channels(name)
    if choice.spec.grey_only:
        if drawn in (None, 3):
            return ""
        return (
            f"The prior '{name}' draws {_KINDS.get(drawn, drawn)} images; wanted one of RGB images "
            "to take colours from. Choose an RGB prior."
        )
    apart = choice.scope == "channels"
    shown = 3 if choice.image.rgb and not apart else 1
    if drawn is None or drawn == shown:
        return ""
    got = f"The prior '{name}' draws {_KINDS.get(drawn, drawn)} images, '{choice.image.name}' is "
    if shown == 3:
        return (
            f"{got}RGB; wanted the same. Choose an RGB prior, or on the page Where the slices "
            "'channels one by one', which restores each colour by itself."
        )
    what = "taken colour by colour" if choice.image.rgb else "grey"
    return f"{got}{what}; wanted the same. Choose a grey prior."


def _channels(name: str) -> int | None:
    try:
        path = find_prior(name)
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except (PriorError, OSError):  # a damaged file is named when the run opens it
        return None


@lru_cache(maxsize=32)
def _read(path: Path, mtime_ns: int, size: int) -> int:
    """Read a header, again only after the file has changed."""
    return read_header(path).image_channels
