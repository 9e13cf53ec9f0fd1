"""`napari-mganprior priors`."""

import hashlib
import json

import pytest
import torch

from napari_mganprior.cli import main
from napari_mganprior.generators.pggan import PGGANGenerator
from napari_mganprior.imports import importing
from napari_mganprior.imports.base import Converted
from napari_mganprior.priors import read_entry


class Adapter:
    """Takes whatever it is given for a PGGAN of ours."""

    name = "described"

    def __init__(self):
        self.asked = {}

    def recognise(self, foreign):
        return True

    def convert(self, foreign, options):
        self.asked = {key: options[key] for key in options}
        spec = {"resolution": 4, "widths": [2], "code_dim": 3, "image_channels": 3}
        return Converted(
            architecture="pggan",
            generator=spec,
            state=foreign.under("g"),
            image_channels=3,
            resolution=4,
        )


@pytest.fixture
def adapter(monkeypatch) -> Adapter:
    adapter = Adapter()
    monkeypatch.setattr(importing, "ADAPTERS", (adapter,))
    return adapter


@pytest.fixture
def stranger(tmp_path, monkeypatch, adapter):
    """Return a checkpoint; the user's own folder is empty."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path / "own"))
    network = PGGANGenerator(resolution=4, widths=[2], code_dim=3, image_channels=3)
    torch.save({"g": network.state_dict()}, tmp_path / "stranger.pth")
    return tmp_path / "stranger.pth"


def test_a_checkpoint_is_imported_used_and_removed(stranger, capsys):
    """Law: import prints the card and where the samples are; what was imported can be removed."""
    folder = stranger.parent / "own"
    command = ["priors", "import", str(stranger), "--name", "mine", "--licence", "MIT"]
    assert main([*command, "--domain", "squares"]) == 0
    report = capsys.readouterr().out
    entry = read_entry("mine")
    assert entry.sha256 in report
    assert "squares" in report
    assert "MIT" in report
    assert f"Samples: {folder / 'mine_grid.png'}" in report
    assert (folder / "mine_grid.png").is_file()
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    capsys.readouterr()
    assert main(["priors", "path", "mine"]) == 0
    assert capsys.readouterr().out.strip() == str(entry.path)
    assert main(["priors", "remove", "mine"]) == 0
    assert capsys.readouterr().out.count("removed ") == 2
    assert list(folder.iterdir()) == []
    assert main(["priors", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)


def test_options_and_description_reach_the_adapter(stranger, adapter, tmp_path):
    """Law: numbers and the architecture file's content are handed on as they are."""
    description = tmp_path / "net.json"
    description.write_text(json.dumps({"layers": [1, 2]}))
    options = ["--class", "3", "--truncation", "0.5", "--architecture", str(description)]
    assert main(["priors", "import", str(stranger), *options]) == 0
    assert adapter.asked == {"class": 3, "truncation": 0.5, "description": {"layers": [1, 2]}}
    assert read_entry("stranger").card.training["options"] == {"class": 3, "truncation": 0.5}


@pytest.mark.parametrize("content", [None, "{", "[" * 100_000, "1" * 2_000_000])
def test_an_architecture_file_that_is_none_is_refused(content, stranger, tmp_path, capsys):
    description = tmp_path / "net.json"
    if content is not None:
        description.write_text(content)
    command = ["priors", "import", str(stranger), "--architecture", str(description)]
    assert main(command) == 2
    assert "Could not read the architecture file" in capsys.readouterr().err
    assert not (tmp_path / "own").exists()


def test_a_refused_file_leaves_nothing(stranger, capsys):
    stranger.write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    assert main(["priors", "import", str(stranger)]) == 2
    assert "names 'os.system'" in capsys.readouterr().err
    assert not (stranger.parent / "own").exists()


def test_the_list_names_every_prior_with_its_hash(own_priors, capsys):
    """Law: every file is listed with its hash, and a damaged one with what is wrong with it."""
    assert main(["priors", "list"]) == 0
    report = capsys.readouterr().out
    for name in ("tiny", "tiny16", "tinyrgb"):
        data = (own_priors / f"{name}.safetensors").read_bytes()
        assert any(
            line.split()[:2] == [name, "user"] and hashlib.sha256(data).hexdigest()[:16] in line
            for line in report.splitlines()
        )
    assert "16 px RGB" in report
    assert str(own_priors) in report


