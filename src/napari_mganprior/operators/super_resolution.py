"""Too few pixels: y = x made smaller."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from napari_mganprior.errors import ImageError, SettingsError
from napari_mganprior.operators.base import Operator

__all__ = ["KERNELS", "SuperResolution"]

KERNELS = ("binning", "bicubic", "gaussian")
_WIDEST = 64.0


class SuperResolution(Operator):
    """The image was made smaller by a whole factor.

    Parameters
    ----------
    factor : int
        How many times smaller each side became, 2 or more.
    kernel : {"binning", "bicubic", "gaussian"}
        ``"binning"`` averages squares of pixels, as a camera with larger pixels does;
        ``"bicubic"`` is the anti-aliased bicubic kernel of image programs; ``"gaussian"`` blurs
        with a Gaussian, as a microscope does, and bins then.
    sigma : float
        Standard deviation of that Gaussian in pixels of the larger image, above 0 .. 64; for
        ``"gaussian"`` only.

    Raises
    ------
    SettingsError
        If factor or kernel are none of these.
    """

    def __init__(
        self,
        factor: int,
        *,
        kernel: Literal["binning", "bicubic", "gaussian"] = "binning",
        sigma: float = 1.0,
    ) -> None:
        super().__init__()
        if factor < 2 or int(factor) != factor:
            raise SettingsError(
                f"Got a factor of {factor}; wanted a whole number from 2 up. Choose 2, 4, 8 or 16."
            )
        if kernel not in KERNELS:
            raise SettingsError(
                f"Got the kernel {kernel!r}; wanted one of {', '.join(KERNELS)}. Choose binning."
            )
        if kernel == "gaussian" and not 0 < sigma <= _WIDEST:
            raise SettingsError(
                f"Got a sigma of {sigma}; wanted above 0 to {_WIDEST} pixels of the larger image. "
                "Choose binning where nothing is known of the blur."
            )
        self.factor = int(factor)
        self.kernel = kernel
        self.sigma = float(sigma)
        self._matrices: dict[tuple[int, str], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Make images (B, C, H, W) smaller: (B, C, H / factor, W / factor)."""
        _, height, width = self.output_shape((x.shape[1], x.shape[2], x.shape[3]))
        if self.kernel == "binning":
            return F.avg_pool2d(x, self.factor)
        return self._rows(height, x) @ x @ self._rows(width, x).T

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return (C, H / factor, W / factor)."""
        channels, height, width = shape
        if height % self.factor or width % self.factor:
            raise ImageError(
                f"Got images of {height}x{width} px; wanted sides that {self.factor} divides. "
                f"Crop to {height // self.factor * self.factor}x"
                f"{width // self.factor * self.factor} px."
            )
        return channels, height // self.factor, width // self.factor

    def adjoint(self, y: Tensor) -> Tensor:
        """Spread every small pixel over those it was made of."""
        if self.kernel == "binning":
            spread = y.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
            return spread / self.factor**2
        return self._rows(y.shape[2], y).T @ y @ self._rows(y.shape[3], y)

    def _rows(self, n_out: int, like: Tensor) -> Tensor:
        """Matrix (n_out, n_out * factor) of the one-dimensional kernel."""
        key = (n_out, str(like.device))
        if key not in self._matrices:
            n_in = n_out * self.factor
            # making the unit matrix smaller along one axis yields the matrix of doing so
            if self.kernel == "gaussian":
                blurred = gaussian_filter1d(np.eye(n_in), self.sigma, axis=0, mode="reflect")
                binned = blurred.reshape(n_out, self.factor, n_in).mean(axis=1)
                matrix = torch.from_numpy(binned).float()[None, None]
            else:
                unit = torch.eye(n_in).reshape(1, 1, n_in, n_in)
                matrix = F.interpolate(
                    unit, size=(n_out, n_in), mode="bicubic", antialias=True, align_corners=False
                )
            self._matrices[key] = matrix[0, 0].to(like.device)
        return self._matrices[key].to(like.dtype)
