"""The live preview."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_mganprior.widgets import preview
from napari_mganprior.widgets.inputs import Choice, take_inputs
from napari_mganprior.widgets.preview import LivePreview

pytestmark = pytest.mark.gui


class Desk:
    """A clock that goes by hand, and a window whose drawing takes as long as the test says."""

    def __init__(self, monkeypatch):
        self.now, self.takes, self.drawn = 100.0, 0.0, 0
        monkeypatch.setattr(preview, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(preview, "QTimer", SimpleNamespace(singleShot=self.go_off))
        monkeypatch.setattr(preview, "update_preview", self.draw)

    def draw(self, *_):
        self.drawn += 1

    def go_off(self, milliseconds, then):
        """A timer goes off late where the window is being drawn."""
        self.now += self.takes + milliseconds / 1000
        then()


@pytest.fixture
def shown(model, monkeypatch):
    image = model.add_image(np.ones((20, 16)), name="cells")
    labels = model.add_labels(np.eye(20, 16, dtype=int))
    inputs = take_inputs(Choice(image=image, damage=labels), model)
    live = LivePreview(model)
    live.begin()
    live.show(inputs, np.ones((20, 16)))  # adds the layer
    return live, inputs, Desk(monkeypatch)


@pytest.mark.parametrize("takes", [0.0, 0.001, 0.02, 0.3])
def test_drawing_takes_a_small_share_of_the_time(shown, takes):
    """Law: under 5 % of it, however many previews come; all of them where drawing is free."""
    live, inputs, desk = shown
    desk.takes, begun, came = takes, desk.now, 0
    while desk.now - begun < 60.0:
        live.show(inputs, np.ones((20, 16)))
        came += 1
        desk.now += 0.25
    assert desk.drawn * takes <= 0.05 * 60 + takes
    assert desk.drawn >= min(came, 0.012 * 60 / max(takes, 1e-9))


def test_a_preview_that_was_deleted_stays_away_however_busy_the_window_is(shown, model):
    live, inputs, desk = shown
    desk.takes = 10.0
    live.show(inputs, np.ones((20, 16)))
    model.layers.remove("cells preview")
    for _ in range(3):
        live.show(inputs, np.ones((20, 16)))
        desk.now += 1000
    assert "cells preview" not in model.layers
    live.begin()
    live.show(inputs, np.ones((20, 16)))
    assert "cells preview" in model.layers
