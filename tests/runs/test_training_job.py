"""A training run in a process of its own: from layers to a prior, and every way it may end."""

import contextlib
import errno
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.errors import SettingsError, StorageError, TrainingError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors import prior_names, read_entry
from napari_mganprior.runs import training_child
from napari_mganprior.runs.training_folder import (
    CHECKPOINT,
    COPIED,
    check_training_name,
    hold_folder,
    is_held,
    list_runs,
    read_history,
    read_order,
    remove_run,
    run_folder,
    training_folder,
    write_history,
    write_order,
    write_progress,
)
from napari_mganprior.runs.training_job import TrainingJob
from napari_mganprior.runs.training_layers import (
    SourceLayer,
    copy_layers,
    count_pictures,
    open_copies,
)
from napari_mganprior.runs.training_news import TrainingNews, TrainingPoint
from napari_mganprior.runs.training_work import Pressed, train_prior

_spec = importlib.util.spec_from_file_location(
    "training_discs", Path(__file__).with_name("training_discs.py")
)
training_discs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(training_discs)
discs, tiny_order = training_discs.discs, training_discs.tiny_order


@pytest.fixture(autouse=True)
def priors(tmp_path, monkeypatch):
    folder = tmp_path / "priors"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


@pytest.fixture
def layer():
    return SourceLayer("discs", discs())


@pytest.fixture
def started():
    """Return a function that starts a job; none is left over."""
    jobs = []

    def start(job):
        jobs.append(job)
        job.start()
        return job

    yield start
    for job in jobs:
        job.discard()
        assert job.join(30)


def watch(job, until=lambda news: False, seconds=240):
    """Collect news until the condition holds of all of it so far, or the end; return it."""
    sofar, limit = TrainingNews(), time.monotonic() + seconds
    while time.monotonic() < limit:
        news = job.collect()
        if news is not None:
            sofar = sofar.then(news)
            if sofar.end is not None or until(sofar):
                return sofar
        time.sleep(0.01)
    raise AssertionError(f"nothing of the kind within {seconds} s; last: {sofar}")


def seen(n):
    return lambda news: news.images_seen >= n and news.training


# The way it should go


@pytest.mark.slow
def test_from_layers_to_a_prior(started, layer, priors):
    """Law: it can be paused and goes on; at the end there is a prior and no folder."""
    job = started(TrainingJob.begin(tiny_order(n_images=2_000, encoder=True), [layer]))
    news = watch(job, seen(20))
    assert news.end is None, news.end
    assert (run_folder("discs") / COPIED).is_dir()
    job.pause()
    paused = watch(job, lambda news: news.paused)
    assert paused.paused
    assert (run_folder("discs") / CHECKPOINT).is_file()
    time.sleep(0.5)
    assert job.collect() is None  # nothing happens
    job.resume()
    more = watch(job, seen(paused.images_seen + 4))
    assert not more.paused
    job.stop()
    last = watch(job)
    assert last.end.prior == "discs", last.end
    assert last.images_seen < 2_000
    points = news.points + paused.points + more.points + last.points
    assert [p.images_seen for p in points] == sorted(p.images_seen for p in points)
    assert all(0.01 < p.generator_loss < 20 and 0 <= p.augment <= 1 for p in points)
    assert news.sheet.dtype == np.uint8
    assert news.sheet.shape == (64, 64)
    assert len(np.unique(news.sheet)) > 5
    assert "discs" in prior_names()
    assert not run_folder("discs").exists()
    card = read_entry("discs").card
    assert card.encoder
    assert load_prior(priors / "discs.safetensors").encoder is not None
    assert (card.generator["resolution"], card.generator["image_channels"]) == (16, 1)
    assert (priors / "discs_grid.png").is_file()
    assert read_entry("discs").sha256 in (priors / "discs.md").read_text()


@pytest.mark.slow
def test_what_is_killed_goes_on_where_it_was_saved(started, layer):
    """Law: kill -9 of the process leaves a run that ends as if nothing had been."""
    job = started(TrainingJob.begin(tiny_order(n_images=120), [layer]))
    watch(job, seen(20))
    job.pause()
    saved = watch(job, lambda news: news.paused).images_seen
    os.kill(job.process_id, signal.SIGKILL)
    end = watch(job).end
    assert end.kept
    assert "memory ran out" in str(end.error)  # nobody but the system sends that
    assert "Resume" in str(end.error)
    (run,) = list_runs()
    assert (run.order.name, run.images_seen, run.n_images) == ("discs", saved, 120)
    with pytest.raises(SettingsError, match="'discs', which a run has that has not ended"):
        check_training_name("discs")

    again = started(TrainingJob("discs"))
    news = watch(again, lambda news: news.n_images > 0)
    assert news.images_seen == saved
    assert news.points  # the curves of before
    assert watch(again).end.prior == "discs"
    assert 0 < read_entry("discs").card.training["images_seen"] <= 120  # the best of it
    assert list_runs() == ()


