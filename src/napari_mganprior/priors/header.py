"""What a prior is, from the first bytes of its file, without torch.

A ``.safetensors`` file begins with the length of its header (8 bytes, little-endian) and the
header, a JSON table of the tensors with a table of texts under ``__metadata__``. That much can be
read before Run is pressed, in a process that must not load torch yet. `load_prior` looks at
everything else.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from napari_mganprior.errors import PriorError

__all__ = ["PriorHeader", "prior_sha256", "read_header"]

_KEY = "napari-mganprior"
_FORMAT = 1
_LARGEST_HEADER = 16 * 1024 * 1024
_MOST_LAYERS = 24
_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
_WHAT_TO_DO = "Choose a .safetensors file made by `napari-mganprior`, or install it again."


@dataclass(frozen=True, slots=True)
class PriorHeader:
    """What the header of a prior's file says.

    Attributes
    ----------
    name : str
        Short name, as shown in lists.
    architecture : str
        Name of the network family.
    domain : str
        What the images show, in words.
    resolution : int
        Side of the generator's images in pixels, 1 or more.
    image_channels : int
        1 (grey), 3 (RGB), or another number up to 4, which cannot be restored with.
    card : dict
        All of the `PriorCard`, as JSON.
    n_bytes : int
        Size of the file.
    """

    name: str
    architecture: str
    domain: str
    resolution: int
    image_channels: int
    card: dict[str, Any]
    n_bytes: int


def read_header(path: Path) -> PriorHeader:
    """Read the header of a prior's file, and check that the file is as long as it says.

    Parameters
    ----------
    path : Path
        A prior's file.

    Returns
    -------
    PriorHeader
        What the prior is.

    Raises
    ------
    PriorError
        If the file cannot be read, is truncated, or is no prior.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            n_bytes = path.stat().st_size
            if not 0 < length <= min(_LARGEST_HEADER, n_bytes - 8):
                raise PriorError(
                    f"Got {path.name}, which is truncated or no .safetensors file ({n_bytes} "
                    f"bytes); wanted a prior. {_WHAT_TO_DO}"
                )
            text = file.read(length)
    except OSError as error:
        raise PriorError(
            f"Could not read the prior {path} ({error.strerror or error}); wanted a readable "
            f"file. {_WHAT_TO_DO}"
        ) from error
    table = _table(path, text)
    wanted = 8 + length + _length_of_tensors(path, table)
    if n_bytes != wanted:
        raise PriorError(
            f"Got {path.name} with {n_bytes} bytes, truncated or damaged; wanted {wanted}. "
            f"{_WHAT_TO_DO}"
        )
    return _header(path, table, n_bytes)


def prior_sha256(path: Path) -> str:
    """Hash a prior's file, again only after it has changed.

    Parameters
    ----------
    path : Path
        A prior's file.

    Returns
    -------
    str
        The sha256 of its bytes, in hexadecimal.

    Raises
    ------
    PriorError
        If it cannot be read.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise PriorError(
            f"Could not read the prior {path} ({error.strerror or error}); wanted a readable "
            f"file. {_WHAT_TO_DO}"
        ) from error


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(path: Path, text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PriorError(
            f"Got a broken header in {path.name}; wanted JSON. {_WHAT_TO_DO}"
        ) from error
    if not isinstance(table, dict):
        raise PriorError(f"Got a header in {path.name} that is no table. {_WHAT_TO_DO}")
    return table


def _length_of_tensors(path: Path, table: dict[str, Any]) -> int:
    """Add up the bytes of all tensors, each as long as its type and shape ask for."""
    total = 0
    for name, said in table.items():
        if name == "__metadata__":
            continue
        entry = said if isinstance(said, dict) else {}
        shape, ends = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
        size = _BYTES.get(str(entry.get("dtype")), 0)
        if (
            not size
            or shape is None
            or ends is None
            or len(ends) != 2
            or ends[1] - ends[0] != prod(shape) * size
        ):
            raise PriorError(
                f"Got the weight {name[:80]!r} of {path.name} as {str(entry)[:80]}; wanted a type "
                f"of {', '.join(_BYTES)} and as many bytes as its shape asks for. {_WHAT_TO_DO}"
            )
        total += ends[1] - ends[0]
    return total


def _sizes(numbers: Any) -> list[int] | None:
    whole = isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
    return numbers if whole else None


def _resolution(generator: dict[str, Any]) -> Any:
    """Find the side of the images; DCGAN and BigGAN are described by their layers alone."""
    if "resolution" in generator:
        return generator["resolution"]
    widths = generator.get("widths")
    if not isinstance(widths, list) or not 0 < len(widths) <= _MOST_LAYERS:
        return None
    if isinstance(upsample := generator.get("upsample"), list):  # BigGAN-deep
        return 4 * 2 ** min(_MOST_LAYERS, sum(up is True for up in upsample))
    # BigGAN's first width is that of 4 px; DCGAN's last block draws the image
    return 4 * 2 ** (len(widths) - ("attention" in generator))


def _header(path: Path, table: dict[str, Any], n_bytes: int) -> PriorHeader:
    texts = table.get("__metadata__")
    if not isinstance(texts, dict) or not isinstance(texts.get(_KEY), str):
        raise PriorError(
            f"Got {path.name}, a .safetensors file without a {_KEY!r} header; wanted a prior. "
            f"{_WHAT_TO_DO}"
        )
    card = _table(path, texts[_KEY].encode())
    if card.get("format") != _FORMAT:
        raise PriorError(
            f"Got {path.name} in another format version; wanted format {_FORMAT}. Update "
            "napari-mganprior, or install the prior again."
        )
    named = [card.get(key) for key in ("name", "architecture", "domain")]
    generator = card.get("generator")
    generator = generator if isinstance(generator, dict) else {}
    resolution, channels = _resolution(generator), generator.get("image_channels")
    if (
        not all(isinstance(text, str) for text in named)
        or type(resolution) is not int
        or resolution < 1
        or channels not in (1, 2, 3, 4)
    ):
        raise PriorError(
            f"Got a header in {path.name} without name, architecture, domain, or the generator's "
            f"resolution and image_channels; wanted all of them. {_WHAT_TO_DO}"
        )
    name, architecture, domain = named
    return PriorHeader(
        name=str(name),
        architecture=str(architecture),
        domain=str(domain),
        resolution=resolution,
        image_channels=int(channels),
        card={key: value for key, value in card.items() if key != "format"},
        n_bytes=n_bytes,
    )
