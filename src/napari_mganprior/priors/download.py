"""Bring a file from an https address, so that it is there as a whole and as wanted, or not at all.

pooch compares the hash and puts the file in its place; how the bytes come is ours, since pooch
can neither go on with half a download nor end one early. What has come lies beside the target
in a ``.partial`` file and is gone on with by an HTTP Range request, RFC 9110, section 14: only
where the server says that it still has the same file, or where the hash will tell. Of several
downloads of an address into one folder the others wait while one works.
"""

import contextlib
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from napari_mganprior.errors import DownloadError, SettingsError, StorageError
from napari_mganprior.priors.addresses import check_redirect, shown_address
from napari_mganprior.priors.partial import Partial, sweep
from napari_mganprior.priors.turns import (
    DownloadStep,
    address_lock,
    check_allowed,
    turn_steps,
    unwritable,
)

if TYPE_CHECKING:
    from napari_mganprior.files.locking import FileLock

__all__ = [
    "DownloadStep",
    "checked_sha256",
    "download_steps",
    "file_sha256",
]

_CHUNK = 16 * 1024  # bytes: small, so that a slow line can be cancelled
_BETWEEN = 0.1  # seconds from step to step
_CONNECT, _READ = 10.0, 20.0  # seconds without an answer
_PAUSE = 1.0  # seconds before the next attempt
_TRIES = 3  # attempts that bring nothing
_MOST_TRIES = 50  # attempts in all, however little each brings
_MOST_HOPS = 5  # redirects
_HASH = re.compile(r"\b[0-9a-f]{64}\b")
_REDIRECTS = (301, 302, 303, 307, 308)
_WORDS = {
    401: "asks for a password",
    403: "does not allow it",
    404: "has no such file",
    407: "is behind a proxy that asks for a password",
    410: "has it no more",
    429: "asks to wait",
}


def checked_sha256(text: str | None) -> str | None:
    """Return a sha256 in small letters; None for none.

    Raises
    ------
    SettingsError
        If it is not 64 hexadecimal digits.
    """
    if text is None or not text.strip():
        return None
    digits = text.strip().lower().removeprefix("sha256:")
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise SettingsError(
            f"Got the sha256 {text[:80]!r}; wanted 64 hexadecimal digits. Copy it as a whole from "
            "where the file is offered."
        )
    return digits


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_steps(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    most_bytes: int,
    lock: "FileLock | None" = None,
) -> Generator[DownloadStep]:
    """Download a file.

    Another download of the same address into the same folder is waited for. A lost connection is
    tried anew. What has come stays when the download is cancelled or fails for want of a
    connection, and the next call goes on from there. Proxies are those of the environment
    (``HTTPS_PROXY``, ``NO_PROXY``).

    Parameters
    ----------
    url : str
        An https address, or an http one of this computer itself. So must be all redirects.
    target : Path
        Where to; its folder is made, an existing file replaced.
    sha256 : str, optional
        What the file must have, 64 hexadecimal digits; anything if left out.
    most_bytes : int
        A longer file is refused.
    lock : FileLock, optional
        `address_lock` of the target's folder, which the caller holds as long as it needs the
        file; held here until the file is there if left out.

    Yields
    ------
    DownloadStep
        Some ten a second; the last has the hash.

    Raises
    ------
    DownloadError
        If the address is not allowed, the server does not give the file, the line is lost, or
        the file is not the one wanted.
    StorageError
        If the file cannot be written, or the disk has no room for it.
    """
    sha256 = checked_sha256(sha256)
    if lock is not None:
        check_allowed(url)
        yield from _fetched(url, target, sha256, most_bytes)
        return
    with address_lock(target.parent, url) as own:
        waited = yield from turn_steps(own, url)
        if waited and sha256 and target.is_file() and file_sha256(target) == sha256:
            size = target.stat().st_size
            yield DownloadStep(done=size, total=size, doing="it is there now", sha256=sha256)
            return
        yield from _fetched(url, target, sha256, most_bytes)


