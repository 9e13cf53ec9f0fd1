"""The manifest: valid, complete, and known to napari."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from napari._app_model.constants._menus import MenuId
from npe2 import PluginManifest
from qtpy.QtWidgets import QWidget

import napari_mganprior

MANIFEST = Path(napari_mganprior.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


def test_the_manifest_is_valid(manifest):
    assert manifest.name == "napari-mganprior"
    assert manifest.display_name == "mGANprior restoration"
    manifest.validate_imports()


def test_every_python_name_is_there(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_every_command_that_is_used_is_there(manifest):
    ids = {command.id for command in manifest.contributions.commands}
    used = {item.command for item in manifest.contributions.widgets}
    used |= {item.command for item in manifest.contributions.sample_data}
    used |= {item.command for items in manifest.contributions.menus.values() for item in items}
    assert used == ids


def test_every_menu_takes_contributions_from_plugins(manifest):
    """Unknown ids pass npe2's validation in silence."""
    assert manifest.contributions.menus
    contributable = {str(menu) for menu in MenuId.contributables()}
    assert set(manifest.contributions.menus) <= contributable


def test_the_widget_is_a_class_napari_hands_its_viewer_to(manifest):
    (widget,) = manifest.contributions.widgets
    command = next(c for c in manifest.contributions.commands if c.id == widget.command)
    module, _, name = command.python_name.partition(":")
    widget_class = getattr(import_module(module), name)
    assert issubclass(widget_class, QWidget)
    assert "napari_viewer" in widget_class.__init__.__annotations__


def test_samples_are_a_damaged_picture_and_its_mask(manifest):
    assert {sample.key for sample in manifest.contributions.sample_data} == {
        "nuclei_scratch",
        "nuclei_bubble",
    }
    samples = import_module("napari_mganprior.widgets.samples")
    for open_sample in (samples.open_scratch, samples.open_bubble):
        (image, look, kind), (mask, mask_look, mask_kind) = open_sample()
        assert (kind, mask_kind) == ("image", "labels")
        assert look["name"] != mask_look["name"]
        assert image.shape == mask.shape
        assert set(np.unique(mask)) == {0, 1}


def test_neither_manifest_nor_widget_nor_samples_import_torch():
    code = (
        "import sys, napari_mganprior.widgets.inpaint\n"
        "from napari_mganprior.widgets.samples import open_scratch\n"
        "open_scratch()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "False", done.stderr
