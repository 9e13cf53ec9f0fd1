"""Images and masks through files: nothing changes on the way, and bad files are named."""

import errno
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mganprior.errors import ImageError, MaskError, StorageError
from napari_mganprior.files import (
    ImageFile,
    check_output,
    read_image,
    read_mask,
    read_stack,
    write_atomically,
    write_image,
)


def pixels(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(0).random(shape) * (1 if dtype.startswith("f") else 255)
    if dtype == "uint16":
        values *= 257  # uses the lower byte too
    return values.astype(dtype)


def png(path: Path, depth: int, colour_type: int, channels: int) -> Path:
    """Write a tiny PNG of a kind that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    row = b"\0" + b"\x01\x02" * (depth // 16) * channels * 4
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, depth, colour_type, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * 4))
        + chunk(b"IEND", b"")
    )
    return path


FORMATS = [
    (".png", "uint8"),
    (".png", "uint16"),
    (".tif", "uint8"),
    (".tiff", "uint16"),
    (".tif", "float16"),
    (".tif", "float32"),
    (".TIF", "float64"),
]


@pytest.mark.parametrize(
    ("suffix", "dtype", "shape"),
    [
        (suffix, dtype, shape)
        for suffix, dtype in FORMATS
        for shape in ((20, 17), (20, 17, 3))
        if (suffix, dtype, len(shape)) != (".png", "uint16", 3)  # refused by check_output
    ],
)
def test_pixels_come_back_as_they_were(tmp_path, suffix, dtype, shape):
    """Law: read(write(x)) == x, bit by bit, in the same dtype."""
    image = pixels(dtype, shape)
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    back = read_image(path)
    assert back.array.dtype == image.dtype
    np.testing.assert_array_equal(back.array, image)
    assert back.scale is None
    assert back.unit == ""


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(
    ("unit", "scale"),
    [("inch", (1 / 300, 1 / 150)), ("cm", (1e-4, 2e-4)), ("micron", (0.25, 0.5)), ("nm", (65, 65))],
)
def test_the_pixel_size_survives_in_tiff(tmp_path, dtype, unit, scale):
    """Law: a pixel is as many metres high and wide after writing as before."""
    metres = {"inch": 0.0254, "cm": 1e-2, "micron": 1e-6, "nm": 1e-9}
    like = ImageFile(pixels(dtype, (8, 9)), scale=scale, unit=unit)
    write_image(tmp_path / "a.tif", like.array, like=like)
    once = read_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", once.array, like=once)
    for path in ("a.tif", "b.tif"):
        back = read_image(tmp_path / path)
        got = np.array(back.scale) * metres[back.unit]
        np.testing.assert_allclose(got, np.array(scale) * metres[unit], rtol=1e-6)


def test_imagej_reads_what_was_written(tmp_path):
    """ImageJ's unit, display range and resolution are in the place where ImageJ looks."""
    source = tmp_path / "source.tif"
    tifffile.imwrite(
        source,
        pixels("uint16", (8, 9)),
        imagej=True,
        resolution=(4.0, 4.0),
        metadata={"unit": "um", "spacing": 2.0, "min": 3.0, "max": 900.0},
    )
    image = read_image(source)
    assert image.scale == (0.25, 0.25)
    write_image(tmp_path / "out.tif", image.array, like=image, recipe={"seed": 7})
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_imagej
        said = file.imagej_metadata
        assert said["unit"] == "micron"
        assert (said["spacing"], said["min"], said["max"]) == (2.0, 3.0, 900.0)
        assert json.loads(said["Info"]) == {"seed": 7}
        assert file.pages.first.tags["XResolution"].value == (4, 1)


def test_the_pixel_size_of_ome_tiff_is_kept(tmp_path):
    """OME keeps the size in its XML; the unit there defaults to micrometres."""
    source = tmp_path / "source.ome.tif"
    tifffile.imwrite(
        source,
        pixels("uint8", (8, 9)),
        metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25},
    )
    image = read_image(source)
    assert (image.scale, image.unit) == ((0.25, 0.5), "µm")
    write_image(tmp_path / "out.tif", image.array, like=image)
    back = read_image(tmp_path / "out.tif")
    assert (back.scale, back.unit) == ((0.25, 0.5), "micron")


@pytest.mark.parametrize(("unit", "scale"), [("micron", (0.25, 0.5)), ("inch", (1 / 96, 1 / 72))])
def test_the_pixel_size_survives_in_png(tmp_path, unit, scale):
    """PNG counts whole pixels a metre: the size is right to that."""
    like = ImageFile(pixels("uint8", (8, 9)), scale=scale, unit=unit)
    write_image(tmp_path / "a.png", like.array, like=like)
    back = read_image(tmp_path / "a.png")
    assert back.unit == "inch"
    metres = {"inch": 0.0254, "micron": 1e-6}
    got = np.array(back.scale) * metres["inch"]
    np.testing.assert_allclose(got, np.array(scale) * metres[unit], rtol=1e-3)
    write_image(tmp_path / "b.png", back.array, like=back)
    assert read_image(tmp_path / "b.png").scale == back.scale


