"""Laws of the task "edit", and of ways between pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_mganprior import (
    Direction,
    Editing,
    Editor,
    Reconstruction,
    edit,
    interpolate,
    learn_from_images,
    load_codes,
    replay,
    save_codes,
)
from napari_mganprior.editing import known_directions
from napari_mganprior.errors import (
    ComputeError,
    DirectionError,
    ImageError,
    PriorError,
    SettingsError,
    StorageError,
)
from napari_mganprior.restore import preview_row, preview_strip, way_between
from napari_mganprior.restore.codes_file import pack_codes, unpack_codes


def result_of(run):
    for _ in run:
        pass
    return run.result()


@pytest.fixture
def inverted(scene, tiny_prior, quick):
    return result_of(Reconstruction(scene, tiny_prior, config=quick, device="cpu"))


@pytest.fixture
def editor(scene, inverted, tiny_prior):
    return Editor(scene, inverted.codes, tiny_prior, device="cpu", precision="float32")


def test_without_a_move_the_image_is_the_image(editor, scene, tiny_prior, inverted):
    """Law: bit by bit where the detail is kept; else the drawing of the nearest search."""
    assert np.array_equal(editor.draw(), scene)
    (first, *_) = known_directions(tiny_prior)
    assert np.array_equal(editor.draw([(first, 0.0)]), scene)
    drawing = editor.draw(keep_detail=False)
    assert drawing.dtype == scene.dtype
    np.testing.assert_allclose(drawing, np.clip(editor.unmoved, 0, 255), atol=0.51)
    assert len(editor.codes) == len(inverted.codes) == editor.n_windows > 1
    assert all(c.z.shape[0] == 1 for c in editor.codes)


def test_a_move_adds_what_it_changes_in_the_drawing(scene, inverted, tiny_prior):
    """Law: x + G(moved) - G(codes); back again by the opposite strength of the moved codes."""
    image = scene.astype(np.float32)
    editor = Editor(image, inverted.codes, tiny_prior, device="cpu", precision="float32")
    first, second, *_ = known_directions(tiny_prior)
    moves = [(first, 3.0), (second, -2.0)]
    with_detail, drawing = editor.draw(moves), editor.draw(moves, keep_detail=False)
    np.testing.assert_allclose(with_detail, image + drawing - editor.unmoved, rtol=1e-4, atol=1e-2)
    assert np.abs(with_detail - image).max() > 1
    assert np.array_equal(editor.draw(), image)  # a drawing leaves nothing behind


def test_every_window_moves_alike(scene, inverted, tiny_prior, editor):
    """Law: a window drawn alone is what it is in the picture, where no other one is blended in."""
    moves = [(known_directions(tiny_prior)[0], 3.0)]
    tile = editor.tile(moves, window=0)
    picture = editor.draw(moves, keep_detail=False)
    shown = editor.values.encode(picture[:4, :4])
    np.testing.assert_allclose((shown + 1) / 2, tile[:4, :4], atol=0.02)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32", "float64"])
def test_pixel_types_survive(scene, tiny_prior, quick, dtype):
    image = scene.astype(dtype) * (200 if dtype == "uint16" else 1)
    run = Editing(image, tiny_prior, {1: 3.0}, config=quick, device="cpu")
    result = result_of(run)
    assert (result.image.dtype, result.image.shape) == (image.dtype, image.shape)
    assert np.array_equal(result.invented, result.image != image)
    assert result.invented.any()
    assert np.array_equal(result.uncertainty > 0, result.invented)


def test_colours_are_edited(tiny_rgb_prior, quick):
    image = np.random.default_rng(0).integers(0, 255, (20, 18, 3), np.uint8)
    result = result_of(Editing(image, tiny_rgb_prior, {"2": 4}, config=quick, device="cpu"))
    assert result.image.shape == image.shape
    assert np.array_equal(result.invented, (result.image != image).any(axis=2))


def test_the_result_says_what_was_done_and_gives_it_again(
    scene, tiny_prior, quick, monkeypatch, prior_folder, tmp_path
):
    """Law: the recipe repeats the pixels, with codes given or searched, from a file or not."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    np.save(tmp_path / "smile.npy", np.ones((1, 16)))
    moves = [(1, 2.0), (tmp_path / "smile.npy", -1.0)]
    searched = result_of(
        Editing(scene, tiny_prior, moves, config=quick, device="cpu", seed=3, zoom=1.2)
    )
    recipe = json.loads(json.dumps(searched.recipe))
    assert recipe["task"] == "edit"
    assert "all of these are invented" in recipe["replaces"]
    told = [(m["direction"]["name"], m["strength"]) for m in recipe["edit"]["moves"]]
    assert told == [("1", 2.0), ("smile", -1.0)]
    assert len(recipe["edit"]["moves"][1]["direction"]["source"]["sha256"]) == 64
    again = replay(recipe, scene)
    assert np.array_equal(again.image, searched.image)
    assert again.recipe["edit"] == recipe["edit"]

    inverted = result_of(
        Reconstruction(scene, tiny_prior, config=quick, device="cpu", seed=3, zoom=1.2)
    )
    given = result_of(Editing(scene, tiny_prior, moves, codes=inverted, device="cpu"))
    assert np.array_equal(given.image, searched.image)
    assert given.recipe["zoom"] == 1.2
    save_codes(tmp_path / "codes.npz", inverted.codes, tiny_prior.sha256)
    codes = load_codes(tmp_path / "codes.npz")
    filed = result_of(
        Editing(scene, tiny_prior, moves, codes=codes, zoom=1.2, device="cpu", config=quick)
    )
    assert np.array_equal(filed.image, searched.image)
    assert "repeatable" not in filed.recipe
    assert np.array_equal(replay(json.loads(json.dumps(filed.recipe)), scene).image, filed.image)


