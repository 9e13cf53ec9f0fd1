"""Deep Image Prior on the benchmark's cases, by the engine's own loop."""

import time
from typing import Any

import numpy as np
import torch
from cases import PEAK, Case

from napari_mganprior.arrays import from_tensor, seeded, to_tensor
from napari_mganprior.operators import Denoising, Inpainting, Operator, SuperResolution

__all__ = ["deep_image_prior_of"]


def deep_image_prior_of(case: Case, seed: int) -> tuple[Any, float]:
    """Fit an untrained network to a case; returns the picture in [-1, 1] and CPU seconds."""
    raise NotImplementedError




