"""One download of an address at a time: the others wait for their turn.

Two at once would write into the same ``.partial`` file, and without a sha256 given nothing would
tell that its halves do not fit.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mganprior.errors import DownloadError, StorageError
from napari_mganprior.priors.addresses import check_address, shown_address
from napari_mganprior.priors.partial import address_key
from napari_mganprior.settings import is_offline

if TYPE_CHECKING:
    from napari_mganprior.files.locking import FileLock

__all__ = ["DownloadStep", "address_lock", "check_allowed", "turn_steps", "unwritable"]

_PAUSE = 0.1  # seconds between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadStep:
    """How far a download is.

    Attributes
    ----------
    done, total : int
        Bytes that are there, of how many; a total of 0 is not known.
    doing : str
        What happens, in words.
    sha256 : str
        Of the file, in hexadecimal, in the last step; empty before.
    """

    done: int = 0
    total: int = 0
    doing: str
    sha256: str = ""


def address_lock(folder: Path, url: str) -> "FileLock":
    """Return the lock without which nobody may touch what has come from an address."""
    from napari_mganprior.files.locking import FileLock  # brings numpy, which lists need not

    return FileLock(folder / f"{address_key(url)}.lock")


def turn_steps(lock: "FileLock", url: str) -> Generator[DownloadStep, None, bool]:
    """Wait until nobody else downloads from an address, and take its lock.

    Parameters
    ----------
    lock : FileLock
        Of the address, from `address_lock`.
    url : str
        The address.

    Yields
    ------
    DownloadStep
        Ten a second while it waits.

    Returns
    -------
    bool
        Whether it had to wait.

    Raises
    ------
    DownloadError
        If the address is not allowed, or nothing may be downloaded.
    StorageError
        If the folder cannot be written to.
    """
    check_allowed(url)
    waited = False
    while not _taken(lock):
        waited = True
        yield DownloadStep(doing="waiting for another download of the same file")
        time.sleep(_PAUSE)
    return waited


def check_allowed(url: str) -> None:
    """Refuse an address that may not be asked, or not now.

    Raises
    ------
    DownloadError
        If it is not allowed, or nothing may be downloaded.
    """
    check_address(url)
    if is_offline():
        raise DownloadError(
            f"Got {shown_address(url)} to download, but downloads are switched off; wanted to be "
            "online. Switch off 'Offline' in Preferences and unset NAPARI_MGANPRIOR_OFFLINE, or "
            "bring the file here by other means and name its path."
        )


def _taken(lock: "FileLock") -> bool:
    try:
        return lock.take()
    except OSError as error:
        raise unwritable(lock.path, error) from error


def unwritable(target: Path, error: OSError) -> StorageError:
    """Return what is to be raised where a download cannot be written."""
    return StorageError(
        f"Could not write {target} ({error.strerror or error}); wanted room and permission to "
        "write there. Free some space, or choose another cache folder."
    )
