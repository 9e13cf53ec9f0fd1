"""A recipe in its four forms."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.errors import SettingsError, StorageError
from napari_mganprior.files import write_image
from napari_mganprior.runs import recipe as recipes

RECIPE = {
    "format": 2,
    "task": "inpaint",
    "prior": {"name": "nuclei", "sha256": "ab" * 32},
    "quality": "fast",
    "config": {"n_restarts": 2, "n_codes": 10, "n_steps": 30, "precision": "bfloat16"},
    "seed": 3,
    "zoom": 1.5,
    "damage": {"grow": 2, "feather": 1, "region": [0, 0, 9, 9]},
    "device": "cpu",
    "threads": 2,
    "versions": {"torch": "2.13"},
    "mask": {"damaged_pixels": 12},
    "n_windows": 2,
    "evaluations": 40,
    "seconds": 1.25,
    "sessions": [{"evaluations": 30, "complete": True}, {"evaluations": 10, "complete": False}],
    "layers": {"image": "cells", "mask": "holes", "path": "my cells.tif", "labels": "1, 3"},
}


def test_in_words_everything_that_matters_is_said():
    told = recipes.in_words(RECIPE)
    for part in (
        "Image: cells",
        "12 pixels marked in 'holes', grown by 2 px, feathered over 1 px, only in rows 0 to 9",
        "Prior: nuclei, sha256 abababababab…",
        "'fast', 2 searches of 10 codes, at most 30 evaluations each, bfloat16",
        "Seed: 3",
        "Pixel-size factor: 1.5",
        "40 evaluations in 2 windows, 1.2 s, in 2 runs, each going on from the last, stopped early",
        "Device: cpu, 2 threads",
    ):
        assert part in told
    planes = {"n": 4, "restored": [0, 2], "linked": True, "skipped": {"1": "blank"}}
    told = recipes.in_words({**RECIPE, "planes": planes, "quality": None})
    assert "2 of 4 restored, each begun from its neighbour; left as they were: 1" in told
    assert "chosen one by one" in told


@pytest.mark.parametrize("broken", [{}, {"prior": 3, "sessions": None}, {"task": "inpaint"}])
def test_a_recipe_with_gaps_is_told_as_far_as_it_goes(broken):
    recipes.in_words(broken)
    recipes.form_state(broken)


def test_json_comes_back():
    assert recipes.parse(recipes.as_json(RECIPE)) == RECIPE


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"task": 1}', "[" * 100_000])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(SettingsError, match=r"not JSON|no recipe"):
        recipes.parse(text)


def test_a_recipe_is_read_from_a_file_an_image_or_standard_input(tmp_path, monkeypatch):
    text = recipes.as_json(RECIPE)
    (tmp_path / "recipe.json").write_text(text, encoding="utf-8")
    write_image(tmp_path / "result.tif", np.zeros((9, 9), np.uint8), recipe=RECIPE)
    write_image(tmp_path / "result.png", np.zeros((9, 9), np.uint8), recipe=RECIPE)
    for name in ("recipe.json", "result.tif", "result.png"):
        assert recipes.read_recipe(tmp_path / name) == RECIPE
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert recipes.read_recipe(Path("-")) == RECIPE


def test_files_without_a_recipe_are_refused(tmp_path):
    write_image(tmp_path / "plain.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(SettingsError, match="an image without a recipe"):
        recipes.read_recipe(tmp_path / "plain.png")
    with pytest.raises(StorageError, match="Could not read the recipe"):
        recipes.read_recipe(tmp_path / "no.json")
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe\xe4")
    with pytest.raises(StorageError, match="Could not read the recipe"):
        recipes.read_recipe(tmp_path / "latin.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(StorageError, match="as a recipe; wanted at most"):
        recipes.read_recipe(tmp_path / "huge.json")


def test_settings_that_no_quality_has_and_regions_are_told():
    layers = {"region": "view"}
    state = recipes.form_state({**RECIPE, "quality": None, "layers": layers})
    assert state["quality"] is None
    assert state["region"] == "view"


def test_the_form_gets_what_it_can_show():
    assert recipes.form_state(RECIPE) == {
        "prior": "nuclei", "quality": "fast", "seed": 3, "device": "cpu", "zoom": 1.5, "grow": 2,
        "feather": 1, "labels": "1, 3",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="the command is for a POSIX shell")
def test_the_command_hands_the_recipe_over_whole(tmp_path):
    """Law: whatever stands in the recipe, the shell passes it on unchanged."""
    nasty = {**RECIPE, "layers": {"image": 'a\'b "c" $HOME `ls` \\ é', "path": "my cells.tif"}}
    fake = tmp_path / "napari-mganprior"
    fake.write_text('#!/bin/sh\ncat > "$0.json"\nprintf "%s\\n" "$@" > "$0.args"\n')
    fake.chmod(0o755)
    script = tmp_path / "command.sh"
    script.write_text(recipes.as_shell(nasty), encoding="utf-8")
    subprocess.run(["sh", str(script)], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert json.loads((tmp_path / "napari-mganprior.json").read_text("utf-8")) == nasty
    args = (tmp_path / "napari-mganprior.args").read_text().split("\n")
    assert args[:5] == ["run", "-", "my cells.tif", "-o", "restored.tif"]


def test_the_script_is_python_that_holds_the_recipe():
    script = recipes.as_python({**RECIPE, "layers": {"image": "'''\\ \n"}}, "in.tif")
    compile(script, "script", "exec")
    names: dict[str, object] = {}
    exec("\n".join(script.splitlines()[:1] + script.splitlines()[6:7]), names)
    assert names["recipe"]["layers"] == {"image": "'''\\ \n"}


def test_recipes_need_no_torch():
    code = "import sys, napari_mganprior.runs.recipe; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
