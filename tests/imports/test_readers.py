"""Every reader finds what the library that wrote the file would find."""

import argparse
import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_mganprior.imports.base import ImportRefused, Limits
from napari_mganprior.imports.readers import open_foreign, opening

WHERE = {  # what stands before the names in the shared files
    "torch": "generator_smooth.",
    "torch-legacy": "generator_smooth.",
    "nvidia-pickle": "G_ema.",
    "tf-pickle": "Gs.",
    "pickle-0": "x.",
    "pickle-2": "x.",
    "pickle-5": "x.",
}
NAMES = (*WHERE, "safetensors", "npz", "npz-packed", "keras-h5")


@pytest.mark.parametrize("name", NAMES)
def test_every_format_holds_the_same_tensors(name, valid_files, foreign_files):
    """Law: names, shapes and numbers are those written, whatever the format."""
    if name not in valid_files:
        pytest.importorskip("h5py")
    foreign = open_foreign(valid_files[name])
    assert foreign.kind == ("pickle" if name[:6] == "pickle" else name.removesuffix("-packed"))
    for key, value in foreign_files.pggan_tensors().items():
        theirs = key.replace(".", "/") if name == "tf-pickle" else key
        found = foreign.tensors[WHERE.get(name, "") + theirs]
        assert found.dtype == torch.float32
        assert found.device.type == "cpu"
        assert found.shape == value.shape
        assert torch.equal(found, value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_reads_as_torch_reads_it(zipped, tmp_path):
    """Law: the tensors are those of torch.load(weights_only=True), bit by bit, as float32."""
    base = torch.randn(6, 5)
    tensors = {
        "plain": base,
        "turned": base.t(),
        "part": base[1:4, ::2],
        "same": base,
        "half": base.half(),
        "bfloat": base.bfloat16(),
        "double": base.double(),
        "long": torch.arange(-3, 3),
        "bool": torch.tensor([True, False]),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "single": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base),
    }
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    path = tmp_path / "file.pt"
    torch.save(
        {"t": OrderedDict(tensors), "m": model.state_dict()},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    wanted = torch.load(path, weights_only=True)
    found = open_foreign(path).tensors
    flat = {f"{a}.{b}": value for a, table in wanted.items() for b, value in table.items()}
    assert found.keys() == flat.keys()
    for key, value in flat.items():
        assert torch.equal(found[key], value.detach().float()), key


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_pickled_model_is_read_as_its_weights(zipped, tmp_path):
    """Law: classes stay names; parameters and buffers keep the names of a state_dict."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    path = tmp_path / "model.pt"
    torch.save(model, path, _use_new_zipfile_serialization=zipped)
    foreign = open_foreign(path)
    assert {k: v.tolist() for k, v in foreign.tensors.items()} == {
        k: v.float().tolist() for k, v in model.state_dict().items()
    }
    assert foreign.meta["modules"]["0"]["class"] == "Linear"
    assert foreign.meta["modules"]["0"]["attributes"]["in_features"] == 2


def test_settings_beside_the_weights_are_kept(valid_files):
    """Law: plain values stand under their dotted names, also those of objects nobody made."""
    meta = open_foreign(valid_files["torch"]).meta
    assert meta["args.size"] == 8
    assert meta["args.lr"] == 0.002
    assert meta["steps"] == [1, 2.5, None, True, "three"]


def test_networks_tell_how_they_were_made(valid_files):
    nvidia = open_foreign(valid_files["nvidia-pickle"]).meta["modules"]["G_ema"]
    assert nvidia["class"] == "Generator"
    assert nvidia["attributes"]["img_resolution"] == 8
    assert nvidia["attributes"]["init_kwargs"] == {"x": 1}
    tensorflow = open_foreign(valid_files["tf-pickle"]).meta["modules"]
    assert list(tensorflow) == ["G", "D", "Gs"]
    assert tensorflow["Gs"]["static_kwargs"] == {"resolution": 8, "num_channels": 1}
    assert tensorflow["Gs"]["build_func_name"] == "G_paper"


def test_components_of_a_tensorflow_network_are_found(foreign_files, tmp_path):
    """Law: StyleGAN's networks inside a network get names of their own."""

    class Network:
        def __init__(self, **state):
            self.__dict__.update(state)

    def network(name, variables, **parts):
        return Network(
            version=4, name=name, static_kwargs={}, variables=variables, components=parts
        )

    inner = network("G_synthesis", [("4x4/Const/const", np.ones((1, 2, 4, 4), "f4"))])
    outer = network("Gs", [("dlatent_avg", np.zeros(3, "f4"))], synthesis=inner)
    path = tmp_path / "stylegan.pkl"
    with foreign_files.pretend("dnnlib.tflib.network", Network=Network):
        path.write_bytes(pickle.dumps((outer, outer, outer)))
    foreign = open_foreign(path)
    assert foreign.kind == "tf-pickle"
    assert foreign.tensors["Gs.synthesis.4x4/Const/const"].shape == (1, 2, 4, 4)
    assert foreign.tensors["Gs.dlatent_avg"].tolist() == [0, 0, 0]
    assert foreign.meta["modules"]["Gs.synthesis"]["name"] == "G_synthesis"


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_survive_every_pickle_protocol(protocol, tmp_path):
    arrays = {
        "c": np.arange(24, dtype="f4").reshape(2, 3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "half": np.ones(3, "f2"),
        "whole": np.arange(5),
    }
    path = tmp_path / "arrays.pkl"
    path.write_bytes(
        pickle.dumps({**arrays, "scalar": np.float32(0.5), "big": 2**40}, protocol=protocol)
    )
    foreign = open_foreign(path)
    for key, value in arrays.items():
        assert np.array_equal(foreign.tensors[key].numpy(), value.astype("f4"))
    assert foreign.meta == {"scalar": 0.5, "big": 2**40}


def test_fortran_order_survives_npz(tmp_path):
    array = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))
    path = tmp_path / "a.npz"
    np.savez(path, a=array, scalar=np.float64(2))
    tensors = open_foreign(path).tensors
    assert np.array_equal(tensors["a"].numpy(), array)
    assert tensors["scalar"] == 2


