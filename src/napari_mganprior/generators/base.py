"""The contract of a generator that can be cut in two: x = G(z) = G2(G1(z))."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import SettingsError

__all__ = ["Dense", "Features", "SplitGenerator", "codes_on_sphere"]


@dataclass(frozen=True, slots=True)
class Features:
    """What a generator's head hands to its tail.

    Attributes
    ----------
    map : Tensor
        Feature maps at the cut, (B, C_l, H_l, W_l).
    styles : Tensor or None
        What the blocks above the cut still need besides the map: the styles of a
        style generator, (B, S, W); None where the map is all there is.
    image : Tensor or None
        The image so far, (B, C, H, W), where every size adds to it (StyleGAN2).
    noise : Tensor or None
        Noise inputs above the cut in place of the generator's own, (B, P), as
        `SplitGenerator.noise_above` orders them.
    """

    map: Tensor
    styles: Tensor | None = None
    image: Tensor | None = None
    noise: Tensor | None = None


class SplitGenerator(nn.Module, ABC):
    """A generator that can be cut after any of its blocks.

    Law: ``tail(head(z, k), k) == forward(z)`` for every ``k`` in ``0 .. n_layers``.

    Images are (B, image_channels, resolution, resolution) in [-1, 1].
    """

    architecture: str
    """Name under which a checkpoint names this class."""

    code_dim: int
    """Length D of one latent code, in the space `code_space`."""

    image_channels: int
    """1 for grey, 3 for RGB."""

    resolution: int
    """Height and width of the images, in pixels."""

    n_layers: int
    """Number of blocks; cuts are 0 (the code itself) .. n_layers."""

    code_spaces: tuple[str, ...] = ("z",)
    """Spaces in which codes may live."""

    code_space: str = "z"
    """The space in which `head` expects codes. In z they lie on a sphere (`code_radius`)."""

    direction_space: str = "z"
    """The space in which codes are moved when a picture is edited: w where there are styles."""

    @property
    def code_radius(self) -> float:
        """Length of a code: that of the codes it was trained on, sqrt(D) for N(0, 1)."""
        return float(self.code_dim**0.5)

    @abstractmethod
    def head(self, z: Tensor, layer: int) -> Features:
        """Draw features G1(z) at a cut.

        Parameters
        ----------
        z : Tensor
            Latent codes, (B, D).
        layer : int
            Number of blocks in the head, 0 .. n_layers.

        Returns
        -------
        Features
            Maps (B, C_l, H_l, W_l) and, for style generators, styles.
        """

    @abstractmethod
    def tail(self, features: Features, layer: int) -> Tensor:
        """Draw images G2(features) from a cut.

        Parameters
        ----------
        features : Features
            What `head` returned, or a mixture of it.
        layer : int
            The cut at which the features were taken, 0 .. n_layers.

        Returns
        -------
        Tensor
            Images, (B, image_channels, resolution, resolution), nominally in [-1, 1].
        """

    @abstractmethod
    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Shape (C_l, H_l, W_l) of the map at a cut."""

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the blocks between two cuts.

        Laws: ``tail(between(f, a, b), b) == tail(f, a)``, and ``head(z, b)`` is what lies between
        ``head(z, 0)`` and b. Architectures override this; one that does not cannot be searched at
        several cuts (`runs_between`).

        Parameters
        ----------
        features : Features
            What `head` returned at ``begin``, or a mixture of it.
        begin, end : int
            The cuts, 0 <= begin <= end <= n_layers.

        Raises
        ------
        SettingsError
            If this architecture has no such thing.
        """
        raise SettingsError(
            f"Got two cuts, {begin} and {end}, for a generator of architecture "
            f"{self.architecture!r}, which runs from a cut to the image only; wanted one cut. "
            "Choose the method multi-code."
        )

    @property
    def runs_between(self) -> bool:
        """Whether this architecture overrides `between`."""
        return type(self).between is not SplitGenerator.between

    @property
    def cuts(self) -> tuple[int, int]:
        """Where to cut for shapes and for thin damage.

        The first cuts whose maps are at least a quarter and half as high as the image; for holes
        of a PGGAN measured to be better than deeper or shallower ones.
        """
        heights = [self.feature_shape(layer)[1] for layer in range(1, self.n_layers + 1)]
        first, second = (
            next(
                (n for n, h in enumerate(heights, 1) if h * share >= self.resolution), self.n_layers
            )
            for share in (4, 2)
        )
        return first, second

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything needed to build this network again, as JSON-able keywords."""

    def fold_scales(self) -> None:
        """Turn run-time scales of the weights into plain weights, where there are any."""

    def in_space(self, space: str) -> "SplitGenerator":
        """Return this generator, sharing its weights, for codes of another space.

        Parameters
        ----------
        space : {"z", "w", "w+"}
            z: what the network was trained on. w: one style for all layers. w+: a style for
            each layer, one behind the other.

        Raises
        ------
        SettingsError
            If this architecture's codes cannot live there.
        """
        if space not in self.code_spaces:
            raise SettingsError(
                f"Got the code space {space!r} for a generator of architecture "
                f"{self.architecture!r}; wanted one of {', '.join(self.code_spaces)}. Choose z."
            )
        return self

    def n_mixed(self, layer: int) -> int:
        """Count what is mixed over the codes besides the map: styles above a cut, image so far.

        Architectures whose `head` returns styles or an image override this.
        """
        return 0

    def noise_above(self, layer: int) -> Tensor:
        """Return the noise inputs of the layers above a cut, one behind the other, (P,)."""
        return torch.zeros(0)

    def entry_weight(self) -> Tensor | None:
        """Return the linear map through which codes of `direction_space` come in, (M, D).

        One row a number that it makes. None where the architecture has no such map of its own.
        """
        return None

    def forward(self, z: Tensor) -> Tensor:
        """Draw images from codes (B, D)."""
        return self.tail(self.head(z, 0), 0)

    def sample_codes(
        self, n: int, *, rng: torch.Generator, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Draw codes: uniformly from the sphere of radius `code_radius`, or what it is mapped to.

        Parameters
        ----------
        n : int
            How many.
        rng : torch.Generator
            Source of randomness, on the CPU, so that every device sees the same codes.
        device : torch.device or str
            Where the codes are wanted.

        Returns
        -------
        Tensor
            Codes, (n, D), float32.
        """
        return codes_on_sphere(n, self.code_dim, rng, device, self.code_radius)


def codes_on_sphere(
    n: int,
    size: int,
    rng: torch.Generator,
    device: torch.device | str,
    radius: float | None = None,
) -> Tensor:
    """Draw codes (n, size) uniformly from the sphere of radius sqrt(size), or of another.

    They are drawn on the CPU first.
    """
    radius = size**0.5 if radius is None else radius
    z: Tensor = torch.randn(n, size, generator=rng)
    z = z * (radius / torch.linalg.vector_norm(z, dim=1, keepdim=True))
    codes: Tensor = z.to(device)
    return codes


class Dense(nn.Module):
    """A fully connected layer that computes in float32, since everything hangs on it."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def initialise(self, rng: torch.Generator, *, gain: float, bias: float = 0.0) -> None:
        """Draw the weights from N(0, gain^2 / n_in)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng).mul_(gain / sqrt(self.weight.shape[1]))
            self.bias.fill_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, n_in) into (B, n_out)."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.weight, self.bias)
