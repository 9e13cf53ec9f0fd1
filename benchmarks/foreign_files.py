"""Write one small file in every format that can be imported, all with the same little network.

The test of the readers and ``fuzz_imports.py`` share it. Each format is written by the library it
comes from, or, for networks pickled by NVIDIA's and TensorFlow's programs, by Python's own pickle
with classes of the same names.
"""

import argparse
import io
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

__all__ = ["RESOLUTION", "WIDTHS", "pggan_tensors", "pretend", "write_foreign_files"]

RESOLUTION, WIDTHS, CODE = 8, (4, 3), 5


def pggan_tensors(seed: int = 0) -> dict[str, Tensor]:
    """Draw the weights of a PGGAN of 8 px, grey, under the published names."""
    rng = torch.Generator()
    rng.manual_seed(seed)
    shapes = [(WIDTHS[0], CODE, 4, 4), (WIDTHS[0], WIDTHS[0], 3, 3)]
    shapes += [(WIDTHS[1], WIDTHS[0], 3, 3), (WIDTHS[1], WIDTHS[1], 3, 3)]
    tensors = {"lod": torch.zeros(())}
    for i, shape in enumerate(shapes):
        tensors[f"layer{i}.conv.weight"] = torch.randn(shape, generator=rng)
        tensors[f"layer{i}.wscale.bias"] = torch.randn(shape[0], generator=rng)
    for k, width in enumerate(WIDTHS):
        tensors[f"output{k}.conv.weight"] = torch.randn((1, width, 1, 1), generator=rng)
        tensors[f"output{k}.wscale.bias"] = torch.randn(1, generator=rng)
    return tensors


@contextmanager
def pretend(path: str, **members: Any) -> Iterator[types.ModuleType]:
    """Let a module seem to be installed, so that pickles name what is in it."""
    before = dict(sys.modules)
    parts = path.split(".")
    try:
        for i in range(len(parts)):
            name = ".".join(parts[: i + 1])
            sys.modules[name] = types.ModuleType(name)
        for key, value in members.items():
            value.__module__, value.__qualname__, value.__name__ = path, key, key
            setattr(sys.modules[path], key, value)
        yield sys.modules[path]
    finally:
        for name in set(sys.modules) - set(before):
            if name.split(".")[0] == parts[0]:
                del sys.modules[name]


def nvidia_pickle(
    tensors: dict[str, Tensor], *, source_code: str = "class Generator: ..."
) -> bytes:
    """Pickle a network as NVIDIA's ``persistence.py`` does: the state beside the source code."""

    def _reconstruct_persistent_obj(meta: Any) -> None: ...

    class EasyDict(dict): ...

    class Persistent(nn.Module):
        def __reduce__(self) -> tuple:
            return _reconstruct_persistent_obj, (
                EasyDict(
                    type="class",
                    version=6,
                    module_src=source_code,
                    class_name="Generator" if hasattr(self, "z_dim") else "Layer",
                    state=self.__dict__,
                ),
            )

    def module(parts: dict[str, Any], **facts: Any) -> nn.Module:
        made = Persistent()
        for name, part in parts.items():
            if isinstance(part, dict):
                made.add_module(name, module(part))
            elif name == "lod":
                made.register_buffer(name, part)
            else:
                made.register_parameter(name, nn.Parameter(part))
        for name, fact in facts.items():
            setattr(made, name, fact)
        return made

    network = module(nested(tensors), z_dim=CODE, img_resolution=RESOLUTION, _init_kwargs={"x": 1})
    with (
        pretend("torch_utils.persistence", _reconstruct_persistent_obj=_reconstruct_persistent_obj),
        pretend("dnnlib.util", EasyDict=EasyDict),
    ):
        return pickle.dumps({"G_ema": network, "training_set_kwargs": EasyDict(path="x.zip")})


def tensorflow_pickle(tensors: dict[str, Tensor]) -> bytes:
    """Pickle three networks as the original ``tfutil.Network`` does."""

    class Network:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getstate__(self) -> dict[str, Any]:
            return {
                "version": 2,
                "name": self.name,
                "static_kwargs": {"resolution": RESOLUTION, "num_channels": 1},
                "build_module_src": "def G_paper(): ...",
                "build_func_name": "G_paper",
                "variables": [
                    (key.replace(".", "/"), np.float32(0) if key == "lod" else value.numpy())
                    for key, value in tensors.items()
                ],
            }

    with pretend("tfutil", Network=Network):
        return pickle.dumps(tuple(Network(name) for name in ("G", "D", "Gs")), protocol=4)


def nested(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Turn dotted names into tables in tables."""
    root: dict[str, Any] = {}
    for name, value in tensors.items():
        *folders, leaf = name.split(".")
        table = root
        for folder in folders:
            table = table.setdefault(folder, {})
        table[leaf] = value
    return root


def write_foreign_files(folder: Path) -> dict[str, Path]:
    """Write the files.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    dict of Path
        By name; that of the format comes first. The Keras file is left out without h5py.
    """
    tensors = pggan_tensors()
    arrays = {key: value.numpy() for key, value in tensors.items()}
    checkpoint = {
        "generator_smooth": OrderedDict(tensors),
        "half": {key: value.half() for key, value in tensors.items()},
        "args": argparse.Namespace(size=RESOLUTION, lr=0.002),
        "steps": [1, 2.5, None, True, "three"],
    }
    contents: dict[str, bytes] = {}
    for name, zipped in (("torch.pth", True), ("torch-legacy.pth", False)):
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer, _use_new_zipfile_serialization=zipped)
        contents[name] = buffer.getvalue()
    contents["nvidia-pickle.pkl"] = nvidia_pickle(tensors)
    contents["tf-pickle.pkl"] = tensorflow_pickle(tensors)
    for protocol in (0, 2, 5):
        contents[f"pickle-{protocol}.pkl"] = pickle.dumps({"x": arrays}, protocol=protocol)
    contents["safetensors.safetensors"] = save(tensors, metadata={"format": "pt"})
    for name, write in (("npz.npz", np.savez), ("npz-packed.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        write(buffer, **arrays)
        contents[name] = buffer.getvalue()
    paths = {}
    for name, data in contents.items():
        paths[name.split(".")[0]] = folder / name
        (folder / name).write_bytes(data)
    if (keras := _write_keras(folder / "keras-h5.h5", arrays)) is not None:
        paths["keras-h5"] = keras
    return paths


def _write_keras(path: Path, arrays: dict[str, Any]) -> Path | None:
    try:
        import h5py
    except ImportError:
        return None
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"class_name": "Sequential", "config": {"name": "generator"}}'
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"layer0", b"layer1"])
        for key, value in arrays.items():
            packed = {"compression": "gzip"} if value.ndim == 4 else {}
            weights.create_dataset(key.replace(".", "/"), data=value, **packed)
    return path
