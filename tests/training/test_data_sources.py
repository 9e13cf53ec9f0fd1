"""Sources: every way to hand images over, what is held out, and what is refused."""

import zipfile
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError, TrainingError
from napari_mganprior.training import pixels, sources
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.pixels import PixelStore
from napari_mganprior.training.sources import ArrayInput, open_sources, opening_steps


def noise(*shape: int, seed: int = 0, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve images in a folder with another in it."""
    (tmp_path / "plate" / "b").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(noise(24, 30 + i, seed=i)).save(tmp_path / "plate" / f"{i}.png")
        tifffile.imwrite(tmp_path / "plate" / "b" / f"{i}.tif", noise(40, 24, seed=9 + i))
    return tmp_path / "plate"


def keys(source: CropSource) -> list[str]:
    return [source._store.picture(region.number).key for region in source._regions]


def test_a_folder_is_read_with_all_folders_in_it(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.png").write_bytes(b"")
    found = open_sources([folder], 16)
    assert found.train.n_images == 11
    assert found.held_out.n_images == 1
    assert found.how == "1 of 12 files"
    assert not found.skipped
    assert set(keys(found.train) + keys(found.held_out)) == {
        *(f"plate/{i}.png" for i in range(6)),
        *(f"plate/b/{i}.tif" for i in range(6)),
    }


def test_the_split_depends_on_names_and_seed_alone(folder, tmp_path):
    """Law: the same names give the same split, wherever the folder lies and whatever is in it."""
    first = keys(open_sources([folder], 16, hold_out=0.3).held_out)
    folder.rename(tmp_path / "away")
    (tmp_path / "away").rename(tmp_path / "plate")
    assert keys(open_sources([tmp_path / "plate"], 16, hold_out=0.3).held_out) == first
    assert len(first) == 4
    others = [keys(open_sources([folder], 16, hold_out=0.3, seed=s).held_out) for s in range(1, 6)]
    assert any(other != first for other in others)
    whole = open_sources([folder], 16, hold_out=0)
    assert whole.held_out is None
    assert whole.how == ""
    assert whole.train.n_images == 12


@pytest.mark.parametrize("cache", [0, 900, 5_000, 2**30])
def test_crops_do_not_depend_on_what_is_kept_in_memory(folder, cache):
    """Law: the crops are a function of the images and the random numbers alone."""
    wanted = open_sources([folder], 16).train.batch(60, seeded(5))
    assert torch.equal(
        open_sources([folder], 16, cache_bytes=cache).train.batch(60, seeded(5)), wanted
    )


def test_files_and_arrays_give_the_same_crops(folder):
    """Law: how images come in does not matter, only what they are."""
    found = open_sources([folder], 16, hold_out=0)
    arrays = {}
    for place, ending in ((folder, "png"), (folder / "b", "tif")):
        for path in sorted(place.glob(f"*.{ending}")):
            image = tifffile.imread(path) if ending == "tif" else np.asarray(Image.open(path))
            arrays[path.name] = image
    assert torch.equal(
        CropSource(arrays, 16).batch(40, seeded(1)), found.train.batch(40, seeded(1))
    )


def test_memory_is_bounded_and_the_oldest_goes_first():
    store = PixelStore(cache_bytes=3 * 32 * 32)
    names = [ArrayInput(f"{i}", noise(32, 32, seed=i)) for i in range(6)]
    for item in names:
        store.add(sources._of_array(item, None)[0])
    assert [key[0] for key in store._tiles] == [3, 4, 5]
    assert store._free == 0
    before = store.n_decoded
    store.window(5, 0, 0, 8, 8)
    store.window(3, 0, 0, 8, 8)
    assert store.n_decoded == before
    store.window(0, 0, 0, 8, 8)
    assert [key[0] for key in store._tiles] == [5, 3, 0]
    assert store.n_decoded == before + 1


def test_a_large_image_is_read_in_tiles_as_if_whole(monkeypatch):
    """Law: a window across tiles equals the window of the whole image."""
    image = noise(150, 170, dtype=np.float32)
    whole, tiled = PixelStore(), PixelStore(cache_bytes=3 * 64 * 64)
    whole.add(sources._of_array(ArrayInput("a", image), None)[0])
    monkeypatch.setattr(pixels, "_WHOLE", 100)
    monkeypatch.setattr(pixels, "_TILE", 64)
    monkeypatch.setattr(pixels, "_PROBE", 1000)  # all of it, so that the percentiles agree
    monkeypatch.setattr(pixels, "_PROBES", 1)
    tiled.add(sources._of_array(ArrayInput("a", image), None)[0])
    for top, left, height, width in ((0, 0, 150, 170), (60, 60, 10, 10), (3, 100, 90, 70)):
        assert np.array_equal(
            whole.window(0, top, left, height, width), tiled.window(0, top, left, height, width)
        )
    assert tiled.n_decoded > 1


def test_a_large_image_is_never_read_whole(monkeypatch):
    """Law: of a dask array larger than memory only parts are computed."""
    computed = []

    def block(block_info=None) -> np.ndarray:
        (rows, columns) = block_info[None]["array-location"]
        computed.append((rows[0], columns[0]))
        return noise(256, 256, seed=rows[0] + columns[0])

    huge = dask.array.map_blocks(block, chunks=((256,) * 400, (256,) * 400), dtype=np.uint8)
    assert huge.nbytes > 10**10
    found = open_sources([ArrayInput("huge", huge)], 64)
    assert found.how == "a band at one end of 1 images"
    computed.clear()
    assert found.train.batch(3, seeded(0)).shape == (3, 1, 64, 64)
    assert len(computed) <= 3 * 4 * 16


@pytest.mark.parametrize(
    ("given", "n_images", "channels"),
    [
        (ArrayInput("a", noise(12, 20, 24)), 12, 1),
        (ArrayInput("a", noise(2, 6, 20, 24)), 12, 1),
        (ArrayInput("a", noise(12, 20, 24, 3)), 12, 3),
        (ArrayInput("a", noise(12, 20, 24, 3), rgb=True), 12, 3),
        (ArrayInput("a", noise(9, 24, 24, 4), rgb=False), 9 * 24, 1),  # no colours: narrow planes
        (ArrayInput("a", noise(12, 20, 24, 1)), 12, 1),
        (ArrayInput("a", dask.array.from_array(noise(12, 20, 24), (1, 8, 8))), 12, 1),
        (ArrayInput("a", [noise(12, 40, 48), noise(12, 20, 24)]), 12, 1),
        (ArrayInput("a", noise(12, 3, 20, 24), axes="TCYX"), 12, 2),
        (ArrayInput("a", noise(20, 24, 2, 12), axes="YXCT"), 12, 2),
    ],
)
def test_arrays_and_layers(given, n_images, channels):
    choice = (0, 1) if channels == 2 else None
    if given.rgb is False:
        with pytest.raises(TrainingError, match="only 24x4 px"):
            open_sources([given], 16)
        return
    found = open_sources([given], 16, channels=choice)
    assert found.train.n_images + found.held_out.n_images == n_images
    assert found.train.image_channels == channels
    assert found.train.batch(2, seeded(0)).shape == (2, channels, 16, 16)


def test_the_planes_of_a_stack_are_held_out_side_by_side():
    """Law: a run of neighbours is kept aside, since neighbours look alike."""
    found = open_sources([ArrayInput("stack", noise(40, 20, 24))], 16)
    numbers = [int(key[6:-1]) for key in keys(found.held_out)]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    assert found.how == f"4 of 40 planes: stack[{numbers[0]}] to stack[{numbers[3]}]"
    assert set(numbers).isdisjoint(int(key[6:-1]) for key in keys(found.train))


@pytest.mark.parametrize("shape", [(200, 64), (64, 200)])
@pytest.mark.parametrize("seed", range(4))
def test_a_band_of_a_large_image_is_held_out_with_a_margin(shape, seed):
    """Law: no pixel is both learned from and measured with, and half a crop lies between."""
    image = np.zeros(shape, np.uint8)
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    image[:] = ramp[:, None] if shape[0] == 200 else ramp
    found = open_sources([ArrayInput("scan", image)], 16, seed=seed)
    (kept,), (aside,) = (list(s.images()) for s in (found.train, found.held_out))
    assert max(aside.shape[1:]) in (16, 20, 64)
    gap = max(int(kept.min()) - int(aside.max()), int(aside.min()) - int(kept.max()))
    assert gap >= 8
    assert found.how == "a band at one end of 1 images"


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("side", [16, 31, 32, 56, 64, 100])
def test_whatever_is_enough_to_train_on_is_enough_to_spare_some(n, side):
    """Law: where images are accepted, some crops are held out."""
    try:
        found = open_sources([ArrayInput(f"{i}", noise(side, 2 * side)) for i in range(n)], 16)
    except TrainingError:
        assert n < 8
        return
    assert found.held_out.batch(1, seeded(0)).shape == (1, 1, 16, 16)
    assert found.train.batch(1, seeded(0)).shape == (1, 1, 16, 16)


def test_images_of_their_own_may_be_held_out(folder):
    other = ArrayInput("other", noise(3, 24, 24, seed=50))
    found = open_sources([folder], 16, held_out=[other])
    assert found.train.n_images == 12
    assert keys(found.held_out) == ["other[0]", "other[1]", "other[2]"]
    assert found.how == "3 images of their own"
    with pytest.raises(TrainingError, match=r"12 grey images.*and 1 RGB images"):
        open_sources([folder], 16, held_out=[ArrayInput("rgb", noise(24, 24, 3))])


def test_what_cannot_be_used_is_skipped_and_listed(folder):
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:40])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "text.jpg").write_text("hello")
    (folder / "small.npy").write_bytes(b"")
    np.save(folder / "small.npy", noise(8, 40))
    np.save(folder / "nan.npy", np.full((20, 20), np.nan))
    found = open_sources([folder], 16)
    assert found.skipped.keys() == {
        f"plate/{name}" for name in ("broken.png", "empty.tif", "text.jpg", "small.npy", "nan.npy")
    }
    assert found.skipped["plate/small.npy"] == "only 8x40 px"
    assert found.skipped["plate/nan.npy"] == "NaN or infinity in it"
    assert found.skipped["plate/text.jpg"] == "neither TIFF, PNG, JPEG nor .npy"
    assert found.train.n_images == 11
    assert found.train.skipped == found.skipped


def test_files_that_go_away_are_passed_over_until_all_are_gone(folder):
    found = open_sources([folder], 16, cache_bytes=0)
    for path in sorted(folder.rglob("*.png")):
        path.unlink()
    assert found.train.batch(20, seeded(0)).isfinite().all()
    for path in sorted(folder.rglob("*.tif")):
        path.unlink()
    with pytest.raises(TrainingError, match=r"200 images in a row that can no longer be read"):
        found.train.batch(1, seeded(0))


def test_an_archive_and_a_folder_give_the_same_crops(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "plate.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder.parent).as_posix())
        archive.writestr("plate/readme.txt", "no image")
    found = open_sources([tmp_path / "plate.zip"], 16, hold_out=0)
    assert found.train.n_images == 12
    assert not found.skipped
    images = {
        key.partition("/")[2]: image.tobytes()
        for key, image in zip(keys(found.train), found.train.images(), strict=True)
    }
    same = open_sources([folder], 16, hold_out=0).train
    assert images == {
        key: image.tobytes() for key, image in zip(keys(same), same.images(), strict=True)
    }


def test_channels_are_chosen(tmp_path):
    rgb = noise(10, 20, 24, 3)
    both = [ArrayInput("rgb", rgb), ArrayInput("grey", noise(10, 20, 24))]
    with pytest.raises(TrainingError, match=r"10 grey images.*turn all into grey"):
        open_sources(both, 16)
    assert open_sources(both, 16, channels="grey").train.image_channels == 1
    red = open_sources(both[:1], 16, channels=(0,), hold_out=0).train
    wanted = CropSource({str(i): image[..., 0] for i, image in enumerate(rgb)}, 16)
    assert torch.equal(red.batch(5, seeded(0)), wanted.batch(5, seeded(0)))
    many = ArrayInput("many", noise(20, 24, 9, 8), axes="YXTC")
    with pytest.raises(TrainingError, match="Got 8 channels in many"):
        open_sources([many], 16)
    assert open_sources([many], 16, channels=(5, 6)).train.image_channels == 2
    assert open_sources([many], 16, channels="each", hold_out=0).train.n_images == 72


@pytest.mark.parametrize("channels", ["red", (), (0, 0), (-1,), (0, 1, 2, 3, 4), [0], 1])
def test_channels_that_cannot_be_are_refused(channels):
    with pytest.raises(SettingsError, match="wanted 'grey', 'each', or 1 to 4 different channels"):
        open_sources([], 16, channels=channels)


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingsError, match=r"hold_out 0\.7"):
        open_sources([], 16, hold_out=0.7)


def test_bad_inputs_are_named(tmp_path):
    with pytest.raises(TrainingError, match=r"gone\.tif, which does not exist"):
        open_sources([tmp_path / "gone.tif"], 16)
    with pytest.raises(TrainingError, match="with no files; wanted images"):
        open_sources([tmp_path], 16)
    (tmp_path / "a.czi").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"only files ending in \.czi; wanted images"):
        open_sources([tmp_path], 16)
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(TrainingError, match=r"Could not read .*bad\.zip.*wanted a zip or \.npz"):
        open_sources([tmp_path / "bad.zip"], 16)
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(TrainingError, match=r"none\.zip, without images"):
        open_sources([tmp_path / "none.zip"], 16)
    (tmp_path / "broken.tif").write_bytes(b"II*\0 broken")
    with pytest.raises(TrainingError, match=r"Got 0 usable .*broken\.tif \(.*wanted at least 8"):
        open_sources([tmp_path / "broken.tif"], 16)
    with pytest.raises(TrainingError, match=r"Got 0 usable .* odd \(no array, but a str\)"):
        open_sources([ArrayInput("odd", "text")], 16)


def test_too_few_small_blank_and_nan(tmp_path):
    with pytest.raises(TrainingError, match="Got 7 usable images"):
        open_sources([ArrayInput("a", noise(7, 20, 20))], 16)
    with pytest.raises(TrainingError, match=r"Got 0 usable .*only 20x20 px"):
        open_sources([ArrayInput("a", noise(9, 20, 20))], 32)
    with pytest.raises(TrainingError, match="9 images that are all blank"):
        open_sources([ArrayInput("a", np.full((9, 20, 20), 7))], 16)
    with pytest.raises(TrainingError, match=r"Got 0 usable .*NaN or infinity"):
        open_sources([ArrayInput("a", np.full((9, 20, 20), np.nan))], 16)
    with pytest.raises(TrainingError, match="Got 0 usable images"):
        open_sources([], 16)
    # a few large ones are as good as many small ones
    assert open_sources([ArrayInput("a", noise(64, 128))], 16).train.n_images == 1


def test_opening_can_be_followed_and_stopped(folder):
    steps = list(opening_steps([folder, ArrayInput("a", noise(24, 24))], 16))
    assert [step.index for step in steps] == sorted(step.index for step in steps)
    assert {step.n_steps for step in steps} == {13}
    assert steps[-1].sources.train.n_images + steps[-1].sources.held_out.n_images == 13
    assert all(step.sources is None for step in steps[:-1])
    some = opening_steps([folder], 16)
    next(some)
    some.close()
