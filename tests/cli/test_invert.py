"""`napari-mganprior invert`."""

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, write_image
from napari_mganprior.restore import load_codes

ENGINE = ("--prior", "tiny16", "--quality", "fast", "--quiet")


def test_codes_are_kept_and_begun_at(job, capsys):
    image, out, codes = str(job / "image.png"), str(job / "out.png"), str(job / "codes.npz")
    write_image(job / "image.png", read_image(job / "image.png").array[:16, :24])
    assert main(["invert", image, "-o", out, "--codes", codes, *ENGINE]) == 0
    assert read_image(job / "out.png").array.shape == (16, 24)
    assert len(load_codes(codes)) > 1
    assert "drawn with tiny16" in capsys.readouterr().out
    assert main(["invert", image, "-o", str(job / "2.png"), "--start", codes, *ENGINE]) == 0
    capsys.readouterr()
    assert main(["run", str(job / "2.png"), image, "-o", str(job / "4.png"), "--quiet"]) == 0
    assert "; not compared with the recorded result" in capsys.readouterr().out
    assert main(["invert", image, "-o", str(job / "3.png"), "--codes", codes, *ENGINE]) == 2
    assert "which exists already; wanted a new file" in capsys.readouterr().err
    wrong = [*ENGINE, "--prior", "tiny"]
    assert main(["invert", image, "-o", str(job / "3.png"), "--start", codes, *wrong]) == 2
    assert "Got codes of the prior of sha256" in capsys.readouterr().err
