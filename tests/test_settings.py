"""Preferences and last settings: round trips, damage, and two writers at once."""

import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from napari_mganprior.errors import SettingsError, StorageError
from napari_mganprior.settings import (
    Preferences,
    cache_folder,
    config_folder,
    is_offline,
    load_preferences,
    read_preferences,
    recall,
    remember,
    save_preferences,
)

OTHER = Preferences(
    device="cuda:1",
    threads=3,
    cache_folder="~/priors",
    precision="float32",
    default_prior="user/nuclei",
    preview_rate=10,
    process_mode=True,
    offline=True,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep the files in a folder of the test's own."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_nothing_stored_means_the_defaults_and_leaves_nothing_behind(folder):
    assert load_preferences() == Preferences()
    assert recall("inpaint") == {}
    assert not folder.exists()


def test_what_is_saved_is_loaded(folder):
    save_preferences(OTHER)
    assert load_preferences() == OTHER
    assert [path.name for path in folder.iterdir()] == ["preferences.json"]


def test_a_form_is_recalled_as_it_was_and_each_task_has_its_own():
    form = {"prior": "nuclei", "zoom": None, "seed": 3, "marks": [True, False], "name": "Zellen ä"}
    remember("inpaint", form)
    remember("super-resolution", {"factor": 2})
    assert recall("inpaint") == form
    remember("inpaint", {"seed": 4})
    assert recall("inpaint") == {"seed": 4}
    assert recall("super-resolution") == {"factor": 2}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("device", "gpu", r"Got device 'gpu'; wanted auto, cpu, cuda, cuda:N or mps\. Choose auto"),
        ("device", None, r"Got device None; wanted text\. Put it into quotes"),
        ("threads", -1, r"Got threads -1; wanted a whole number from 0 to 1024\. 0 leaves"),
        ("threads", 2000, "Got threads 2000; wanted a whole number"),
        ("threads", True, "Got threads True; wanted a whole number"),
        ("threads", 1.5, "Got threads 1.5; wanted a whole number"),
        ("cache_folder", "here", r"Got cache_folder 'here'; wanted an absolute path, or nothing"),
        ("cache_folder", "~nobody-of-that-name/x", "wanted an absolute path"),
        ("precision", "half", "Got precision 'half'; wanted auto, float32, bfloat16. Choose auto"),
        ("default_prior", " ", "Got default_prior ' '; wanted a prior's name. Try nuclei"),
        ("preview_rate", 0, "Got preview_rate 0; wanted a number from 0.1 to 25. 4 a second"),
        ("preview_rate", float("nan"), "Got preview_rate nan; wanted a number"),
        ("process_mode", 1, "Got process_mode 1; wanted true or false"),
        ("offline", 1, "Got offline 1; wanted true or false"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_and_falls_back_alone(name, value, message, caplog):
    """Made by hand it is an error; met in a file it is a warning, and the rest holds."""
    with pytest.raises(SettingsError, match=message):
        Preferences(**{name: value})
    stored = {**asdict(OTHER), name: value}
    wanted = {**asdict(OTHER), name: getattr(Preferences(), name)}
    with caplog.at_level(logging.WARNING):
        assert asdict(read_preferences(stored, "test")) == wanted
    (record,) = caplog.records
    assert f"Got {name} {value!r}" in record.getMessage()


def test_an_unknown_preference_is_left_out_with_a_warning(folder, caplog):
    save_preferences(OTHER)
    path = folder / "preferences.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    assert load_preferences() == OTHER
    assert "there is no preference 'colour'" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [b"", b'{"device": "cp', b"\xff\xfe\x00", b"[1, 2]", b"null", b"[" * 100_000],
    ids=["empty", "torn", "no text", "list", "null", "nested"],
)
def test_a_damaged_file_is_put_aside_and_the_defaults_are_taken(folder, damage, caplog):
    (folder / "last").mkdir(parents=True)
    for path, load, wanted in (
        (folder / "preferences.json", load_preferences, Preferences()),
        (folder / "last" / "inpaint.json", lambda: recall("inpaint"), {}),
    ):
        path.write_bytes(damage)
        caplog.clear()
        assert load() == wanted
        assert "is damaged" in caplog.text
        assert path.with_name(f"{path.name}.bad").read_bytes() == damage
        assert not path.exists()
        caplog.clear()
        assert load() == wanted  # and it is said once
        assert not caplog.records


def test_a_file_that_cannot_be_read_is_left_where_it_is(folder, caplog):
    (folder / "preferences.json").mkdir(parents=True)
    assert load_preferences() == Preferences()
    assert "cannot be read" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["preferences.json"]


def test_a_folder_that_cannot_be_written_stops_no_run(tmp_path, monkeypatch, caplog):
    """Saving preferences was asked for, so it fails aloud; remembering was not."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="Could not write"):
        save_preferences(OTHER)
    remember("inpaint", {"seed": 1})
    assert "The settings of inpaint are not remembered: Could not write" in caplog.text
    assert load_preferences() == Preferences()
    assert recall("inpaint") == {}


@pytest.mark.parametrize("value", [Path(), {1, 2}, float("inf")])
def test_a_form_that_json_cannot_hold_is_refused(value):
    with pytest.raises(SettingsError, match=r"that JSON cannot hold .*Convert them first"):
        remember("inpaint", {"value": value})
    assert recall("inpaint") == {}


@pytest.mark.parametrize("task", ["", "../preferences", "Inpaint", "a/b", "x" * 65])
def test_a_task_is_a_plain_name(task):
    for use in (recall, lambda task: remember(task, {})):
        with pytest.raises(SettingsError, match="wanted small letters, digits, - and _"):
            use(task)


def test_folders(tmp_path, monkeypatch):
    """The variable names the configuration's folder, the preference the cache's."""
    assert config_folder() == tmp_path / "config"
    monkeypatch.delenv("NAPARI_MGANPRIOR_CACHE")
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", "~/here")
    assert config_folder() == Path.home() / "here"
    monkeypatch.delenv("NAPARI_MGANPRIOR_CONFIG")
    assert config_folder().name == "napari-mganprior"
    assert cache_folder(Preferences()).name == "napari-mganprior"
    assert cache_folder(OTHER) == Path.home() / "priors"


def test_the_stored_cache_folder_is_obeyed_unless_the_environment_names_one(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_CACHE", str(tmp_path / "env"))
    assert cache_folder() == tmp_path / "env"
    monkeypatch.delenv("NAPARI_MGANPRIOR_CACHE")
    save_preferences(Preferences(cache_folder=str(tmp_path / "cache")))
    assert cache_folder() == tmp_path / "cache"


_WRITER = """
import sys
from napari_mganprior.settings import Preferences, load_preferences, recall, remember
from napari_mganprior.settings import save_preferences
mine = int(sys.argv[1])
for _ in range(100):
    save_preferences(Preferences(threads=mine, default_prior=str(mine) * 200 * mine))
    remember("inpaint", {"who": mine, "what": [mine] * 300 * mine})
    seen, form = load_preferences(), recall("inpaint")
    assert seen.default_prior == str(seen.threads) * 200 * seen.threads, seen
    assert form["what"] == [form["who"]] * 300 * form["who"], form
"""


def test_two_programs_that_write_at_once_never_mix_their_files(folder):
    """Each reads whole files only, of one or the other, and none is taken for damaged."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(mine)], stderr=subprocess.PIPE, text=True
        )
        for mine in (1, 2)
    ]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    assert said == ["", ""]  # no warning
    left = sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert left == ["inpaint.json", "preferences.json"]


def test_the_room_needs_neither_torch_nor_napari_nor_qt():
    code = (
        "import sys; from napari_mganprior.settings import load_preferences, cache_folder\n"
        "load_preferences(); cache_folder()\n"
        "print({'torch', 'napari', 'qtpy', 'magicgui'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"


def test_offline_is_a_preference_that_a_variable_overrides(monkeypatch):
    monkeypatch.delenv("NAPARI_MGANPRIOR_OFFLINE", raising=False)
    assert not is_offline()
    save_preferences(Preferences(offline=True))
    assert is_offline()
    assert not is_offline(Preferences())
    for said, offline in (("1", True), ("TRUE", True), ("0", False), ("off", False), ("", True)):
        monkeypatch.setenv("NAPARI_MGANPRIOR_OFFLINE", said)
        assert is_offline() is offline
