"""Two processes under torchrun."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_mganprior.errors import SettingsError
from napari_mganprior.training import launch
from napari_mganprior.training.session import open_state, run_session

SCRIPT = Path(__file__).with_name("ranked.py")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def ranked():
    spec = importlib.util.spec_from_file_location("ranked", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """Run the script in two processes; return the folder with what they wrote."""
    pytest.importorskip("lightning_fabric", reason="the extra 'multi' is not installed")
    out = tmp_path_factory.mktemp("ranks")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*run, SCRIPT, out],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CUDA_VISIBLE_DEVICES": "",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def apart(first: dict, second: dict) -> float:
    """Mean absolute difference of all weights."""
    pairs = [(first[key].flatten(), second[key].flatten()) for key in first]
    return float(torch.cat([(a - b).abs() for a, b in pairs]).mean())


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(both, ranked):
    """Law: same crops, same codes, each process half of them: same losses, same weights.

    The optimiser divides each gradient by its own size, so that rounding shows where a gradient is
    next to nothing; on average it does not.
    """
    one = ranked.train_given(8)
    processes = [torch.load(both / f"given{rank}.pt") for rank in (0, 1)]
    alone = ranked.train_given(4, size=2)  # process 0 if nobody averaged anything
    start = {
        name: network.state_dict()
        for name, network in vars(ranked.TrainingState(ranked.CONFIG)).items()
        if name in ("generator", "discriminator")
    }
    for got in processes:
        assert torch.allclose(got["losses"], one["losses"], rtol=2e-3, atol=2e-4)
        for name in ("generator", "discriminator"):
            moved = apart(one[name], start[name])
            assert apart(got[name], one[name]) < 0.01 * moved
            assert apart(alone[name], one[name]) > 0.2 * moved
        assert apart(got["average"], one["average"]) < 1e-4
    assert not torch.allclose(alone["losses"], one["losses"], rtol=2e-2)
    for name in ("generator", "discriminator", "average"):
        assert apart(processes[0][name], processes[1][name]) == 0


@pytest.mark.slow
def test_a_step_of_two_counts_the_crops_of_both(both):
    straight, _ = torch.load(both / "steps0.pt")["steps"]
    assert [seen for _, seen in straight] == list(range(8, 65, 8))


@pytest.mark.slow
def test_both_see_the_same_losses_and_draw_crops_of_their_own(both):
    mine, other = (torch.load(both / f"steps{rank}.pt") for rank in (0, 1))
    assert mine["steps"] == other["steps"]
    assert torch.equal(mine["gathered"], other["gathered"])
    assert not torch.equal(*mine["gathered"])
    raw = torch.load(both / "straight0" / "checkpoint.pt", weights_only=True)
    assert len(raw["other_rngs"]) == 1
    assert not torch.equal(raw["rng"], raw["other_rngs"][0])


@pytest.mark.slow
def test_only_the_first_writes(both):
    assert (both / "straight0" / "checkpoint.pt").exists()
    assert not (both / "straight1").exists()


@pytest.mark.slow
def test_stopped_and_resumed_by_two_is_straight_by_two(both, same):
    """Law: with as many processes, resuming is exact to the last bit."""
    straight, stopped = torch.load(both / "steps0.pt")["steps"]
    assert stopped == straight
    states = [
        torch.load(both / name / "checkpoint.pt", weights_only=True)
        for name in ("straight0", "stopped0")
    ]
    for state in states:
        del state["seconds"]
    assert same(*states)


@pytest.mark.slow
def test_both_keep_to_the_first_ones_clock(both):
    """Law: a time budget comes to the same crops and the same words everywhere."""
    mine, other = (torch.load(both / f"steps{rank}.pt")["timed"] for rank in (0, 1))
    assert mine == other
    assert mine[-1][0] == mine[-1][1]
    assert any("time budget of 0.03 minutes" in notice for *_, notice in mine)


@pytest.mark.slow
def test_one_goes_on_where_two_stopped(both, source, ranked, tmp_path):
    """A checkpoint of two opens in one process, which draws new random numbers."""
    state = open_state(both / "straight0" / "checkpoint.pt")
    assert state.images_seen == 64
    raw = torch.load(both / "straight0" / "checkpoint.pt", weights_only=True)
    assert not torch.equal(state.rng.get_state(), raw["rng"])
    (tmp_path / "checkpoint.pt").write_bytes((both / "straight0" / "checkpoint.pt").read_bytes())
    assert list(run_session(tmp_path, source, state.config)) == []


def test_without_a_launcher_it_is_alone():
    with launch.joined_ranks("cpu") as (ranks, device):
        assert (ranks.rank, ranks.size, device.type) == (0, 1, "cpu")


def test_a_launcher_without_fabric_is_said(monkeypatch):
    monkeypatch.setattr(launch, "launched", lambda: True)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(SettingsError, match=r"pip install 'napari-mganprior\[multi\]'"):
        launch.joined_ranks("cpu").__enter__()


def test_a_numbered_device_under_a_launcher_is_refused(monkeypatch):
    pytest.importorskip("lightning_fabric", reason="the extra 'multi' is not installed")
    monkeypatch.setattr(launch, "launched", lambda: True)
    monkeypatch.setattr(launch, "choose_device", torch.device)
    with pytest.raises(SettingsError, match=r"'cuda:1' under a launcher; wanted auto, cpu or cuda"):
        launch.joined_ranks("cuda:1").__enter__()
