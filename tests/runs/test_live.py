"""Laws of what the form Edit asks of the engine."""

import numpy as np
import pytest

from napari_mganprior import Editor, Reconstruction
from napari_mganprior.editing import known_directions
from napari_mganprior.errors import ImageError, PriorError
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore.drafts import Drafts
from napari_mganprior.runs import live as room
from napari_mganprior.runs.live import LiveEdit

CONFIG = InversionConfig(
    layer=3, fine_layer=3, n_codes=3, n_restarts=2, n_candidates=2, n_steps=4, precision="float32"
)


@pytest.fixture(scope="module")
def image():
    rows, columns = np.mgrid[:40, :50]
    return np.uint8(128 + 90 * np.sin(rows / 5) * np.cos(columns / 7))


@pytest.fixture(scope="module")
def found(image, tiny_prior):
    run = Reconstruction(image, tiny_prior, config=CONFIG, device="cpu")
    for _ in run:
        pass
    return run.result()


@pytest.fixture
def live(image, found, tiny_prior_path):
    live = LiveEdit()
    opening = live.open(found, image, str(tiny_prior_path), device="cpu", precision="float32")
    *_, live.opened = opening
    return live


@pytest.fixture
def live_with_drafts(monkeypatch, image, found, tiny_prior_path):
    monkeypatch.setattr(room, "_SLOW", -1.0)
    live = LiveEdit()
    *_, live.opened = live.open(
        found, image, str(tiny_prior_path), device="cpu", precision="float32"
    )
    return live


def test_sliders_draw_what_the_editor_draws_and_what_is_kept(live, image, found, tiny_prior):
    """Law: live, kept and headless pictures are the same, bit by bit."""
    first, second, *_ = live.opened.directions
    moves = {first: 3.0, second: -2.0}
    *_, drawn = live.draw(moves, keep_detail=True)
    assert not drawn.draft
    editor = Editor(image, found.codes, tiny_prior, device="cpu", precision="float32")
    assert np.array_equal(drawn.image, editor.draw(list(moves.items())))
    *_, kept = live.keep(moves, keep_detail=True)
    assert np.array_equal(kept.image, drawn.image)
    assert np.array_equal(kept.invented, kept.image != image)
    assert kept.recipe["task"] == "edit"


def test_a_draft_comes_first_where_pictures_are_slow(live_with_drafts):
    """Law: only along directions that were prepared; the exact picture always follows."""
    live = live_with_drafts
    first, second, *_ = live.opened.directions
    told = [d.draft for d in live.draw({first: 2.0}, keep_detail=True) if d is not None]
    assert told == [False]
    for direction in (first, second):
        for _ in live.prepare(direction):
            pass
    told = [d.draft for d in live.draw({first: -3.0, second: 1.0}, keep_detail=True) if d]
    assert told == [True, False]


def test_drafts_are_exact_at_what_was_computed_and_near_it_good(image, found, tiny_prior):
    """Law: at known strengths along one direction, and at the anchor; else off by less than the
    edit.
    """
    editor = Editor(
        image.astype(np.float32), found.codes, tiny_prior, device="cpu", precision="float32"
    )
    first, second, *_ = known_directions(tiny_prior)
    drafts = Drafts(editor, 4.0)
    assert drafts.draw({first: 1.0}) is None
    *_, (composed, _) = editor.drawing()
    drafts.anchor({}, composed)
    assert drafts.worth_it(first)
    for direction in (first, second):
        for _ in drafts.learn(direction):
            pass
    assert not drafts.worth_it(first)
    for strength in (-4.0, -2.0, 2.0, 4.0):
        exact = editor.draw([(first, strength)])
        np.testing.assert_allclose(drafts.draw({first: strength}), exact, atol=0.05)
    for moves in ({first: 1.0}, {first: 3.0, second: -1.0}):
        exact = editor.draw(list(moves.items()))
        off = np.abs(drafts.draw(moves) - exact).mean()
        assert off < 0.5 * np.abs(exact - image).mean()
    moves = {first: 3.0, second: -1.0}
    *_, (composed, exact) = editor.drawing(list(moves.items()))
    drafts.anchor(moves, composed)
    np.testing.assert_allclose(drafts.draw(moves), exact, atol=0.05)


def test_codes_of_others_are_refused(image, found, tiny16_prior_path, tiny_prior_path):
    with pytest.raises(PriorError, match="Got codes of the prior of sha256"):
        list(LiveEdit().open(found, image, str(tiny16_prior_path)))
    with pytest.raises(ImageError, match="Got codes of another image"):
        list(LiveEdit().open(found, image[::-1], str(tiny_prior_path)))
