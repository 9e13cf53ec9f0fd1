"""The machinery of benchmarks/quality.py: going on where it stopped, fair strengths, figures."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    """Let the scripts import each other, as they do when one of them is run."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def load(name):
    return importlib.import_module(name)


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:32, :32]
    truth = (0.6 * np.sin(rows / 4) + 0.3 * np.cos(columns / 5)).astype(np.float32)
    return load("domains").Picture("waves", truth)


def test_every_picture_from_outside_is_one_that_scikit_image_names():
    names = [name for kind in load("domains").OUTSIDE.values() for name in kind]
    assert set(names) <= set(dir(skimage.data))


@pytest.mark.parametrize("task", ["invert", "hole", "missing", "gaussian", "poisson", "x4"])
def test_the_same_seed_gives_the_same_damage(picture, task):
    cases = load("cases")
    one, same, other = (cases.make_case(task, picture, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.measured, same.measured)
    assert one.shown().shape == picture.truth.shape
    if task in ("gaussian", "poisson"):
        assert not np.array_equal(one.measured, other.measured)
    if task == "missing":
        assert 0.7 < one.mask.mean() < 0.9
        assert not np.array_equal(one.mask, other.mask)
    if task == "hole":
        assert one.mask.sum() == (32 // 4) ** 2


def test_figures_of_the_truth_itself_are_perfect(picture):
    cases = load("cases")
    case = cases.make_case("hole", picture, 0)
    assert cases.figures(case, case.truth) == {"psnr": float("inf"), "ssim": pytest.approx(1)}
    worse = np.where(case.mask, case.truth + 0.2, case.truth)
    assert cases.figures(case, worse)["psnr"] == pytest.approx(20, abs=0.1)
    rgb = load("domains").Picture("colours", np.stack([picture.truth] * 3, axis=-1))
    rgb.truth[..., 0] *= 0.5
    case = cases.make_case("colorize", rgb, 0)
    told = cases.figures(case, case.shown())
    assert told["ciede2000"] > 1
    assert told["chroma_psnr"] < 40
    assert cases.figures(case, case.truth)["ciede2000"] == pytest.approx(0, abs=1e-6)


def test_the_strength_is_the_best_on_the_training_pictures(picture):
    rivals, rng = load("rivals"), np.random.default_rng(0)
    truth = picture.truth.astype(float)
    noisy = [(truth + rng.normal(0, 0.2, truth.shape), truth)]
    chosen = rivals.calibrated("total variation", noisy, 0.2, photons=False)

    def error(strength):
        made = rivals.denoised("total variation", noisy[0][0], 0.2, strength, photons=False)
        return np.mean((made - truth) ** 2)

    assert error(chosen) == min(error(s) for s in rivals.STRENGTHS)


def test_photon_counts_come_back_from_the_transform(picture):
    """Law: without noise to remove, the exact inverse gives the mean of the counts."""
    rivals = load("rivals")
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.full((64, 64), 5.0))
    made = rivals.denoised("total variation", counts.astype(float), 1.0, 1000.0, photons=True)
    assert made.mean() == pytest.approx(0, abs=0.05)  # 5 of 10 photons is the middle


def test_back_projection_gives_the_input_again(picture):
    rivals = load("rivals")
    from napari_mganprior.restore.super_resolution import reduced

    small = reduced(picture.truth, 4)
    made = rivals.back_projected(rivals.bicubic(small, 4), small, 4)
    assert np.allclose(reduced(made, 4), small)


def test_a_run_goes_on_where_it_stopped_and_tries_again_what_failed(tmp_path, capsys):
    """Law: a job that is done is not done again; one that failed, and a line cut off, are."""
    resumable = load("resumable")
    jobs = [{"key": f"job {n}"} for n in range(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"key": "job 0", "rows": [{"n": "kept"}]}) + '\n{"key": "job 1", "ro'
    )
    path.write_text(path.read_text() + "\n")
    # a function that another process can import
    left = resumable.run_jobs(jobs, dict.items, tmp_path, processes=1)
    assert left == 3  # no list of rows can be written from a dict's items
    assert "FAILED job 1" in capsys.readouterr().out
    left = resumable.run_jobs(jobs, sorted, tmp_path, processes=1)
    assert left == 0
    rows = resumable.read_rows(tmp_path)
    assert rows[0] == {"n": "kept"}
    assert len(rows) == 4
    assert resumable.run_jobs(jobs, sorted, tmp_path, processes=1) == 0
    assert "0 jobs to do, 4 done before" in capsys.readouterr().out


def test_aims_are_judged_on_the_pictures_both_were_measured_on():
    aims, ours = load("aims"), load("cases").OURS
    rows = [
        {"domain": "nuclei", "task": "gaussian", "method": method, "size": 64, "image": image,
         "number": number, "psnr": psnr}
        for method, image, number, psnr in [
            (ours, "a", 0, 30.0), (ours, "b", 1, 32.0), (ours, "c", 2, 90.0),
            ("non-local means", "a", 0, 29.0), ("non-local means", "b", 1, 33.0),
        ]
    ]  # fmt: skip
    (verdict,) = aims.judge(rows, ("nuclei",))
    assert (verdict.ours, verdict.theirs) == (31.0, 31.0)
    assert not verdict.reached
    table = aims.aims_table([verdict], {"gaussian/psnr": "a reason."})
    assert "| no (1) |" in table
    assert "(1) a reason." in table
    assert "1 of 2" in table


