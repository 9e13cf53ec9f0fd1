"""Samples of a prior, laid side by side, so that a person can see what it draws."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_mganprior.arrays import from_tensor
from napari_mganprior.generators.base import SplitGenerator

__all__ = ["GRID_SEED", "contact_sheet", "draw_samples", "encode_sheet"]

GRID_SEED = 1
"""Of every grid, so that none is picked."""


@torch.no_grad()
def draw_samples(generator: SplitGenerator, n: int, *, rng: torch.Generator) -> Tensor:
    """Draw ``n`` images (n, C, H, W) on the CPU, in float32, cut to [-1, 1]."""
    device = next(generator.parameters()).device
    codes = generator.sample_codes(n, rng=rng)
    drawn = [generator(z.to(device)).float().cpu() for z in codes.split(64)]
    return torch.cat(drawn).clamp(-1, 1)


def contact_sheet(images: Tensor, columns: int) -> NDArray[np.uint8]:
    """Lay images (B, C, H, W) in [-1, 1] side by side; returns (H', W') or (H', W', 3) bytes."""
    n, channels, height, width = images.shape
    rows = n // columns
    sheet = images[: rows * columns].reshape(rows, columns, channels, height, width)
    sheet = sheet.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    grey = ((from_tensor(sheet) + 1) * 127.5).round().clip(0, 255)
    return grey.astype(np.uint8)


def encode_sheet(sheet: NDArray[np.uint8]) -> bytes:
    """Write a sheet as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
