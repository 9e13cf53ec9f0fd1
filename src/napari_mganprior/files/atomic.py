"""Files that are there as a whole or not at all."""

import contextlib
import os
from pathlib import Path

from napari_mganprior.errors import StorageError

__all__ = ["write_atomically"]


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes beside a path and rename them onto it, so that no half file is ever seen.

    Parameters
    ----------
    path : Path
        Where to; folders are made, an existing file is replaced.
    data : bytes
        All of the file.

    Raises
    ------
    StorageError
        If the folder cannot be written to, or the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:  # Ctrl-C, too, leaves nothing behind
        # whatever keeps the part from being removed must not hide why it was not written
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f"Could not write {path} ({error.strerror or error}); wanted {len(data)} bytes of "
            "room and permission to write there. Free some space or choose another folder."
        ) from error
