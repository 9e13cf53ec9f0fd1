"""Laws of the lock that keeps two programs from the same work."""

import errno
import os
import subprocess
import sys

import pytest

from napari_mganprior.files import locking
from napari_mganprior.files.locking import FileLock, is_locked


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "lock"


def test_one_has_it_until_it_lets_go(path):
    """Law: of two only one has it, and nothing is left when nobody has."""
    one, other = FileLock(path), FileLock(path)
    assert not is_locked(path)
    assert not path.exists()
    assert one.take()
    assert one.take()
    assert is_locked(path)
    assert not other.take()
    one.let_go()
    assert not path.exists()
    with other:
        assert other.take()
        assert not one.take()
    assert not is_locked(path)
    assert list(path.parent.iterdir()) == []


def test_a_program_that_dies_lets_go(path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from napari_mganprior.files.locking import FileLock\n"
        "lock = FileLock(Path(sys.argv[1]))\n"
        "print(lock.take(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline().strip() == "True"
        assert is_locked(path)
        assert not FileLock(path).take()
        program.kill()
    with FileLock(path) as lock:
        assert lock.take()


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be deleted")
def test_a_deleted_lock_protects_nobody(path, monkeypatch):
    """Law: who gets it has the file at the path, so that the next one is kept out."""
    real, first, second = locking._lock, FileLock(path), FileLock(path)
    assert first.take()

    def late(file):
        first.let_go()  # between the second's opening of the file and its locking it
        return real(file)

    monkeypatch.setattr(locking, "_lock", late)
    assert second.take()
    assert path.exists()
    assert not FileLock(path).take()
    second.let_go()


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_who_lets_go_late_does_not_take_it_from_another(path):
    """Law: a lock whose folder was deleted and made anew is not that one's any more."""
    first, second = FileLock(path), FileLock(path)
    assert first.take()
    path.unlink()
    assert second.take()
    first.let_go()
    assert path.exists()
    assert not FileLock(path).take()
    second.let_go()


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_without_locks_in_the_file_system_the_work_goes_on(path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(locking.fcntl, "flock", none)
    with FileLock(path) as lock:
        assert lock.take()
