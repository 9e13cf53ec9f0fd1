"""The package as a whole: light to import, and declared in one place only."""

import configparser
import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import napari_mganprior

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "napari", "skimage", "scipy", "magicgui", "qtpy", "superqt", "PIL", "tifffile"}


def imported(statement: str) -> set[str]:
    """Return the top-level names a fresh interpreter imports for a statement."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import napari_mganprior", HEAVY | {"numpy"}),
        ("import napari_mganprior.cli", HEAVY | {"numpy"}),
        ("import napari_mganprior.files, napari_mganprior.samples", HEAVY),
        ("import napari_mganprior.metrics", HEAVY),
        ("import napari_mganprior.priors as p; p.prior_names()", HEAVY),
    ],
)
def test_importing_is_cheap(statement, heavy):
    """Law: what shows first (napari's menus, --help, lists) waits for no heavy library."""
    names = imported(statement)
    assert "napari_mganprior" in names
    assert not names & heavy


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_program_answers_without_torch(option):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "napari_mganprior.cli", option],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = (
        f"napari-mganprior {version('napari-mganprior')}\n" if option == "--version" else "usage"
    )
    assert done.stdout.startswith(wanted)
    assert " torch\n" not in done.stderr
    assert " numpy\n" not in done.stderr


def test_every_public_name_is_there():
    """Law: what `__all__` promises can be had; nothing else can."""
    for name in napari_mganprior.__all__:
        assert getattr(napari_mganprior, name) is not None
    assert dir(napari_mganprior) == sorted(napari_mganprior.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_mganprior.nothing  # noqa: B018


def test_the_entry_points_are_installed():
    (script,) = entry_points(group="console_scripts", name="napari-mganprior")
    assert script.load() is napari_mganprior.cli.main
    (manifest,) = entry_points(group="napari.manifest", name="napari-mganprior")
    assert manifest.value == "napari_mganprior:napari.yaml"


def test_metadata_stands_in_one_place():
    """Law: no [project] table, which would win over setup.cfg silently; no Qt in the base."""
    assert "project" not in tomllib.loads((ROOT / "pyproject.toml").read_text())
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    base = setup["options"]["install_requires"].lower()
    needed = [line.split(">")[0].strip() for line in base.splitlines() if line.strip()]
    assert not {"napari", "pyqt5", "pyqt6", "pyside2", "pyside6"} & set(needed)
    assert "Framework :: napari" in setup["metadata"]["classifiers"]
    assert "<" not in setup["options.extras_require"]["all"]


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning_unless_the_user_says_so(before, after):
    """Law: importing the package settles it before torch is loaded."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if before is not None:
        environment["OMP_WAIT_POLICY"] = before
    code = "import os, napari_mganprior; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == after
