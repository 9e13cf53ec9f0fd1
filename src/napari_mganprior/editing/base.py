"""The contract of a direction: where codes go when a picture is edited. Numpy only."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.errors import DirectionError, SettingsError

__all__ = ["LARGEST_STRENGTH", "Direction", "check_strength"]

LARGEST_STRENGTH = 100.0
_SPACES = ("z", "w")


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """A direction in the space of codes.

    Law: a code c moved by the strength s is c + s * unit * vector.

    Attributes
    ----------
    name : str
        For people: "1", "2", .. for those found in the generator, else a file's or the user's.
    vector : array of float32
        (D,), of length 1; brought to it when made.
    space : {"z", "w"}
        Where codes are moved: in z, or in w, the space of styles.
    unit : float
        Distance that the strength 1 means, above 0: the standard deviation of random codes along
        the direction, so that strengths mean about the same for all.
    source : mapping
        How it came about, JSON-able; "kind" is "sefa", "pca", "boundary" or "groups".

    Raises
    ------
    DirectionError
        If the vector is no direction: of another shape, empty, not finite, or of length 0.
    """

    name: str
    vector: NDArray[np.float32]
    space: str = "z"
    unit: float = 1.0
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check, and bring to length 1."""
        object.__setattr__(self, "vector", _unit_vector(self.vector, self.name))
        if self.space not in _SPACES or not (math.isfinite(self.unit) and self.unit > 0):
            raise DirectionError(
                f"Got the direction {self.name!r} in the space {self.space!r} with the unit "
                f"{self.unit}; wanted {' or '.join(_SPACES)} and a number above 0. Correct it."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; the vector as base64 of little-endian float32."""
        return {
            "name": self.name,
            "space": self.space,
            "unit": float(self.unit),
            "source": dict(self.source),
            "vector": base64.b64encode(self.vector.astype("<f4").tobytes()).decode("ascii"),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Direction":
        """Read what `to_dict` wrote.

        Raises
        ------
        DirectionError
            If something is missing or damaged.
        """
        try:
            packed = base64.b64decode(str(raw["vector"]), validate=True)
            vector = np.frombuffer(packed, dtype="<f4").astype(np.float32)
            return cls(
                name=str(raw["name"]), vector=vector, space=str(raw["space"]),
                unit=float(raw["unit"]), source=dict(raw["source"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            if isinstance(error, DirectionError):
                raise
            raise DirectionError(
                f"Got a direction that cannot be read ({error!r}); wanted what napari-mganprior "
                "writes. Copy the whole recipe again."
            ) from error


def check_strength(strength: float) -> float:
    """Refuse a strength that is no number, or too large to mean anything.

    Raises
    ------
    SettingsError
        If it is not finite or beyond 100.
    """
    if isinstance(strength, bool) or not isinstance(strength, (int, float, np.number)):
        raise SettingsError(f"Got the strength {strength!r}; wanted a number. Choose 2, say.")
    if not abs(float(strength)) <= LARGEST_STRENGTH:
        raise SettingsError(
            f"Got the strength {strength}; wanted {-LARGEST_STRENGTH:.0f} to "
            f"{LARGEST_STRENGTH:.0f}. Choose -3 to 3, which stays near what the prior has seen."
        )
    return float(strength)


def _unit_vector(vector: ArrayLike, name: str) -> NDArray[np.float32]:
    raw = np.asarray(vector)
    flat = raw.reshape(-1) if raw.ndim == 1 or (raw.ndim == 2 and raw.shape[0] == 1) else None
    if flat is None or flat.size == 0 or flat.dtype.kind not in "iuf":
        raise DirectionError(
            f"Got the direction {name!r} of shape {raw.shape} and type {raw.dtype}; wanted numbers "
            "of shape (1, D), D being the length of a code. Choose another."
        )
    values = flat.astype(np.float64)
    length = float(np.linalg.norm(values))
    if not math.isfinite(length) or length == 0:
        raise DirectionError(
            f"Got the direction {name!r} of length {length}; wanted finite numbers that are not "
            "all 0. Choose another."
        )
    unit: NDArray[np.float32] = (values / length).astype(np.float32)
    unit.setflags(write=False)
    return unit
