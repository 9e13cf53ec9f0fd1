"""The manifest: valid, complete, and known to napari; the oldest supported and the newest."""

import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from napari._app_model.constants._menus import MenuId
from napari.plugins import menu_item_template
from npe2 import PluginManifest
from qtpy.QtWidgets import QWidget

import napari_mganprior
from napari_mganprior.errors import SettingsError
from napari_mganprior.settings import Preferences
from napari_mganprior.widgets.commands import DOCK_NAME

PACKAGE = Path(napari_mganprior.__file__).parent
MANIFEST = PACKAGE / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(MANIFEST)


def menu_faults(manifest, known):
    """Say what is wrong with the menus; npe2's validation passes all of it in silence."""
    given = manifest.contributions
    defined = [submenu.id for submenu in given.submenus or ()]
    items = [item for items in given.menus.values() for item in items]
    used = [item.submenu for item in items if hasattr(item, "submenu")]
    faults = [f"{name} takes nothing from plugins" for name in set(given.menus) - known]
    faults = [fault for fault in faults if fault.split()[0] not in defined]
    faults += [f"{name} is used but not defined" for name in set(used) - set(defined)]
    faults += [f"{name} is defined but not used" for name in set(defined) - set(used)]
    faults += [f"{name} is empty" for name in set(defined) - set(given.menus)]
    faults += [f"{name} is used twice" for name in set(used) if used.count(name) > 1]
    return faults


def missing_icons(contributions):
    """Return the icons that are named but not there, all in a form that needs no network."""
    named = [contributions.get("icon")]
    for kind in ("commands", "submenus"):
        named += [item.get("icon") for item in contributions.get("contributions", {}).get(kind, ())]
    files = [icon for icon in named if icon]
    found = (icon.partition(":") for icon in files)
    return [
        icon
        for icon, (package, _, path) in zip(files, found, strict=True)
        if package != "napari_mganprior" or not path or not (PACKAGE / path).is_file()
    ]


def test_the_manifest_is_valid(manifest):
    assert manifest.name == "napari-mganprior"
    assert manifest.display_name == "mGANprior restoration"
    manifest.validate_imports()


def test_every_python_name_is_there(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_every_command_that_is_used_is_there_and_every_one_is_used(manifest):
    given = manifest.contributions
    used = {item.command for item in given.widgets}
    used |= {item.command for item in given.sample_data}
    used |= {
        item.command for items in given.menus.values() for item in items if hasattr(item, "command")
    }
    assert used == {command.id for command in given.commands}


def test_every_menu_is_napari_s_or_a_submenu_that_is_used(manifest):
    known = {str(menu) for menu in MenuId.contributables()}
    assert "napari/layers/filter" in known
    assert menu_faults(manifest, known) == []


@pytest.mark.parametrize(
    ("menus", "submenus", "fault"),
    [
        ({"napari/layers/filtr": ["c:p.a"]}, [], "napari/layers/filtr takes nothing from plugins"),
        ({"napari/layers/filter": ["s:p.s"]}, [], "p.s is used but not defined"),
        ({"p.s": ["c:p.a"]}, ["p.s"], "p.s is defined but not used"),
        ({"napari/layers/filter": ["s:p.s"]}, ["p.s"], "p.s is empty"),
    ],
)
def test_the_check_of_menus_finds(menus, submenus, fault):
    kinds = {"c": "command", "s": "submenu"}
    manifest = PluginManifest(
        name="p",
        display_name="Plugin",
        contributions={
            "commands": [{"id": "p.a", "title": "A"}],
            "submenus": [{"id": name, "label": name} for name in submenus],
            "menus": {
                menu: [{kinds[item[0]]: item[2:]} for item in items]
                for menu, items in menus.items()
            },
        },
    )
    assert menu_faults(manifest, {"napari/layers/filter"}) == [fault]


@pytest.mark.parametrize("icon", ["", "napari_mganprior:icons/none.svg", "fa6-solid:brush"])
def test_every_icon_is_in_the_package(icon):
    ours = yaml.safe_load(MANIFEST.read_text("utf-8"))
    assert missing_icons(ours) == []
    ours["contributions"]["commands"][0]["icon"] = icon
    assert missing_icons(ours) == ([icon] if icon else [])
    ours["contributions"]["commands"][0]["icon"] = "napari_mganprior:napari.yaml"
    assert missing_icons(ours) == []


def test_titles_are_unique(manifest):
    """Two alike in a menu, or in the palette, could not be told apart."""
    given = manifest.contributions
    titles = [command.title for command in given.commands]
    titles += [widget.display_name for widget in given.widgets]
    titles += [sample.display_name for sample in given.sample_data]
    assert len(set(titles)) == len(titles)
    assert all(title == title.strip() and len(title) < 60 for title in titles)


def test_no_keybinding_is_taken(manifest):
    """napari passes over them in silence."""
    assert not manifest.contributions.keybindings


def test_the_widget_is_a_class_napari_hands_its_viewer_to(manifest):
    for widget in manifest.contributions.widgets:
        command = next(c for c in manifest.contributions.commands if c.id == widget.command)
        module, _, name = command.python_name.partition(":")
        widget_class = getattr(import_module(module), name)
        assert issubclass(widget_class, QWidget)
        assert "napari_viewer" in widget_class.__init__.__annotations__


def test_the_command_docks_the_widget_under_the_menu_s_name(manifest):
    widget = manifest.contributions.widgets[0]
    assert menu_item_template.format(manifest.display_name, widget.display_name) == DOCK_NAME


@pytest.mark.gui
def test_every_widget_opens_in_a_window(manifest, make_napari_viewer):
    viewer = make_napari_viewer()
    for widget in manifest.contributions.widgets:
        dock, inner = viewer.window.add_plugin_dock_widget(manifest.name, widget.display_name)
        assert dock.widget() is inner or inner in dock.findChildren(type(inner))


def test_the_page_is_the_dataclass():
    """Names, defaults, choices and ranges on napari's Preferences page are our own."""
    page = yaml.safe_load(MANIFEST.read_text("utf-8"))["contributions"]["configurations"]
    ((_, configuration),) = page.items()
    properties = configuration["properties"]
    assert {name: entry["default"] for name, entry in properties.items()} == asdict(Preferences())
    for name, entry in properties.items():
        for value in entry.get("enum", []):
            Preferences(**{name: value})
        for edge, beyond in (("minimum", -1), ("maximum", 1)):
            if edge in entry:
                Preferences(**{name: entry[edge]})
                with pytest.raises(SettingsError, match=f"Got {name} "):
                    Preferences(**{name: entry[edge] + beyond})
        assert len(entry["description"]) > 15


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


@pytest.mark.parametrize(
    "module",
    [
        "inpaint",
        "denoise",
        "super_resolve",
        "colorize",
        "invert",
        "commands",
        "preferences",
        "help",
        "priors_view",
        "train",
        "analyse",
        "edit",
    ],
)
def test_neither_manifest_nor_widget_nor_samples_import_torch(module):
    code = (
        f"import sys, napari_mganprior.widgets.{module}\n"
        "from napari_mganprior.widgets.samples import open_scratch\n"
        "open_scratch()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "False", done.stderr
