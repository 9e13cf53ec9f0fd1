"""What has come of a download, kept until the rest has come too."""

import contextlib
import hashlib
import json
import time
from pathlib import Path

__all__ = ["Partial", "address_key", "sweep"]

_STALE = 14 * 24 * 3600.0  # seconds after which what has come is thrown away


def address_key(url: str) -> str:
    """Return the stem of all files that belong to the download of an address."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Partial:
    """What has come so far, and of which file it is.

    Parameters
    ----------
    folder : Path
        Where it is kept.
    url : str
        Where it comes from; each address has its own.
    pinned : bool
        Whether the hash of the whole file is known, and will tell whether its halves fit.

    Attributes
    ----------
    path : Path
        Its file.
    validator : str
        What the server calls this version of the file; empty if it does not say.
    total : int
        Bytes of the whole file, 0 if the server does not say.
    """

    def __init__(self, folder: Path, url: str, *, pinned: bool) -> None:
        self.path = folder / f"{address_key(url)}.partial"
        self._notes = folder / f"{address_key(url)}.partial.json"
        self._pinned = pinned
        self.validator, self.total = "", 0
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = json.loads(self._notes.read_bytes())
            if isinstance(said, dict) and isinstance(said.get("validator"), str):
                self.validator = said["validator"]
        if self.size and not (self.validator or pinned):
            self.discard()  # nothing would tell a later version of the file from this one

    @property
    def size(self) -> int:
        """Bytes that have come."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def headers(self) -> dict[str, str]:
        """Return what to ask for."""
        if not (size := self.size):
            return {}
        asked = {"Range": f"bytes={size}-"}
        return asked | ({"If-Range": self.validator} if self.validator else {})

    def note(self, validator: str, total: int) -> None:
        """Remember of which file this is, before its first byte."""
        from napari_mganprior.files import write_atomically  # brings numpy, which lists need not

        self.validator, self.total = validator, total
        write_atomically(self._notes, json.dumps({"validator": validator}).encode())

    def keeps(self) -> bool:
        """Whether another attempt can go on from here."""
        return bool(self.size and (self.validator or self._pinned))

    def discard(self) -> None:
        """Throw away what has come."""
        for path in (self.path, self._notes):
            path.unlink(missing_ok=True)
        self.validator, self.total = "", 0

    def move_to(self, target: Path) -> None:
        """Hand the whole file over."""
        self.path.replace(target)
        self._notes.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Throw away what came so long ago that nobody will go on with it."""
    for path in folder.glob("*.partial*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
