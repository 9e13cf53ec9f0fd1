"""`napari-mganprior demo`."""

import numpy as np
import pytest
from PIL import Image

from napari_mganprior.cli import demo, main
from napari_mganprior.samples import SAMPLES, Sample, load_sample


@pytest.fixture
def small_samples(monkeypatch):
    """Cut the samples down to 64x64, so that a tiny prior is done in a second."""

    def cut(name: str) -> Sample:
        whole = load_sample(name)
        part = np.s_[70:134, 70:134]
        return Sample(name, whole.truth[part], whole.damaged[part], whole.mask[part])

    monkeypatch.setattr(demo, "load_sample", cut)


def run(folder, *more: str) -> int:
    return main(["demo", "-o", str(folder), "--prior", "tiny", "--quality", "fast", *more])


def test_the_demo_measures_and_draws(tmp_path, capsys, small_samples):
    """Both samples, both methods, each with PSNR, SSIM and seconds; the hash; the pictures."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "comparison.png").write_bytes(b"old")
    assert run(tmp_path / "demo", "--overwrite") == 0
    report = capsys.readouterr().out
    rows = [line.split() for line in report.splitlines() if line.startswith("nuclei_")]
    assert [row[:2] for row in rows] == [
        [name, method] for name in SAMPLES for method in ("napari-mganprior", "biharmonic")
    ]
    for _, _, psnr, ssim, seconds in rows:
        assert 5 < float(psnr) < 60
        assert -1 <= float(ssim) <= 1
        assert float(seconds) >= 0
    assert "Prior tiny, sha256 " in report
    with Image.open(tmp_path / "demo" / "comparison.png") as picture:
        shades = np.array(picture)
    assert shades.shape[1] > 4 * 380
    assert shades.std() > 20
    names = sorted(path.name for path in (tmp_path / "demo").iterdir())
    assert names == ["comparison.png", *(f"{name}_restored.png" for name in sorted(SAMPLES))]


def test_the_demo_overwrites_only_when_asked(tmp_path, capsys):
    (tmp_path / "comparison.png").write_bytes(b"mine")
    assert run(tmp_path) == 2
    assert "comparison.png already; wanted a new one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.png"]
    assert (tmp_path / "comparison.png").read_bytes() == b"mine"


def test_the_magnified_part_shows_damage():
    """Law: the cut lies in the image, and damage in it hides more than the average damage."""
    for name in SAMPLES:
        sample = load_sample(name)
        top, left = demo._most_detailed(sample)
        cut = np.s_[top : top + demo._DETAIL, left : left + demo._DETAIL]
        assert sample.mask[cut].shape == (demo._DETAIL, demo._DETAIL)
        assert sample.mask[cut].mean() > sample.mask.mean()
