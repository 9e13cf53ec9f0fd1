"""Priors taken over from a file, a folder or an address: as a whole, checked, or not at all."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from napari_mganprior import install_prior
from napari_mganprior.errors import DownloadError, PriorError, SettingsError, StorageError
from napari_mganprior.generators.checkpoint import load_prior, read_card, save_prior
from napari_mganprior.priors import install_steps, prior_names, read_entry, remove_prior
from napari_mganprior.priors.words import tell_prior


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the user's own priors, which is not there yet."""
    folder = tmp_path / "own"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


@pytest.fixture
def offered(server, tiny16_prior_path):
    """A prior on a server; its address."""
    server.files["/priors/leaves.safetensors"] = tiny16_prior_path.read_bytes()
    return f"{server.url}/priors/leaves.safetensors"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def whole(name):
    return sorted([f"{name}.safetensors", f"{name}_grid.png", f"{name}_installed.json"])


def test_a_file_is_installed(folder, tiny16_prior_path):
    """Law: the bytes are the file's; samples and origin lie beside it; it is listed."""
    (entry,) = install_prior(tiny16_prior_path, name="leaves")
    assert entry.path == folder / "leaves.safetensors"
    assert entry.sha256 == sha256(tiny16_prior_path) == sha256(entry.path)
    assert (entry.name, entry.source) == ("leaves", "user")
    assert "leaves" in prior_names()
    assert listing(folder) == whole("leaves")
    with Image.open(folder / "leaves_grid.png") as sheet:
        assert sheet.size == (128, 128)
    record = json.loads((folder / "leaves_installed.json").read_text())
    assert (record["source"], record["sha256"], record["pinned"]) == (
        "tiny16.safetensors", entry.sha256, False,
    )  # fmt: skip


def test_what_belongs_to_a_prior_comes_along_and_goes_with_it(folder, tiny16_prior_path, tmp_path):
    source = tmp_path / "mine.safetensors"
    shutil.copyfile(tiny16_prior_path, source)
    (tmp_path / "mine.md").write_text("a model card")
    (tmp_path / "mine_grid.png").write_bytes(b"somebody's picture is drawn anew")
    install_prior(source)
    assert (folder / "mine.md").read_text() == "a model card"
    assert (folder / "mine_grid.png").read_bytes()[:4] == b"\x89PNG"
    remove_prior("mine")
    assert listing(folder) == []


def test_an_address_is_installed_under_the_file_s_name(folder, offered, tiny16_prior_path):
    (entry,) = install_prior(offered, sha256=sha256(tiny16_prior_path).upper())
    assert entry.name == "leaves"
    assert listing(folder) == whole("leaves")
    told = tell_prior("leaves")
    assert told["Installed"].startswith(f"from {offered} on 20")
    assert told["Installed"].endswith("its sha256 is the one that was asked for")


def test_a_file_that_changes_afterwards_is_told(folder, tiny16_prior_path, tiny_rgb_prior_path):
    install_prior(tiny16_prior_path)
    assert tell_prior("tiny16")["Installed"].endswith("its sha256 is stored then")
    shutil.copyfile(tiny_rgb_prior_path, folder / "tiny16.safetensors")
    assert "the file has CHANGED since" in tell_prior("tiny16")["Installed"]


@pytest.mark.parametrize(
    "record", [b"", b"[]", b"{", b'{"sha256": 3}', b"[" * 10_000, b'{"sha256": ' + b"1" * 10**5]
)
def test_a_broken_record_is_no_record(record, folder, tiny16_prior_path):
    install_prior(tiny16_prior_path)
    (folder / "tiny16_installed.json").write_bytes(record)
    assert "Installed" not in tell_prior("tiny16")


def test_steps_tell_how_far_it_is_and_the_last_what_there_is(folder, offered):
    steps = list(install_steps(offered))
    assert any(step.downloading and step.n_steps for step in steps)
    assert [step.doing for step in steps if not step.downloading][-1] == "done"
    assert all(0 <= step.index <= step.n_steps for step in steps if step.n_steps)
    assert steps[-1].fresh == ("leaves",)
    assert not any(step.entries for step in steps[:-1])


