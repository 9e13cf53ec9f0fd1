"""Several planes in one run."""

import itertools

import numpy as np
import pytest

from napari_mganprior.errors import ComputeError, ImageError, MaskError, PriorError
from napari_mganprior.restore import Inpainting, Series
from napari_mganprior.restore.result import sha256_of


def make(images, masks, prior, quick, **keywords):
    return Series(images, masks, prior, config=quick, device="cpu", **keywords)


def finished(run):
    steps = list(run)
    return steps, run.result()


@pytest.fixture
def stack(scene):
    return np.stack([scene, scene[::-1], scene // 2 + 20])


def test_unlinked_planes_come_out_as_by_themselves(stack, holes, tiny_prior, quick):
    steps, result = finished(make(stack, holes, tiny_prior, quick, linked=False))
    for plane, image in enumerate(stack):
        run = Inpainting(image, holes, tiny_prior, config=quick, device="cpu")
        for _ in run:
            pass
        assert np.array_equal(result.image[plane], run.result().image)
        assert np.array_equal(result.residual[plane], run.result().residual)
    assert [(s.plane, s.n_planes) for s in steps[::8]] == [(1, 3), (2, 3), (3, 3)]
    assert steps[-1].index == steps[-1].n_steps
    assert all(a.index < b.index for a, b in itertools.pairwise(steps))
    assert result.recipe["evaluations"] == len(steps) == 24


def test_linked_planes_begin_at_their_neighbour(stack, holes, tiny_prior, quick):
    """Law: the first loss of an identical neighbour is where the plane before ended."""
    same = np.stack([stack[0], stack[0]])
    _, result = finished(make(same, holes, tiny_prior, quick, linked=True))
    assert result.history[8] == pytest.approx(result.history[3], rel=1e-6)


def test_planes_without_damage_are_copied(stack, holes, tiny_prior, quick):
    masks = np.stack([holes, np.zeros_like(holes), holes])
    _, result = finished(make(stack, masks, tiny_prior, quick))
    assert np.array_equal(result.image[1], stack[1])
    assert np.array_equal(result.invented, masks)
    assert np.array_equal(result.image[~masks], stack[~masks])
    assert result.recipe["planes"]["restored"] == [0, 2]


def test_a_blank_plane_is_kept_and_named(stack, holes, tiny_prior, quick):
    stack[0] = stack[2] = 7
    _, result = finished(make(stack, holes, tiny_prior, quick))
    assert np.array_equal(result.image[[0, 2]], stack[[0, 2]])
    assert result.recipe["planes"]["restored"] == [1]
    skipped = result.recipe["planes"]["skipped"]
    assert set(skipped) == {"0", "2"}
    assert "constant image" in skipped["0"]


def test_a_stopped_series_keeps_what_is_there(stack, holes, tiny_prior, quick):
    run = make(stack, holes, tiny_prior, quick)
    for _ in itertools.islice(run, 9):
        pass
    assert not np.array_equal(run.preview()[1], stack[1])
    result = run.result()
    assert result.invented[0].sum() == holes.sum()
    assert 0 < result.invented[1].sum() < holes.sum()
    assert not result.invented[2].any()
    assert result.recipe["sessions"] == [{"evaluations": 9, "complete": False}]


def test_a_result_taken_on_the_way_stays_as_it_was(stack, holes, tiny_prior, quick):
    """Law: what was handed out agrees with its own recipe, whatever the run does next."""
    run = make(stack, holes, tiny_prior, quick)
    steps = iter(run)
    for _ in range(2):
        next(steps)
    early = run.result()
    assert sha256_of(early.image) == early.recipe["result"]["sha256"]
    for _ in range(4):
        next(steps)
    later = run.result()
    assert later.recipe["evaluations"] == 6
    assert not np.array_equal(later.image, early.image)
    for _ in steps:
        pass
    for result in (early, later, run.result()):
        assert sha256_of(result.image) == result.recipe["result"]["sha256"]


def test_iterating_again_begins_anew(stack, holes, tiny_prior, quick):
    run = make(stack, holes, tiny_prior, quick)
    first, second = finished(run)[1], finished(run)[1]
    assert np.array_equal(first.image, second.image)
    assert first.history == second.history


class Lazy:
    """An array that is read plane by plane, and counts what was read."""

    def __init__(self, stack, broken=None):
        self.shape, self.dtype, self._stack, self._broken = stack.shape, stack.dtype, stack, broken

    def __getitem__(self, plane):
        if plane == self._broken:
            raise OSError("the disk is gone")
        return self._stack[plane]


def test_a_lazy_stack_gives_the_same(stack, holes, tiny_prior, quick):
    _, wanted = finished(make(stack, holes, tiny_prior, quick))
    _, result = finished(make(Lazy(stack), holes, tiny_prior, quick))
    assert np.array_equal(result.image, wanted.image)
    assert result.recipe["image"] == wanted.recipe["image"]
    with pytest.raises(ImageError, match=r"plane 1 \(the disk is gone\)"):
        make(Lazy(stack, broken=1), holes, tiny_prior, quick)


@pytest.mark.parametrize("zoom", [None, 1.0])
def test_one_zoom_serves_all_planes(stack, holes, tiny_prior, quick, zoom):
    _, result = finished(make(stack, holes, tiny_prior, quick, zoom=zoom))
    assert result.recipe["zoom"] == 1.0


def test_a_series_is_continued(stack, holes, tiny_prior, quick):
    """Law: every plane goes on from its own codes; planes not reached again keep their pixels."""
    stack[1] = 9
    first = finished(make(stack, holes, tiny_prior, quick))[1]
    second = finished(make(stack, holes, tiny_prior, quick, start=first))[1]
    for window in (0, 4, 8, 12):
        assert second.history[window] == pytest.approx(first.history[window + 3], rel=1e-6)
    assert len(second.recipe["sessions"]) == 2
    run = make(stack, holes, tiny_prior, quick, start=first)
    next(iter(run))
    early = run.result()
    assert np.array_equal(early.invented, first.invented)
    assert np.array_equal(early.image[2], first.image[2])
    other = make(stack[::-1], holes, tiny_prior, quick, start=first)
    next(iter(other))
    assert len(other.result().recipe["sessions"]) == 1


def test_what_cannot_be_restored_is_refused(stack, holes, tiny_prior, tiny_rgb_prior, quick):
    with pytest.raises(ImageError, match="for a series of planes"):
        make(stack[0], holes, tiny_prior, quick)
    with pytest.raises(MaskError, match="for planes of shape"):
        make(stack, holes[:-1], tiny_prior, quick)
    with pytest.raises(MaskError, match="for planes of shape"):
        make(stack, holes.astype(float), tiny_prior, quick)
    with pytest.raises(MaskError, match="no damage in any plane"):
        make(stack, holes & False, tiny_prior, quick)
    with pytest.raises(PriorError, match="wanted the same kind"):
        make(stack, holes, tiny_rgb_prior, quick)
    with pytest.raises(ImageError, match="constant image"):
        make(stack * 0, holes, tiny_prior, quick)
    with pytest.raises(ComputeError, match="Got no step to keep"):
        make(stack, holes, tiny_prior, quick).result()