def test_a_damaged_prior_is_listed_with_its_fault(tmp_path, capsys, monkeypatch):
    (tmp_path / "bad.safetensors").write_bytes(b"12")
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path))
    assert main(["priors", "list"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("bad")]
    assert "truncated" in line


def test_one_prior_is_told_about(own_priors, capsys):
    assert main(["priors", "info", str(own_priors / "tiny.safetensors")]) == 0
    report = capsys.readouterr().out
    data = (own_priors / "tiny.safetensors").read_bytes()
    assert hashlib.sha256(data).hexdigest() in report
    assert "random drawings, for tests" in report
    assert "CC0-1.0" in report


def test_an_unknown_prior_is_refused(capsys):
    assert main(["priors", "info", "cats"]) == 2
    assert "Got the prior 'cats'" in capsys.readouterr().err


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Return the user's own folder, which is not there yet."""
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_a_prior_is_installed_from_an_address_and_told_about(
    empty, server, tiny16_prior_path, capsys
):
    """Law: where no hash was given, the one there is is shown and stored."""
    data = tiny16_prior_path.read_bytes()
    server.files["/leaves.safetensors"] = data
    server.faults["/leaves.safetensors"] = ("cut", 20_000)
    digest = hashlib.sha256(data).hexdigest()
    assert main(["priors", "install", f"{server.url}/leaves.safetensors"]) == 0
    report = capsys.readouterr().out
    assert f"installed: leaves, sha256 {digest}" in report
    assert "No sha256 was given: it is stored" in report
    assert main(["priors", "info", "leaves"]) == 0
    report = capsys.readouterr().out
    assert f"from {server.url}/leaves.safetensors on 20" in report
    assert "16 px grey" in report
    assert " kB" in report
    assert main(["priors", "install", str(tiny16_prior_path), "--name", "leaves"]) == 0
    assert "there already: leaves" in capsys.readouterr().out


def test_a_folder_is_installed_with_its_faults_told(empty, prior_folder, tmp_path, capsys):
    (tmp_path / "offered").mkdir()
    (tmp_path / "offered" / "bad.safetensors").write_bytes(b"x" * 20)
    for name in ("tiny16", "tinyrgb"):
        data = (prior_folder / f"{name}.safetensors").read_bytes()
        (tmp_path / "offered" / f"{name}.safetensors").write_bytes(data)
    assert main(["priors", "install", str(tmp_path / "offered")]) == 0
    report = capsys.readouterr().out
    assert report.count("installed: ") == 2
    assert "left out bad.safetensors: Got" in report


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["none.safetensors"], "neither a file, a folder nor an address"),
        (["http://example.org/a.safetensors"], "wanted one that begins with https://"),
        (["URL", "--sha256", "12"], "wanted 64 hexadecimal digits"),
        (["URL", "--sha256", "0" * 64], "wanted 0000"),
        (["URL", "--name", "a/b"], "wanted one that can be a file's name"),
    ],
)
def test_a_refused_installation_leaves_nothing(
    options, words, empty, server, tiny16_prior_path, capsys
):
    server.files["/a.safetensors"] = tiny16_prior_path.read_bytes()
    options = [f"{server.url}/a.safetensors" if word == "URL" else word for word in options]
    assert main(["priors", "install", *options]) == 2
    assert words in capsys.readouterr().err
    assert not empty.exists() or list(empty.iterdir()) == []


def test_what_is_no_prior_is_named_as_it_was_given(empty, tmp_path, capsys):
    (tmp_path / "x.json").write_text("{}")
    for more in ([], ["--name", "other"]):
        assert main(["priors", "install", str(tmp_path / "x.json"), *more]) == 2
        assert "Got x.json, which is truncated or no .safetensors file" in capsys.readouterr().err


def test_weights_are_brought(server, monkeypatch, capsys):
    server.files["/vgg16.pth"] = data = b"weights" * 100
    digest = hashlib.sha256(data).hexdigest()
    command = ["priors", "weights", "vgg16", f"{server.url}/vgg16.pth"]
    assert main(command) == 2
    assert "wanted 397923af8e79" in capsys.readouterr().err
    assert main([*command, "--sha256", digest]) == 0
    assert f"vgg16: sha256 {digest}" in capsys.readouterr().out