def test_a_cut_connection_is_gone_on_with(folder, offered, server, tiny16_prior_path):
    server.faults["/priors/leaves.safetensors"] = ("cut", 20_000)
    (entry,) = install_prior(offered)
    assert entry.sha256 == sha256(tiny16_prior_path)
    assert len(server.asked) == 2


def test_a_wrong_hash_leaves_nothing(folder, offered, tiny16_prior_path):
    with pytest.raises(DownloadError, match="wanted 0000"):
        install_prior(offered, sha256="0" * 64)
    with pytest.raises(PriorError, match=r"Got tiny16\.safetensors with the sha256 .*wanted 0000"):
        install_prior(tiny16_prior_path, sha256="0" * 64)
    assert listing(folder) == []


@pytest.mark.parametrize("pinned", [True, False])
def test_two_at_once_end_as_two_one_after_the_other(folder, offered, tiny16_prior_path, pinned):
    """Law: the second waits until the first has installed it, and its file is not taken away."""
    wanted = sha256(tiny16_prior_path) if pinned else None
    first, second = (install_steps(offered, sha256=wanted) for _ in range(2))
    while "copying" not in next(first).doing:  # downloaded, and needed still
        pass
    assert "waiting for another download" in next(second).doing
    *_, last = first
    assert last.fresh == ("leaves",)
    if pinned:
        *_, last = second
        assert (last.doing, last.fresh) == ("it is there already", ())
    else:
        with pytest.raises(StorageError, match="exists already; wanted a new name"):
            list(second)
    assert (folder / "leaves.safetensors").read_bytes() == tiny16_prior_path.read_bytes()


def test_a_missing_file_leaves_nothing(folder, server):
    with pytest.raises(DownloadError, match="Got the answer 404"):
        install_prior(f"{server.url}/none.safetensors")
    assert listing(folder) == []


@pytest.mark.parametrize("spoil", ["truncated", "torch file", "page", "nan", "empty"])
def test_what_is_no_prior_is_refused_and_leaves_nothing(
    spoil, folder, server, tmp_path, tiny16_prior_path
):
    data = tiny16_prior_path.read_bytes()
    if spoil == "nan":
        prior = load_prior(tiny16_prior_path)
        from napari_mganprior.generators.pggan import PGGANGenerator

        generator = PGGANGenerator(**prior.card.generator)
        next(iter(generator.parameters())).data.fill_(float("nan"))
        card = replace(read_card(tiny16_prior_path)[0], discriminator={})
        save_prior(tmp_path / "bad.safetensors", card, generator, None)
        data = (tmp_path / "bad.safetensors").read_bytes()
    spoiled = {
        "truncated": data[:-100],
        "torch file": b"PK\x03\x04" + data,
        "page": b"<html>" + data,
        "nan": data,
        "empty": b"",
    }[spoil]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(spoiled)
    server.files["/bad.safetensors"] = spoiled
    for source in (path, f"{server.url}/bad.safetensors"):
        with pytest.raises(PriorError):
            install_prior(source)
        assert listing(folder) == []


def test_closed_at_any_step_it_leaves_no_prior(folder, offered):
    """Law: whatever the step after which it is closed, nothing of a prior is in the folder."""
    n_steps = len(list(install_steps(offered)))
    remove_prior("leaves")
    for index in range(n_steps - 1):
        steps = install_steps(offered)
        for _ in range(index + 1):
            step = next(steps)
        assert not step.entries
        steps.close()
        assert listing(folder) == [], f"closed after {step.doing}"


