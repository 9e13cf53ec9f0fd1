"""A foreign file becomes a prior, whole or not at all."""

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused, SettingsError, StorageError
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.imports import import_prior, import_steps, importing
from napari_mganprior.priors import find_prior, read_entry


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, own_adapter):
    """Return the user's own folder, which is not there yet; the tests' adapter is the only one."""
    path = tmp_path / "own"
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(path))
    return path


def test_the_prior_draws_what_the_foreign_network_draws(own_file, own_generator):
    """Law: pixel by pixel, after writing and loading, to 1e-5."""
    entry = import_prior(own_file, name="mine")
    codes = own_generator.sample_codes(4, rng=seeded(7))
    with torch.no_grad():
        wanted = own_generator(codes)
        found = load_prior(find_prior("mine")).generator(codes)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert wanted.std() > 0.01
    assert entry == read_entry("mine")
    assert entry.source == "user"


def test_the_card_tells_where_the_prior_comes_from(own_file):
    """Law: file name and sha256 of the source, the layout and the options are in the card."""
    card = import_prior(
        own_file, name="mine", options={"class": 3}, domain="dots", licence="CC0-1.0"
    ).card
    assert card.training["imported_from"] == "stranger.pth"
    assert card.training["source_sha256"] == hashlib.sha256(own_file.read_bytes()).hexdigest()
    assert card.training["source_format"] == "torch"
    assert card.training["layout"] == "own"
    assert card.training["options"] == {"class": 3}
    assert card.training["note"].startswith("class 3")
    assert (card.name, card.domain, card.licence) == ("mine", "dots", "CC0-1.0")


def test_what_is_not_known_is_called_not_stated(own_file, folder):
    """Law: a licence is never made up; the name is the file's where none is given."""
    entry = import_prior(own_file)
    assert entry.name == "stranger"
    assert entry.path == folder / "stranger.safetensors"
    assert (entry.card.licence, entry.card.domain) == ("not stated", "not stated")


def test_a_grid_of_samples_lies_beside_the_prior(own_file, own_generator, folder):
    """Law: the first sample is at the upper left, from the same seed each time."""
    import_prior(own_file, name="mine")
    with Image.open(folder / "mine_grid.png") as picture:
        assert picture.size == (8 * 8, 8 * 8)
        corner = torch.from_numpy(np.array(picture)[:8, :8]).flatten()
    with torch.no_grad():
        first = own_generator(own_generator.sample_codes(64, rng=seeded(1)))[0].flatten()
    wanted = ((first.clamp(-1, 1) + 1) * 127.5).round()
    assert (corner - wanted).abs().max() <= 1


def test_closing_it_at_any_step_leaves_nothing_behind(own_file, folder):
    """Law: a worker can cancel between stages; until the last step nothing is written."""
    n_steps = len(list(import_steps(own_file, name="mine")))
    assert n_steps > 5
    (folder / "mine.safetensors").unlink()
    (folder / "mine_grid.png").unlink()
    folder.rmdir()
    for n in range(1, n_steps):
        steps = import_steps(own_file, name="mine")
        for _ in range(n):
            step = next(steps)
        steps.close()
        assert step.entry is None
        assert not folder.exists(), step.doing


def test_steps_count_up_to_their_number(own_file):
    steps = list(import_steps(own_file, name="mine"))
    places = [step.index for step in steps]
    assert places == sorted(set(places))
    assert steps[-1].index == steps[-1].n_steps
    assert [step.entry is not None for step in steps] == [False] * (len(steps) - 1) + [True]
    assert "stranger.pth" in steps[0].doing


@pytest.mark.parametrize("picture", [None, b"an older picture"])
def test_a_prior_that_cannot_be_written_leaves_no_picture(picture, own_file, folder, monkeypatch):
    """Law: picture and prior are there both or not; an older picture comes back."""

    def full(*args, **settings):
        raise StorageError("the disk is full")

    monkeypatch.setattr(importing, "save_prior", full)
    if picture:
        folder.mkdir()
        (folder / "mine_grid.png").write_bytes(picture)
    with pytest.raises(StorageError, match="the disk is full"):
        import_prior(own_file, name="mine")
    left = [path.name for path in folder.iterdir()]
    assert left == (["mine_grid.png"] if picture else [])
    if picture:
        assert (folder / "mine_grid.png").read_bytes() == picture


def test_a_prior_is_replaced_only_when_asked(own_file, folder):
    import_prior(own_file, name="mine")
    before = (folder / "mine.safetensors").read_bytes()
    with pytest.raises(StorageError, match=r"the name 'mine' for a prior, .* exists already"):
        import_prior(own_file, name="mine", domain="other")
    assert (folder / "mine.safetensors").read_bytes() == before
    assert (
        import_prior(own_file, name="mine", domain="other", overwrite=True).card.domain == "other"
    )


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a\nb", "x" * 101, " a", "C:"])
def test_a_name_that_is_no_files_name_is_refused(name, own_file):
    with pytest.raises(SettingsError, match="wanted one that can be a file's name"):
        import_prior(own_file, name=name)


