"""`napari-mganprior run`: recipes, one image or many."""

import csv
import json

import numpy as np
import pytest

from napari_mganprior.cli import main
from napari_mganprior.files import read_image, read_mask, read_stack, write_image
from napari_mganprior.runs.recipe import as_json, read_recipe


@pytest.fixture
def made(inpaint, job):
    """Return the folder with image.png, mask.png, out.png (restored) and its recipe.json."""
    assert (
        inpaint("--quiet", "--device", "cpu", "--seed", "2", "--grow", "2", "--feather", "1") == 0
    )
    recipe = read_recipe(job / "out.png")
    (job / "recipe.json").write_text(as_json(recipe))
    return job


def run(folder, *arguments):
    return main(["run", *(str(folder / a) if "." in a else a for a in arguments), "--quiet"])


@pytest.mark.parametrize("recipe", ["recipe.json", "out.png"])
def test_a_recipe_gives_the_same_file_again(made, capsys, recipe):
    """Law: the same image and recipe give identical pixels, and that is said."""
    assert run(made, recipe, "image.png", "-o", "again.png") == 0
    assert "identical to the recorded result" in capsys.readouterr().out
    first, second = read_image(made / "out.png"), read_image(made / "again.png")
    np.testing.assert_array_equal(first.array, second.array)


def test_a_result_that_differs_is_called_different(made, capsys):
    recipe = json.loads((made / "recipe.json").read_text())
    recipe["result"]["sha256"] = "0" * 64
    (made / "recipe.json").write_text(json.dumps(recipe))
    assert run(made, "recipe.json", "image.png", "-o", "again.png") == 0
    assert "NOT identical to the recorded result" in capsys.readouterr().out


def test_many_images_make_a_table(made, capsys):
    """Law: what cannot be restored is named in the table and does not hold up the others."""
    image = read_image(made / "image.png").array
    folder = made / "many"
    folder.mkdir()
    write_image(folder / "a.png", image)
    write_image(folder / "b.tif", image[::-1].astype(np.float32))
    write_image(folder / "c.png", image[:-1])
    write_image(folder / "d.png", image * 0)
    assert (
        main(["run", str(made / "recipe.json"), str(folder), "-o", str(made / "o"), "--quiet"]) == 2
    )
    rows = list(csv.DictReader((made / "o" / "summary.csv").read_text().splitlines()))
    assert [(r["image"], r["outcome"]) for r in rows] == [
        ("a.png", "restored"), ("b.tif", "restored"), ("c.png", "refused"), ("d.png", "refused"),
    ]  # fmt: skip
    assert "for a recipe whose damage is" in rows[2]["message"]
    assert "constant image" in rows[3]["message"]
    assert float(rows[0]["loss"]) > 0
    restored = read_image(made / "o" / "b_restored.tif").array
    assert restored.dtype == np.float32
    report = capsys.readouterr()
    assert "2 of 4 images restored" in report.out
    assert "2 of 4 images that could not be restored" in report.err
    assert sorted(p.name for p in (made / "o").iterdir()) == [
        "a_restored.png", "b_restored.tif", "summary.csv",
    ]  # fmt: skip


def test_every_image_may_have_a_mask_of_its_own(made):
    image, mask = read_image(made / "image.png").array, read_mask(made / "mask.png")
    (made / "masks").mkdir()
    for name, moved in (("a.png", 3), ("b.png", 9)):
        write_image(made / name, image)
        write_image(made / "masks" / f"{name[0]}_mask.tif", np.uint8(np.roll(mask, moved, axis=1)))
    base = [str(made / n) for n in ("recipe.json", "a.png", "b.png")]
    assert (
        main(["run", *base, "--mask", str(made / "masks"), "-o", str(made / "o"), "--quiet"]) == 0
    )
    for name, moved in (("a", 3), ("b", 9)):
        recipe = read_recipe(made / "o" / f"{name}_restored.png")
        assert recipe["mask"]["damaged_pixels"] == mask.sum()
        changed = read_image(made / "o" / f"{name}_restored.png").array != image
        assert changed[:, 12 + moved - 2 : 20 + moved + 2].any()
        assert not changed[:, : 12 + moved - 2].any()
    write_image(made / "z.png", image)
    assert main(["run", base[0], str(made / "z.png"), "--mask", str(made / "masks"), "-o",
                 str(made / "z_out.png")]) == 2  # fmt: skip


