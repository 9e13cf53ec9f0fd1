"""A run with its folder: checkpoints that are whole or not there, and the exported prior."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_mganprior.errors import StorageError, TrainingError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.loop import TrainingState, train
from napari_mganprior.training.session import export_prior, open_state, run_session, save_state


def test_interrupted_and_resumed_is_straight_to_the_last_bit(tmp_path, source, tiny_config, same):
    """Law: stopping a session between checkpoints loses steps, but changes nothing."""
    wanted = list(run_session(tmp_path / "straight", source, tiny_config, save_every=8))

    session = run_session(tmp_path / "stopped", source, tiny_config, save_every=8)
    got = [next(session) for _ in range(5)]
    session.close()
    again = list(run_session(tmp_path / "stopped", source, tiny_config, save_every=8))
    assert again[0].images_seen == 20  # the last checkpoint was at 16
    assert got[:4] + again == wanted
    straight, stopped = (
        open_state(tmp_path / name / "checkpoint.pt").state_dict()
        for name in ("straight", "stopped")
    )
    assert same(straight, stopped)


def test_checkpoints_come_when_due_and_at_the_end(tmp_path, source, tiny_config):
    seen = []
    config = replace(tiny_config, n_images=28)
    for _ in run_session(
        tmp_path, source, config, save_every=12, saved=lambda s: seen.append(s.images_seen)
    ):
        pass
    assert seen == [12, 24, 28]
    assert open_state(tmp_path / "checkpoint.pt").images_seen == 28
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_other_settings_are_refused(tmp_path, source, tiny_config):
    list(run_session(tmp_path, source, tiny_config))
    with pytest.raises(TrainingError, match=r"settings that differ .* another folder"):
        next(run_session(tmp_path, source, replace(tiny_config, seed=1)))


def test_crops_that_do_not_fit_are_refused(tmp_path, source, small_source, tiny_config):
    with pytest.raises(TrainingError, match="crops of 8 px with 1 channels; the settings want 16"):
        next(run_session(tmp_path, small_source, tiny_config))
    with pytest.raises(TrainingError, match="want 16 px with 3"):
        next(run_session(tmp_path, source, replace(tiny_config, image_channels=3)))


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path, tiny_config, monkeypatch):
    """Law: whatever happens during a save, the path holds one whole checkpoint."""
    path = tmp_path / "checkpoint.pt"
    state = TrainingState(tiny_config)
    save_state(state, path)
    old = path.read_bytes()
    state.images_seen = 999

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    for where in ("os.fsync", "pathlib.Path.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(where, full_disk)
            with pytest.raises(StorageError, match="No space left on device"):
                save_state(state, path)
        assert path.read_bytes() == old
        assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]

    # a killed process cannot even clean up: its part lies beside the old file and harms nobody
    (tmp_path / ".checkpoint.pt.4711.part").write_bytes(old[: len(old) // 2])
    assert open_state(path).images_seen == 0


def test_weights_that_are_not_finite_are_never_saved(tmp_path, source, tiny_config):
    """A run that goes wrong keeps the last good checkpoint."""
    path = tmp_path / "checkpoint.pt"
    state = TrainingState(replace(tiny_config, n_images=64))
    save_state(state, path)
    session = run_session(tmp_path, source, state.config, save_every=4, saved=_poison)
    next(session)
    good = path.read_bytes()
    with pytest.raises(TrainingError, match="not finite after 8 images; they were not saved"):
        next(session)
    assert path.read_bytes() == good


def _poison(state: TrainingState) -> None:
    # a weight of the average only: the losses do not see it
    with torch.no_grad():
        next(state.average.parameters())[0, 0, 0, 0] = float("inf")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "checkpoint.pt"
    save_state(TrainingState(TrainingConfig(resolution=16, widths=(4, 4, 4), code_dim=4)), path)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_a_truncated_checkpoint_is_refused(tmp_path, checkpoint, share):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(checkpoint[: int(share * len(checkpoint))])
    with pytest.raises(TrainingError, match=r"Could not read .*checkpoint\.pt"):
        open_state(path)


def test_a_damaged_checkpoint_is_refused(tmp_path, checkpoint):
    """Overwriting a part of it raises `TrainingError`, or hits nothing but padding or weights."""
    path = tmp_path / "checkpoint.pt"
    refused = 0
    for at in range(0, len(checkpoint), len(checkpoint) // 40):
        path.write_bytes(checkpoint[:at] + b"\xff" * 200 + checkpoint[at + 200 :])
        try:
            open_state(path)
        except TrainingError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("data", [b"hello", b"\x80\x04K\x03.", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_checkpoint_is_refused(tmp_path, data):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=r"Could not read|does not fit"):
        open_state(path)


class _Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_code_in_a_checkpoint_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"config": _Bomb()}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="Could not read"):
        open_state(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "exploded").exists()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"gone\.pt"):
        open_state(tmp_path / "gone.pt")


def test_exported_prior_draws_what_the_average_draws(tmp_path, source, tiny_config):
    """Law: export, load, draw = draw with the averaged weights, up to float16."""
    state = TrainingState(tiny_config)
    list(train(state, source))
    with torch.no_grad():
        state.generator.to_image.bias += 0.5  # so that a mix-up shows
    path = tmp_path / "tiny.safetensors"
    sha256 = export_prior(
        state, path, name="tiny", domain="discs", licence="CC0-1.0", training={"data": "made up"}
    )
    prior = load_prior(path)
    assert sha256 == prior.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    codes = state.codes(4)
    with torch.no_grad():
        drawn, images, others = (
            network(codes) for network in (prior.generator, state.average, state.generator)
        )
        scores = prior.discriminator(images), state.discriminator(images)
    assert (drawn - images).abs().mean() < 2e-3 * images.std()
    assert (drawn - others).abs().mean() > 1e-1 * images.std()  # not the last weights
    assert torch.allclose(*scores, atol=2e-2)
    training = prior.card.training
    assert training["images_seen"] == 32
    assert training["data"] == "made up"
    assert training["config"] == tiny_config.to_dict()