def test_every_wrong_key_is_named(own_file, own_generator, folder):
    """Law: a missing, an extra and a misshapen tensor are each named with their shapes."""
    state = own_generator.state_dict()
    state["blocks.9.weight"] = torch.zeros(2, 2)
    del state["blocks.1.bias"]
    state["to_image.weight"] = torch.zeros(1, 4, 3, 3)
    torch.save({"own": state}, own_file)
    with pytest.raises(ImportRefused) as refused:
        import_prior(own_file)
    message = str(refused.value)
    assert "missing: blocks.1.bias (6,)" in message
    assert "unexpected: blocks.9.weight (2, 2)" in message
    assert "of another shape: to_image.weight (1, 4, 3, 3) for (1, 4, 1, 1)" in message
    assert not folder.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value, own_file, own_generator, folder):
    state = own_generator.state_dict()
    state["blocks.1.bias"] = torch.full((6,), value)
    torch.save({"own": state}, own_file)
    with pytest.raises(
        ImportRefused, match=r"NaN or infinity in what becomes generator.blocks.1.bias"
    ):
        import_prior(own_file)
    assert not folder.exists()


def test_pictures_that_are_no_numbers_are_refused(own_file, own_generator, folder):
    state = own_generator.state_dict()
    state["to_image.weight"] = torch.full_like(state["to_image.weight"], 3e38)
    state["to_image.bias"] = torch.full((1,), 3e38)
    torch.save({"own": state}, own_file)
    with pytest.raises(ImportRefused, match="draws pictures with NaN or infinity"):
        import_prior(own_file)
    assert not folder.exists()


def test_odd_pictures_are_remarked_on(own_file, own_generator):
    """Law: what a look at the samples would tell stands in the card."""
    state = own_generator.state_dict()
    state["to_image.weight"] = torch.zeros_like(state["to_image.weight"])
    state["to_image.bias"] = torch.full((1,), 9.0)
    torch.save({"own": state}, own_file)
    note = import_prior(own_file).card.training["note"]
    assert "all samples are alike" in note
    assert "100 % of the samples' pixels lie far outside -1 .. 1" in note


def test_a_layout_nobody_knows_is_refused_with_the_ways_out(tmp_path):
    path = tmp_path / "odd.pt"
    torch.save({"w": torch.zeros(1)}, path)
    with pytest.raises(
        ImportRefused,
        match=r"Got odd.pt, 1 tensors in a layout that is not known here \(w, ..\); wanted one of: "
        r"own. Name the architecture",
    ):
        import_prior(path)
    with pytest.raises(ImportRefused, match=r"architecture 'cats'; wanted one of: own. Choose"):
        import_prior(path, architecture="cats")
    with pytest.raises(ImportRefused, match=r"missing: blocks.0.bias"):
        import_prior(path, architecture="own")


def test_an_option_that_the_network_does_not_know_is_refused(own_file, folder):
    """Law: nothing that was asked for is left out silently."""
    with pytest.raises(ImportRefused, match=r"Got truncation for stranger.pth, .* no such option"):
        import_prior(own_file, options={"truncation": 0.7, "class": 1})
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"truncation": 0}, "Got a truncation of 0; wanted a number above 0, 1 at most"),
        ({"truncation": 1.5}, "Got a truncation of 1.5"),
        ({"class": -1}, "Got the class -1; wanted a whole number from 0 on"),
        ({"class": 1.5}, "Got the class 1.5"),
        ({"clas": 1}, r"Got the unknown options \['clas'\]; wanted some of"),
    ],
)
def test_options_out_of_range_are_refused(options, reason, own_file):
    with pytest.raises(SettingsError, match=reason):
        import_prior(own_file, options=options)


def test_our_own_priors_need_no_import(tiny_prior_path):
    with pytest.raises(ImportRefused, match=r"a prior of this program already; .* Copy it into"):
        import_prior(tiny_prior_path)


@pytest.mark.parametrize("fault", [KeyError("a"), RuntimeError("shape"), ValueError("x\ny")])
def test_a_fault_of_an_adapter_is_a_refusal(fault, own_file, own_adapter, monkeypatch):
    """Law: what an adapter did not foresee is told on one line, too."""

    def convert(foreign, options):
        raise fault

    monkeypatch.setattr(own_adapter, "convert", convert, raising=True)
    with pytest.raises(ImportRefused, match="does not fit the architecture own") as refused:
        import_prior(own_file)
    assert "\n" not in str(refused.value)


def test_a_file_is_read_in_place(own_file, folder):
    """Law: the prior can take the place of the file it was made from."""
    folder.mkdir()
    own_file = own_file.rename(folder / "mine.safetensors")
    with pytest.raises(StorageError, match="exists already"):
        import_prior(own_file)
    entry = import_prior(own_file, overwrite=True)
    assert load_prior(entry.path).card == entry.card
    with Image.open(io.BytesIO((folder / "mine_grid.png").read_bytes())) as picture:
        assert picture.size == (64, 64)