def test_a_full_disk_while_copying_leaves_nothing(folder, tiny16_prior_path):
    if os.name != "posix":
        pytest.skip("RLIMIT_FSIZE")
    code = (
        "import sys, resource, signal\n"
        "from napari_mganprior.errors import StorageError\n"
        "from napari_mganprior.priors import install\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    install(sys.argv[1])\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny16_prior_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Could not write the prior into" in done.stdout, done.stderr
    assert listing(folder) == []


def test_a_fault_at_the_last_rename_brings_back_what_was_there(
    folder, tiny16_prior_path, tiny_rgb_prior_path, monkeypatch
):
    install_prior(tiny16_prior_path, name="mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = Path.replace

    def replace_(self, target):
        if Path(target) == folder / "mine.safetensors" and self.parent.name != "before":
            raise PermissionError(13, "Permission denied")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_)
    with pytest.raises(StorageError, match=r"Could not write the prior into .*Permission denied"):
        install_prior(tiny_rgb_prior_path, name="mine", overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_overwritten_prior_s_card_does_not_stay(folder, tiny16_prior_path, tiny_rgb_prior_path):
    install_prior(tiny16_prior_path, name="mine")
    for ending in (".md", "_nearest.png"):
        (folder / f"mine{ending}").write_bytes(b"of the old one")
    install_prior(tiny_rgb_prior_path, name="mine", overwrite=True)
    names = {path.name for path in folder.iterdir()}
    assert names == {"mine.safetensors", "mine_grid.png", "mine_installed.json"}


def test_a_taken_name_is_refused_before_the_download(folder, offered, server, tiny_rgb_prior_path):
    install_prior(tiny_rgb_prior_path, name="leaves")
    with pytest.raises(StorageError, match=r"Got the name 'leaves' .*exists already"):
        install_prior(offered)
    assert server.asked == []
    (entry,) = install_prior(offered, overwrite=True)
    assert entry.sha256 == read_entry("leaves").sha256 == sha256(folder / "leaves.safetensors")


def test_the_same_file_again_is_no_fault(folder, tiny16_prior_path):
    install_prior(tiny16_prior_path)
    *_, last = install_steps(tiny16_prior_path)
    assert (last.fresh, len(last.entries)) == ((), 1)


def test_a_folder_is_installed_and_its_bad_files_are_told(folder, prior_folder, tmp_path):
    source = tmp_path / "offered"
    shutil.copytree(prior_folder, source)
    (source / "bad.safetensors").write_bytes(b"12345678")
    *_, last = install_steps(source)
    assert {entry.name for entry in last.entries} == {"tiny", "tiny16", "tinyrgb"}
    assert list(last.refused) == ["bad.safetensors"]
    assert "truncated" in last.refused["bad.safetensors"]
    assert "bad" not in prior_names()


def test_a_folder_s_faults(folder, prior_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PriorError, match=r"which holds no \.safetensors file"):
        install_prior(tmp_path / "empty")
    (tmp_path / "empty" / "bad.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(PriorError, match=r"of which nothing could be installed: .*truncated"):
        install_prior(tmp_path / "empty")
    for options in ({"name": "x"}, {"sha256": "0" * 64}):
        with pytest.raises(SettingsError, match="for a folder of 3 files"):
            install_prior(prior_folder, **options)
    assert listing(folder) == []


@pytest.mark.parametrize("source", ["nowhere", "", "  ", "C:\\nowhere\\a.safetensors"])
def test_a_source_that_is_none_is_told(source, folder):
    with pytest.raises(PriorError, match="neither a file, a folder nor an address"):
        install_prior(source)


@pytest.mark.parametrize("name", ["../x", "", "a/b"])
def test_a_name_that_is_none_is_refused(name, folder, tiny16_prior_path):
    with pytest.raises(SettingsError, match="wanted one that can be a file's name"):
        install_prior(tiny16_prior_path, name=name)
    assert listing(folder) == []


def test_an_address_cannot_name_a_file_elsewhere(folder, server, tiny16_prior_path):
    server.files["/a/..%2F..%2Fevil.safetensors"] = tiny16_prior_path.read_bytes()
    (entry,) = install_prior(f"{server.url}/a/..%2F..%2Fevil.safetensors")
    assert entry.path == folder / "evil.safetensors"


def test_offline_files_can_still_be_installed(folder, offered, tiny16_prior_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_OFFLINE", "1")
    with pytest.raises(DownloadError, match="downloads are switched off"):
        install_prior(offered)
    install_prior(tiny16_prior_path)
    assert listing(folder) == whole("tiny16")


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch, tiny16_prior_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path / "file" / "own"))
    with pytest.raises(StorageError, match="Could not write into"):
        install_prior(tiny16_prior_path)