@pytest.mark.slow
def test_a_time_budget_is_planned_kept_and_told(tmp_path):
    """Law: the number of crops is known after seconds; distances and too short a time are told."""
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(12, 32))})
    order = tiny_order(
        inputs=(str(tmp_path / "discs.npz"),), minutes=0.1, n_images=None, name="short"
    )
    write_order(run_folder("short"), order)
    start = time.monotonic()
    sofar, plans = TrainingNews(), []
    for news in train_prior(run_folder("short"), Pressed()):
        sofar = sofar.then(news)
        plans.append((time.monotonic() - start, news.n_images))
    assert any(n == 0 for _, n in plans)
    assert sofar.images_seen == sofar.n_images > 0
    assert sofar.end.prior == "short"
    assert any("wanted at least 5,000 to learn anything" in said for said in sofar.notices)
    measured = [point.distance for point in sofar.points if point.distance is not None]
    assert measured
    assert all(1 < distance < 1000 for distance in measured)


@pytest.mark.slow
def test_left_it_saves_and_can_go_on(started, layer):
    job = started(TrainingJob.begin(tiny_order(n_images=100_000), [layer]))
    watch(job, seen(8))
    job.leave()
    last = watch(job)
    assert last.end.kept
    assert last.end.error is None
    (run,) = list_runs()
    assert run.images_seen == last.images_seen > 0
    remove_run(run.folder)
    assert list_runs() == ()
    check_training_name("discs")


@pytest.mark.slow
def test_when_the_program_that_started_it_is_killed_it_saves_and_leaves(tmp_path, priors):
    """Law: no process is left over, and the run can go on."""
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    code = (
        "import sys, time\n"
        "from napari_mganprior.runs.training_job import TrainingJob\n"
        "from napari_mganprior.runs.training_folder import TrainingOrder\n"
        "order = TrainingOrder(name='discs', inputs=(sys.argv[1],), resolution=16,\n"
        "    minutes=None, n_images=100_000, device='cpu',\n"
        "    settings={'widths': (8, 8, 4), 'code_dim': 8, 'batch_size': 4})\n"
        "job = TrainingJob.begin(order)\n"
        "job.start()\n"
        "while True:\n"
        "    news = job.collect()\n"
        "    if news and news.images_seen > 8:\n"
        "        print(news.images_seen, flush=True)\n"
        "        time.sleep(60)\n"
        "    if news and news.end:\n"
        "        print(news.end, flush=True)\n"
        "        break\n"
        "    time.sleep(0.05)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "discs.npz")], stdout=subprocess.PIPE, text=True
    ) as program:
        told = program.stdout.readline().strip()
        assert told.isdecimal(), told
        assert is_held(run_folder("discs"))
        program.kill()
    limit = time.monotonic() + 30
    while is_held(run_folder("discs")) and time.monotonic() < limit:
        time.sleep(0.05)
    (run,) = list_runs()
    assert run.images_seen >= int(told)


def test_discarded_nothing_is_left(started, layer):
    job = started(TrainingJob.begin(tiny_order(), [layer]))
    watch(job, lambda news: "PyTorch" in news.doing)
    job.discard()
    end = watch(job).end
    assert (end.prior, end.error, end.kept) == ("", None, False)
    assert not run_folder("discs").exists()


def test_discarded_before_it_began(started, layer):
    job = TrainingJob.begin(tiny_order(), [layer])
    job.discard()
    started(job)
    assert watch(job).end.error is None
    assert not run_folder("discs").exists()


# What is refused


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (dict.fromkeys("abc", discs(1, 32)[0]), "wanted at least 8"),
        ({"a": discs(1, 32)[0], "b": np.zeros((32, 32, 3), np.uint8)}, "wanted"),
        ({str(i): np.full((32, 32), np.nan) for i in range(12)}, "wanted at least 8"),
        ({str(i): np.full((32, 32), 7, np.uint8) for i in range(24)}, "blank"),
        ({str(i): discs(1, 15)[0] for i in range(12)}, "15x15 px"),
    ],
    ids=["few", "mixed", "NaN", "blank", "small"],
)
def test_images_that_cannot_be_learned_are_refused_in_words(tmp_path, images, said):
    np.savez(tmp_path / "images.npz", **images)
    order = tiny_order(inputs=(str(tmp_path / "images.npz"),))
    write_order(run_folder("discs"), order)
    with pytest.raises(TrainingError, match=said):
        list(train_prior(run_folder("discs"), Pressed()))


