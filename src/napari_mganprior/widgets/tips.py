"""What the form says about its fields, and about a prior."""

import hashlib
from functools import lru_cache
from pathlib import Path

from napari_mganprior.errors import PriorError
from napari_mganprior.priors import find_prior

__all__ = ["TIPS", "describe_prior"]

TIPS = {
    "image": "The picture to restore. Of a stack, the tab 'Where' says which slices.",
    "damage": (
        "A labels layer painted over the damage, or a shapes layer drawn over it. Only these "
        "pixels change."
    ),
    "bad": (
        "A labels or shapes layer that marks dead and hot pixels, if there is one: they are "
        "filled, and all the others are drawn anew"
    ),
    "best": (
        "Add the best of the searches as a layer, hidden at first; where the result is the best "
        "one, add their average"
    ),
    "pick": (
        "What the result is: the average of all searches, in which chance evens out, or the one "
        "that explains best what was measured, which is sharper"
    ),
    "new": "Add an empty labels layer that fits the image, and paint over the damage in it",
    "labels_used": "The labels that mark damage: 'all', or numbers and ranges like '1, 3-5'",
    "invert": "Damage is where nothing is marked: mark what is good",
    "grow": "Damage is grown by so many pixels, for its rim is often spoilt as well",
    "feather": (
        "Over so many pixels at the rim of what was grown, result and original are mixed; at most "
        "as many as it was grown by"
    ),
    "scope": (
        "Of a stack: the slice on screen; all slices, each search beginning from the slice before "
        "it; or all planes one by one, as for channels. One by one, the colours of an RGB picture "
        "are restored as three grey pictures, which a grey prior can do."
    ),
    "region": (
        "Where the picture may change: everywhere, in what the window shows now, or inside a "
        "rectangle of a shapes layer (the selected one, or the only one)"
    ),
    "prior": "What the picture shows: the network that learned to draw it",
    "quality": "How many searches, and how long each; the result is their mean.",
    "zoom": (
        "How many times larger things are in the prior's training images than here; 1 if they "
        "are as large. The picture is enlarged by it before it is restored, and brought back."
    ),
    "estimate": "Find the pixel-size factor from the picture",
    "seed": "Where chance begins. The same seed gives the same picture again.",
    "device": "What computes. auto takes the graphics card if there is one.",
    "reference": (
        "A layer that shows the truth, if there is one: after the run the result is compared with "
        "it inside the hole (PSNR, SSIM)"
    ),
    "mark": "Add a labels layer that outlines the pixels that were invented, not measured",
    "uncertainty": (
        "Add an image layer that says how far the restarts of the search disagree, in the image's "
        "units: where it is bright, do not trust the result"
    ),
    "residual": (
        "Add an image layer of what the prior drew minus what was measured around the damage: "
        "where it is coloured, the prior could not draw what is there"
    ),
    "preview": "Show the best picture so far while the run goes on",
    "history": "Add the pictures of the iterations as a stack, to scrub through with the slider",
}


def describe_prior(name: str | None) -> str:
    """Return the name and the hash of a prior's file, or why it cannot be read."""
    if name is None:
        return ""
    try:
        path = find_prior(name)
        stat = path.stat()
        return f"{path.name}, sha256 {_sha256(path, stat.st_mtime_ns, stat.st_size)}"
    except (PriorError, OSError) as error:
        return str(error)


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file, again only after it has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
