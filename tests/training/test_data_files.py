"""Images in files: every format gives the pixels that were saved, and damage is listed."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mganprior.errors import TrainingError
from napari_mganprior.training import image_files
from napari_mganprior.training.image_files import (
    Opened,
    archive_members,
    file_pictures,
    member_pictures,
)
from napari_mganprior.training.pictures import UnusableImageError, whole

GREY = np.random.default_rng(0).integers(0, 255, (24, 30)).astype(np.uint8)
RGB = np.random.default_rng(1).integers(0, 255, (24, 30, 3)).astype(np.uint8)
STACK = np.random.default_rng(2).integers(0, 60_000, (5, 24, 30)).astype(np.uint16)
ZYX = {"axes": "ZYX"}
HYPER = np.random.default_rng(3).integers(0, 60_000, (3, 2, 24, 30)).astype(np.uint16)  # ZCYX


@pytest.fixture
def opened():
    """Files kept open, and closed at the end."""
    opened = Opened()
    yield opened
    opened.close()


def pixels(path: Path, opened: Opened, channels=None) -> list[np.ndarray]:
    found = file_pictures(path, path.name, channels, opened)
    for picture in found:
        assert picture.file == path.name
        assert picture.channels == (picture.read(whole(picture)).ndim == 3) * 2 + 1
    return [picture.read(whole(picture)) for picture in found]


@pytest.mark.parametrize(
    ("name", "write", "planes"),
    [
        ("a.png", lambda p: Image.fromarray(GREY).save(p), [GREY]),
        ("a.png", lambda p: Image.fromarray(RGB).save(p), [RGB]),
        ("a.png", lambda p: Image.fromarray(STACK[0]).save(p), [STACK[0]]),
        ("a.png", lambda p: Image.fromarray(GREY).convert("P").save(p), [np.dstack([GREY] * 3)]),
        ("a.png", lambda p: Image.fromarray(RGB).convert("RGBA").save(p), [RGB]),
        ("a.npy", lambda p: np.save(p, GREY), [GREY]),
        ("a.npy", lambda p: np.save(p, STACK), list(STACK)),
        ("a.npy", lambda p: np.save(p, RGB), [RGB]),
        ("a.tif", lambda p: tifffile.imwrite(p, GREY), [GREY]),
        ("a.tif", lambda p: tifffile.imwrite(p, RGB, photometric="rgb"), [RGB]),
        ("a.tif", lambda p: tifffile.imwrite(p, GREY, byteorder=">"), [GREY]),
        ("a.tif", lambda p: tifffile.imwrite(p, STACK, byteorder=">"), list(STACK)),
        ("a.tif", lambda p: tifffile.imwrite(p, STACK, imagej=True, metadata=ZYX), list(STACK)),
        ("a.tif", lambda p: tifffile.imwrite(p, STACK, compression="zlib"), list(STACK)),
        ("a.tif", lambda p: tifffile.imwrite(p, STACK, tile=(16, 16)), list(STACK)),
        (
            "a.tif",
            lambda p: tifffile.imwrite(p, STACK, ome=True, metadata=ZYX, compression=8),
            list(STACK),
        ),
        ("a.tif", lambda p: tifffile.imwrite(p, STACK.astype(np.float32)), list(STACK)),
        (
            "a.tif",
            lambda p: tifffile.imwrite(
                p, np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"
            ),
            [RGB],
        ),
        (
            "a.tif",
            lambda p: tifffile.imwrite(p, np.stack([RGB, RGB + 1]), photometric="rgb"),
            [RGB, RGB + 1],
        ),
    ],
)
def test_every_format_gives_back_the_pixels_that_were_saved(tmp_path, opened, name, write, planes):
    write(tmp_path / name)
    found = pixels(tmp_path / name, opened)
    assert len(found) == len(planes)
    for got, wanted in zip(found, planes, strict=True):
        assert np.array_equal(got, wanted)


def test_jpeg_grey_and_rgb(tmp_path, opened):
    rows, columns = np.mgrid[:24, :30]
    smooth = (rows * 4 + columns * 3).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(np.dstack([smooth] * 3)).save(tmp_path / "b.jpeg", quality=95)
    assert np.abs(pixels(tmp_path / "a.jpg", opened)[0].astype(int) - smooth).max() < 8
    assert pixels(tmp_path / "b.jpeg", opened)[0].shape == (24, 30, 3)


def test_the_ending_does_not_matter(tmp_path, opened):
    """Law: what a file is, its first bytes say; data sets come with PNGs called .jpg."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(pixels(tmp_path / "a.jpg", opened)[0], RGB)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_of_a_tiff_want_a_choice(tmp_path, opened, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, HYPER, ome=True, metadata={"axes": "ZCYX"}, compression=compression)
    with pytest.raises(TrainingError, match=r"Got 2 channels in a.tif.*Choose one \(channels=0\)"):
        file_pictures(path, "a.tif", None, opened)
    second = [p.read(whole(p)) for p in file_pictures(path, "a.tif", (1,), opened)]
    assert np.array_equal(second, HYPER[:, 1])
    both = [p.read(whole(p)) for p in file_pictures(path, "a.tif", (1, 0), opened)]
    assert np.array_equal(both, np.moveaxis(HYPER[:, ::-1], 1, -1))
    (mean, *_) = [p.read(whole(p)) for p in file_pictures(path, "a.tif", "grey", opened)]
    assert np.allclose(mean, HYPER[0].mean(axis=0), rtol=1e-6)
    each = [p.read(whole(p)) for p in file_pictures(path, "a.tif", "each", opened)]
    assert np.array_equal(each, HYPER.reshape(6, 24, 30))
    with pytest.raises(UnusableImageError, match="no channel 2, only 2"):
        file_pictures(path, "a.tif", (2,), opened)


