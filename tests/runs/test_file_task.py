"""A file restored as a run."""

import numpy as np
import pytest

from napari_mganprior.errors import ImageError, MaskError, StorageError
from napari_mganprior.files import read_image, read_stack, write_image
from napari_mganprior.runs import RunRequest
from napari_mganprior.runs.file_task import FileRequest, open_any


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))


@pytest.fixture
def folder(tmp_path):
    rows, columns = np.mgrid[:40, :48]
    image = np.uint8(128 + 90 * np.sin(rows / 5) * np.cos(columns / 7))
    mask = np.zeros(image.shape, np.uint8)
    mask[9:15, 20:28] = 1
    write_image(tmp_path / "image.png", image)
    write_image(tmp_path / "mask.png", mask)
    write_image(tmp_path / "stack.tif", np.stack([image, image[::-1]]), planes=True)
    write_image(tmp_path / "rgb.tif", np.dstack([image, image[::-1], image[:, ::-1]]))
    return tmp_path


def ask(folder, name, output, **more):
    options = {"prior": "tiny", "quality": "fast", "device": "cpu"}
    return FileRequest(
        path=folder / name, output=folder / output,
        **{"masks": folder / "mask.png", "options": options, **more},
    )  # fmt: skip


def run(request):
    task = open_any(request)
    for _ in task:
        pass
    return task, task.result()


def test_a_file_becomes_a_restored_file(folder):
    """Law: the file holds what the same request of arrays gives."""
    task, result = run(ask(folder, "image.png", "out.png"))
    written = read_image(folder / "out.png").array
    assert np.array_equal(written, result.image)
    assert task.preview().shape == written.shape
    image, mask = read_image(folder / "image.png").array, read_image(folder / "mask.png").array
    request = RunRequest(image=image, mask=mask, prior="tiny", quality="fast", device="cpu")
    assert np.array_equal(run(request)[1].image, written)
    region = {**ask(folder, "", "").options, "region": (0, 0, 9, 9)}
    inverted = run(ask(folder, "image.png", "inv.png", invert=True, options=region))[1]
    assert not inverted.invented[mask > 0].any()
    assert inverted.invented.any()


@pytest.mark.parametrize(("name", "scope"), [("stack.tif", "slices"), ("rgb.tif", "channels")])
def test_planes_and_colours_come_back_in_their_place(folder, name, scope):
    run(ask(folder, name, "out.tif", scope=scope))
    before, after = read_stack(folder / name), read_stack(folder / "out.tif")
    assert after.array.shape == before.array.shape
    changed = before.array != after.array
    changed = changed.any(axis=-1) if before.rgb else changed.any(axis=0)
    assert changed[9:15, 20:28].any()
    changed[9:15, 20:28] = False
    assert not changed.any()


def test_what_cannot_be_used_is_refused_before_the_work(folder):
    with pytest.raises(ImageError, match="for a recipe of the slice"):
        open_any(ask(folder, "stack.tif", "out.tif"))
    with pytest.raises(StorageError, match="PNG cannot hold"):
        open_any(ask(folder, "stack.tif", "out.png", scope="slices"))
    with pytest.raises(MaskError, match="Got no mask for image"):
        open_any(ask(folder, "image.png", "out.png", masks=None))
    assert not (folder / "out.tif").exists()
