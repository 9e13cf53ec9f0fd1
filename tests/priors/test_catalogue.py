"""Priors are found by name or path, and never mistaken for one another."""

import shutil
from pathlib import Path

import pytest

from napari_mganprior.errors import PriorError, SettingsError, StorageError
from napari_mganprior.generators.checkpoint import read_card
from napari_mganprior.priors import (
    catalogue,
    check_prior_name,
    find_prior,
    list_priors,
    prior_names,
    read_entry,
    remove_prior,
    user_folder,
)
from napari_mganprior.settings import Preferences, save_preferences


@pytest.fixture
def bundled(tmp_path, monkeypatch) -> Path:
    """Return an empty folder in place of the package's own."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "_BUNDLED", folder)
    return folder


@pytest.fixture
def own(tmp_path, monkeypatch, bundled) -> Path:
    """Return an empty folder as the user's own, beside an empty bundled one."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


def test_a_prior_is_found_by_name_and_by_path(own, tiny_prior_path):
    """Law: name and path lead to the same entry, with the hash of the file."""
    shutil.copy(tiny_prior_path, own / "mine.safetensors")
    entry = read_entry("mine")
    assert entry == read_entry(own / "mine.safetensors")
    assert (entry.name, entry.source, entry.path) == ("mine", "user", own / "mine.safetensors")
    assert (entry.card, entry.sha256) == read_card(tiny_prior_path)
    assert list_priors() == (entry,)


def test_a_file_elsewhere_keeps_its_path_as_name(own, tiny_prior_path):
    entry = read_entry(str(tiny_prior_path))
    assert entry.name == str(tiny_prior_path)
    assert find_prior(tiny_prior_path) == tiny_prior_path


def test_a_bundled_name_means_the_bundled_prior(bundled, own, tiny_prior_path, tiny16_prior_path):
    """Law: a user's file cannot take the place of a bundled prior; it gets a name of its own."""
    shutil.copy(tiny_prior_path, bundled / "nuclei.safetensors")
    shutil.copy(tiny16_prior_path, own / "nuclei.safetensors")
    assert prior_names() == ("nuclei", "user/nuclei")
    assert find_prior("nuclei") == bundled / "nuclei.safetensors"
    assert find_prior("user/nuclei") == own / "nuclei.safetensors"
    assert [(e.name, e.source) for e in list_priors()] == [
        ("nuclei", "bundled"),
        ("user/nuclei", "user"),
    ]


def test_a_damaged_file_does_not_hide_the_others(own, tiny_prior_path):
    """Law: every name is listed; what cannot be read is left out of the entries only."""
    shutil.copy(tiny_prior_path, own / "good.safetensors")
    (own / "bad.safetensors").write_bytes(b"123")
    assert prior_names() == ("bad", "good")
    assert [entry.name for entry in list_priors()] == ["good"]
    with pytest.raises(PriorError, match=r"bad.safetensors, which is truncated"):
        read_entry("bad")


def test_an_unknown_prior_is_named_with_those_there_are(own, tiny_prior_path):
    with pytest.raises(PriorError, match=r"Got the prior 'cats'.* wanted one of: none"):
        find_prior("cats")
    shutil.copy(tiny_prior_path, own / "mine.safetensors")
    with pytest.raises(PriorError, match=r"Got the prior 'cats'.* wanted one of: mine\. Choose"):
        find_prior("cats")


def test_the_users_folder_need_not_exist(tmp_path, monkeypatch, bundled):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path / "nowhere"))
    assert prior_names() == ()
    monkeypatch.delenv("NAPARI_MGANPRIOR_PRIORS")
    assert user_folder().parts[-1] == "priors"
    assert "napari-mganprior" in user_folder().parts


def test_the_preferred_cache_folder_holds_the_priors(monkeypatch, tmp_path):
    monkeypatch.delenv("NAPARI_MGANPRIOR_PRIORS", raising=False)
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", str(tmp_path / "config"))
    save_preferences(Preferences(cache_folder=str(tmp_path / "cache")))
    assert user_folder() == tmp_path / "cache" / "priors"


def test_a_prior_is_removed_with_what_lies_beside_it(own, tiny_prior_path):
    """Law: the prior, its pictures and its text go; other files stay."""
    shutil.copy(tiny_prior_path, own / "mine.safetensors")
    beside = ["mine_grid.png", "mine.md", "mine_nearest.png"]
    others = ["mine_grid2.png", "minemine.md", "other_grid.png"]
    for name in beside + others:
        (own / name).write_bytes(b"x")
    gone = remove_prior("mine")
    assert sorted(path.name for path in gone) == sorted(["mine.safetensors", *beside])
    assert sorted(path.name for path in own.iterdir()) == sorted(others)
    with pytest.raises(PriorError, match=r"Got the prior 'mine' to remove; .* your own: none"):
        remove_prior("mine")


def test_a_bundled_prior_is_not_removed(own, bundled, tiny_prior_path):
    """Law: a name with a bundled and an own prior means the bundled one, here too."""
    shutil.copy(tiny_prior_path, bundled / "both.safetensors")
    shutil.copy(tiny_prior_path, own / "both.safetensors")
    with pytest.raises(PriorError, match="which came with the package"):
        remove_prior("both")
    assert remove_prior("user/both") == (own / "both.safetensors",)
    assert (bundled / "both.safetensors").exists()


def test_a_path_is_no_name_to_remove(own, tiny_prior_path):
    """Law: nothing outside the user's folder is ever deleted."""
    with pytest.raises(PriorError, match="wanted one of your own"):
        remove_prior(str(tiny_prior_path))
    assert tiny_prior_path.exists()


def test_a_prior_that_cannot_be_removed_is_told(own, tiny_prior_path, monkeypatch):
    shutil.copy(tiny_prior_path, own / "mine.safetensors")

    def held(path, **settings):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "unlink", held)
    with pytest.raises(StorageError, match=r"Could not remove .*mine.safetensors \(in use\)"):
        remove_prior("mine")


@pytest.mark.parametrize("name", ["", " a", "a/b", "a\\b", "..", ".a", "a\tb", "C:a", "x" * 101])
def test_names_that_are_no_files_names_are_refused(name):
    with pytest.raises(SettingsError, match="wanted one that can be a file's name"):
        check_prior_name(name)


def test_ordinary_names_pass():
    for name in ("cells", "my cells 2", "zellen-ä", "v1.2"):
        check_prior_name(name)
