"""When pictures are drawn, and which are kept."""

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest

from napari_mganprior.runs import Job, RunRequest
from napari_mganprior.runs.pictures import FrameKeeper, PreviewThrottle


def keep(n_steps, **limits):
    keeper = FrameKeeper(**limits)
    for step in range(1, n_steps + 1):
        if keeper.due():
            keeper.add(step, np.full((4, 4), step % 256, np.uint8))
    return keeper.finish(n_steps, lambda: np.full((4, 4), n_steps % 256, np.uint8))


@pytest.mark.parametrize("n_steps", [1, 2, 7, 8, 9, 16, 17, 100, 1023])
def test_frames_are_few_even_and_end_with_the_last_step(n_steps):
    """At most 8, each of the step it names, evenly spread but for the last, from first to last."""
    frames = keep(n_steps, most=8)
    assert len(frames.steps) == len(frames.images) <= 8
    assert len(frames.steps) >= min(n_steps, 4)
    assert frames.images[:, 0, 0].tolist() == [step % 256 for step in frames.steps]
    assert (frames.steps[0], frames.steps[-1]) == (1, n_steps)
    gaps = {later - earlier for earlier, later in itertools.pairwise(frames.steps[:-1])}
    assert len(gaps) <= 1
    assert gaps <= {2**power for power in range(11)}


def test_frames_stay_within_their_memory():
    """16 bytes each: 100 bytes hold 6."""
    frames = keep(50, most_bytes=100)
    assert frames.images.nbytes <= 100
    assert frames.steps[-1] == 50


def test_where_one_picture_fits_it_is_the_last():
    assert keep(50, most_bytes=20).steps == (50,)


def test_where_none_fits_there_are_none():
    assert keep(50, most_bytes=10) is None


def test_by_default_64_pictures_are_kept():
    assert 32 <= len(keep(1000).steps) <= 64


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("interval", [1e-6, 0.25, 3.0])
@pytest.mark.parametrize("cost", [0.001, 0.01, 0.1, 1.0])
def test_previews_take_less_than_4_percent_and_keep_their_distance(interval, cost):
    """From the first preview to the beginning of the last, whatever a preview costs."""
    clock = Clock()
    throttle = PreviewThrottle(interval, clock)
    begun = []
    while clock.now < 200 * max(interval, cost):
        clock.now += 0.003
        if throttle.due():
            begun.append(clock.now)
            clock.now += cost
            throttle.spent(cost)
    assert len(begun) > 2
    assert cost * (len(begun) - 1) < 0.04 * (begun[-1] - begun[0])
    assert min(np.diff(begun)) > interval - 1e-9
    # nor are they rarer than needed: within a step of the time they may come
    assert max(np.diff(begun)) < max(interval, cost * 26) + 0.01


def test_no_interval_means_no_preview():
    assert not PreviewThrottle(None, lambda: 1e9).due()


class SlowToDraw:
    """Steps of 2 ms; a preview takes 20 ms."""

    n_steps = 500

    def __init__(self, request):
        self.begun = []
        self.done = 0

    def __iter__(self):
        for index in range(1, self.n_steps + 1):
            self.done = index
            time.sleep(0.002)
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1.0, window=1, n_windows=1
            )

    def preview(self):
        self.begun.append(time.perf_counter())
        time.sleep(0.02)
        return np.full((4, 4), self.done)

    def result(self):
        return self.begun


def finished(open_task, **more):
    image = np.zeros((4, 4))
    job = Job(RunRequest(image=image, mask=image == 0, prior="tiny", **more), open_task)
    job.start()
    assert job.join(20.0)
    outcome = job.collect().outcome
    assert outcome.error is None
    return outcome.result


def test_a_run_whose_previews_are_slow_is_not_held_up():
    """Previews of 20 ms, asked for every millisecond, come no oftener than every 0.52 s."""
    begun = finished(SlowToDraw, preview_interval=0.001).restoration
    assert len(begun) >= 2
    assert min(np.diff(begun)) >= 0.52
    assert 0.02 * (len(begun) - 1) < 0.04 * (begun[-1] - begun[0])


class Redrawn:
    """Draws into one array again and again, as a careless task might."""

    n_steps = 200

    def __init__(self, request):
        self.canvas = np.zeros((4, 4), np.uint8)
        self.drawn = 0

    def __iter__(self):
        for index in range(1, self.n_steps + 1):
            self.canvas[:] = index
            yield SimpleNamespace(
                index=index, n_steps=self.n_steps, loss=1.0, window=1, n_windows=1
            )

    def preview(self):
        self.drawn += 1
        return self.canvas

    def result(self):
        return self.drawn


def test_frames_come_with_the_result_when_asked_for():
    """Each is the picture of its step, in the image's dtype."""
    result = finished(Redrawn, history=True)
    assert result.frames.images.dtype == np.uint8
    assert result.frames.images[:, 0, 0].tolist() == list(result.frames.steps)
    assert result.frames.steps[-1] == 200
    assert 32 <= len(result.frames.steps) <= 64


def test_nothing_is_drawn_that_nobody_asked_for():
    result = finished(Redrawn)
    assert result.frames is None
    assert result.restoration == 0


def test_one_picture_serves_preview_and_frames():
    """A first preview and a first frame are drawn once."""
    both = finished(Redrawn, history=True, preview_interval=60.0).restoration
    assert both == finished(Redrawn, history=True).restoration