def test_the_slice_of_a_stack_is_found_again(made):
    """Law: a recipe made from a slice in napari restores that slice of the stack's file."""
    image = read_image(made / "image.png").array
    stack = np.stack([image // 2, image, image // 3])
    write_image(made / "stack.tif", stack, planes=True)
    recipe = json.loads((made / "recipe.json").read_text())
    recipe["layers"] = {"slice": [1, None, None]}
    (made / "recipe.json").write_text(json.dumps(recipe))
    assert run(made, "recipe.json", "stack.tif", "-o", "again.tif") == 0
    wanted = read_image(made / "out.png").array
    np.testing.assert_array_equal(read_image(made / "again.tif").array, wanted)
    recipe["layers"] = {"slice": [7, None, None]}
    (made / "recipe.json").write_text(json.dumps(recipe))
    assert run(made, "recipe.json", "stack.tif", "-o", "third.tif") == 2


@pytest.mark.parametrize("colours", [False, True])
def test_a_series_recipe_restores_a_stack_or_the_colours_of_an_image(made, colours, own_priors):
    from napari_mganprior import load_prior
    from napari_mganprior.inversion.config import preset
    from napari_mganprior.restore import Series

    image, mask = read_image(made / "image.png").array, read_mask(made / "mask.png")
    planes = np.stack([image // 2, image, image[::-1]])
    task = Series(
        planes, mask, load_prior(own_priors / "tiny16.safetensors"), config=preset("fast", (1, 3)),
        device="cpu", linked=not colours,
    )  # fmt: skip
    for _ in task:
        pass
    result = task.result()
    (made / "series.json").write_text(as_json(result.recipe))
    given = np.moveaxis(planes, 0, -1) if colours else planes
    write_image(made / "planes.tif", given, planes=not colours)
    assert run(made, "series.json", "planes.tif", "-o", "again.tif") == 0
    wanted = np.moveaxis(result.image, 0, -1) if colours else result.image
    np.testing.assert_array_equal(read_stack(made / "again.tif").array, wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recipe.json", "image.png", "-o", "out.png"), "exists already"),
        (("recipe.json", "no.png", "-o", "new.png"), "Could not read"),
        (("recipe.json", "image.png", "-o", "new.png", "--prior", "cats"), "wanted one of"),
        (("recipe.json", "image.png", "-o", "new.png", "--device", "tpu"), "Got device 'tpu'"),
        (("mask.png", "image.png", "-o", "new.png"), "an image without a recipe"),
        (("recipe.json", "image.png", "image.png", "-o", "new"), "several images for the output"),
        (("recipe.json", "image.png", "-o", "new.jpg"), "wanted a name that ends in .png"),
        (
            ("recipe.json", "image.png", "-o", "image.png", "--overwrite"),
            "which is the input itself",
        ),
        (("recipe.json", "image.png", "mask.png", "-o", "out.png"), "as output of several images"),
    ],
)
def test_what_is_refused_is_said_in_one_line(made, capsys, arguments, message):
    before = sorted(path.name for path in made.iterdir())
    arguments = [a if a in ("cats", "tpu") or a[0] == "-" else str(made / a) for a in arguments]
    assert main(["run", *arguments, "--quiet"]) == 2
    report = capsys.readouterr()
    assert message in report.err
    assert report.err.count("\n") == 1
    assert sorted(path.name for path in made.iterdir()) == before


def test_an_empty_folder_is_refused(made, capsys):
    (made / "none").mkdir()
    assert main(["run", str(made / "recipe.json"), str(made / "none"), "-o", str(made / "o")]) == 2
    assert "Got no image" in capsys.readouterr().err


def test_inverted_masks_and_regions_reach_the_engine(inpaint, job):
    mask = read_mask(job / "mask.png")
    write_image(job / "good.png", np.uint8(~mask))
    assert inpaint("--quiet", "--invert", "--region", "0", "0", "48", "16", mask="good.png") == 0
    before, after = read_image(job / "image.png").array, read_image(job / "out.png").array
    changed = before != after
    assert changed[20:28, 12:16].any()
    assert not changed[:, 16:].any()