def test_a_recipe_treats_another_image_in_the_same_way(
    scene, tiny_prior, quick, monkeypatch, prior_folder
):
    """Law: codes of the recipe's own image are not used for it."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    recipe = result_of(Editing(scene, tiny_prior, {1: 3.0}, config=quick, device="cpu")).recipe
    other = np.ascontiguousarray(scene[::-1])
    result = replay(recipe, other)
    wanted = result_of(Editing(other, tiny_prior, {1: 3.0}, config=quick, device="cpu"))
    assert np.array_equal(result.image, wanted.image)


def test_a_search_that_was_stopped_leaves_windows_as_they_are(scene, tiny_prior, quick):
    run = Editing(scene, tiny_prior, {1: 5.0}, config=quick, device="cpu")
    with pytest.raises(ComputeError, match="Got no step to keep"):
        run.result()
    for step in run:
        if step.window == 2:
            break
    result = run.result()
    assert result.invented.any()
    assert not result.invented.all()
    assert np.array_equal(result.image[-2:, -2:], scene[-2:, -2:])
    assert not result.recipe["sessions"][-1]["complete"]


def test_codes_that_do_not_belong_are_refused(
    scene, tiny_prior, tiny16_prior, inverted, quick, tmp_path
):
    """Law: another prior's, another image's, another zoom's: nothing is drawn."""
    options = {"config": quick, "device": "cpu"}
    other = result_of(Reconstruction(scene, tiny16_prior, **options))
    with pytest.raises(PriorError, match=r"Got codes of the prior of sha256 .* wanted the same"):
        Editing(scene, tiny_prior, {1: 1.0}, codes=other)
    deeper = [replace(other.codes[0], layer=99)]
    with pytest.raises(PriorError, match=r"for the prior 'tiny', whose codes have 16"):
        Editing(scene, tiny_prior, {1: 1.0}, codes=deeper)
    with pytest.raises(ImageError, match="Got codes of another image"):
        Editing(scene[::-1], tiny_prior, {1: 1.0}, codes=inverted)
    with pytest.raises(
        ImageError, match=r"are windows of this image of 40x50 pixels at the zoom 2"
    ):
        Editing(scene, tiny_prior, {1: 1.0}, codes=inverted.codes, zoom=2.0)
    twice = (*inverted.codes, inverted.codes[0])
    with pytest.raises(SettingsError, match="Got codes of several pictures"):
        Editing(scene, tiny_prior, {1: 1.0}, codes=twice)
    with pytest.raises(SettingsError, match="Got no codes to move"):
        Editor(scene, (), tiny_prior)


