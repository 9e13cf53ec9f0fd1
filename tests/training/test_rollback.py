"""What happens when a run goes wrong, and how it is measured on the way."""

from dataclasses import replace

import pytest
import torch

from napari_mganprior.errors import StorageError, TrainingError
from napari_mganprior.training import heldout, loop
from napari_mganprior.training.loop import DivergedError, train
from napari_mganprior.training.session import open_state, run_session, save_state
from napari_mganprior.training.state import TrainingState


def poison(state: TrainingState, network: str) -> None:
    with torch.no_grad():
        next(getattr(state, network).parameters())[0, 0, 0, 0] = float("nan")


@pytest.mark.parametrize("network", ["generator", "discriminator", "average"])
def test_a_run_that_goes_wrong_is_taken_back_slower(tmp_path, source, tiny_config, network):
    """Law: NaN anywhere costs the crops since the last checkpoint, and half the learning rate."""
    config = replace(tiny_config, n_images=48)
    poisoned, told = [], []

    def saved(state: TrainingState) -> None:
        told.append(state)
        if state.images_seen == 16 and not poisoned:
            poison(state, network)
            poisoned.append(state)

    steps = list(run_session(tmp_path, source, config, save_every=16, saved=saved))
    seen = [step.images_seen for step in steps]
    back = seen.index(20, seen.index(16)) if network != "average" else seen.index(20, 6)
    (noticed,) = [step for step in steps if step.notice]
    assert "taken back to 16 (1 of at most 3 times)" in noticed.notice
    assert noticed.images_seen == 20
    assert seen[-1] == 48
    assert told[1] is told[-1] is not told[0]  # whoever keeps the state has the good one
    assert back
    state = open_state(tmp_path / "checkpoint.pt")
    assert state.rollbacks == 1
    assert state.learning_rate() == pytest.approx(0.1 * config.learning_rate / 2)
    assert all(p.isfinite().all() for p in state.average.parameters())


def test_a_run_that_cannot_be_helped_ends_after_three_rollbacks(tmp_path, source, tiny_config):
    """The last good checkpoint stays, and a run taken up again remembers its rollbacks."""
    path = tmp_path / "checkpoint.pt"
    config = replace(tiny_config, n_images=64)
    notices = []

    def collect() -> None:
        for step in run_session(
            tmp_path, source, config, save_every=8, saved=lambda s: poison(s, "average")
        ):
            notices.extend([step.notice] if step.notice else [])

    with pytest.raises(TrainingError, match=r"wrong 4 times, at last so: Got .* not finite"):
        collect()
    assert [n[n.index("(") :][:2] for n in notices] == ["(1", "(2", "(3"]
    state = open_state(path)
    assert state.rollbacks == 3
    assert all(p.isfinite().all() for p in state.average.parameters())
    with pytest.raises(TrainingError, match="wrong 4 times"):
        list(
            run_session(
                tmp_path, source, config, save_every=8, saved=lambda s: poison(s, "average")
            )
        )


def test_after_a_rollback_other_crops_are_drawn(tmp_path, tiny_config):
    state = TrainingState(tiny_config)
    first = state.rng.get_state()
    state.rollbacks = 1
    state.reseed()
    assert not torch.equal(first, state.rng.get_state())


@pytest.mark.parametrize("loss", [0.0, 50.0])
def test_a_beaten_network_is_noticed_and_not_saved(
    tmp_path, source, tiny_config, monkeypatch, loss
):
    """A discriminator that is always right, or always wrong, teaches nothing any more."""
    monkeypatch.setattr(loop, "_PATIENCE", 20)
    state = TrainingState(tiny_config)
    for _ in range(2000):
        if state.suspect == 19:
            break
        loop._watch_loss(state, loss)
    with pytest.raises(DivergedError, match=r"one network has beaten the other; wanted 0\.1 to"):
        loop._watch_loss(state, loss)
    assert state.suspect == 20
    # a state on its way there does not replace a good checkpoint
    state = TrainingState(replace(tiny_config, n_images=64))
    state.loss = loss
    path = tmp_path / "checkpoint.pt"
    save_state(state, path)
    saved = []
    session = run_session(tmp_path, source, state.config, save_every=4, saved=saved.append)
    for _ in range(5):
        next(session)
    assert not saved
    assert open_state(path).images_seen == 0


