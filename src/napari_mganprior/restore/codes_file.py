"""The codes of a restoration in an ``.npz`` file, with hashes of their prior and image."""

import base64
import binascii
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from napari_mganprior.errors import ImageError, PriorError, StorageError
from napari_mganprior.files import write_atomically
from napari_mganprior.inversion.config import METHODS
from napari_mganprior.restore.result import WindowCodes, sha256_of

__all__ = [
    "check_image_of",
    "image_sha256_in",
    "load_codes",
    "pack_codes",
    "save_codes",
    "unpack_codes",
]

_FORMAT = 1
_PLACE = ("top", "left", "layer", "plane")
_ARRAYS = {"z": 3, "alpha": 3, "beta": 3, "noise": 2, "offset": 4}
_MOST_CUTS = 8


def save_codes(
    path: str | Path,
    codes: Sequence[WindowCodes],
    prior_sha256: str,
    image_sha256: str | None = None,
) -> None:
    """Write codes, whole or not at all.

    Parameters
    ----------
    path : str or Path
        An ``.npz`` file; one that is there is replaced.
    codes : sequence of WindowCodes
        Of a `Restoration`.
    prior_sha256 : str
        Of the prior that they are codes of, as its recipe says it.
    image_sha256 : str, optional
        Of the image that they are codes of, as its recipe says it; then `load_codes` can tell it
        from others.

    Raises
    ------
    StorageError
        If the file cannot be written, or there are no codes.
    """
    if not codes:
        raise StorageError("Got no codes to save; wanted those of a restoration. Restore first.")
    write_atomically(Path(path), _written(codes, prior_sha256, image_sha256))


def pack_codes(codes: Sequence[WindowCodes], prior_sha256: str) -> str:
    """Write codes as text that can stand in a recipe: base64 of what `save_codes` writes.

    Parameters
    ----------
    codes : sequence of WindowCodes
        Of a `Restoration`.
    prior_sha256 : str
        Of the prior that they are codes of.
    """
    return base64.b64encode(_written(codes, prior_sha256)).decode("ascii")


def unpack_codes(packed: str, prior_sha256: str | None = None) -> tuple[WindowCodes, ...]:
    """Read what `pack_codes` wrote.

    Parameters
    ----------
    packed : str
        The text.
    prior_sha256 : str, optional
        Of the prior that the codes are wanted for.

    Raises
    ------
    StorageError
        If it is damaged.
    PriorError
        If the codes are those of another prior.
    """
    try:
        held = io.BytesIO(base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise StorageError(
            f"Could not read the codes in a recipe ({error}); wanted what napari-mganprior writes. "
            "Copy the whole recipe again."
        ) from error
    return _read_all(held, "the recipe", prior_sha256)


def image_sha256_in(recipe: Mapping[str, Any]) -> str | None:
    """Return the hash of the image that a recipe's codes are of; None if they are of several."""
    if "planes" in recipe:
        return None
    found = (recipe.get("image") or {}).get("sha256")
    return None if found is None else str(found)


def check_image_of(sha256: str | None, image: ArrayLike) -> None:
    """Check that codes are those of an image, if it is known of which they are.

    Raises
    ------
    ImageError
        If they are another's.
    """
    if sha256 is None:
        return
    hashed = sha256_of(np.asarray(image))
    if sha256 != hashed:
        raise ImageError(
            f"Got codes of another image, whose pixels have the sha256 {sha256}, for one of "
            f"sha256 {hashed}; wanted those of the image that is edited, unchanged and of the same "
            "number type. Choose the image that was inverted, or invert this image."
        )


def _written(
    codes: Sequence[WindowCodes], prior_sha256: str, image_sha256: str | None = None
) -> bytes:
    arrays: dict[str, Any] = {
        "format": np.array(_FORMAT),
        "prior_sha256": np.array(prior_sha256),
        "n_windows": np.array(len(codes)),
    }
    if image_sha256 is not None:
        arrays["image_sha256"] = np.array(image_sha256)
    for number, window in enumerate(codes):
        arrays |= _arrays(window, str(number))
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)
    return held.getvalue()