def test_moves_that_mean_nothing_are_refused(scene, tiny_prior, tmp_path):
    for moves, error, told in (
        ({}, SettingsError, "Got no move"),
        ({0: 1.0}, SettingsError, "Got direction 0; wanted 1 to 16"),
        ({1: float("nan")}, SettingsError, "Got the strength nan"),
        ({tmp_path / "no.npy": 1.0}, StorageError, "Could not read the boundary"),
    ):
        with pytest.raises(error, match=told):
            Editing(scene, tiny_prior, moves)
    longer = Direction("longer", np.ones(17))
    with pytest.raises(DirectionError, match="Got the direction 'longer' of 17 numbers"):
        Editing(scene, tiny_prior, {longer: 1.0})


def test_codes_travel_as_text(inverted, tiny_prior, tiny16_prior):
    packed = json.loads(json.dumps(pack_codes(inverted.codes, tiny_prior.sha256)))
    for one, other in zip(unpack_codes(packed), inverted.codes, strict=True):
        assert np.array_equal(one.z, other.z)
        assert np.array_equal(one.alpha, other.alpha)
    with pytest.raises(PriorError, match="Got codes of the prior of sha256"):
        unpack_codes(packed, tiny16_prior.sha256)
    for damaged in ("!", "AAAA", packed[:-40], None):
        with pytest.raises(StorageError, match="Could not read"):
            unpack_codes(damaged)


@pytest.mark.parametrize("moves", ["none", [{}], [{"direction": {}, "strength": 1}], 7])
def test_a_damaged_recipe_is_refused(scene, tiny_prior, quick, moves, monkeypatch, prior_folder):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    recipe = result_of(Editing(scene, tiny_prior, {1: 1.0}, config=quick, device="cpu")).recipe
    recipe["edit"]["moves"] = moves
    with pytest.raises((SettingsError, DirectionError), match="Got a"):
        replay(recipe, scene)


def test_strips_show_the_directions(editor, tiny_prior):
    """Law: the middle picture is not moved; the outermost are moved by the strength."""
    directions = known_directions(tiny_prior, 3)
    rows = list(preview_strip(editor, directions, strength=4, n=3))
    assert [row.shape for row in rows] == [(32, 96)] * 3
    plain = np.rint(editor.tile() * 255)
    assert all(np.array_equal(row[:, 32:64], plain) for row in rows)
    moved = np.rint(editor.tile([(directions[1], 4.0)]) * 255)
    assert np.array_equal(rows[1][:, 64:], moved)
    with pytest.raises(SettingsError, match="Got a strip of 4 pictures"):
        preview_row(editor, directions[0], n=4)


def test_a_way_leads_from_one_image_to_the_other(scene, tiny16_prior_path):
    """Law: the ends are the images, bit by bit, where the detail is kept."""
    first, second = scene[:20, :20], scene[-20:, -20:]
    options = {"prior": tiny16_prior_path, "quality": "fast", "device": "cpu", "n": 5}
    way = interpolate(first, second, **options)
    assert (way.shape, way.dtype) == ((5, 20, 20), scene.dtype)
    assert np.array_equal(way[0], first)
    assert np.array_equal(way[-1], second)
    assert not np.array_equal(way[2], first)
    drawn = interpolate(first, second, keep_detail=False, **options)
    assert not np.array_equal(drawn[0], first)
    with pytest.raises(ImageError, match="wanted two alike"):
        interpolate(first, scene, **options)
    with pytest.raises(SettingsError, match="Got 1 pictures for a path"):
        interpolate(first, second, **{**options, "n": 1})


def test_pictures_that_do_not_go_together_have_no_way(
    scene, tiny_prior, tiny16_prior, quick, editor
):
    def opened(image, prior, config):
        run = Reconstruction(image, prior, config=config, device="cpu")
        return Editor(image, result_of(run).codes, prior, device="cpu")

    with pytest.raises(PriorError, match="Got pictures inverted with two priors"):
        next(way_between(editor, opened(scene, tiny16_prior, quick), 3))
    with pytest.raises(ImageError, match="wanted two alike"):
        next(way_between(editor, opened(scene[:36], tiny_prior, quick), 3))
    with pytest.raises(SettingsError, match="Got codes of 2 at the cut 2 and of 3 at the cut 2"):
        next(way_between(editor, opened(scene, tiny_prior, replace(quick, n_codes=3)), 3))


