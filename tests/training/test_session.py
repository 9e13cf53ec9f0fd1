"""A run with its folder: checkpoints that are whole or not there, and the exported prior."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_mganprior.arrays import seeded
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
    assert straight.pop("seconds") > 0 < stopped.pop("seconds")
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


def test_a_run_measures_its_pixels_and_its_prior_needs_no_such_numbers(
    tmp_path, source, tiny_config
):
    list(run_session(tmp_path, source, tiny_config))
    state = open_state(tmp_path / "checkpoint.pt")
    crops = source.batch(500, seeded(9))
    assert state.config.pixel_mean == pytest.approx([float(crops.mean())], abs=0.1)
    assert state.config.pixel_std == pytest.approx([float(crops.std())], abs=0.1)

    export_prior(state, tmp_path / "p.safetensors", name="p", domain="d", licence="CC0-1.0")
    prior = load_prior(tmp_path / "p.safetensors")
    batch = crops[:8]
    with torch.no_grad():  # what is stored is float16
        torch.testing.assert_close(
            prior.discriminator(batch), state.discriminator(batch), rtol=0.02, atol=0.02
        )


def test_a_run_from_before_pixels_were_measured_goes_on_without(tmp_path, source, tiny_config):
    state = TrainingState(tiny_config)
    save_state(state, tmp_path / "checkpoint.pt")
    list(run_session(tmp_path, source, tiny_config))
    assert open_state(tmp_path / "checkpoint.pt").discriminator.pixel_mean is None


def test_other_settings_are_refused(tmp_path, source, tiny_config):
    list(run_session(tmp_path, source, tiny_config))
    with pytest.raises(TrainingError, match=r"differ .*\(seed 0 there, 1 here\).* another folder"):
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


@pytest.mark.parametrize("image_channels", [2, 4])
def test_any_number_of_channels_goes_through_training_card_and_file(
    tmp_path, tiny_config, image_channels
):
    """Law: what is exported with 2 or 4 channels draws and judges 2 or 4 channels again."""
    from napari_mganprior.priors.grid import contact_sheet, draw_samples

    config = replace(tiny_config, image_channels=image_channels)
    folder = tmp_path / "run"
    steps = list(run_session(folder, Stains(image_channels), config))
    assert steps[-1].images_seen == 32
    state = open_state(folder / "checkpoint.pt")
    path = tmp_path / "stains.safetensors"
    export_prior(state, path, name="stains", domain="stains", licence="CC0-1.0")
    prior = load_prior(path)
    images = draw_samples(prior.generator, 4, rng=seeded(0))
    assert images.shape == (4, image_channels, 16, 16)
    assert prior.discriminator(images).shape == (4,)
    sheet = contact_sheet(images, 2)
    assert sheet.shape == (32, 32, 3)
    assert sheet.std() > 0


class Stains:
    """Crops of several channels, as a source of them hands out."""

    resolution = 16
    n_images = 8

    def __init__(self, image_channels: int) -> None:
        self.image_channels = image_channels

    def batch(self, n: int, rng: torch.Generator) -> torch.Tensor:
        return torch.rand(n, self.image_channels, 16, 16, generator=rng) * 2 - 1


def test_a_checkpoint_of_the_version_before_opens_and_goes_on_without_augmentation(
    tmp_path, source, tiny_config, same
):
    """Law: an old run goes on as the same run, to the last bit."""
    plain = replace(tiny_config, augment=False, r1_late_after=90_000)
    wanted = list(run_session(tmp_path / "new", source, plain, save_every=16))
    first = run_session(tmp_path / "old", source, plain, save_every=16)
    for _ in range(4):
        next(first)
    first.close()
    path = tmp_path / "old" / "checkpoint.pt"
    raw = torch.load(path, weights_only=True)
    for key in ("seconds", "plan", "augmentation", "other_rngs"):
        del raw[key]
    for key in ("augment", "augment_target", "mix_probability", "channels_last"):
        del raw["config"][key]
    torch.save(raw, path)
    # whoever asks for today's defaults means this run, too
    got = list(run_session(tmp_path / "old", source, tiny_config, save_every=16))
    assert got == wanted[4:]
    assert {step.augment for step in got} == {0.0}
    assert not open_state(path).config.augment


def test_settings_that_only_decide_about_speed_may_differ(tmp_path, source, tiny_config):
    list(run_session(tmp_path, source, replace(tiny_config, n_images=16)))
    config = replace(tiny_config, n_images=16, bfloat16=False, channels_last=False)
    assert list(run_session(tmp_path, source, config)) == []