def test_a_refused_run_tells_why_and_leaves_nothing(started, tmp_path):
    (tmp_path / "images.npz").write_bytes(b"no archive")
    job = started(TrainingJob.begin(tiny_order(inputs=(str(tmp_path / "images.npz"),))))
    end = watch(job).end
    assert "Could not read" in str(end.error)
    assert not run_folder("discs").exists()
    assert not end.kept


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """Law: the error is named, and the run goes on from what was saved before."""
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    folder = run_folder("discs")
    write_order(folder, tiny_order(inputs=(str(tmp_path / "discs.npz"),), n_images=10_000))

    def sit(pressed):
        for news in train_prior(folder, pressed):
            if news.images_seen >= 8:
                pressed.end(keep=False)

    sit(Pressed())
    before = (folder / CHECKPOINT).read_bytes()

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            sit(Pressed())
    assert (folder / CHECKPOINT).read_bytes() == before
    assert not is_held(folder)
    assert [run.order.name for run in list_runs()] == ["discs"]


def test_a_run_has_one_worker(tmp_path):
    folder = run_folder("discs")
    write_order(folder, tiny_order())
    with hold_folder(folder):
        assert is_held(folder)
        assert list_runs() == ()
        with pytest.raises(TrainingError, match="which another process works at"):
            list(train_prior(folder, Pressed()))
    assert not is_held(folder)
    assert len(list_runs()) == 1


def test_a_folder_into_which_layers_are_copied_is_held(started):
    """Law: of two that copy into one folder the second is refused, and harms nothing."""
    reading, free = threading.Event(), threading.Event()

    class Slow:
        shape, dtype = (24, 32, 32), np.dtype(np.uint8)

        def __getitem__(self, index):
            reading.set()
            assert free.wait(60)
            return discs(1, 32)[0]

    first = started(TrainingJob.begin(tiny_order(), [SourceLayer("slow", Slow())]))
    assert reading.wait(30)
    second = started(TrainingJob.begin(tiny_order(), [SourceLayer("discs", discs())]))
    end = watch(second).end
    assert isinstance(end.error, TrainingError)
    assert "which another process works at" in str(end.error)
    assert not end.kept
    assert (run_folder("discs") / COPIED / "0.npy").is_file()
    free.set()
    watch(first, lambda news: "PyTorch" in news.doing)
    assert [layer.name for layer in open_copies(run_folder("discs") / COPIED)] == ["slow"]


def test_a_run_that_got_the_name_meanwhile_stays(started, layer):
    """Law: between the form's look at the name and the first copy another run may begin."""
    late = TrainingJob.begin(tiny_order(), [layer])
    write_order(run_folder("discs"), tiny_order(seed=7))
    end = watch(started(late)).end
    assert "which a run has that has not ended" in str(end.error)
    assert not end.kept
    assert read_order(run_folder("discs")).seed == 7


def test_a_run_under_way_is_not_removed():
    folder = run_folder("discs")
    write_order(folder, tiny_order())
    with hold_folder(folder), pytest.raises(TrainingError, match="another process works at"):
        remove_run(folder)
    assert len(list_runs()) == 1
    remove_run(folder)
    assert not folder.exists()


def test_whoever_only_looks_keeps_nobody_out():
    folder = run_folder("discs")
    write_order(folder, tiny_order())
    assert not is_held(folder)
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    entered = threading.Event()
    with contextlib.ExitStack() as looking:
        looking.enter_context(hold_folder(folder))
        timer = threading.Timer(0.2, looking.close)
        timer.start()
        with hold_folder(folder):
            entered.set()
        timer.join()
    assert entered.is_set()


def test_a_pause_after_stop_is_not_heeded(monkeypatch):
    said = iter([b"pause", b"stop", b"pause"])
    pressed, seen = Pressed(), []

    class Line:
        def recv_bytes(self):
            seen.append(pressed.going.is_set())
            try:
                return next(said)
            except StopIteration:
                raise EOFError from None

    monkeypatch.setattr(training_child.threading, "Timer", lambda *_: threading.Thread())
    training_child._obey(Line(), pressed)
    assert seen == [True, False, True, True]