def _fetched(
    url: str, target: Path, sha256: str | None, most_bytes: int
) -> Generator[DownloadStep]:
    """Download, where nobody else does."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        part = Partial(target.parent, url, pinned=sha256 is not None)
    except OSError as error:
        raise unwritable(target, error) from error
    began = part.size
    while True:
        yield from _all_bytes(url, part, most_bytes)
        yield DownloadStep(done=part.size, total=part.size, doing="checking the sha256")
        got = _settled(url, part, target, sha256)
        if got == sha256 or sha256 is None:
            break
        if began == 0:
            raise DownloadError(
                f"Got a file with the sha256 {got} from {shown_address(url)}; wanted {sha256}. "
                "Nothing is kept of it. Check the address and the sha256, or ask whoever offers "
                "the file."
            )
        began = 0  # the beginning may have been of an older file: once more as a whole
    size = target.stat().st_size
    yield DownloadStep(done=size, total=size, doing="downloaded", sha256=got)


class _CutError(Exception):
    """The line was lost; what has come is kept."""


def _all_bytes(url: str, part: Partial, most_bytes: int) -> Iterator[DownloadStep]:
    """Try until everything has come."""
    host = urlsplit(url).hostname
    idle = 0
    for _ in range(_MOST_TRIES):
        before = part.size
        yield DownloadStep(done=before, total=part.total, doing=f"asking {host}")
        try:
            with contextlib.closing(_one_attempt(url, part, most_bytes)) as steps:
                yield from steps
        except _CutError as error:
            if not part.keeps():
                part.discard()
            idle = 0 if part.size > before else idle + 1
            if idle >= _TRIES:
                raise _lost(url, part, error) from error
            yield DownloadStep(
                done=part.size, total=part.total, doing="the connection was lost, trying again"
            )
            time.sleep(_PAUSE)
        else:
            return
    raise _lost(url, part, _CutError("it was lost again and again"))


def _one_attempt(url: str, part: Partial, most_bytes: int) -> Generator[DownloadStep]:
    import requests

    try:
        with requests.Session() as session:
            response = _answer(session, url, part.headers())
            with contextlib.closing(response):
                if response.status_code == 416:  # what is here is no beginning of the file
                    part.discard()
                    raise _CutError("the file there has changed")
                if not _goes_on(response, part):
                    part.discard()
                if response.status_code == 206 and not part.size:
                    raise _CutError("the server answered with a middle part")
                total = _expected(url, response, part.size, most_bytes)
                _check_room(part, total)
                part.note(_validator(response), total)
                yield from _received(url, response, part, most_bytes)
    except requests.exceptions.SSLError as error:
        raise DownloadError(
            f"Could not trust {urlsplit(url).hostname} ({_reason(error)}); wanted a valid "
            "certificate. Where a company's proxy has its own, name its file in "
            "REQUESTS_CA_BUNDLE."
        ) from error
    except requests.exceptions.ProxyError as error:
        raise DownloadError(
            f"Could not get through the proxy ({_reason(error)}); wanted one that answers. Check "
            "HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        ) from error
    except requests.exceptions.RequestException as error:
        if isinstance(error, ValueError):  # requests' own word for what is no address
            raise DownloadError(
                f"Got the address {shown_address(url)} ({_reason(error)}); wanted one that can be "
                "asked. Correct it."
            ) from error
        raise _CutError(_reason(error)) from error


def _answer(session: Any, url: str, headers: dict[str, str]) -> Any:
    """Ask, and follow redirects to where we may go."""
    asked = {"Accept-Encoding": "identity", "User-Agent": "napari-mganprior", **headers}
    place = url
    for _ in range(_MOST_HOPS + 1):
        response = session.get(
            place, headers=asked, stream=True, allow_redirects=False, timeout=(_CONNECT, _READ)
        )
        if response.status_code in _REDIRECTS and (onward := response.headers.get("Location")):
            response.close()
            place = urljoin(place, onward)
            check_redirect(url, place)
            continue
        if response.status_code in (200, 206, 416):
            return response
        response.close()
        status = response.status_code
        raise DownloadError(
            f"Got the answer {status} for {shown_address(place)}: the server "
            f"{_WORDS.get(status, 'cannot answer at the moment')}; wanted the file. Check the "
            "address, or try again later."
        )
    raise DownloadError(
        f"Got more than {_MOST_HOPS} redirects from {shown_address(url)}; wanted the file. Ask for "
        "the address that they lead to."
    )


def _goes_on(response: Any, part: Partial) -> bool:
    """Whether the answer begins where the partial file ends."""
    said = str(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and said.startswith(f"bytes {part.size}-")


def _expected(url: str, response: Any, have: int, most_bytes: int) -> int:
    """Return how long the whole file will be, 0 if the server does not say."""
    kind = str(response.headers.get("Content-Type", "")).lower()
    if kind.startswith("text/html"):
        raise DownloadError(
            f"Got a web page from {shown_address(url)}; wanted the file itself. Copy the address "
            "of the download."
        )
    if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise DownloadError(
            f"Got packed bytes from {shown_address(url)}; wanted them as they are. Ask for another "
            "address."
        )
    length = str(response.headers.get("Content-Length", ""))
    total = have + int(length) if length.isdecimal() and len(length) < 20 else 0
    if total > most_bytes:
        raise _too_long(url, total, most_bytes)
    return total


def _validator(response: Any) -> str:
    """Return what tells this version of the file from others; a weak tag does not (RFC 9110)."""
    tag = str(response.headers.get("ETag", ""))
    if tag and not tag.startswith("W/"):
        return tag
    return str(response.headers.get("Last-Modified", ""))


def _received(url: str, response: Any, part: Partial, most_bytes: int) -> Iterator[DownloadStep]:
    doing = f"downloading from {urlsplit(url).hostname}"
    done, shown = part.size, 0.0
    try:
        with part.path.open("r+b" if done else "wb") as file:
            file.seek(done)
            for chunk in response.iter_content(_CHUNK):
                done += len(chunk)
                if done > most_bytes:
                    raise _too_long(url, done, most_bytes)
                file.write(chunk)
                if time.monotonic() - shown >= _BETWEEN:
                    shown = time.monotonic()
                    yield DownloadStep(done=done, total=part.total, doing=doing)
    except DownloadError:
        part.discard()
        raise
    except OSError as error:
        if _is_of_requests(error):
            raise
        part.discard()
        raise StorageError(
            f"Could not write what comes from {shown_address(url)} ({error.strerror or error}); "
            f"wanted room for {part.total or done} bytes in {part.path.parent}. What had come is "
            "removed again. Free some space, or choose another cache folder."
        ) from error
    if part.total and done < part.total:  # urllib3 1 does not mind
        raise _CutError(f"{done} of {part.total} bytes came")


def _settled(url: str, part: Partial, target: Path, sha256: str | None) -> str:
    """Let pooch compare the hash and put the file in place; returns the hash it has."""
    import pooch

    try:
        target.unlink(missing_ok=True)
        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                shown_address(url),
                known_hash=None if sha256 is None else f"sha256:{sha256}",
                fname=target.name,
                path=target.parent,
                downloader=lambda _url, out, _pooch: part.move_to(Path(out)),
            )
        return sha256 or file_sha256(target)
    except OSError as error:
        raise unwritable(target, error) from error
    except ValueError as error:  # pooch has removed the file
        part.discard()
        found = _HASH.findall(str(error))
        return found[-1] if found else "of another file"


@contextlib.contextmanager
def _quiet(log: logging.Logger) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.WARNING)  # pooch tells of every download on stderr
    try:
        yield
    finally:
        log.setLevel(level)


def _check_room(part: Partial, total: int) -> None:
    missing = total - part.size
    free = shutil.disk_usage(part.path.parent).free
    if missing > free:
        raise StorageError(
            f"Got a file of {total} bytes to download, {missing} of them still to come; wanted "
            f"room for them in {part.path.parent}, and {free} bytes are free. Free some space, or "
            "choose another cache folder."
        )


def _is_of_requests(error: OSError) -> bool:
    import requests

    return isinstance(error, requests.exceptions.RequestException)


def _reason(error: Exception) -> str:
    """Return the innermost reason, without addresses, which may be secret."""
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    if type(inner).__name__ == "IncompleteRead":
        return "ended early"
    words = str(inner).strip().splitlines()
    text = f"{type(inner).__name__}: {words[0]}" if words else type(inner).__name__
    return text if "://" not in text else type(inner).__name__


def _too_long(url: str, size: int, most: int) -> DownloadError:
    return DownloadError(
        f"Got a file of {size} bytes or more from {shown_address(url)}; wanted {most} at most. "
        "Check the address."
    )


def _lost(url: str, part: Partial, why: Exception) -> DownloadError:
    host, size = urlsplit(url).hostname, part.size
    if not size:
        return DownloadError(
            f"Could not reach {host} ({why}); wanted the file. Check the address, the network and "
            "the proxy, and try again."
        )
    return DownloadError(
        f"Lost the connection to {host} ({why}); wanted the whole file. The {size} bytes that came "
        "are kept, and the next try goes on from there. Check the network, and try again."
    )
