"""A direction learnt from two groups of codes: "like these", "like those".

Linear discriminant analysis with the covariance shrunk as in Ledoit, Wolf, "A well-conditioned
estimator for large-dimensional covariance matrices", Journal of Multivariate Analysis 88, 2004,
https://doi.org/10.1016/S0047-259X(03)00096-4. With few examples it is nearly the difference of
the groups' means, with many it is the plane that separates them.
"""

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.editing.base import Direction
from napari_mganprior.errors import DirectionError
from napari_mganprior.inversion.config import InversionConfig

__all__ = ["LEAST_EXAMPLES", "example_config", "learn_direction"]

LEAST_EXAMPLES = 2


def example_config(space: str) -> InversionConfig:
    """Return the settings that examples are inverted with: one code, cut where codes come in.

    Parameters
    ----------
    space : str
        Where codes are moved, `SplitGenerator.direction_space` of the prior.
    """
    return InversionConfig(
        layer=0, fine_layer=0, n_codes=1, n_restarts=2, n_candidates=25, n_steps=40, held_out=0.0,
        code_space=space,
    )  # fmt: skip


def learn_direction(
    like: NDArray[np.floating],
    unlike: NDArray[np.floating],
    *,
    name: str = "learnt",
    space: str = "z",
    unit: float = 1.0,
) -> Direction:
    """Learn the direction that leads from one group of codes to another.

    Parameters
    ----------
    like, unlike : array
        One code an example, (n, D) and (m, D), at least 2 each; positive strengths lead to
        ``like``.
    name : str
        Of the direction.
    space : {"z", "w"}
        Where the codes live.
    unit : float
        As in `Direction`.

    Returns
    -------
    Direction
        Its source says how many examples there were, and how many of them are told apart by a
        direction learnt from the others ("left_out_right").

    Raises
    ------
    DirectionError
        If a group has fewer than two examples, or both are the same.
    """
    for group, label in ((like, "like these"), (unlike, "like those")):
        if len(group) < LEAST_EXAMPLES:
            raise DirectionError(
                f"Got {len(group)} example{'s' * (len(group) != 1)} in the group '{label}'; wanted "
                f"at least {LEAST_EXAMPLES}. Add more layers or crops to it."
            )
    if like.ndim != 2 or unlike.ndim != 2 or like.shape[1] != unlike.shape[1]:
        raise DirectionError(
            f"Got codes of shapes {like.shape} and {unlike.shape}; wanted (examples, D) with the "
            "same D. Invert both groups with the same prior."
        )
    first, second = np.asarray(like, np.float64), np.asarray(unlike, np.float64)
    normal, _ = _plane(first, second)
    if not np.linalg.norm(normal) > 0:
        raise DirectionError(
            "Got two groups with the same codes; wanted groups that differ. Choose other examples."
        )
    right = sum(
        _side(np.delete(first, i, axis=0), second, first[i]) > 0 for i in range(len(first))
    ) + sum(_side(first, np.delete(second, i, axis=0), second[i]) < 0 for i in range(len(second)))
    return Direction(
        name=name,
        vector=normal.astype(np.float32),
        space=space,
        unit=unit,
        source={
            "kind": "groups",
            "examples": [len(first), len(second)],
            "left_out_right": int(right),
        },
    )


def _side(
    first: NDArray[np.float64], second: NDArray[np.float64], code: NDArray[np.float64]
) -> float:
    """Say on which side of the plane between two groups a code lies: above 0 is the first's."""
    normal, middle = _plane(first, second)
    return float((code - middle) @ normal)


def _plane(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the normal of the separating plane and a point of it."""
    means = first.mean(axis=0), second.mean(axis=0)
    within = np.concatenate([first - means[0], second - means[1]])
    difference = means[0] - means[1]
    normal: NDArray[np.float64] = np.linalg.solve(_shrunk(within), difference)
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal, (means[0] + means[1]) / 2


def _shrunk(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mix the covariance of centred rows (n, D) with a multiple of the identity; never singular."""
    n, dim = centred.shape
    covariance = centred.T @ centred / n
    mean = float(np.trace(covariance)) / dim
    if not mean > 0:  # all examples of a group alike
        return np.eye(dim)
    distance = float(np.sum(covariance**2)) / dim - mean**2
    # mean over rows of |x x' - S|^2, without making n matrices
    spread = float(np.sum((centred**2).sum(axis=1) ** 2)) / n - float(np.sum(covariance**2))
    spread = spread / (n * dim)
    share = 1.0 if distance <= 0 else float(np.clip(spread / distance, 0.05, 1.0))
    mixed: NDArray[np.float64] = (1 - share) * covariance + share * mean * np.eye(dim)
    return mixed
