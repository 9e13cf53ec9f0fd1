"""`napari-mganprior edit`."""

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, read_stack, write_image

ENGINE = ("--prior", "tiny16", "--quality", "fast", "--quiet")


@pytest.fixture
def small(job):
    array = read_image(job / "image.png").array
    write_image(job / "image.png", array[:16, :24])
    write_image(job / "other.png", array[16:32, 8:32])
    return job


def test_an_edit_is_written_and_repeated(small, capsys):
    """Law: invented is what changed; codes of a file are moved; the recipe gives the same file."""
    image, codes = str(small / "image.png"), str(small / "codes.npz")
    assert main(["invert", image, "-o", str(small / "0.png"), "--codes", codes, *ENGINE]) == 0
    out, strip = small / "edited.png", small / "strip.png"
    moves = ["--move", "1=3", "--move", "2=-2"]
    assert main(["edit", image, "-o", str(out), "--codes", codes, *moves, *ENGINE]) == 0
    before, after = read_image(small / "image.png").array, read_image(out).array
    changed = int((before != after).sum())
    assert changed > 50
    told = capsys.readouterr().out
    assert "moved along 1 by 3, 2 by -2 with tiny16" in told
    assert f"{changed} pixels changed, and all of these are invented" in told
    assert main(["run", str(out), image, "-o", str(small / "again.png"), "--quiet"]) == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    # without codes the image is inverted first, with the same seed to the same end
    more = ["--strip", str(strip), *moves, *ENGINE]
    assert main(["edit", image, "-o", str(small / "2.png"), *more]) == 0
    assert np.array_equal(read_image(small / "2.png").array, after)
    assert read_image(strip).array.shape == (8 * 16, 5 * 16)


def test_a_way_to_another_image_is_written_as_a_stack(small, capsys):
    image, other = str(small / "image.png"), str(small / "other.png")
    out = small / "way.tif"
    assert main(["edit", image, "--to", other, "--pictures", "3", "-o", str(out), *ENGINE]) == 0
    stack = read_stack(out).array
    assert stack.shape == (3, 16, 24)
    assert np.array_equal(stack[0], read_image(small / "image.png").array)
    assert np.array_equal(stack[2], read_image(small / "other.png").array)
    assert "all but the ends are invented" in capsys.readouterr().out


def test_a_direction_is_learnt_from_files_and_kept(small, capsys):
    image = str(small / "image.png")
    groups = {"bright": (150, 200), "dark": (20, 60)}
    rng = np.random.default_rng(0)
    files = []
    for name, ends in groups.items():
        files.append([])
        for number, level in enumerate(ends):
            path = small / f"{name}{number}.png"
            write_image(path, np.uint8(level + rng.integers(0, 40, (16, 16))))
            files[-1].append(str(path))
    boundary = small / "bright.npy"
    learn = ["--like", *files[0], "--unlike", *files[1], "--boundary", str(boundary)]
    first = str(small / "1.png")
    assert main(["edit", image, *learn, "--move", "learnt=2", "-o", first, *ENGINE]) == 0
    assert "Learnt a direction from 4 examples" in capsys.readouterr().out
    assert np.load(boundary).shape == (1, 16)
    second = str(small / "2.png")
    assert main(["edit", image, "--move", f"{boundary}=2", "-o", second, *ENGINE]) == 0
    assert np.array_equal(read_image(small / "1.png").array, read_image(small / "2.png").array)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "Got 0 moves; wanted either --move, once or more, or --to"),
        (["--move", "1=2", "--to", "other.png"], "Got 1 moves and an image to go to"),
        (["--move", "1"], "Got the move '1'; wanted DIRECTION=STRENGTH"),
        (["--move", "1=much"], "Got the move '1=much'; wanted DIRECTION=STRENGTH"),
        (["--move", "99=1"], "Got direction 99; wanted 1 to 16"),
        (["--move", "1=1000"], "Got the strength 1000.0; wanted -100 to 100"),
        (["--move", "none.npy=1"], "Could not read the boundary none.npy"),
        (["--move", "learnt=1"], "Got the move 'learnt' without examples"),
        (["--move", "1=1", "--like", "other.png"], "Got one group of examples; wanted two"),
        (["--move", "1=1", "--boundary", "b.npy"], "Got --boundary without examples"),
        (["--to", "other.png", "--strip", "s.png"], "Got --to with --codes or --strip"),
        (
            ["--move", "learnt=1", "--like", "other.png", "--unlike", "image.png", "other.png"],
            "Got 1 example in the group 'like these'; wanted at least 2",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(small, capsys, monkeypatch, options, told):
    monkeypatch.chdir(small)
    # a way needs a file that can hold a stack
    assert main(["edit", "image.png", "-o", "out.tif", *options, *ENGINE]) == 2
    assert told in capsys.readouterr().err
    assert not (small / "out.tif").exists()


def test_codes_of_another_prior_are_refused(small, capsys):
    image, codes = str(small / "image.png"), str(small / "codes.npz")
    assert main(["invert", image, "-o", str(small / "0.png"), "--codes", codes, *ENGINE]) == 0
    wrong = [*ENGINE, "--prior", "tiny"]
    out = str(small / "1.png")
    assert main(["edit", image, "-o", out, "--codes", codes, "--move", "1=1", *wrong]) == 2
    assert "Got codes of the prior of sha256" in capsys.readouterr().err


def test_codes_of_another_picture_are_refused(small, capsys):
    """Law: where they are edited; a search of another picture may begin at them."""
    image, other, codes = (str(small / name) for name in ("image.png", "other.png", "codes.npz"))
    assert main(["invert", image, "-o", str(small / "0.png"), "--codes", codes, *ENGINE]) == 0
    out = str(small / "1.png")
    assert main(["edit", other, "-o", out, "--codes", codes, "--move", "1=1", *ENGINE]) == 2
    told = capsys.readouterr().err
    assert "Got codes of another image, whose pixels have the sha256" in told
    assert "Choose the image that was inverted, or invert this image." in told
    assert not (small / "1.png").exists()
    assert main(["invert", other, "-o", out, "--start", codes, *ENGINE]) == 0
