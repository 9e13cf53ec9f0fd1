"""Deep Image Prior on the benchmark's cases, by the engine's own loop and operators."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from cases import SIGMA, Case

from napari_mganprior.arrays import from_tensor, seeded, to_tensor
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.untrained import deep_image_prior
from napari_mganprior.operators import Denoising, Inpainting, Operator, SuperResolution

__all__ = ["deep_image_prior_of"]

# it stops by pixels held out, or in noise where its error is the noise's own
_CONFIG = InversionConfig(n_restarts=1, n_steps=1000, patience=250, held_out=0.05)


def deep_image_prior_of(case: Case, seed: int) -> tuple[Any, float]:
    """Fit an untrained network to a case.

    Parameters
    ----------
    case : Case
        Not of photons, and not grey to colour.
    seed : int
        Of the network's weights and input.

    Returns
    -------
    array, float
        The picture in [-1, 1], and processor seconds.
    """
    operator: Operator = Denoising()
    config, weight = _CONFIG, None
    given = case.measured.astype(np.float32)
    if case.mask is not None:
        weight = torch.from_numpy(~case.mask)[None, None].float()
        operator = Inpainting(weight)
        given = np.where(case.mask if given.ndim == 2 else case.mask[..., None], 0, given)
    elif case.task == "gaussian":
        config = replace(config, held_out=0.0, noise_level=SIGMA)
    elif case.factor > 1:
        operator = SuperResolution(case.factor)
    height, width = case.truth.shape[:2]
    channels = 1 if case.truth.ndim == 2 else case.truth.shape[2]
    started = time.process_time()
    for step in deep_image_prior(  # noqa: B007
        to_tensor(given),
        operator,
        weight,
        rng=seeded(seed),
        shape=(channels, height, width),
        config=config,
    ):
        pass
    return from_tensor(step.image[0, 0]), time.process_time() - started
