"""Pictures of discs and a tiny order, for tests of training runs."""

from typing import Any

import numpy as np

from napari_mganprior.runs.training_folder import COPIED, TrainingOrder

TINY = {"widths": (8, 8, 4), "code_dim": 8, "batch_size": 4}


def discs(n: int = 2, side: int = 128, seed: int = 0) -> np.ndarray:
    """Return a stack (n, side, side) of bright discs."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    stack = np.zeros((n, side, side), np.uint8)
    for image in stack:
        for row, column, radius in rng.uniform([0, 0, 3], [side, side, 9], (side // 4, 3)):
            image[np.hypot(rows - row, columns - column) < radius] = 200
    return stack


def tiny_order(name: str = "discs", **changes: Any) -> TrainingOrder:
    """Return an order of 16 px and a few hundred crops."""
    given: dict[str, Any] = {
        "name": name, "inputs": (COPIED,), "shown": "discs", "resolution": 16, "minutes": None,
        "n_images": 200, "device": "cpu", "encoder": False, "settings": TINY, **changes,
    }  # fmt: skip
    return TrainingOrder(**given)