def test_a_prior_installed_meanwhile_is_not_overwritten(tmp_path, priors):
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    folder = run_folder("discs")
    write_order(folder, tiny_order(inputs=(str(tmp_path / "discs.npz"),), n_images=16))
    (priors / "discs_installed.json").write_text("{}")
    (priors / "discs.safetensors").write_bytes(b"another")
    with pytest.raises(StorageError, match="was installed meanwhile"):
        list(train_prior(folder, Pressed()))
    assert (priors / "discs.safetensors").read_bytes() == b"another"
    assert [run.order.name for run in list_runs()] == ["discs"]
    (priors / "discs.safetensors").unlink()
    *_, last = train_prior(folder, Pressed())
    assert last.end.prior == "discs"
    assert not (priors / "discs_installed.json").exists()


def test_stopped_it_stays_stopped_when_it_is_left_while_the_prior_is_made(tmp_path):
    """Law: after Stop no step is trained, whatever ends the process; Keep makes the prior."""
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    folder = run_folder("discs")
    write_order(folder, tiny_order(inputs=(str(tmp_path / "discs.npz"),), n_images=10_000))
    pressed, seen = Pressed(), 0
    for news in train_prior(folder, pressed):
        seen = news.images_seen
        if seen >= 8 and not news.n_steps:
            pressed.end(keep=True)
        if news.n_steps:
            pressed.end(keep=False)
    assert news.end.kept
    (run,) = list_runs()
    assert (run.images_seen, run.stopped, run.trained) == (seen, True, True)
    again = list(train_prior(folder, Pressed()))
    assert not any(news.training for news in again)
    assert {news.images_seen for news in again if news.n_images} == {seen}
    assert again[-1].end.prior == "discs"


def test_left_while_it_trains_it_is_not_stopped(tmp_path):
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    folder = run_folder("discs")
    write_order(folder, tiny_order(inputs=(str(tmp_path / "discs.npz"),), n_images=10_000))
    pressed = Pressed()
    for news in train_prior(folder, pressed):
        if news.images_seen >= 8:
            pressed.end(keep=False)
    (run,) = list_runs()
    assert (run.stopped, run.trained) == (False, False)


def test_the_parts_of_making_the_prior_are_told(tmp_path, monkeypatch):
    """Law: the bar grows over measuring, searching and the encoder, and never falls back."""
    monkeypatch.setattr("napari_mganprior.runs.training_engine._ENCODER_MINUTES", (0.04, 0.04))
    np.savez(tmp_path / "discs.npz", **{str(i): p for i, p in enumerate(discs(24, 32))})
    order = tiny_order(inputs=(str(tmp_path / "discs.npz"),), n_images=16, encoder=True)
    write_order(run_folder("discs"), order)
    parts = [news for news in train_prior(run_folder("discs"), Pressed()) if news.n_steps]
    assert len({news.n_steps for news in parts}) == 1
    steps = [news.step for news in parts]
    assert steps == sorted(steps)
    assert steps[0] == 0
    said = " ".join(news.doing for news in parts)
    for words in ("Measuring distance 4 of 4", "for the nearest", "Training the encoder, "):
        assert words in said


def test_a_folder_that_cannot_be_made_is_told(priors, started, layer):
    priors.mkdir()
    training_folder().write_text("in the way")
    end = watch(started(TrainingJob.begin(tiny_order(), [layer]))).end
    assert isinstance(end.error, StorageError)
    assert "wanted" in str(end.error)
    wanted = "to train in, where .* is a file; wanted a folder"
    with pytest.raises(StorageError, match=wanted), hold_folder(run_folder("x")):
        pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a/b"}, "wanted one that can be a file's name"),
        ({"inputs": ()}, "Got no images to train on"),
        ({"minutes": 5.0}, "wanted one of the two"),
        ({"n_images": None}, "wanted one of the two"),
        ({"n_images": None, "minutes": 0.0}, "Got a time of 0.0 minutes"),
        ({"n_images": 0}, "Got 0 crops"),
    ],
)
def test_orders_that_make_no_sense(changes, said):
    with pytest.raises(SettingsError, match=said):
        tiny_order(**changes)


