"""Going on from a result, and beginning at a neighbour's codes."""

import itertools

import numpy as np

from napari_mganprior.restore import Inpainting


def run_for(steps, *args, **keywords):
    run = Inpainting(*args, device="cpu", **keywords)
    for _ in itertools.islice(run, steps):
        pass
    return run.result()


def test_a_continued_run_begins_where_the_first_ended(scene, holes, tiny_prior, quick):
    """Law: the first loss of the second run is the last of the first; later ones are lower."""
    first = run_for(None, scene, holes, tiny_prior, config=quick)
    second = run_for(None, scene, holes, tiny_prior, config=quick, start=first)
    n = quick.n_steps
    for window in (0, 1):
        ended, begun = first.history[n * (window + 1) - 1], second.history[n * window]
        assert abs(begun - ended) <= 1e-6 * ended
        assert second.history[n * (window + 1) - 1] < ended
    assert first.recipe["sessions"] == [{"evaluations": 8, "complete": True}]
    assert second.recipe["sessions"] == [{"evaluations": 8, "complete": True}] * 2
    assert second.recipe["evaluations"] == 16


def test_windows_not_reached_again_keep_what_they_had(scene, holes, tiny_prior, quick):
    first = run_for(None, scene, holes, tiny_prior, config=quick)
    second = run_for(1, scene, holes, tiny_prior, config=quick, start=first)
    assert np.array_equal(second.invented, holes)
    changed = second.image != first.image
    assert not changed[~holes].any()
    one_hole = changed[:20].any() != changed[20:].any() or not changed.any()
    assert one_hole
    assert (second.uncertainty[holes] > 0).all()
    assert len(second.codes) == len(first.codes) == 2


def test_a_stopped_run_is_continued_to_its_end(scene, holes, tiny_prior, quick):
    first = run_for(2, scene, holes, tiny_prior, config=quick)
    assert not np.array_equal(first.invented, holes)
    assert first.recipe["sessions"] == [{"evaluations": 2, "complete": False}]
    second = run_for(None, scene, holes, tiny_prior, config=quick, start=first)
    assert np.array_equal(second.invented, holes)


def test_a_neighbours_codes_are_a_better_start_than_chance(scene, holes, tiny_prior, quick):
    """Law: of another image only the codes are taken, none of its pixels."""
    first = run_for(None, scene, holes, tiny_prior, config=quick)
    neighbour = np.clip(scene.astype(int) + 2, 0, 255).astype(np.uint8)
    alone = run_for(None, neighbour, holes, tiny_prior, config=quick)
    linked = run_for(None, neighbour, holes, tiny_prior, config=quick, start=first)
    assert linked.history[0] < alone.history[0]
    assert len(linked.recipe["sessions"]) == 1
    early = run_for(1, neighbour, holes, tiny_prior, config=quick, start=first)
    assert not np.array_equal(early.invented, holes)


def test_codes_of_other_settings_are_left_alone(scene, holes, tiny_prior, quick):
    from dataclasses import replace

    first = run_for(None, scene, holes, tiny_prior, config=quick)
    other = replace(quick, n_codes=3)
    alone = run_for(None, scene, holes, tiny_prior, config=other)
    linked = run_for(None, scene, holes, tiny_prior, config=other, start=first)
    assert alone.history == linked.history
