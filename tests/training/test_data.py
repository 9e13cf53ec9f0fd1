"""Crops: what is drawn, and what is refused."""

import io
import zipfile

import numpy as np
import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import TrainingError
from napari_mganprior.training.data import CropSource, load_images


def pictures(n: int = 10, side: int = 24, **more) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = {f"image{i}": rng.integers(0, 200, (side, side + i), np.uint8) for i in range(n)}
    return {**images, **more}


def test_crops_are_repeatable_and_in_range():
    source = CropSource(pictures(), 16)
    first, second = (source.batch(20, seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (20, 1, 16, 16)
    assert first.min() == -1
    assert first.max() == 1
    assert not torch.equal(first, source.batch(20, seeded(4)))


def test_golden_crops():
    """The drawing arithmetic never changes: a training run resumed later sees the same crops."""
    rows, columns = np.mgrid[:24, :30]
    images = {str(i): (rows * (7 + i) + columns**2 * 3) % 200 for i in range(8)}
    numbers = (CropSource(images, 16).batch(4, seeded(0)) + 1) * 127.5
    numbers = numbers.round().to(torch.int64)
    assert numbers.sum(dim=(1, 2, 3)).tolist() == [32019, 31747, 32776, 31717]
    assert numbers[0, 0, 0, :4].tolist() == [85, 69, 53, 38]


def test_a_crop_is_a_turned_or_mirrored_piece_of_an_image():
    """Law: every crop is found in one of the images, in one of eight positions."""
    images = pictures(8, 20)
    source = CropSource(images, 16)
    pieces = set()
    for image in source.images():
        for top in range(image.shape[1] - 15):
            for left in range(image.shape[2] - 15):
                piece = image[0, top : top + 16, left : left + 16]
                for turned in (np.rot90(piece, k) for k in range(4)):
                    pieces |= {turned.tobytes(), np.fliplr(turned).tobytes()}
    crops = ((source.batch(64, seeded(1)) + 1) * 127.5).round().to(torch.uint8)
    assert all(crop[0].numpy().tobytes() in pieces for crop in crops)
    assert len({crop.numpy().tobytes() for crop in crops}) > 60


def test_every_image_is_equally_likely_whatever_its_size():
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 156, (9, 16, 16), np.uint8)
    large = rng.integers(100, 156, (200, 200, 1), np.uint8)
    images = {str(i): np.dstack([piece] * 3) for i, piece in enumerate(noise)}
    images["large"] = np.dstack([large, large, 255 - large])  # told by its colour
    crops = CropSource(images, 16).batch(400, seeded(0))
    coloured = (crops[:, 0] - crops[:, 2]).abs().amax(dim=(1, 2)) > 0.01
    assert 20 < int(coloured.sum()) < 65  # 40 expected


def test_blank_crops_are_rare_but_not_absent():
    """Empty background belongs to the domain, but most crops show something."""
    image = np.zeros((400, 400), np.uint8)
    image[:, :40] = np.random.default_rng(0).integers(0, 255, (400, 40))
    crops = CropSource({str(i): image for i in range(8)}, 16).batch(300, seeded(0))
    blank = int((crops.std(dim=(1, 2, 3)) < 0.05).sum())
    assert 20 < blank < 220  # 260 if they were drawn blindly


@pytest.mark.parametrize("shape", [(24, 24), (24, 24, 1), (24, 24, 2), (24, 24, 3), (24, 24, 4)])
def test_channels(shape):
    images = {str(i): np.arange(np.prod(shape)).reshape(shape) % (50 + i) for i in range(8)}
    source = CropSource(images, 16)
    assert source.image_channels == (*shape, 1)[2]
    assert source.batch(2, seeded(0)).shape == (2, source.image_channels, 16, 16)


def test_small_and_damaged_images_are_left_out_and_listed():
    images = pictures(
        9,
        small=np.zeros((15, 40)),
        nan=np.full((20, 20), np.nan),
        inf=np.pad(np.ones((20, 20)), 1, constant_values=np.inf),
    )
    source = CropSource(images, 16)
    assert source.n_images == 9
    assert source.skipped == {
        "small": "only 15x40 px",
        "nan": "NaN or infinity in it",
        "inf": "NaN or infinity in it",
    }
    assert source.batch(100, seeded(0)).isfinite().all()


def test_too_few_images_says_which_were_left_out():
    with pytest.raises(TrainingError, match=r"Got 7 usable .* of 8, without bad \(NaN"):
        CropSource(pictures(7, bad=np.full((20, 20), np.nan)), 16)
    with pytest.raises(TrainingError, match=r"Got 0 usable .* and 5 more; wanted at least 8"):
        CropSource(pictures(10), 64)
    with pytest.raises(TrainingError, match=r"out of 0; wanted at least 8"):
        CropSource({}, 16)


def test_grey_and_rgb_are_not_mixed():
    with pytest.raises(TrainingError, match=r"10 grey images, such as 'image0', and 1 RGB"):
        CropSource(pictures(rgb=np.zeros((20, 20, 3))), 16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((20, 20, 5), np.uint8), r"shape \(20, 20, 5\)"),
        (np.zeros((5, 20, 20), np.uint8), r"Take single slices"),
        (np.zeros((2, 20, 20, 3), np.uint8), r"shape \(2, 20, 20, 3\)"),
        (np.zeros(20, np.uint8), r"shape \(20,\)"),
        (np.array("text"), r"type <U4 under 'wrong'"),
        (np.zeros((20, 20), complex), r"type complex128"),
        (np.zeros((20, 20), bool), r"type bool"),
        (np.full((20, 20), None), r"type object"),
    ],
)
def test_what_is_no_picture_is_refused(wrong, message):
    with pytest.raises(TrainingError, match=message):
        CropSource(pictures(wrong=wrong), 16)


