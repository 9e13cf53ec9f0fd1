"""Downloads from a real server on this computer, with the faults that real ones have."""

import errno
import hashlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_mganprior.errors import DownloadError, SettingsError, StorageError
from napari_mganprior.priors import download
from napari_mganprior.priors.addresses import check_redirect, shown_address
from napari_mganprior.priors.download import download_steps

DATA = bytes(range(256)) * 400  # 102,400 bytes
SHA256 = hashlib.sha256(DATA).hexdigest()
MOST = 10**6


@pytest.fixture
def target(tmp_path, server):
    server.files["/a.bin"] = DATA
    return tmp_path / "cache" / "a.bin"


def fetch(server, target, **options):
    steps = list(download_steps(f"{server.url}/a.bin", target, **{"most_bytes": MOST, **options}))
    return steps[-1]


def left(target):
    """Whatever lies beside the target."""
    return sorted(p.name for p in target.parent.iterdir()) if target.parent.exists() else []


def ranges(server):
    return [headers.get("Range") for _, headers in server.asked]


def test_a_file_comes_as_a_whole(server, target):
    """Law: the bytes are the server's, the hash is told, nothing else is left."""
    last = fetch(server, target)
    assert target.read_bytes() == DATA
    assert (last.done, last.total, last.sha256) == (len(DATA), len(DATA), SHA256)
    assert left(target) == ["a.bin"]


def test_progress_grows(server, target, monkeypatch):
    monkeypatch.setattr(download, "_BETWEEN", 0.0)
    url = f"{server.url}/a.bin"
    done = [s.done for s in download_steps(url, target, most_bytes=MOST) if s.total == len(DATA)]
    assert done == sorted(done)
    assert len(set(done)) > 3


@pytest.mark.parametrize("pinned", [None, SHA256])
def test_a_cut_connection_is_gone_on_with(server, target, pinned):
    """Law: the second request asks for the rest only."""
    server.faults["/a.bin"] = ("cut", 50_000)
    fetch(server, target, sha256=pinned)
    assert target.read_bytes() == DATA
    first, second = ranges(server)
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 50_000
    assert server.asked[1][1]["If-Range"] == server.tag
    assert left(target) == ["a.bin"]


def test_a_connection_that_stays_cut_is_told_and_the_next_call_goes_on(server, target):
    server.faults["/a.bin"] = ("length", 2 * len(DATA))  # promises more than it ever sends
    with pytest.raises(DownloadError, match=r"Lost the connection to 127\.0\.0\.1 .ended early"):
        fetch(server, target)
    assert not target.exists()
    (half,) = target.parent.glob("*.partial")
    came = half.stat().st_size
    assert 0 < came <= len(DATA)
    server.files["/a.bin"] = DATA + b"the rest"
    del server.faults["/a.bin"]
    asked = len(server.asked)
    fetch(server, target)
    assert target.read_bytes() == DATA + b"the rest"
    assert ranges(server)[asked:] == [f"bytes={came}-"]


def test_a_file_that_has_changed_is_fetched_anew(server, target):
    """Law: halves of two versions are never put together, even where no hash was given."""
    interrupt(server, target)
    server.files["/a.bin"], server.tag = DATA[::-1], '"two"'
    fetch(server, target)
    assert target.read_bytes() == DATA[::-1]


def test_without_a_version_only_a_pinned_hash_lets_it_go_on(server, target):
    server.faults["/a.bin"] = "no tag"
    interrupt(server, target)
    asked = len(server.asked)
    fetch(server, target)
    assert ranges(server)[asked:] == [None]
    target.unlink()
    interrupt(server, target, sha256=SHA256)
    asked = len(server.asked)
    fetch(server, target, sha256=SHA256)
    (again,) = ranges(server)[asked:]
    assert again.startswith("bytes=")
    assert target.read_bytes() == DATA