def test_safetensors_read_as_their_library_reads_them(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"a": torch.randn(2, 3), "b": torch.randn(4).bfloat16(), "c": torch.arange(3)}
    save_file(tensors, path, metadata={"by": "us"})
    foreign = open_foreign(path)
    assert foreign.meta["metadata"] == {"by": "us"}
    for key, value in tensors.items():
        assert torch.equal(foreign.tensors[key], value.float())


def test_hdf5_reads_as_its_library_reads_it(tmp_path):
    """Law: in one piece or in chunks, packed or not, the numbers are h5py's."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    arrays = {
        "g/whole": rng.normal(size=(7, 5)).astype("f4"),
        "g/chunks": rng.normal(size=(33, 17, 5)).astype("f4"),
        "g/shuffled": rng.integers(0, 9, (40, 3)),
        "half": rng.normal(size=9).astype("f2"),
        "flag": np.array(True),
        "none": np.zeros((0, 3), "f4"),
    } | {f"many/n{i:03}": np.float32(i) for i in range(200)}
    packing = {
        "g/chunks": {"chunks": (8, 5, 3), "compression": "gzip", "fletcher32": True},
        "g/shuffled": {"chunks": (7, 2), "compression": "gzip", "shuffle": True},
    }
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value, **packing.get(key, {}))
        file["text"] = "beside the weights"
        file.attrs["model_config"] = json.dumps({"layers": ["ä"]})
        file.attrs["layer_names"] = ["b", "a"]
    foreign = open_foreign(path)
    assert foreign.tensors.keys() == {key.replace("/", ".") for key in arrays}
    for key, value in arrays.items():
        found = foreign.tensors[key.replace("/", ".")].numpy()
        assert found.shape == value.shape
        assert np.array_equal(found, value.astype("f4"))
    assert foreign.meta["model_config"] == {"layers": ["ä"]}
    assert foreign.meta["layer_names"] == ["b", "a"]


@pytest.mark.parametrize("settings", [{"libver": "latest"}, {"track_order": True}])
def test_newer_forms_of_hdf5_are_refused_with_a_way_out(settings, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", **settings) as file:
        file["a"] = np.ones(3)
    with pytest.raises(ImportRefused, match=r"newer form of HDF5; .* Save it from Keras once"):
        open_foreign(path)


def test_a_float32_file_is_not_copied(valid_files):
    """Law: tensors are views of the file, and writing to them leaves the file alone."""
    path = valid_files["torch"]
    before = path.read_bytes()
    tensors = open_foreign(path).tensors
    first = tensors["generator_smooth.layer0.conv.weight"]
    first.zero_()
    assert path.read_bytes() == before
    again = open_foreign(path).tensors["generator_smooth.layer0.conv.weight"]
    assert not torch.equal(first, again)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("pytorch_model.bin", "config.json"),
        ("biggan-deep-256-pytorch_model.bin", "biggan-deep-256-config.json"),
    ],
)
def test_the_configuration_beside_the_weights_is_read(name, config, tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    (tmp_path / config).write_text('{"channel_width": 128}')
    assert open_foreign(tmp_path / name).meta["config"] == {"channel_width": 128}
    (tmp_path / config).write_text("[" * 100_000)
    assert "config" not in open_foreign(tmp_path / name).meta


def test_what_is_no_file_of_weights_is_told_apart(tmp_path):
    """Law: each gets its own reason."""

    def refusal(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ImportRefused) as refused:
            open_foreign(path)
        return str(refused.value)

    assert "of no format that is known here" in refusal("a.gif", b"GIF89a" + bytes(100))
    assert "has 3 bytes" in refusal("a.pt", b"abc")
    assert "has 0 bytes" in refusal("a.pt", b"")
    assert "holds no tensors" in refusal("a.pkl", pickle.dumps({"text": "only", "n": [1, 2, 3]}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "zip archive of something else" in refusal("a.zip", buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.weights.h5", "hello")
    assert "ends in .h5" in refusal("a.keras", buffer.getvalue())
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], dtype=object))
    assert "an array 'a' of '|O'" in refusal("a.npz", buffer.getvalue())
    big = pickle.dumps({"x": np.ones(3, ">f4")})
    assert "holds no tensors" in refusal("big.pkl", big)
    with pytest.raises(ImportRefused, match=r"nowhere.pt, which could not be read \(No such file"):
        open_foreign(tmp_path / "nowhere.pt")
    with pytest.raises(ImportRefused, match="could not be read"):
        open_foreign(tmp_path)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (KeyError("a\nb"), r"damaged in an unforeseen way \(KeyError\)"),
        (struct.error("x"), r"damaged in an unforeseen way \(error\)"),
        (MemoryError(), "nests too deep or needs too much memory"),
        (RecursionError(), "nests too deep or needs too much memory"),
    ],
)
def test_what_nobody_thought_of_is_refused_too(fault, reason, valid_files, monkeypatch):
    """Law: a reader's own fault reaches the user as a refusal on one line."""

    def fail(*args, **settings):
        raise fault

    monkeypatch.setattr(opening, "read_safetensors", fail)
    with pytest.raises(ImportRefused, match=reason) as refused:
        open_foreign(valid_files["safetensors"])
    assert "\n" not in str(refused.value)


