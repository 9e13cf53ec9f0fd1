"""Files of other people's kinds, and a layout that only these tests know."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.pggan import PGGANGenerator
from napari_mganprior.imports import importing
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, Limits, check_shapes
from napari_mganprior.imports.readers import open_foreign

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPEC = {"resolution": 8, "widths": [6, 4], "code_dim": 5, "image_channels": 1}


class OwnAdapter:
    """Takes a PGGAN under our own keys, with "own" in front."""

    name = "own"

    def recognise(self, foreign: Foreign) -> bool:
        return "own.blocks.0.weight" in foreign.tensors

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        state = foreign.under("own")
        with torch.device("meta"):
            wanted = {k: tuple(v.shape) for k, v in PGGANGenerator(**SPEC).state_dict().items()}
        check_shapes(state, wanted, source=foreign.source, network="the tests' own generator")
        note = f"class {options['class']}" if "class" in options else ""
        return Converted(
            architecture="pggan",
            generator=SPEC,
            state=state,
            image_channels=1,
            resolution=8,
            note=note,
        )


@pytest.fixture(scope="session")
def foreign_files() -> ModuleType:
    """Return benchmarks/foreign_files.py, which writes a small file in each format."""
    spec = importlib.util.spec_from_file_location("foreign_files", BENCHMARKS / "foreign_files.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["foreign_files"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def valid_files(foreign_files, tmp_path_factory) -> dict[str, Path]:
    """Return files by name; what stands before the first dot of a format's name is the format."""
    return foreign_files.write_foreign_files(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
def own_adapter(monkeypatch) -> OwnAdapter:
    """Return the only adapter there is during a test."""
    adapter = OwnAdapter()
    monkeypatch.setattr(importing, "ADAPTERS", (adapter,))
    return adapter


@pytest.fixture(scope="session")
def own_generator() -> PGGANGenerator:
    """Return the network that lies in `own_file`."""
    generator = PGGANGenerator(**SPEC)
    generator.initialise(seeded(3))
    return generator.eval().requires_grad_(False)


@pytest.fixture
def own_file(own_generator, tmp_path) -> Path:
    """Return a torch file in the layout of `OwnAdapter`."""
    path = tmp_path / "stranger.pth"
    torch.save({"own": own_generator.state_dict(), "step": 3}, path)
    return path


@pytest.fixture
def refused(tmp_path):
    """Return a function that opens bytes and returns the reason for which they are refused."""

    def reason(data: bytes, ending: str = ".pkl", **limits: int) -> str:
        path = tmp_path / f"file{ending}"
        path.write_bytes(data)
        with pytest.raises(ImportRefused) as error:
            open_foreign(path, limits=Limits(**limits))
        message = str(error.value)
        assert message.startswith(f"Got file{ending}, which ")
        assert "; wanted " in message
        assert "\n" not in message
        return message

    return reason
