"""Fixtures for every test: tiny priors with seeded random weights.

They draw nothing anybody would recognise, but they are real files, read by the real reader.
Request a path where only the file matters, since building the networks costs time.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import LoadedPrior, PriorCard, load_prior, save_prior
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator


def _write_prior(
    path: Path, *, resolution: int, widths: tuple[int, ...], image_channels: int
) -> Path:
    rng = seeded(resolution, image_channels)
    generator = PGGANGenerator(
        resolution=resolution, widths=widths, code_dim=16, image_channels=image_channels
    )
    discriminator = PGGANDiscriminator(
        resolution=resolution, widths=widths, image_channels=image_channels
    )
    generator.initialise(rng)
    discriminator.initialise(rng)
    spec = generator.spec()
    card = PriorCard(
        name=path.stem,
        architecture="pggan",
        generator=spec,
        discriminator={key: value for key, value in spec.items() if key != "code_dim"},
        domain="random drawings, for tests",
        training={"images_seen": 0},
        licence="CC0-1.0",
    )
    save_prior(path, card, generator, discriminator)
    return path


@pytest.fixture(autouse=True)
def settings_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a folder for preferences and last settings, so that the user's are left alone."""
    folder = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("NAPARI_MGANPRIOR_CONFIG", str(folder))
    monkeypatch.setenv("NAPARI_MGANPRIOR_CACHE", str(folder / "cache"))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a running `tests/server.py`; no proxy of this computer comes between."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "NAPARI_MGANPRIOR_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("napari_mganprior.priors.download._PAUSE", 0.01)
    if "mganprior_test_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "mganprior_test_server", Path(__file__).parent / "server.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["mganprior_test_server"] = module
        spec.loader.exec_module(module)
    with sys.modules["mganprior_test_server"].Server() as running:
        yield running


@pytest.fixture(scope="session")
def prior_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the three tiny priors: tiny, tiny16 and tinyrgb."""
    folder = tmp_path_factory.mktemp("priors")
    _write_prior(
        folder / "tiny.safetensors", resolution=32, widths=(16, 16, 8, 8), image_channels=1
    )
    _write_prior(folder / "tiny16.safetensors", resolution=16, widths=(16, 8, 8), image_channels=1)
    _write_prior(folder / "tinyrgb.safetensors", resolution=16, widths=(16, 8, 8), image_channels=3)
    return folder


@pytest.fixture(scope="session")
def tiny_prior_path(prior_folder: Path) -> Path:
    """Return a grey prior of 32 px, channel widths (16, 16, 8, 8), 16 code numbers, 8 blocks."""
    return prior_folder / "tiny.safetensors"


@pytest.fixture(scope="session")
def tiny16_prior_path(prior_folder: Path) -> Path:
    """Return a grey prior of 16 px, channel widths (16, 8, 8), 16 code numbers, 6 blocks."""
    return prior_folder / "tiny16.safetensors"


@pytest.fixture(scope="session")
def tiny_rgb_prior_path(prior_folder: Path) -> Path:
    """Return an RGB prior of 16 px, channel widths (16, 8, 8), 16 code numbers, 6 blocks."""
    return prior_folder / "tinyrgb.safetensors"


@pytest.fixture(scope="session")
def tiny_prior(tiny_prior_path: Path) -> LoadedPrior:
    """Return the 32 px grey prior, loaded; its networks are frozen, so sharing it is safe."""
    return load_prior(tiny_prior_path)


@pytest.fixture(scope="session")
def tiny16_prior(tiny16_prior_path: Path) -> LoadedPrior:
    """Return the 16 px grey prior, loaded."""
    return load_prior(tiny16_prior_path)


@pytest.fixture(scope="session")
def tiny_rgb_prior(tiny_rgb_prior_path: Path) -> LoadedPrior:
    """Return the 16 px RGB prior, loaded."""
    return load_prior(tiny_rgb_prior_path)
