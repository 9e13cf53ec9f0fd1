"""A recipe from the form gives the same pixels in the shell and in Python."""

import json

import numpy as np
import pytest

from napari_mganprior import replay
from napari_mganprior.cli import main
from napari_mganprior.files import read_image, read_stack, write_image
from napari_mganprior.widgets.results import METADATA_KEY

pytestmark = pytest.mark.gui


def scene(seed):
    rows, columns = np.mgrid[:44, :40]
    noise = np.random.default_rng(seed).normal(0, 3, rows.shape)
    return np.uint16(1200 + 800 * np.sin(rows / 5) * np.cos(columns / 7) + noise)


@pytest.mark.parametrize("case", ["stopped and continued", "grown in view", "slice", "stack"])
def test_form_shell_and_python_agree(make_napari_viewer, qtbot, tmp_path, capsys, case):
    """Law: identical arrays from all three doors, and the shell says so."""
    stack = np.stack([scene(1), scene(2), scene(3)])
    given = stack if case in ("slice", "stack") else stack[0]
    write_image(tmp_path / "cells.tif", given, planes=given.ndim == 3)
    viewer = make_napari_viewer()
    viewer.add_image(given, name="cells")
    mask = np.zeros(given.shape[-2:], np.uint8)
    mask[10:16, 8:14] = mask[30:34, 25:31] = 1
    viewer.add_labels(mask, name="holes")
    if case == "slice":
        viewer.dims.set_point(0, 1)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mganprior", "Inpaint")
    wanted = {"prior": "tiny16", "quality": "fast", "device": "cpu", "seed": 5}
    if case == "grown in view":
        wanted |= {"grow": 3, "feather": 2, "labels": "1"}
    widget.fields.restore({**wanted, "scope": "slices" if case == "stack" else "slice"})
    widget.run()
    if case.startswith("stopped"):
        qtbot.waitUntil(lambda: "loss" in widget.panel.numbers.text(), timeout=30_000)
        widget.controller.stop()
    qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
    name = "cells inpainted"
    if case.endswith("continued"):
        widget.go_on()
        qtbot.waitUntil(lambda: not widget.controller.busy, timeout=60_000)
        name = "cells inpainted 2"
    layer = viewer.layers[name]
    row = widget.results
    viewer.layers.selection.active = layer
    row.show_recipe()
    row.dialog.save_to(tmp_path / "recipe.json")
    here = [str(tmp_path / file) for file in ("recipe.json", "cells.tif", "again.tif")]
    assert main(["run", *here[:2], "-o", here[2], "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    shown = np.squeeze(layer.data)
    read = read_stack if case == "stack" else read_image
    np.testing.assert_array_equal(read(tmp_path / "again.tif").array, shown)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe == json.loads(json.dumps(layer.metadata[METADATA_KEY]))
    source = stack[1] if case == "slice" else given
    np.testing.assert_array_equal(replay(recipe, source).image, shown)
