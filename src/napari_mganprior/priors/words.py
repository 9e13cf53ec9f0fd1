"""A prior's card in words, for people; without torch."""

import contextlib
import json
from pathlib import Path
from typing import Any

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.registry import registered_name, registration
from napari_mganprior.priors.catalogue import Source, find_prior, prior_source
from napari_mganprior.priors.header import PriorHeader, prior_sha256, read_header

__all__ = ["ORIGINS", "images_in_words", "size_in_words", "tell_prior"]

ORIGINS: dict[Source, str] = {
    "bundled": "bundled",
    "user": "your own",
    "registered": "Python",
}
"""What the sources of `prior_source` are called."""

_NOT_STATED = "not stated"
_COLOURS = {1: "grey", 3: "RGB"}
_LARGEST_RECORD = 64 * 1024  # bytes
_UNITS = ("bytes", "kB", "MB", "GB")


def images_in_words(name: str) -> str:
    """Return the kind of images a prior draws: "64 px grey".

    Parameters
    ----------
    name : str
        One of `prior_names`.

    Raises
    ------
    PriorError
        If there is none, or its file is damaged.
    """
    if registered_name(name) is not None:
        return ""
    return _images(read_header(find_prior(name)))


def tell_prior(name: str) -> dict[str, str]:
    """Return what there is to know about a prior.

    Parameters
    ----------
    name : str
        One of `prior_names`.

    Returns
    -------
    dict
        Texts by what they are about, in the order in which they are worth reading.

    Raises
    ------
    PriorError
        If there is none, or its file is damaged.
    """
    if (registered := registered_name(name)) is not None:
        known = registration(registered)
        return {
            "Shows": known.domain or _NOT_STATED,
            "Licence": known.licence or _NOT_STATED,
            "From": "registered from Python; it is built when it is used",
        }
    path = find_prior(name)
    header = read_header(path)
    card = header.card
    training = _table(card.get("training"))
    told = {
        "Shows": header.domain or _NOT_STATED,
        "Images": _images(header),
        "Architecture": header.architecture,
        "Networks": _networks(card),
        "Pixel size": _text(card.get("pixel_size")),
        "Pixel values": _values(_table(card.get("pixel_normalisation"))),
        "Licence": _text(card.get("licence")),
        "Data": _data(training),
        "Note": _text(training.get("note"), ""),
        "From": _origin(name),
        "Installed": _installed(path),
        "Size": size_in_words(header.n_bytes),
        "sha256": prior_sha256(path),
        "File": str(path),
    }
    return {about: text for about, text in told.items() if text}


def size_in_words(n_bytes: int) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> size_in_words(999), size_in_words(1_200_000)
    ('999 bytes', '1.2 MB')
    """
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def _images(header: PriorHeader) -> str:
    channels = header.image_channels
    colours = _COLOURS.get(channels, f"{channels} channels")
    return f"{header.resolution} px {colours}"


def _origin(name: str) -> str:
    try:
        return ORIGINS[prior_source(name)]
    except PriorError:  # a file named by its path
        return ""


def _installed(path: Path) -> str:
    """Say where an installed prior came from, and whether its file is still the same."""
    beside = path.with_name(f"{path.stem}_installed.json")
    record: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if beside.stat().st_size <= _LARGEST_RECORD:
            record = _table(json.loads(beside.read_bytes()))
    if not isinstance(sha256 := record.get("sha256"), str):
        return ""
    pinned = "the one that was asked for" if record.get("pinned") is True else "stored then"
    told = f"from {_text(record.get('source'))[:300]} on {_text(record.get('installed'))[:10]}"
    if prior_sha256(path) != sha256:
        return f"{told}; the file has CHANGED since: its sha256 was {sha256[:64]}"
    return f"{told}; its sha256 is {pinned}"


def _networks(card: dict[str, Any]) -> str:
    others = (name for name in ("discriminator", "encoder") if card.get(name))
    return ", ".join(("generator", *others))


def _values(normalisation: dict[str, Any]) -> str:
    low, high = normalisation.get("low"), normalisation.get("high")
    if normalisation.get("kind") != "percentile":
        return _NOT_STATED
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return _NOT_STATED
    return f"percentiles {low:g} and {high:g} of an image become -1 and 1"


def _data(training: dict[str, Any]) -> str:
    if isinstance(source := training.get("imported_from"), str):
        layout = training.get("layout")
        return f"imported from {Path(source).name}" + (f", layout {layout}" if layout else "")
    seen = training.get("images_seen")
    parts = [_text(training.get("data"))]
    if isinstance(seen, int) and seen:
        parts.append(f"{seen:,} crops seen")
    return "; ".join(parts)


def _text(value: Any, missing: str = _NOT_STATED) -> str:
    """Return a line of a card; a stranger's may hold anything."""
    return value.strip() if isinstance(value, str) and value.strip() else missing


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
