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

_GREEN, _MAGENTA = (0.0, 1.0, 0.0), (1.0, 0.0, 1.0)
_COLOURS = {
    2: (_GREEN, _MAGENTA),
    4: ((1.0, 0.0, 0.0), _GREEN, (0.0, 0.0, 1.0), (0.5, 0.5, 0.5)),
}


@torch.no_grad()
def draw_samples(generator: SplitGenerator, n: int, *, rng: torch.Generator) -> Tensor:
    """Draw ``n`` images (n, C, H, W) on the CPU, in float32, cut to [-1, 1]."""
    device = next(generator.parameters()).device
    codes = generator.sample_codes(n, rng=rng)
    drawn = [generator(z.to(device)).float().cpu() for z in codes.split(64)]
    return torch.cat(drawn).clamp(-1, 1)


def contact_sheet(images: Tensor, columns: int) -> NDArray[np.uint8]:
    """Lay images (B, C, H, W) in [-1, 1] side by side; returns (H', W') or (H', W', 3) bytes.

    Images of 2 or 4 channels are shown in the colours that stains are usually shown in.
    """
    if images.shape[1] in _COLOURS:
        images = _coloured(images)
    n, channels, height, width = images.shape
    rows = n // columns
    sheet = images[: rows * columns].reshape(rows, columns, channels, height, width)
    sheet = sheet.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
    grey = ((from_tensor(sheet) + 1) * 127.5).round().clip(0, 255)
    return grey.astype(np.uint8)


def _coloured(images: Tensor) -> Tensor:
    """Add up the channels, each in its colour, -1 black; returns (B, 3, H, W) in [-1, 1]."""
    colours = torch.tensor(_COLOURS[images.shape[1]], dtype=images.dtype, device=images.device)
    light = torch.einsum("bchw,cr->brhw", (images + 1) / 2, colours)
    return (light * 2 - 1).clamp(-1, 1)


def encode_sheet(sheet: NDArray[np.uint8]) -> bytes:
    """Write a sheet as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