def test_a_healthy_loss_is_never_suspect(source, tiny_config):
    state = TrainingState(replace(tiny_config, n_images=400))
    assert all(state.suspect == 0 for _ in train(state, source))


def test_measuring_keeps_the_best_and_changes_nothing(
    tmp_path, source, held_out, tiny_config, same, monkeypatch
):
    """Law: a run with measurements is the run without, to the last bit; best.pt is the best."""
    monkeypatch.setitem(heldout._N_CROPS, 64, 8)
    config = replace(tiny_config, n_images=48)
    plain = list(run_session(tmp_path / "plain", source, config))
    got = list(
        run_session(tmp_path / "measured", source, config, held_out=held_out, measure_every=8)
    )
    assert [step.distance is not None for step in got] == [i % 2 == 1 for i in range(12)]
    assert [replace(step, distance=None, notice="") for step in got] == plain
    states = [
        open_state(tmp_path / x / "checkpoint.pt").state_dict() for x in ("plain", "measured")
    ]
    for state in states:
        del state["seconds"]
        state["plan"] = {k: v for k, v in state["plan"].items() if not k.startswith("best")}
    assert same(*states)

    distances = {step.images_seen: step.distance for step in got if step.distance is not None}
    best = open_state(tmp_path / "measured" / "best.pt")
    assert distances[best.images_seen] == min(distances.values()) == best.best_distance
    # measured again from the file, it is the same number
    assert heldout.HeldOut(held_out, source).distance(best) == best.best_distance


def test_a_resumed_run_does_not_forget_the_best(
    tmp_path, source, held_out, tiny_config, monkeypatch
):
    monkeypatch.setitem(heldout._N_CROPS, 64, 8)
    distances = iter([5.0, 3.0, 4.0, 6.0])
    monkeypatch.setattr(heldout.HeldOut, "distance", lambda *_: next(distances))

    def session():
        return run_session(
            tmp_path, source, tiny_config, held_out=held_out, save_every=8, measure_every=8
        )

    first = session()
    for _ in range(4):
        next(first)
    first.close()
    assert [step.distance for step in session() if step.distance] == [4.0, 6.0]
    assert open_state(tmp_path / "best.pt").images_seen == 16


@pytest.mark.parametrize(
    ("distances", "told_after"),
    [([3.0, 4.0, 4.0, 6.0], [16, 24]), ([3.0, 3.2, 3.4, 3.6], []), ([9.0, 3.0, 4.0, 4.0], [])],
)
def test_a_run_that_moves_away_from_its_pictures_says_so(
    tmp_path, source, held_out, tiny_config, monkeypatch, distances, told_after
):
    """Told where it has grown worse for as long as it grew better, and not at the end."""
    coming = iter(distances)
    monkeypatch.setattr(heldout.HeldOut, "distance", lambda *_: next(coming))
    steps = run_session(tmp_path, source, tiny_config, held_out=held_out, measure_every=8)
    told = {step.images_seen: step.notice for step in steps if step.notice}
    assert list(told) == told_after
    assert all("has gone up from 3.0 after 8 crops to 4.0" in text for text in told.values())


def test_a_folder_that_cannot_be_written_to_is_known_before_the_first_step(
    tmp_path, source, tiny_config
):
    (tmp_path / "file").write_bytes(b"")
    session = run_session(tmp_path / "file" / "run", source, tiny_config)
    with pytest.raises(StorageError, match="permission to write there"):
        next(session)


def test_a_disk_that_fills_up_ends_the_run_and_keeps_the_old_checkpoint(
    tmp_path, source, tiny_config, monkeypatch
):
    path = tmp_path / "checkpoint.pt"
    session = run_session(tmp_path, source, tiny_config, save_every=8)
    for _ in range(3):
        next(session)
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            next(session)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert next(run_session(tmp_path, source, tiny_config)).images_seen == 12


def test_parts_of_killed_processes_are_swept_away(tmp_path, source, tiny_config):
    for name in (".checkpoint.pt.4711.part", ".best.pt.4711.part"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "notes.part").write_bytes(b"mine")
    next(run_session(tmp_path, source, tiny_config))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "notes.part"]