def load_codes(
    path: str | Path, prior_sha256: str | None = None, image: ArrayLike | None = None
) -> tuple[WindowCodes, ...]:
    """Read what `save_codes` wrote.

    Parameters
    ----------
    path : str or Path
        The file. Nothing in it is run.
    prior_sha256 : str, optional
        Of the prior that the codes are wanted for.
    image : array, optional
        The image that they must be codes of, to edit it; left out to begin a search of any image.
        Files of old versions do not say whose codes they hold, and pass.

    Raises
    ------
    StorageError
        If it cannot be read, or holds something else.
    PriorError, ImageError
        If the codes are those of another prior or image.
    """
    return _read_all(Path(path), str(path), prior_sha256, image)


def _read_all(
    source: Path | BinaryIO,
    name: str,
    prior_sha256: str | None,
    image: ArrayLike | None = None,
) -> tuple[WindowCodes, ...]:
    try:
        with np.load(source, allow_pickle=False) as held:
            if int(held["format"]) != _FORMAT:
                raise ValueError(f"format {held['format']}")
            theirs = str(held["prior_sha256"])
            of = str(held["image_sha256"]) if "image_sha256" in held.files else None
            codes = tuple(_read(held, str(number)) for number in range(int(held["n_windows"])))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"Could not read codes from {name} ({error}); wanted an .npz file that "
            "napari-mganprior wrote. Check the path, or save them again."
        ) from error
    if prior_sha256 is not None and theirs != prior_sha256:
        raise PriorError(
            f"Got codes of the prior of sha256 {theirs} for that of sha256 {prior_sha256}; wanted "
            "the same. Choose the prior they were found with, or begin without codes."
        )
    if image is not None:
        check_image_of(of, image)
    return codes


def _arrays(window: WindowCodes, name: str) -> dict[str, Any]:
    """Name the arrays of a window's codes, and those of the codes at shallower cuts below it."""
    arrays = {
        f"{name}/place": np.array([getattr(window, part) for part in _PLACE]),
        f"{name}/code_space": np.array(window.code_space),
        f"{name}/method": np.array(window.method),
    }
    for part in _ARRAYS:
        if (array := getattr(window, part)) is not None:
            arrays[f"{name}/{part}"] = array
    return arrays if window.early is None else arrays | _arrays(window.early, f"{name}/early")


def _read(held: "np.lib.npyio.NpzFile", name: str, depth: int = 0) -> WindowCodes:
    place = held[f"{name}/place"]
    if place.shape != (4,) or place.dtype.kind != "i":
        raise ValueError(f"window {name} without a place")
    parts: dict[str, Any] = {}
    for part, ndim in _ARRAYS.items():
        key = f"{name}/{part}"
        if key in held.files:
            array = held[key]
            if array.ndim != ndim or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{key} is {array.dtype} of shape {array.shape}")
            parts[part] = array
    if len({array.shape[0] for array in parts.values()}) != 1:
        raise ValueError(f"window {name} with parts of different searches")
    top, left, layer, plane = (int(n) for n in place)
    # files of version 0.1 know one method
    method = str(held[f"{name}/method"]) if f"{name}/method" in held.files else METHODS[0]
    if method not in METHODS:
        raise ValueError(f"window {name} found by {method!r}")
    if f"{name}/early/place" in held.files:
        if depth == _MOST_CUTS:
            raise ValueError(f"window {name} with too many cuts")
        parts["early"] = _read(held, f"{name}/early", depth + 1)
        if len(parts["early"].z) != len(parts["z"]):
            raise ValueError(f"window {name} with parts of different searches")
    space = str(held[f"{name}/code_space"])
    return WindowCodes(top, left, layer, plane=plane, code_space=space, method=method, **parts)