def test_a_stale_half_is_found_by_its_hash_and_fetched_anew(server, target):
    server.faults["/a.bin"] = "no tag"
    server.files["/a.bin"] = DATA[::-1]
    interrupt(server, target, sha256=SHA256)
    server.files["/a.bin"] = DATA
    fetch(server, target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_a_server_without_ranges_begins_anew(server, target):
    server.faults["/a.bin"] = "no ranges"
    interrupt(server, target)
    fetch(server, target)
    assert target.read_bytes() == DATA


def test_a_half_that_is_longer_than_the_file_is_thrown_away(server, target):
    interrupt(server, target)
    server.files["/a.bin"] = b"short"
    fetch(server, target)
    assert target.read_bytes() == b"short"


def interrupt(server, target, **options):
    """Close a download after some of it has come."""
    url = f"{server.url}/a.bin"
    steps = download_steps(url, target, **{"most_bytes": MOST, **options})
    while not (0 < (step := next(steps)).done < len(DATA)):
        assert not step.sha256
    steps.close()
    assert not target.exists()
    assert any(name.endswith(".partial") for name in left(target))


def test_cancelled_it_leaves_no_file_and_goes_on_later(server, target):
    interrupt(server, target)
    asked = len(server.asked)
    fetch(server, target)
    assert target.read_bytes() == DATA
    assert ranges(server)[asked].startswith("bytes=")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_program_s_download_is_gone_on_with(server, target):
    server.faults["/a.bin"] = ("slow", 0.02)
    code = (
        "import sys, pathlib\n"
        "from napari_mganprior.priors.download import download_steps\n"
        "for step in download_steps(sys.argv[1], pathlib.Path(sys.argv[2]), most_bytes=10**6):\n"
        "    print(step.done, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, f"{server.url}/a.bin", str(target)], stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if int(line) > 20_000:
                program.send_signal(signal.SIGKILL)
                break
    assert not target.exists()
    del server.faults["/a.bin"]
    fetch(server, target)
    assert target.read_bytes() == DATA
    assert server.asked[-1][1]["Range"].startswith("bytes=")


def test_a_wrong_hash_leaves_nothing(server, target):
    target.parent.mkdir(parents=True)
    with pytest.raises(DownloadError, match=rf"Got a file with the sha256 {SHA256} .*wanted 0000"):
        fetch(server, target, sha256="0" * 64)
    assert left(target) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "has no such file"),
        (403, "does not allow it"),
        (401, "asks for a password"),
        (500, "cannot answer at the moment"),
    ],
)
def test_an_answer_that_is_no_file_is_told(server, target, status, words):
    server.faults["/a.bin"] = status
    with pytest.raises(DownloadError, match=f"Got the answer {status} for .*{words}; wanted"):
        fetch(server, target)
    assert left(target) == []
    assert len(server.asked) == 1


def test_a_web_page_is_refused(server, target):
    server.faults["/a.bin"] = "page"
    with pytest.raises(DownloadError, match="Got a web page from"):
        fetch(server, target)
    assert left(target) == []


def test_redirects_on_this_computer_are_followed_others_refused(server, target):
    server.files["/b.bin"] = DATA
    server.faults["/a.bin"] = ("redirect", "/b.bin")
    fetch(server, target)
    assert target.read_bytes() == DATA
    for place in ("http://example.org/b.bin", "ftp://127.0.0.1/b.bin", "file:///etc/passwd"):
        server.faults["/a.bin"] = ("redirect", place)
        with pytest.raises(DownloadError, match="wanted https all the way"):
            fetch(server, target)
    server.faults["/a.bin"] = ("redirect", "/a.bin")
    with pytest.raises(DownloadError, match="Got more than 5 redirects"):
        fetch(server, target)


def test_a_redirect_from_https_never_leads_to_plain_http():
    with pytest.raises(DownloadError, match="wanted https all the way"):
        check_redirect("https://example.org/a", "http://127.0.0.1/a")
    check_redirect("https://example.org/a", "https://cdn.example.net/a")


@pytest.mark.parametrize(
    "url",
    ["http://example.org/a.bin", "ftp://example.org/a", "file:///a.bin", "https://", "http://[/a"],
)
def test_addresses_that_are_not_allowed(url, tmp_path):
    with pytest.raises(DownloadError, match=r"Got the address .*wanted one that begins with https"):
        next(download_steps(url, tmp_path / "a.bin", most_bytes=MOST))


def test_an_absurd_length_is_refused_before_a_byte_is_written(server, target):
    server.faults["/a.bin"] = ("length", 10**15)
    with pytest.raises(DownloadError, match="Got a file of 1000000000000000 bytes or more"):
        fetch(server, target)
    assert left(target) == []


def test_more_bytes_than_allowed_are_refused_though_the_length_was_not_stated(
    server, target, monkeypatch
):
    monkeypatch.setattr(download, "_expected", lambda *_: 0)
    with pytest.raises(DownloadError, match="wanted 50000 at most"):
        fetch(server, target, most_bytes=50_000)
    assert left(target) == []


def test_too_little_room_is_told_first(server, target, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"102400 of them still to come.* 1000 bytes are free"):
        fetch(server, target)
    assert left(target) == []


