"""Forward operators: how a picture x became the measurement y = A(x)."""

from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.colorization import Colorization
from napari_mganprior.operators.denoising import Denoising
from napari_mganprior.operators.inpainting import Inpainting
from napari_mganprior.operators.super_resolution import SuperResolution

__all__ = ["Colorization", "Denoising", "Inpainting", "Operator", "SuperResolution"]
