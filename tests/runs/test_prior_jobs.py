"""Work on priors in a thread, without Qt."""

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ComputeError, ImportRefused, MGANPriorError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, draw_samples
from napari_mganprior.runs.prior_jobs import (
    ImportOrder,
    InstallOrder,
    PriorJob,
    PriorStep,
    draw_sheet,
    import_foreign,
    install_asked,
)


def finish(job):
    for _ in range(1000):
        if (end := job.poll()) is not None:
            return end
        time.sleep(0.01)
    raise AssertionError("it did not end")


def test_it_goes_to_the_last_step():
    job = PriorJob(lambda: (PriorStep(index=i, n_steps=3, doing=str(i)) for i in range(4)))
    job.start()
    end = finish(job)
    assert (end.step.index, end.error) == (3, None)
    assert gc.isenabled()


def test_errors_for_people_pass_and_others_are_explained():
    def refuse():
        yield PriorStep(doing="reading")
        raise ImportRefused("Got nothing; wanted something. Try.")

    def fail():
        yield PriorStep(doing="reading")
        raise KeyError("odd")

    for work, kind, words in ((refuse, ImportRefused, "Got nothing"), (fail, ComputeError, "odd")):
        job = PriorJob(work)
        job.start()
        end = finish(job)
        assert isinstance(end.error, kind)
        assert words in str(end.error)
        assert end.step is None


def test_cancel_closes_the_work_after_its_stage():
    """Law: what the work does in its `finally` is done in its thread, before it has ended."""
    closed, gate = [], threading.Event()

    def work():
        try:
            yield PriorStep(doing="first")
            gate.wait(10)
            yield PriorStep(doing="second")
            raise AssertionError("it was cancelled")
        finally:
            closed.append(threading.current_thread().name)

    job = PriorJob(work)
    job.start()
    assert not gc.isenabled()
    while job.step is None:
        time.sleep(0.01)
    job.cancel()
    assert job.cancelling
    assert not job.join(0.05)
    assert not gc.isenabled()
    gate.set()
    end = finish(job)
    assert (end.step, end.error) == (None, None)
    assert closed == ["napari-mganprior prior"]
    assert gc.isenabled()


def test_one_that_is_given_up_lets_the_collector_go(monkeypatch):
    gate = threading.Event()

    def work():
        gate.wait(10)
        yield PriorStep(doing="late")

    job = PriorJob(work)
    job.start()
    job.cancel()
    assert not job.join(0.05)
    gate.set()
    for _ in range(500):
        if gc.isenabled():
            break
        time.sleep(0.01)
    assert gc.isenabled()


def test_no_thread_is_told(monkeypatch):
    job = PriorJob(lambda: iter(()))

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MGANPriorError, match="can't start new thread"):
        job.start()
    assert gc.isenabled()


def test_the_sheet_is_that_of_the_prior_s_own_samples(tiny_rgb_prior_path):
    *_, last = draw_sheet(str(tiny_rgb_prior_path))
    generator = load_prior(tiny_rgb_prior_path).generator
    wanted = contact_sheet(draw_samples(generator, 64, rng=seeded(GRID_SEED)), 8)
    assert last.sheet.shape == (128, 128, 3)
    assert np.abs(last.sheet.astype(int) - wanted).max() <= 1
    assert torch.is_grad_enabled()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "priors"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(folder))
    return folder


def test_a_file_that_is_none_is_refused_after_one_word(tmp_path, folder):
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    steps = import_foreign(ImportOrder(path=tmp_path / "bad.pth"))
    assert next(steps).doing == "loading PyTorch"
    with pytest.raises(ImportRefused, match=r"Got bad\.pth"):
        list(steps)
    assert not folder.exists()


def test_an_installation_closed_at_its_last_step_is_undone(folder, tiny16_prior_path):
    """Law: cancelled, also at the very end, it leaves no prior; one that was there stays."""
    order = InstallOrder(source=str(tiny16_prior_path), name="leaves")
    for step in (steps := install_asked(order)):
        if step.name:
            break
    assert (folder / "leaves.safetensors").is_file()
    steps.close()
    assert list(folder.iterdir()) == []
    assert [step.name for step in install_asked(order)][-1] == "leaves"
    for step in (steps := install_asked(order)):
        if step.name:
            break
    assert "Already there: 'leaves'" in step.note
    steps.close()
    assert (folder / "leaves.safetensors").is_file()


def test_a_cancelled_download_says_what_is_kept(folder, server, tiny_prior_path):
    server.files["/a.safetensors"] = tiny_prior_path.read_bytes()
    steps = install_asked(InstallOrder(source=f"{server.url}/a.safetensors"))
    assert next(steps).left == "nothing was written"
    assert "the next try goes on from there" in next(steps).left
    *_, last = steps
    assert last.left == "nothing was written"
    assert last.note.startswith("Installed 'a', sha256 ")


def test_importing_it_imports_no_torch():
    code = "import sys, napari_mganprior.runs.prior_jobs\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "False", done.stderr