def test_the_public_function_edits(scene, tiny16_prior, tiny16_prior_path, tmp_path):
    options = {"prior": tiny16_prior_path, "quality": "fast", "device": "cpu"}
    image = scene[:16, :16]
    edited = edit(image, {1: 3.0, 2: -1.0}, **options)
    assert (edited.shape, edited.dtype) == (image.shape, image.dtype)
    assert not np.array_equal(edited, image)
    assert np.array_equal(edited, edit(image, {1: 3.0, 2: -1.0}, **options))
    found = result_of(Reconstruction(image, tiny16_prior, quality="fast", device="cpu"))
    options["codes"] = tmp_path / "codes.npz"
    of = found.recipe["image"]["sha256"]
    save_codes(options["codes"], found.codes, tiny16_prior.sha256, of)
    assert np.array_equal(edited, edit(image, {1: 3.0, 2: -1.0}, **options))
    with pytest.raises(ImageError, match="Got codes of another image"):
        edit(image[::-1], {1: 3.0}, **options)


@pytest.mark.slow
def test_a_learnt_direction_changes_what_it_was_learnt_from():
    """Law: pictures of the bundled prior with more nuclei teach a direction that makes more."""
    from napari_mganprior import load_prior
    from napari_mganprior.arrays import ValueMap, from_tensor, seeded
    from napari_mganprior.priors import find_prior

    prior = load_prior(find_prior("nuclei"))

    def filled(image):  # an inversion does not see brightness, which is brought to a range first
        return ValueMap.from_percentiles(image).encode(image).mean()

    drawn = prior.generator(prior.generator.sample_codes(60, rng=seeded(4)))
    images = sorted((from_tensor(x) for x in drawn), key=filled)
    direction = learn_from_images(images[-4:], images[:4], device="cpu")
    assert direction.source["examples"] == [4, 4]
    assert direction.source["left_out_right"] >= 6
    codes = prior.generator.sample_codes(32, rng=seeded(5))
    step = codes.new_tensor(2 * direction.unit * direction.vector)
    less, more = (
        np.mean([filled(from_tensor(x)) for x in prior.generator(codes + sign * step)])
        for sign in (-1, 1)
    )
    assert less < more


def test_groups_are_checked_before_anything_is_inverted(tiny16_prior_path):
    one = np.zeros((16, 16))
    with pytest.raises(DirectionError, match="Got 1 example in the group 'like these'"):
        learn_from_images([one], [one, one], prior=tiny16_prior_path)
    with pytest.raises(DirectionError, match="Got 0 examples in the group 'like those'"):
        learn_from_images([one, one], [], prior=tiny16_prior_path)


@pytest.mark.parametrize("method", ["single-code", "multi-cut", "layer-by-layer", "pulse"])
def test_codes_of_every_method_can_be_moved(scene, tiny_prior, quick, method, tmp_path):
    """Law: also those composed at shallower cuts, and back from a file; a way has its ends."""
    image = scene[:32, :32]
    config = replace(quick, method=method, n_codes=4)
    first, second = (
        result_of(Reconstruction(x, tiny_prior, config=config, device="cpu"))
        for x in (image, np.ascontiguousarray(image[::-1]))
    )
    save_codes(tmp_path / "codes.npz", first.codes, tiny_prior.sha256)
    editor, other = (
        Editor(x, codes, tiny_prior, device="cpu", precision="float32")
        for x, codes in ((image, load_codes(tmp_path / "codes.npz")), (image[::-1], second.codes))
    )
    direction = known_directions(tiny_prior)[0]
    assert np.array_equal(editor.draw([(direction, 0.0)]), image)
    assert np.abs(editor.draw([(direction, 4.0)]).astype(float) - image).max() > 1
    way = list(way_between(editor, other, 3))
    assert np.array_equal(way[0], image)
    assert np.array_equal(way[2], image[::-1])


def test_a_picture_without_codes_is_refused(scene, inverted, tiny_prior):
    empty = [replace(c, z=c.z[:, :0], alpha=c.alpha[:, :0]) for c in inverted.codes]
    with pytest.raises(SettingsError, match="Got a picture inverted by the method 'multi-code', w"):
        Editor(scene, empty, tiny_prior)