def test_an_order_is_read_as_it_was_written():
    order = tiny_order(domain="discs", licence="CC0-1.0", seed=3)
    write_order(run_folder("discs"), order)
    read = read_order(run_folder("discs"))
    assert read.to_dict() == {**order.to_dict(), "settings": read.settings}
    assert read.settings["widths"] == [8, 8, 4]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"name": 3, "inputs": 4}'])
def test_a_damaged_order_is_named_and_offered_to_nobody(damage):
    write_order(run_folder("discs"), tiny_order())
    (run_folder("discs") / "run.json").write_bytes(damage)
    with pytest.raises(TrainingError, match="wanted what was asked of the run"):
        read_order(run_folder("discs"))
    assert list_runs() == ()


def test_a_prior_s_name_is_taken():
    with pytest.raises(SettingsError, match="'nuclei', which a prior has already"):
        TrainingJob.begin(tiny_order("nuclei"))


def test_history_up_to_the_checkpoint():
    """Law: points of steps that will be repeated are forgotten; damage is no loss."""
    folder = run_folder("discs")
    points = [TrainingPoint(n, 1.0, 2.0, 0.5, 7.0 if n == 2 else None) for n in (1, 2, 3)]
    write_history(folder, points)
    assert read_history(folder, 2) == points[:2]
    (folder / "history.json").write_text("[[")
    assert read_history(folder, 2) == []
    write_order(folder, tiny_order())
    write_progress(folder, 2, 9)
    (run,) = list_runs()
    assert (run.images_seen, run.n_images) == (2, 9)


# Layers


def copy(folder, layers, *args):
    *_, last = copy_layers(folder, layers, *args)
    return last, open_copies(folder)


def test_layers_are_copied_as_they_are(tmp_path):
    """Law: names, planes and types stay; transparency goes, and truth becomes a number."""
    layers = [
        SourceLayer("my stack/1", discs(6, 40).reshape(2, 3, 40, 40).astype(">u2")),
        SourceLayer("rgba", discs(8, 40).reshape(2, 40, 40, 4), rgb=True),
        SourceLayer("mask", discs(1, 50)[0] > 0),
    ]
    last, copies = copy(tmp_path / "sources", layers)
    assert last == (9, 9)
    assert [(c.name, c.rgb, c.data.shape) for c in copies] == [
        ("my stack/1", False, (6, 40, 40)),
        ("rgba", True, (2, 40, 40, 3)),
        ("mask", False, (1, 50, 50)),
    ]
    np.testing.assert_array_equal(copies[0].data.reshape(2, 3, 40, 40), layers[0].data)
    np.testing.assert_array_equal(copies[1].data, layers[1].data[..., :3])
    np.testing.assert_array_equal(copies[2].data[0], layers[2].data)


def test_what_does_not_fit_is_taken_at_even_distances(tmp_path):
    stack = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((1, 32, 32), np.uint8)
    _, (copied,) = copy(tmp_path / "sources", [SourceLayer("z", stack)], 10 * 32 * 32)
    assert copied.data[:, 0, 0].tolist() == list(range(0, 100, 10))


def test_dask_is_read_plane_by_plane_and_only_when_copied(tmp_path):
    da = pytest.importorskip("dask.array")
    read = []

    def block(block_info=None):
        at = block_info[None]["array-location"][0][0]
        read.append(at)
        return np.full((1, 40, 40), at, np.uint8)

    lazy = da.map_blocks(block, dtype=np.uint8, chunks=((1,) * 80, (40,), (40,)))
    layer = SourceLayer("lazy", lazy)
    assert count_pictures([layer], 16) == 80
    assert read == []
    copying = copy_layers(tmp_path / "sources", [layer])
    assert next(copying) == (1, 80)
    assert set(read) == {0}
    copying.close()
    assert list(tmp_path.iterdir()) == []  # abandoned, it leaves nothing


def test_a_layer_that_cannot_be_read_is_named(tmp_path):
    class Broken:
        shape, dtype = (9, 32, 32), np.dtype(np.uint8)

        def __getitem__(self, index):
            raise ConnectionError("the server is gone")

    with pytest.raises(TrainingError, match=r"the layer 'far away' \(the server is gone\)"):
        copy(tmp_path / "sources", [SourceLayer("far away", Broken())])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["layers.json", "0.npy"])
def test_damaged_copies_are_named(tmp_path, damage):
    copy(tmp_path / "sources", [SourceLayer("z", discs(1, 32))])
    (tmp_path / "sources" / damage).write_bytes(b"?")
    with pytest.raises(TrainingError, match="wanted those that the run made"):
        open_copies(tmp_path / "sources")
