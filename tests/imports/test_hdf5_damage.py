"""Every reason for refusing an HDF5 file is reached, and says what is wrong."""

import struct
from pathlib import Path

import numpy as np
import pytest

from napari_mganprior.imports.readers import open_foreign


@pytest.fixture
def keras(tmp_path) -> bytearray:
    """Return a Keras file with arrays in one piece and in packed chunks."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "whole.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = np.arange(5, dtype="f4")
        file.create_dataset(
            "packed", data=np.arange(64.0), chunks=(16,), compression="gzip", compression_opts=9
        )
        file.attrs["model_config"] = "not JSON"
    data = bytearray(path.read_bytes())
    foreign = open_foreign(path)
    assert foreign.meta["model_config"] == "not JSON"
    assert foreign.tensors.keys() == {"packed", "weights"}
    return data


def _contiguous(data: bytearray) -> int:
    """Return where the message stands that says where "weights" lies."""
    place = data.index(struct.pack("<Q", 20), 500)
    while data[place - 10 : place - 8] != b"\x03\x01":
        place = data.index(struct.pack("<Q", 20), place + 1)
    return place - 10


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"HEAP", b"HEAX", "a damaged list of names"),
        (b"SNOD", b"SNOX", "a damaged list of members"),
        (b"TREE", b"TREX", "a damaged tree"),
        (b"GCOL", b"GCOX", "a damaged text"),
        (b"weights\0", b"wei/hts\0", "a member with the odd name 'wei/hts'"),
        (b"weights\0", b"wei\x07hts\0", "a member with the odd name"),
        (b"\x01\x01\x01\0\0\0\0\0\x05", b"\x01\x09\x01\0\0\0\0\0\x05", "an absurd shape"),
        (b"x\xda", b"x\xdb", "a damaged array|damaged pieces"),
    ],
)
def test_a_damaged_hdf5_file_tells_what_is_wrong(old, new, reason, keras, refused):
    assert old in keras
    message = refused(bytes(keras.replace(old, new)), ".h5")
    assert any(part in message for part in reason.split("|")), message


def test_a_damaged_header_of_an_object_tells_what_is_wrong(keras, refused):
    """Law: versions, addresses, blocks and places are checked before they are followed."""
    (root,) = struct.unpack_from("<Q", keras, 64)
    kind, _, _, more, _ = struct.unpack_from("<HHLQQ", keras, root + 16)
    assert kind == 16  # the header goes on elsewhere, since there is an attribute
    layout = _contiguous(keras)
    edits = [
        ("is truncated", 40, struct.pack("<Q", len(keras) + 1)),
        ("a newer form of HDF5", 8, b"\x02"),
        ("a newer form of HDF5", root, b"OHDR"),
        ("points beyond its end", 64, struct.pack("<Q", 2**40)),
        ("a damaged header", root, b"\x09"),
        ("shares parts between arrays", more + 4, b"\x02"),
        ("a message that is cut short", more + 2, b"\x00"),
        ("a header that leads into itself", root + 24, struct.pack("<QQ", root + 16, 24)),
        ("in a form of HDF5 that is not known here", layout, b"\x04"),
        ("keeps 'weights' elsewhere", layout + 1, b"\x07"),
        ("claims 20 bytes for 'weights', with 16 stored", layout + 10, b"\x10"),
        ("claims 20 bytes for 'weights', with 0 stored", layout + 2, b"\xff" * 8),
    ]
    for reason, place, new in edits:
        copy = bytearray(keras)
        copy[place : place + len(new)] = new
        assert reason in refused(bytes(copy), ".h5")


def test_hdf5_files_that_are_not_ours_to_follow_are_refused(tmp_path, refused):
    h5py = pytest.importorskip("h5py")

    def written(fill, **settings) -> bytes:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            fill(file)
        return (tmp_path / "a.h5").read_bytes()

    def soft(file):
        file["w"] = np.ones(2)
        file["link"] = h5py.SoftLink("/w")

    def packed(file):
        file.create_dataset("w", data=np.ones(64), compression="lzf")

    def twice(file):
        file["w"] = file["model_weights/w"] = np.ones(2)
        del file["w"]
        file["w"] = np.ones(2)

    def deep(file):
        file["/".join("abcdefgh") + "/w"] = np.ones(2)

    def partly(file):
        file.create_dataset("w", shape=(8,), chunks=(2,), dtype="f4")[:2] = 1

    assert "points elsewhere at" in refused(written(soft), ".h5")
    assert "packed in an unknown way" in refused(written(packed), ".h5")
    assert "two arrays named 'w'" in refused(written(twice), ".h5")
    assert "too many groups and arrays" in refused(written(deep), ".h5", depth=4)
    assert "too many groups and arrays" in refused(written(deep), ".h5", members=1)
    assert "with 8 stored in 1 pieces" in refused(written(partly), ".h5")


def test_a_small_array_inside_its_header_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = Path(tmp_path) / "a.h5"
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        made = h5py.h5d.create(file.id, b"w", h5py.h5t.IEEE_F32LE, space, plan)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], "f4"))
    assert open_foreign(path).tensors["w"].tolist() == [1, 2, 3]
