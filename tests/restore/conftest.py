"""A scene with two holes, and settings that are done in no time."""

import numpy as np
import pytest

from napari_mganprior.inversion.config import InversionConfig


@pytest.fixture
def quick() -> InversionConfig:
    return InversionConfig(
        layer=2, fine_layer=3, n_codes=2, n_restarts=2, n_candidates=2, n_steps=4,
        precision="float32",
    )  # fmt: skip


@pytest.fixture
def scene() -> np.ndarray:
    rows, columns = np.mgrid[:40, :50]
    noise = np.random.default_rng(0).normal(0, 3, (40, 50))
    return np.uint8(128 + 90 * np.sin(rows / 5) * np.cos(columns / 7) + noise)


@pytest.fixture
def holes() -> np.ndarray:
    mask = np.zeros((40, 50), bool)
    mask[5:11, 4:12] = True
    mask[-6:-2, -9:-3] = True
    return mask
