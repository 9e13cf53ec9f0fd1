"""What a restoration yields on its way and returns at its end. Numpy only."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Restoration", "RestoreStep", "WindowCodes", "sha256_of"]


@dataclass(frozen=True, slots=True)
class RestoreStep:
    """How far a restoration is.

    Attributes
    ----------
    index, n_steps : int
        Evaluations done and at the most; windows that end early make the index jump.
    loss : float
        Mean squared error of the current window over measured pixels, generator's range.
    window, n_windows : int
        Number of the current window, from 1, and how many there are.
    plane, n_planes : int
        Number of the current plane, from 1, and how many there are; 1 of 1 for one image.
    """

    index: int
    n_steps: int
    loss: float
    window: int
    n_windows: int
    plane: int = 1
    n_planes: int = 1


@dataclass(frozen=True, slots=True)
class WindowCodes:
    """The codes found for one window, to begin another search with.

    Attributes
    ----------
    top, left : int
        Where the window is, in the prior's pixels.
    layer : int
        The cut they belong to.
    z : array of float32
        Latent codes, (R, N, D).
    alpha : array of float32
        Channel importances, (R, N, C_l).
    plane : int
        Number of the plane in a series, from 0.
    beta : array of float32 or None
        Layer importances of a style generator, (R, N, M).
    noise : array of float32 or None
        Noise inputs above the cut, (R, P), where they were searched.
    code_space : str
        Where ``z`` lives.
    method : str
        By which they were found.
    offset : array of float32 or None
        What is added to the composed map, (R, C_l, H_l, W_l): as many numbers as the map has, so
        such codes take much room.
    early : WindowCodes or None
        Codes composed at a shallower cut, whose drawing is one more map here: the last row of
        alpha and beta.
    """

    top: int
    left: int
    layer: int
    z: NDArray[np.float32]
    alpha: NDArray[np.float32]
    plane: int = 0
    beta: NDArray[np.float32] | None = None
    noise: NDArray[np.float32] | None = None
    code_space: str = "z"
    method: str = "multi-code"
    offset: NDArray[np.float32] | None = None
    early: "WindowCodes | None" = None


@dataclass(frozen=True)
class Restoration:
    """A restored image and everything needed to judge, repeat and continue it.

    Attributes
    ----------
    image : array
        Of the input's dtype, and its shape but for tasks that enlarge. After inpainting, pixels
        outside `invented` are bit-identical; other tasks say in the recipe what they replace.
    invented : array of bool
        Pixels of which nothing was measured and that the prior filled, (H, W); (P, H, W) for a
        series of planes.
    uncertainty : array of float32
        Standard deviation over restarts, shape of `invented`, in the image's units; 0 where
        nothing was drawn.
    history : tuple of float
        The loss after every evaluation.
    recipe : dict
        JSON-able: task, prior and its sha256, config, seed, zoom, device, versions, hashes, mask.
    residual : array of float32
        What the prior drew minus what was measured, shape of the input, in its units; 0 where
        nothing was measured or nothing drawn. Where it is large, the prior does not know what it
        sees.
    codes : tuple of WindowCodes
        What was found, for a search that begins here.
    estimated : array of bool or None
        Pixels that were measured, and that the prior drew anew nevertheless, shape of `invented`:
        all of them in tasks other than inpainting.
    average, best : array or None
        Of `image`'s shape and dtype: of each window the mean over its restarts, or the restart
        that explains best what was measured. `image` is one of them.
    """

    image: NDArray[Any]
    invented: NDArray[np.bool_]
    uncertainty: NDArray[np.float32]
    history: tuple[float, ...]
    recipe: dict[str, Any] = field(default_factory=dict)
    residual: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    codes: tuple[WindowCodes, ...] = ()
    estimated: NDArray[np.bool_] | None = None
    average: NDArray[Any] | None = None
    best: NDArray[Any] | None = None

    def of_plane(self, plane: int, sha256: str) -> "Restoration":
        """Cut one plane out of a series, as a start for that plane.

        Parameters
        ----------
        plane : int
            Its number, from 0.
        sha256 : str
            Of the plane before it was restored.
        """
        return Restoration(
            image=self.image[plane],
            invented=self.invented[plane],
            uncertainty=self.uncertainty[plane],
            history=(),
            recipe={"image": {"sha256": sha256}, "sessions": []},
            residual=self.residual[plane],
            estimated=None if self.estimated is None else self.estimated[plane],
            average=None if self.average is None else self.average[plane],
            best=None if self.best is None else self.best[plane],
            codes=tuple(replace(c, plane=0) for c in self.codes if c.plane == plane),
        )


def sha256_of(array: NDArray[Any]) -> str:
    """Hash the values of an array, row after row."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