def test_a_window_of_an_uncompressed_stack_is_read_alone(tmp_path, opened):
    """Law: a part equals the same part of the whole; nothing else need be in memory."""
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    picture = file_pictures(tmp_path / "a.tif", "a.tif", None, opened)[3]
    assert picture.windowed
    assert picture.key == "a.tif[3]"
    window = (slice(3, 9), slice(10, 25))
    assert np.array_equal(picture.read(window), STACK[3][window])


def test_archives_of_images(tmp_path, opened):
    tifffile.imwrite(tmp_path / "stack.tif", STACK, compression="zlib")
    Image.fromarray(RGB).save(tmp_path / "a.png")
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("stack.tif", "a.png"):
            archive.write(tmp_path / name, f"in/{name}")
        archive.writestr("__MACOSX/in/._a.png", "nothing")
        archive.writestr("in/.hidden.png", "nothing")
    names = [name for name, _ in archive_members(path, opened)]
    assert names == ["in/a.png", "in/stack.tif"]
    (png,) = member_pictures(path, "in/a.png", "all.zip/in/a.png", None, opened)
    assert np.array_equal(png.read(whole(png)), RGB)
    stack = member_pictures(path, "in/stack.tif", "all.zip/in/stack.tif", None, opened)
    assert np.array_equal([p.read(whole(p)) for p in stack], STACK)
    opened.close()  # and opened again when needed
    assert np.array_equal(stack[4].read(whole(stack[4])), STACK[4])