def test_distances_are_better_when_smaller():
    aims, ours = load("aims"), load("cases").OURS
    rows = [
        {"domain": "blood", "task": "x4", "method": method, "size": 64, "image": "a", "number": 0,
         "psnr": 1.0, "deep": deep}
        for method, deep in ((ours, 0.1), ("bicubic", 0.3))
    ]  # fmt: skip
    verdict = next(v for v in aims.judge(rows, ("blood",)) if v.aim.figure == "deep")
    assert verdict.reached
    assert verdict.gains[0] == pytest.approx(0.2)


def test_a_page_is_changed_between_its_markers_only(tmp_path):
    report, page = load("report"), tmp_path / "page.md"
    page.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n")
    report.between_markers(page, "a", "new")
    assert page.read_text() == "before\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\nafter\n"
    with pytest.raises(SystemExit, match="has no lines"):
        report.between_markers(page, "b", "new")


def test_the_plan_begins_with_something_of_everything():
    quality = load("quality")
    options = SimpleNamespace(
        quick=False, quality="balanced", data="d", vgg=None, work=Path("w"),
        hashes={"nuclei": "0" * 64, "histology": "1" * 64},
    )  # fmt: skip
    jobs = sorted(quality.plan(options, options.hashes), key=quality._turn)
    keys = [job["key"] for job in jobs]
    assert len(set(keys)) == len(keys)
    first = jobs[:30]
    assert {job["task"] for job in first} >= {"invert", "hole", "missing", "gaussian", "x4"}
    assert {job["domain"] for job in first} == {"nuclei", "histology"}
    assert {job["number"] for job in first} == {0}
    assert not any(job["task"] == "colorize" and job["domain"] == "nuclei" for job in jobs)
    options.quick = True
    assert len(list(quality.plan(options, options.hashes))) < 50


def test_deep_distances_of_a_picture_to_itself_are_nothing(picture, tiny_prior):
    deep = load("deep")
    distance = deep.DeepDistance(None, tiny_prior.discriminator)
    assert "discriminator" in distance.kind
    assert distance(picture.truth, picture.truth) == 0
    assert distance(picture.truth, -picture.truth) > 0


@pytest.fixture
def no_weights(monkeypatch):
    """Let none be named, and forget after the test what a script names."""
    for name in ("VGG16", "LPIPS_VGG"):
        monkeypatch.setenv(f"NAPARI_MGANPRIOR_{name}", "")


def kept_rows(folder, picture):
    """Return rows as they were measured, the pictures of which are kept, but for the last."""
    perceptual, quality = load("perceptual"), load("quality")
    case = load("cases").make_case("hole", picture, 0)
    rows = []
    for method, error, sha256 in (
        ("ours", 0.5, "old"), ("ours", 0.1, "new"), ("biharmonic", 0.0, ""), ("gone", 0.2, ""),
    ):  # fmt: skip
        row = {
            "domain": "nuclei", "prior": "nuclei", "prior_sha256": sha256, "size": 32,
            "task": "hole", "method": method, "image": "a", "number": 0, "psnr": 1.0, "ssim": 0.5,
            "deep": 0.2, "deep_kind": "none", "seconds": 1.0, "quality": "fast",
        }  # fmt: skip
        rows.append(row)
        quality._keep_picture(folder, row, method, case.truth + error, case)
    (folder / perceptual.picture_name(rows[-1], "gone")).unlink()
    return rows


def test_lpips_is_added_to_rows_measured_before(picture, tmp_path, no_weights):
    """Law: from the kept pictures alone; of an older prior's row the picture is gone."""
    rng, weights, width = torch.Generator().manual_seed(0), {}, 3
    for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28):
        weights[f"features.{number}.weight"] = torch.randn((2, width, 3, 3), generator=rng)
        weights[f"features.{number}.bias"], width = torch.zeros(2), 2
    linear = {f"lin{i}.model.1.weight": torch.ones(1, 2, 1, 1) for i in range(5)}
    torch.save(weights, tmp_path / "vgg16-397923af.pth")
    torch.save(linear, tmp_path / "lpips-v0.1-vgg.pth")
    rows = kept_rows(tmp_path / "kept", picture)
    told = load("perceptual").with_lpips(rows, tmp_path / "kept", tmp_path)
    assert ["lpips" in row for row in told] == [False, True, True, False]
    assert told[1]["lpips"] > told[2]["lpips"] == 0
    report = load("report")
    assert "| deep | LPIPS | seconds |" in report._table(told, by_task=False)
    assert "| biharmonic | 1 | 1.00 | 0.500 | 0.2000 | 0.000 |" in report._table(told)
    assert report._as_csv(told).splitlines()[0].endswith("quality,lpips")
    assert "LPIPS: v0.1" in report._header(told)


def test_without_its_weights_there_is_no_column(picture, tmp_path, capsys, no_weights):
    rows = kept_rows(tmp_path / "kept", picture)
    told = load("perceptual").with_lpips(rows, tmp_path / "kept", tmp_path)
    assert "no column LPIPS: Got the weights 'vgg16', which are not here" in capsys.readouterr().out
    report = load("report")
    assert told == rows
    assert "LPIPS" not in report._table(told) + report._header(told)
    assert report._as_csv(told).splitlines()[0].endswith("seconds,quality")
