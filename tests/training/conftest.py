"""A tiny training run: 16 px, three widths, a few steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource


def discs(seed: int, n: int = 10, side: int = 32) -> dict[str, np.ndarray]:
    """Pictures of two bright discs each."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    images = {}
    for index in range(n):
        image = np.zeros((side, side), np.uint8)
        for row, column, radius in rng.uniform([0, 0, 3], [side, side, 8], (2, 3)):
            image[np.hypot(rows - row, columns - column) < radius] = 200
        images[f"image{index}"] = image
    return images


@pytest.fixture(scope="session")
def source() -> CropSource:
    return CropSource(discs(0), 16)


@pytest.fixture(scope="session")
def held_out() -> CropSource:
    return CropSource(discs(1), 16)


@pytest.fixture(scope="session")
def small_source() -> CropSource:
    """Crops of 8 px."""
    return CropSource(discs(0), 8)


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    """Return a function that says whether two nests of tensors are equal to the last bit."""

    def compare(first: Any, second: Any) -> bool:
        if isinstance(first, torch.Tensor):
            return torch.equal(first, second)
        if isinstance(first, dict):
            return first.keys() == second.keys() and all(
                compare(first[key], second[key]) for key in first
            )
        if isinstance(first, (list, tuple)):
            return len(first) == len(second) and all(map(compare, first, second))
        return first == second

    return compare


@pytest.fixture
def tiny_config() -> TrainingConfig:
    return TrainingConfig(
        resolution=16, widths=(8, 8, 4), code_dim=8, n_images=32, batch_size=4, r1_every=3
    )