def test_the_limits_hold(valid_files):
    """Law: each limit is one that a file can meet."""
    for limits, reason in (
        (Limits(file_bytes=100), "bytes; wanted 100 bytes at most"),
        (Limits(tensors=5), "holds more than 5 tensors"),
        (Limits(tensor_bytes=500), "tensors of more than 500 bytes together"),
        (Limits(opcodes=50), "too many instructions"),
        (Limits(entries=5), "unfolds to more than 5 values"),
        (Limits(depth=1), "nests tables more than 1 deep"),
    ):
        with pytest.raises(ImportRefused, match=reason):
            open_foreign(valid_files["torch-legacy"], limits=limits)
    with pytest.raises(ImportRefused, match="more than 3 members"):
        open_foreign(valid_files["torch"], limits=Limits(members=3))


def test_numbers_in_another_byte_order_are_refused(tmp_path, valid_files):
    path = tmp_path / "big.pt"
    with zipfile.ZipFile(valid_files["torch"]) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"big" if name.endswith("byteorder") else old.read(name))
    with pytest.raises(ImportRefused, match="another byte order"):
        open_foreign(path)


def test_a_flipped_bit_is_noticed(tmp_path, valid_files):
    """Law: checksums are checked, so that damaged weights do not pass for good ones."""
    data = bytearray(valid_files["npz"].read_bytes())
    place = data.index(struct.pack("<f", float(open_foreign(valid_files["npz"]).tensors[
        "layer0.conv.weight"].flatten()[0])))  # fmt: skip
    data[place] ^= 1
    path = tmp_path / "flipped.npz"
    path.write_bytes(data)
    with pytest.raises(ImportRefused, match="its checksum differs"):
        open_foreign(path)


def test_an_object_without_a_class_to_be_found_does_no_harm(foreign_files, tmp_path):
    """Law: a class that is not installed here is no obstacle to the weights beside it."""

    class Settings:
        def __init__(self):
            self.width = 7

    path = tmp_path / "a.pkl"
    with foreign_files.pretend("their.program", Settings=Settings):
        path.write_bytes(
            pickle.dumps({"s": Settings(), "w": np.ones(2), "n": argparse.Namespace()})
        )
    foreign = open_foreign(path)
    assert foreign.meta == {"s.width": 7}
    assert foreign.tensors["w"].tolist() == [1, 1]


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path):
    """Law: what a .safetensors file is does not hang on how long its header is."""
    path = tmp_path / "weights.safetensors"
    for length in range(0, 512, 8):
        save_file({"a": torch.ones(2)}, path, metadata={"text": "a" * length})
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"
    assert set(open_foreign(path).tensors) == {"a"}
