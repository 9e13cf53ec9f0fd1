"""One holder at a time: a lock that the system lets go of when its holder dies."""

import contextlib
import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock", "is_locked"]

_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


class FileLock:
    """Keep other programs, and other threads of this one, from the same work.

    Where the file system has no locks, as that of some clusters, everybody gets it.

    Parameters
    ----------
    path : Path
        A file for this alone; it is there while the lock is held. Its folder is made.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with FileLock(path) as mine, FileLock(path) as other:
    ...     mine.take(), other.take()
    (True, False)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.let_go()

    def take(self) -> bool:
        """Take it unless somebody else holds it, without waiting; returns whether it is held.

        Raises
        ------
        OSError
            If there can be no such file.
        """
        while self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("ab")
            if not _lock(file):
                file.close()
                return False
            if _is_at(file, self.path):
                self._file = file
            else:  # who held it has deleted it, and the next one will make another
                file.close()
        return True

    def let_go(self) -> None:
        """Let others have it; nothing of it is left."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            # while it is held, so that nobody else's is deleted; with its folder it may be gone
            if sys.platform != "win32" and _is_at(file, self.path):
                self.path.unlink()
        file.close()
        if sys.platform == "win32":  # what somebody has open cannot be deleted there
            with contextlib.suppress(OSError):
                self.path.unlink()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock; where there is none, asking makes none."""
    try:
        with path.open("r+b") as file:
            return not _lock(file)
    except OSError:  # nobody holds it; or nothing can be written, as taking it will say
        return False


def _lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that has the path now."""
    if sys.platform == "win32":
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