def _bytes(image: np.ndarray, ending: str) -> bytes:
    buffer = io.BytesIO()
    if ending == "npy":
        np.save(buffer, image)
    elif ending == "tif":
        tifffile.imwrite(buffer, image, compression="zlib")
    else:
        Image.fromarray(image).save(buffer, {"jpg": "JPEG"}.get(ending, ending))
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "npy"])
def test_damage_is_unusable_and_never_anything_else(tmp_path, opened, ending):
    """Law: whatever the bytes, an image is read, or it is refused by the store in words."""
    from napari_mganprior.training.pixels import PixelStore

    good = _bytes(GREY, ending)
    path, outcomes = tmp_path / f"a.{ending}", set()
    for damaged in (good[: len(good) // 2], good[:20], b"", b"no image at all", good):
        path.write_bytes(damaged)
        opened.close()
        try:
            for picture in file_pictures(path, path.name, None, opened):
                PixelStore().add(picture)
            outcomes.add("read")
        except UnusableImageError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
    for at in range(0, len(good), 23):
        data = bytearray(good)
        data[at] ^= 0x5A
        path.write_bytes(data)
        opened.close()
        try:
            for picture in file_pictures(path, path.name, None, opened):
                PixelStore().add(picture)
        except TrainingError:
            pass


def test_objects_and_odd_pixels_are_unusable(tmp_path, opened):
    np.save(tmp_path / "objects.npy", np.full((3, 3), {"a": 1}, dtype=object))
    with pytest.raises(UnusableImageError, match="Python objects instead of numbers"):
        file_pictures(tmp_path / "objects.npy", "objects.npy", None, opened)
    np.save(tmp_path / "bool.npy", np.zeros((20, 20), bool))
    with pytest.raises(UnusableImageError, match="type bool"):
        file_pictures(tmp_path / "bool.npy", "bool.npy", None, opened)
    Image.fromarray(RGB).convert("RGBA").convert("CMYK").save(tmp_path / "cmyk.tif")
    with pytest.raises(UnusableImageError, match="SEPARATED pixels"):
        file_pictures(tmp_path / "cmyk.tif", "cmyk.tif", None, opened)
    clear = np.dstack([RGB, np.full((24, 30), 9, np.uint8)])
    np.save(tmp_path / "clear.npy", clear)
    (picture,) = file_pictures(tmp_path / "clear.npy", "clear.npy", None, opened)
    with pytest.raises(UnusableImageError, match="transparent pixels"):
        picture.read(whole(picture))
    (picture,) = file_pictures(tmp_path / "clear.npy", "clear.npy", (0, 1, 2, 3), opened)
    assert np.array_equal(picture.read(whole(picture)), clear)


def test_bombs_are_not_unpacked(tmp_path, opened, monkeypatch):
    """Law: what would unpack to more than the bound is refused by what it says of itself."""
    monkeypatch.setattr(image_files, "_LARGEST", 100_000)
    blank = np.zeros((2000, 2000), np.uint8)
    for ending in ("png", "jpg", "tif", "npy"):
        path = tmp_path / f"a.{ending}"
        path.write_bytes(_bytes(blank, ending))
        with pytest.raises(UnusableImageError, match=r"unpacks to 4,000,000 bytes"):
            file_pictures(path, path.name, None, opened)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", _bytes(blank, "npy"))
    with pytest.raises(UnusableImageError, match=r"unpacks to 4,000,128 bytes"):
        member_pictures(path, "a.npy", "bomb.zip/a.npy", None, opened)
    # an archive that understates it is cut off by zipfile, or refused here
    data = path.read_bytes().replace((4_000_128).to_bytes(4, "little"), (90).to_bytes(4, "little"))
    path.write_bytes(data)
    opened.close()
    with pytest.raises(UnusableImageError):
        member_pictures(path, "a.npy", "bomb.zip/a.npy", None, opened)


def test_few_files_stay_open(tmp_path):
    """Law: a thousand files do not use up the open files a process may have."""
    opened = Opened(most=2)
    for number in range(5):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, STACK, compression="zlib")
        file_pictures(path, path.name, None, opened)
    assert len(opened._held) == 2
    opened.close()
    assert not opened._held


def test_a_file_of_a_multi_file_ome_set_is_read_for_itself(tmp_path, opened):
    """Law: no plane is found twice where every file describes all files."""
    names = ["one.ome.tif", "two.ome.tif"]
    xml = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Image ID="Image:0" Name="set"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16"
 SizeX="30" SizeY="24" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>
<TiffData FirstZ="0" IFD="0"><UUID FileName="one.ome.tif">urn:uuid:1</UUID></TiffData>
<TiffData FirstZ="1" IFD="0"><UUID FileName="two.ome.tif">urn:uuid:2</UUID></TiffData>
</Pixels></Image></OME>"""
    for number, name in enumerate(names):
        marked = xml.replace("<OME ", f'<OME UUID="urn:uuid:{number + 1}" ')
        tifffile.imwrite(tmp_path / name, STACK[number], description=marked, metadata=None)
    for number, name in enumerate(names):
        (plane,) = pixels(tmp_path / name, opened)
        assert np.array_equal(plane, STACK[number])