def test_all_blank_is_refused():
    blank = {str(i): np.full((20, 20), 7 * i) for i in range(10)}
    with pytest.raises(TrainingError, match="10 images that are all blank"):
        CropSource(blank, 16)
    assert CropSource({**blank, **pictures(1)}, 16).n_images == 11


def test_batches_add_up():
    sizes = [len(b) for b in CropSource(pictures(), 16).batches(10, 4, seeded(0))]
    assert sizes == [4, 4, 2]


def test_load_images_gives_back_what_was_saved(tmp_path):
    images = pictures(3)
    np.savez_compressed(tmp_path / "images.npz", **images)
    loaded = load_images(tmp_path / "images.npz")
    assert loaded.keys() == images.keys()
    assert all(np.array_equal(loaded[key], images[key]) for key in images)


def _npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((20, 20)))
    return buffer.getvalue()


def _zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, "no array")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Could not read"),
        (b"not an archive", "Could not read"),
        (b"PK\x03\x04 broken", "Could not read"),
        (_npz(image=np.zeros((20, 20)))[:-30], "Could not read"),
        (_npz(image=np.full((3, 3), {"a": 1}, dtype=object)), "no Python objects"),
        (_npy(), "one image array a key"),
        (_zip("notes.txt"), "no arrays: notes.txt"),
        (_zip("image.npy"), "no arrays: image|Could not read"),
    ],
    ids=["empty", "text", "zip", "truncated", "objects", "npy", "foreign", "fake"],
)
def test_bad_files_are_refused(tmp_path, data, message):
    path = tmp_path / "images.npz"
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=message):
        load_images(path)


def test_a_flipped_byte_never_raises_anything_else(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=np.arange(400).reshape(20, 20))
    path, good = tmp_path / "images.npz", buffer.getvalue()
    for at in range(0, len(good), 7):
        data = bytearray(good)
        data[at] ^= 0x5A
        path.write_bytes(data)
        try:
            load_images(path)
        except TrainingError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"gone\.npz"):
        load_images(tmp_path / "gone.npz")
