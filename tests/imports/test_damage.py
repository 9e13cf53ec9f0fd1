"""Every reason a reader has for refusing a file is reached, and says what is wrong."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from napari_mganprior.imports.readers import open_foreign

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"0.", "takes more from the pickle's stack than is there"),
        (b"(R.", "takes more from the pickle's stack than is there"),
        (b"t.", "has a group without a beginning"),
        (b"h\x05.", "refers to something that the pickle never held"),
        (b"Np-1\n.", "remembers something under an absurd number"),
        (b"Np99999999999\n.", "remembers something under an absurd number"),
        (b"Iabc\n.", "holds a number that is none"),
        (b"Fabc\n.", "holds a number that is none"),
        (b"NNa.", "appends to something that is no list"),
        (b"}(Nu.", "has a key without a value"),
        (b"NNNs.", "sets an entry of something that is no table"),
        (b"(o.", "makes an object of no class"),
        (b"NN\x93.", "names a class by something that is no text"),
        (b"\x80\x09N.", "is a pickle of an unknown protocol"),
        (b"S'a\\x41'\n.", "holds text that is not quoted simply"),
        (b"Sabc\n.", "holds text that is not quoted simply"),
        (b"X\x02\x00\x00\x00\xff\xff.", "holds damaged text"),
    ],
)
def test_a_malformed_pickle_tells_where(body, reason, refused):
    message = refused(b"\x80\x04" + body + bytes(20))
    assert any(part in message for part in reason.split("|")), message


def test_all_text_together_is_limited(refused):
    """Law: many texts of an allowed length are no way around the limit."""
    piece = b"X" + struct.pack("<I", 2**24) + b"a" * 2**24 + b"0"
    assert "holds too much text" in refused(b"\x80\x04" + piece * 9 + b"N.")


@pytest.mark.parametrize(
    "body",
    [
        b"F1.5\n.",
        b"cx\ny\n)}\x92.",
        b"(cx\ny\nK\x01o.",
        b"cx\ny\n)\x81(K\x01K\x02e.",
        b"cx\ny\n)\x81K\x01a.",
        b"(K\x01ix\ny\n.",
        b"Pabc\n.",
        b"L12L\n.",
        b"I01\n.",
        b"(K\x01K\x02d.",
    ],
)
def test_old_instructions_are_read(body, refused):
    """Law: whatever a well-formed pickle is made of, what is missing is only the weights."""
    assert "holds no tensors" in refused(b"\x80\x02N0" + body + bytes(20))


class Storage:
    """Stands for numbers outside the pickle."""

    def __init__(self, *pid: Any) -> None:
        self.pid = pid


class Rebuilt:
    """A tensor as torch writes it."""

    def __init__(self, storage: Storage, size: tuple = (2,), stride: tuple = (1,)) -> None:
        self.args = (storage, 0, size, stride, False, OrderedDict())

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor_v2, self.args


class Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, Storage) else None


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def legacy(value: Any, keys: Any, *storages: bytes, little: bool = True) -> bytes:
    parts = (MAGIC, PROTOCOL, {"little_endian": little}, value, keys)
    return b"".join(map(pickled, parts)) + b"".join(storages)


FLOATS = struct.pack("<q4f", 4, 1, 2, 3, 4)


def test_a_view_of_a_storage_is_read_as_torch_reads_it(tmp_path):
    """Law: files before torch 0.4 name pieces of a storage; so does torch.load."""
    storage = Storage("storage", torch.FloatStorage, "0", "cpu", 4, ("view", 1, 2))
    path = tmp_path / "old.pt"
    path.write_bytes(legacy({"w": Rebuilt(storage)}, ["0"], FLOATS))
    assert open_foreign(path).tensors["w"].tolist() == [2, 3]
    assert torch.load(path, weights_only=True)["w"].tolist() == [2, 3]


def test_a_damaged_legacy_file_tells_what_is_wrong(refused):
    def storage(kind=torch.FloatStorage, key="0"):
        return Storage("storage", kind, key, "cpu", 4, None)

    whole = {"w": Rebuilt(storage())}
    for data, reason in (
        (legacy(whole, ["0"], FLOATS, little=False), "another byte order"),
        (legacy(whole, ["0"], FLOATS[:-1]), "ends before its tensors do"),
        (legacy(whole, ["0"], b"abc"), "ends before its tensors do"),
        (legacy(whole, ["0", "0"], FLOATS, FLOATS), "ends before its tensors do"),
        (legacy(whole, ["1"], FLOATS), "damaged list of storages"),
        (legacy(whole, "0", FLOATS), "damaged list of storages"),
        (legacy(whole, [], FLOATS), "lacks the storage '0'"),
        (
            legacy([Rebuilt(storage()), Rebuilt(storage(torch.LongStorage))], ["0"], FLOATS),
            "a storage of two kinds",
        ),
        (legacy({"w": Rebuilt(storage(torch.nn.Linear))}, ["0"], FLOATS), "unknown kind or place"),
        (legacy({"w": Rebuilt(Storage("x"))}, ["0"], FLOATS), "unknown kind or place"),
        (pickled(MAGIC) + pickled(1002) + pickled({}), "does not begin as torch's files do"),
    ):
        assert reason in refused(data, ".pt")


def test_a_tensor_without_its_parts_is_told(refused):
    body = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\nN\x85Rs."
    assert "has an incomplete tensor 'w'" in refused(body)
    body = body.replace(b"N\x85", b"NK\x00)\x87")
    assert "has a tensor whose numbers are elsewhere" in refused(body)


def test_two_tensors_of_one_name_are_told(refused):
    one = np.ones(1, "f4")
    assert "has two tensors named 'a.b'" in refused(pickle.dumps({"a.b": one, "a": {"b": one}}))


def test_a_name_that_could_command_a_terminal_is_refused(refused):
    assert "odd name 'a\\x1b[2J'" in refused(pickle.dumps({"a\x1b[2J": np.ones(1)}))


def test_safetensors_tell_what_is_wrong(refused):
    def file(header: bytes, body: bytes = bytes(8)) -> bytes:
        return struct.pack("<Q", len(header)) + header + body

    entry = b'{"w":{"dtype":"%s","shape":[2],"data_offsets":[%s]}}'
    for data, reason in (
        (struct.pack("<Q", 10**9) + b"{" + bytes(20), "is truncated, or no .safetensors file"),
        (file(b"{]" + b" " * 20), "has a damaged table of contents"),
        (file(b'{"a":\xff}' + b" " * 20), "has a damaged table of contents"),
        (file(entry % (b"F32", b"0,80")), "describes 'w' in a way that does not fit it"),
        (file(entry % (b"F32", b"8,0")), "describes 'w' in a way that does not fit it"),
        (file(entry % (b"X9", b"0,8")), "describes 'w' in a way that does not fit it"),
        (file(entry % (b"F32", b"0,4")), "claims 2 numbers"),
        (file(b'{"w":[]}' + b" " * 20), "describes 'w' in a way that does not fit it"),
    ):
        assert reason in refused(data, ".safetensors")


def test_an_array_with_an_odd_header_is_refused(refused):
    """Law: the header is compared with what numpy writes, never evaluated."""
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3, "f4"))
    good = buffer.getvalue()
    for bad in (
        good.replace(b"(3,)", b"f(3)"),
        good.replace(b"NUMPY", b"NUMPI"),
        good.replace(b"False", b"None "),
        good.replace(b"'<f4'", b"open "),
    ):
        assert bad != good
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("w.npy", bad)
        assert "has a damaged header in 'w'" in refused(buffer.getvalue(), ".npz")


@pytest.fixture
def archive() -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("abc.npy", b"x" * 100)
        file.writestr("def.npy", b"y" * 100)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize(
    ("place", "new", "reason"),
    [
        ((b"PK\x01\x02", 46), b"\xff\xfe\xfd", "a member with an unreadable name"),
        ((b"PK\x01\x02", 24), b"\x05", "of another size than it claims"),
        ((b"PK\x01\x02", 0), b"XX", "a damaged list of members"),
        ((b"PK\x03\x04", 8), b"\x08", "that is not where it should be"),
        ((b"PK\x05\x06", 16), b"\xff\xff\xff\xff", "with a damaged end|ends too early"),
        ((b"PK\x05\x06", 12), b"\x01\x00\x00", "a damaged list of members|ends too early"),
    ],
)
def test_a_damaged_archive_tells_what_is_wrong(place, new, reason, archive, refused):
    at = archive.rindex(place[0]) + place[1]
    archive[at : at + len(new)] = new
    if place[0] == b"PK\x03\x04":  # not only the last one
        at = archive.index(place[0]) + place[1]
        archive[at : at + len(new)] = new
    message = refused(bytes(archive), ".npz")
    assert any(part in message for part in reason.split("|")), message


def test_a_torch_file_that_lacks_a_storage_tells_it(refused, valid_files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(valid_files["torch"]) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if not name.endswith("data/3"):
                new.writestr(name, old.read(name))
    assert "lacks the member 'torch/data/3'" in refused(buffer.getvalue(), ".pt").replace(
        "archive/", "torch/"
    )


def test_a_large_archive_is_read(tmp_path):
    """Law: archives with 64-bit sizes, as torch writes from 4 GiB on, are read, too."""
    path = tmp_path / "wide.npz"
    with zipfile.ZipFile(path, "w") as file, file.open("w.npy", "w", force_zip64=True) as member:
        np.save(member, np.arange(3.0))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    size = struct.unpack_from("<L", data, entry + 24)[0]
    end = data.rindex(b"PK\x05\x06")
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    listed = bytes(data[entry:end])
    listed = (
        listed[:20] + b"\xff" * 8 + listed[28:30] + struct.pack("<H", len(extra)) + listed[32:]
        + extra
    )  # fmt: skip
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(listed), entry)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, entry + len(listed), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(bytes(data[:entry]) + listed + end64 + locator + last)
    assert open_foreign(path).tensors["w"].tolist() == [0, 1, 2]


# objects of other programs


def test_a_tensor_with_attributes_is_read(tmp_path):
    tensor = torch.arange(3.0)
    tensor.note = "mine"
    torch.save({"w": tensor}, tmp_path / "a.pt")
    assert open_foreign(tmp_path / "a.pt").tensors["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_objects_of_old_protocols_are_read(protocol, tmp_path, foreign_files):
    """Law: whichever way Python wrote an object, its attributes are found."""

    class Thing:
        def __init__(self):
            self.w, self.size, self.order = np.ones(2), torch.Size([2, 3]), OrderedDict(a=1)

    with foreign_files.pretend("their.things", Thing=Thing):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"t": Thing()}, protocol=protocol))
    foreign = open_foreign(tmp_path / "a.pkl")
    assert foreign.tensors["t.w"].tolist() == [1, 1]
    assert foreign.meta == {"t.size": [2, 3], "t.order.a": 1}


def test_python_2_wrote_ordered_tables_as_pairs(tmp_path):
    table = b"ccollections\nOrderedDict\n(((S'a'\nI5\nlltR"
    weights = pickle.dumps(np.ones(1), protocol=0)[:-1]
    (tmp_path / "a.pkl").write_bytes(b"(dS't'\n" + table + b"sS'w'\n" + weights + b"s.")
    foreign = open_foreign(tmp_path / "a.pkl")
    assert foreign.meta == {"t.a": 5}
    assert foreign.tensors["w"].tolist() == [1]
