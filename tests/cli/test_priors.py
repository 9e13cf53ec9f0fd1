"""`napari-mganprior priors`."""

import hashlib

from napari_mganprior.cli import main


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