def test_a_disk_that_fills_up_is_told_and_left_as_it_was(server, target, monkeypatch):
    """Law: with room for 40,000 bytes, nothing is left of a file of 102,400."""

    class Quota(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 40_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    real = Path.open

    def opened(self, mode="r", *args, **kwargs):
        if self.suffix == ".partial" and mode in ("wb", "r+b"):
            return Quota(self, mode)
        return real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(StorageError, match=r"No space left .*What had come is removed again"):
        fetch(server, target)
    assert left(target) == []


@pytest.mark.skipif(os.name != "posix", reason="RLIMIT_FSIZE")
def test_a_quota_of_the_system_is_told(server, target):
    """Law: the same with a limit that the system itself sets."""
    code = (
        "import sys, resource, signal, pathlib\n"
        "from napari_mganprior.errors import StorageError\n"
        "from napari_mganprior.priors.download import download_steps\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "try:\n"
        "    list(download_steps(sys.argv[1], pathlib.Path(sys.argv[2]), most_bytes=10**6))\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{server.url}/a.bin", str(target)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "What had come is removed again" in done.stdout, done.stderr
    assert left(target) == []


def test_a_folder_that_cannot_be_made_is_told(server, target, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(StorageError, match="Could not write"):
        fetch(server, target)


@pytest.mark.parametrize(("said", "allowed"), [("1", False), ("yes", False), ("0", True)])
def test_offline_nothing_is_asked(server, target, monkeypatch, said, allowed):
    monkeypatch.setenv("NAPARI_MGANPRIOR_OFFLINE", said)
    if allowed:
        fetch(server, target)
        return
    with pytest.raises(DownloadError, match="downloads are switched off"):
        fetch(server, target)
    assert server.asked == []
    assert left(target) == []


def test_the_proxy_of_the_environment_is_asked(server, target, monkeypatch):
    """Law: with HTTP_PROXY the request goes to the proxy, which gets the whole address."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    server.files["/elsewhere.bin"] = DATA
    url = "http://127.0.0.1:9/elsewhere.bin"  # nobody listens there
    *_, last = download_steps(url, target, most_bytes=MOST)
    assert last.sha256 == SHA256
    assert server.asked[0][0] == url


def test_a_proxy_that_is_not_there_is_told(server, target, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DownloadError, match="Could not get through the proxy"):
        fetch(server, target)
    assert server.asked == []


def test_a_host_that_is_not_there_is_told(server, target):
    url = f"http://127.0.0.1:{free_port()}/a.bin"
    with pytest.raises(DownloadError, match=r"Could not reach 127\.0\.0\.1"):
        list(download_steps(url, target, most_bytes=MOST))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_secrets_of_an_address_are_not_told(server, target, caplog, capfd):
    caplog.set_level(logging.DEBUG, logger="pooch")
    server.faults["/a.bin"] = 404
    url = f"http://me:secret@{server.url.removeprefix('http://')}/a.bin"
    with pytest.raises(DownloadError) as told:
        list(download_steps(url, target, most_bytes=MOST))
    assert "secret" not in str(told.value)
    server.files["/b.bin"] = DATA
    list(download_steps(f"{server.url}/b.bin", target, most_bytes=MOST))
    assert "secret" not in caplog.text + "".join(capfd.readouterr())
    assert shown_address("https://u:p@h.org:8/a?t=1#x") == "https://h.org:8/a"


@pytest.mark.parametrize("pinned", [True, False])
def test_of_two_at_once_one_waits_for_the_other(server, target, pinned):
    """Law: two downloads of an address never share its half, and both end with the whole file."""
    url, wanted = f"{server.url}/a.bin", SHA256 if pinned else None
    first, second = (download_steps(url, target, sha256=wanted, most_bytes=MOST) for _ in range(2))
    while not (0 < next(first).done < len(DATA)):
        pass
    assert "waiting for another download" in next(second).doing
    assert len(server.asked) == 1
    server.files["/a.bin"], server.tag = DATA[::-1] if not pinned else DATA, '"two"'
    *_, last = first
    assert (last.sha256, target.read_bytes()) == (SHA256, DATA)
    *_, last = second
    assert target.read_bytes() == server.files["/a.bin"]
    assert len(server.asked) == (1 if pinned else 2)  # a pinned one is there already
    assert left(target) == ["a.bin"]


def test_whoever_waits_takes_over_what_a_cancelled_one_left(server, target):
    first, second = (
        download_steps(f"{server.url}/a.bin", target, most_bytes=MOST) for _ in range(2)
    )
    while not (0 < next(first).done < len(DATA)):
        pass
    assert "waiting" in next(second).doing
    first.close()
    *_, last = second
    assert last.sha256 == SHA256
    assert ranges(server)[-1].startswith("bytes=")


def test_old_halves_are_swept(server, target):
    target.parent.mkdir(parents=True)
    old = target.parent / "0123456789abcdef.partial"
    old.write_bytes(b"x")
    long_ago = time.time() - 15 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    fetch(server, target)
    assert left(target) == ["a.bin"]


@pytest.mark.parametrize("text", ["12", "g" * 64, "0" * 63, "0" * 65])
def test_a_hash_that_is_none_is_refused(text, tmp_path):
    with pytest.raises(SettingsError, match="wanted 64 hexadecimal digits"):
        next(download_steps("https://h.org/a", tmp_path / "a", sha256=text, most_bytes=MOST))