def test_white_is_zero_stays_so(tmp_path):
    """A TIFF whose 0 is white is shown the same way after restoring."""
    tifffile.imwrite(tmp_path / "a.tif", pixels("uint8", (8, 9)), photometric="miniswhite")
    image = read_image(tmp_path / "a.tif")
    write_image(tmp_path / "b.tif", image.array, like=image)
    back = read_image(tmp_path / "b.tif")
    assert image.inverted
    assert back.inverted
    np.testing.assert_array_equal(back.array, image.array)


@pytest.mark.parametrize("name", ["out.png", "out.tif"])
def test_the_recipe_travels_in_the_file(tmp_path, name):
    """Law: the description read back is the recipe written, beyond ASCII too."""
    recipe = {
        "task": "inpaint",
        "prior": {"name": "nuclei µ", "sha256": "ab"},
        "seed": 3,
        # tifffile looks for this very word in descriptions
        "image": {"shape": [8, 9], "dtype": "uint8"},
    }
    write_image(tmp_path / name, pixels("uint8", (8, 9)), recipe=recipe)
    assert json.loads(read_image(tmp_path / name).description) == recipe


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path, suffix, channels):
    """Law: an alpha channel that hides nothing changes nothing."""
    colours = pixels("uint8", (8, 9, channels))
    array = np.concatenate([colours, np.full((8, 9, 1), 255, np.uint8)], axis=2)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        kind = "rgb" if channels == 3 else "minisblack"
        tifffile.imwrite(
            path, array, photometric=kind, planarconfig="contig", extrasamples=["unassalpha"]
        )
    back = read_image(path).array
    np.testing.assert_array_equal(back, colours if channels == 3 else colours[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_transparency_is_refused(tmp_path, suffix):
    array = pixels("uint8", (8, 9, 4))
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(ImageError, match=r"transparent pixels .* Remove the transparency"):
        read_image(path)
    with pytest.raises(MaskError, match="transparent pixels"):
        read_mask(path)


def test_a_transparent_colour_is_transparency(tmp_path):
    """PNG can declare one grey value transparent without an alpha channel."""
    Image.fromarray(pixels("uint8", (8, 9))).save(tmp_path / "a.png", transparency=0)
    array = np.full((8, 9), 5, np.uint8)
    Image.fromarray(array).save(tmp_path / "b.png", transparency=5)
    with pytest.raises(ImageError, match="transparent pixels"):
        read_image(tmp_path / "b.png")


def test_a_palette_becomes_the_colours_one_sees(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode=None)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png")
    expected = np.array([[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [10, 20, 30]]], np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array, expected)


@pytest.mark.parametrize("shape", [(3, 8, 9), (2, 3, 8, 9)])
@pytest.mark.parametrize("imagej", [False, True])
def test_a_stack_is_refused_by_name(tmp_path, shape, imagej):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros(shape, np.uint8), imagej=imagej, photometric="minisblack"
    )
    wanted = rf"Got a.tif with {np.prod(shape[:-2])} planes .* slice is restored.*--planes slices"
    with pytest.raises(ImageError, match=wanted):
        read_image(tmp_path / "a.tif")


def test_several_images_in_one_file_are_refused(tmp_path):
    """Restoring the first and losing the others in silence would be worse."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((8, 9), np.uint8))
        file.write(np.zeros((4, 5), np.uint8))
    with pytest.raises(ImageError, match="2 planes"):
        read_image(tmp_path / "a.tif")


def test_planes_of_one_and_planar_colours_are_images(tmp_path):
    """A stack of one plane, and colours stored plane by plane, are one 2-D image."""
    image = pixels("uint8", (8, 9, 3))
    tifffile.imwrite(tmp_path / "one.tif", image[None, ..., 0], metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_image(tmp_path / "one.tif").array, image[..., 0])
    planar = np.moveaxis(image, -1, 0)
    tifffile.imwrite(tmp_path / "p.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif").array, image)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_png_is_refused(tmp_path, colour_type, channels):
    """Pillow would read it with 8 bits a channel and say nothing."""
    path = png(tmp_path / "a.png", 16, colour_type, channels)
    with pytest.raises(ImageError, match=r"lose its lower 8 bits.* Convert it to TIFF"):
        read_image(path)


def test_other_pixel_types_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 9), np.int32))
    with pytest.raises(ImageError, match=r"int32 pixels; wanted uint8, uint16 or floating"):
        read_image(tmp_path / "a.tif")


def test_other_colour_models_are_refused(tmp_path):
    array = pixels("uint8", (8, 9, 4))
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="separated")
    with pytest.raises(ImageError, match=r"4 SEPARATED samples a pixel; wanted grey or RGB"):
        read_image(tmp_path / "a.tif")


def test_a_compression_without_its_library_is_explained(tmp_path, monkeypatch):
    """The remedy is named: install imagecodecs, or save without compression."""
    write_image(tmp_path / "a.tif", pixels("uint8", (8, 9)))

    def refuse(*_args, **_kwargs):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
    with pytest.raises(ImageError, match=r"Install `imagecodecs`, or save .* without compression"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_are_named(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels("uint16", (64, 64)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=r"Could not decode a\..* save it again"):
        read_image(path)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff\xe0 JFIF"])
def test_other_formats_are_named(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"a.png, which is neither PNG nor TIFF; wanted one"):
        read_image(tmp_path / "a.png")
    with pytest.raises(MaskError, match="neither PNG nor TIFF"):
        read_mask(tmp_path / "a.png")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(StorageError, match=r"Could not read .*no.png \(No such file"):
        read_image(tmp_path / "no.png")
    with pytest.raises(StorageError, match="Could not read"):
        read_mask(tmp_path)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "float32"])
def test_masks_of_every_type_mean_the_same(tmp_path, dtype):
    """Law: damage is where the stored value is not 0, whatever its type."""
    damage = np.random.default_rng(1).random((8, 9)) < 0.3
    values = damage.astype(dtype) * np.array(1 if dtype == "bool" else 7, dtype)
    tifffile.imwrite(tmp_path / "m.tif", values)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), damage)
    if dtype in ("bool", "uint8", "uint16"):
        Image.fromarray(values).save(tmp_path / "m.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), damage)


def test_one_coloured_channel_is_damage(tmp_path):
    """A mask painted in red is a mask."""
    array = np.zeros((8, 9, 3), np.uint8)
    array[2, 3, 0] = array[4, 5, 2] = 200
    Image.fromarray(array).save(tmp_path / "m.png")
    assert np.argwhere(read_mask(tmp_path / "m.png")).tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "message"),
    [
        ("out.jpg", "uint8", (8, 9), r"wanted a name that ends in .png, .tif or .tiff"),
        ("out", "uint8", (8, 9), r"wanted a name that ends in"),
        ("out.png", "float32", (8, 9), r"float32 pixels, which PNG cannot hold.* ends in .tif"),
        ("out.png", "uint16", (8, 9, 3), r"16-bit RGB pixels.* ends in .tif"),
        ("folder.png", "uint8", (8, 9), r"Got the folder .* as output"),
        ("there.png", "uint8", (8, 9), r"exists already.*\(--overwrite"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(tmp_path, name, dtype, shape, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "there.png").touch()
    with pytest.raises(StorageError, match=message):
        check_output(tmp_path / name, np.zeros(shape, dtype), overwrite=False)


def test_overwriting_can_be_allowed(tmp_path):
    (tmp_path / "there.png").touch()
    check_output(tmp_path / "there.png", np.zeros((8, 9), np.uint8), overwrite=True)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    """Law: after a failed write there is the old file or the new one, and nothing else."""
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError, match=r"No space left on device.* wanted 3 bytes.* Free some"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "c.bin", b"x")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"x"


@pytest.mark.parametrize("imagej", [False, True])
@pytest.mark.parametrize("shape", [(3, 20, 24), (2, 3, 20, 24), (3, 20, 24, 3)])
def test_a_stack_keeps_its_axes_in_order(tmp_path, shape, imagej):
    stack = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    rgb = shape[-1] == 3
    axes = {(3, 20, 24): "ZYX", (2, 3, 20, 24): "TZYX", (3, 20, 24, 3): "ZYXS"}[shape]
    tifffile.imwrite(
        tmp_path / "s.tif", stack, imagej=imagej, metadata={"axes": axes},
        photometric="rgb" if rgb else "minisblack",
    )  # fmt: skip
    image = read_stack(tmp_path / "s.tif")
    np.testing.assert_array_equal(image.array, stack)
    assert image.rgb == rgb
    damage = read_mask(tmp_path / "s.tif", stack=True)
    np.testing.assert_array_equal(damage, (stack != 0).any(axis=-1) if rgb else stack != 0)


@pytest.mark.parametrize("unit", ["", "micron"])
@pytest.mark.parametrize("shape", [(3, 20, 24), (4, 20, 24, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_planes_come_back_as_they_were(tmp_path, dtype, shape, unit):
    planes = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    like = ImageFile(planes, scale=(0.5, 0.5) if unit else None, unit=unit)
    recipe = {"dimensions": [1, 2]}
    write_image(tmp_path / "p.tif", planes, like=like, recipe=recipe, planes=True)
    image = read_stack(tmp_path / "p.tif")
    np.testing.assert_array_equal(image.array, planes)
    assert image.array.dtype == dtype
    assert json.loads(image.description) == recipe
    assert image.rgb == (planes.ndim == 4)


def test_a_png_holds_no_planes(tmp_path):
    with pytest.raises(StorageError, match="for several planes, which PNG cannot hold"):
        write_image(tmp_path / "p.png", np.zeros((2, 9, 9), np.uint8), planes=True)
