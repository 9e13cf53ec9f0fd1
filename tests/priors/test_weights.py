"""Published weights: brought whole and as published, never unasked."""

import hashlib
from dataclasses import replace

import pytest

from napari_mganprior import fetch_weights
from napari_mganprior.errors import DownloadError, PriorError, SettingsError, StorageError
from napari_mganprior.priors import WEIGHTS, fetch_steps, find_weights

DATA = b"weights" * 5000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def published(server, monkeypatch):
    """Let a file on this computer be what is published."""
    server.files["/vgg16.pth"] = DATA
    here = replace(
        WEIGHTS["vgg16"], url=f"{server.url}/vgg16.pth", sha256=SHA256, n_bytes=len(DATA)
    )
    monkeypatch.setitem(WEIGHTS, "vgg16", here)
    return server


def test_they_are_fetched_once(published, settings_folder):
    path = fetch_weights("vgg16")
    assert path == settings_folder / "cache" / "weights" / "vgg16-397923af.pth"
    assert path.read_bytes() == DATA
    assert find_weights("vgg16") == path
    assert len(published.asked) == 1
    fetch_weights("vgg16")
    assert len(published.asked) == 1


def test_a_damaged_file_is_fetched_anew(published):
    path = fetch_weights("vgg16")
    path.write_bytes(DATA[:100])
    fetch_weights("vgg16")
    assert path.read_bytes() == DATA


def test_they_come_from_a_file_too(published, tmp_path):
    (tmp_path / "mine.pth").write_bytes(DATA)
    path = fetch_weights("vgg16", tmp_path / "mine.pth")
    assert path.read_bytes() == DATA
    assert published.asked == []


def test_another_file_is_refused_and_leaves_nothing(published, tmp_path, settings_folder):
    (tmp_path / "mine.pth").write_bytes(b"other")
    with pytest.raises(PriorError, match=rf"Got mine\.pth with the sha256 .*; wanted {SHA256}"):
        fetch_weights("vgg16", tmp_path / "mine.pth")
    published.files["/vgg16.pth"] = DATA[::-1]
    with pytest.raises(DownloadError, match=f"wanted {SHA256}"):
        fetch_weights("vgg16")
    with pytest.raises(PriorError, match="Could not read"):
        fetch_weights("vgg16", tmp_path / "none.pth")
    folder = settings_folder / "cache" / "weights"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_cancelled_download_is_gone_on_with(published, monkeypatch):
    published.files["/vgg16.pth"] = data = DATA * 20
    sha256 = hashlib.sha256(data).hexdigest()
    here = replace(WEIGHTS["vgg16"], sha256=sha256, n_bytes=len(data))
    monkeypatch.setitem(WEIGHTS, "vgg16", here)
    steps = fetch_steps("vgg16")
    while not 0 < next(steps).done < len(data):
        pass
    steps.close()
    with pytest.raises(PriorError, match="which are not here"):
        find_weights("vgg16")
    assert fetch_weights("vgg16").read_bytes() == data
    assert published.asked[-1][1]["Range"].startswith("bytes=")


def test_weights_that_are_not_here_say_how_to_get_them():
    with pytest.raises(PriorError, match="`napari-mganprior priors weights vgg16`"):
        find_weights("vgg16")
    with pytest.raises(SettingsError, match="Got the weights 'alex'; wanted one of vgg16, lpips"):
        find_weights("alex")
    with pytest.raises(SettingsError, match="Got the weights 'alex'"):
        fetch_weights("alex")


def test_a_variable_names_another_file(tmp_path, monkeypatch):
    (tmp_path / "mine.pth").write_bytes(DATA)
    monkeypatch.setenv("NAPARI_MGANPRIOR_LPIPS_VGG", str(tmp_path / "mine.pth"))
    assert find_weights("lpips-vgg") == tmp_path / "mine.pth"


def test_a_cache_folder_that_cannot_be_written_to_is_told(published, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "mine.pth").write_bytes(DATA)
    monkeypatch.setenv("NAPARI_MGANPRIOR_CACHE", str(tmp_path / "file" / "cache"))
    for source in (None, tmp_path / "mine.pth"):
        with pytest.raises(StorageError, match="Could not write"):
            fetch_weights("vgg16", source)


def test_the_published_hashes_agree_with_what_is_known_of_them():
    """Law: torchvision names a file by the first 8 digits of its sha256."""
    vgg16 = WEIGHTS["vgg16"]
    assert vgg16.url.rpartition("/")[2] == vgg16.file == f"vgg16-{vgg16.sha256[:8]}.pth"
    for published in WEIGHTS.values():
        assert published.url.startswith("https://")
        assert len(bytes.fromhex(published.sha256)) == 32
