"""Settings of an inversion. This file imports no torch, so that forms can be built quickly."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from napari_mganprior.errors import SettingsError

__all__ = ["PRECISIONS", "QUALITIES", "InversionConfig", "preset"]

PRECISIONS = ("auto", "float32", "bfloat16")
QUALITIES = ("fast", "balanced", "best")


@dataclass(frozen=True, kw_only=True, slots=True)
class InversionConfig:
    """How codes are searched; checked when made, stored with every result.

    Attributes
    ----------
    layer : int
        Composing layer l: blocks of the generator below the cut, 0 or more.
    n_codes : int
        Codes N composed at the cut, 1 .. 64.
    n_restarts : int
        Independent searches of the same image, run as one batch, 1 or more.
    n_candidates : int
        Random starts tried for each restart; the best on the measured pixels begins.
    n_steps : int
        Evaluations of the generator at the most.
    feature_weight : float
        Weight of the distance between discriminator features, 0 or more. It is multiplied by
        the mean squared error's own scale, so 1 makes both terms alike.
    held_out : float
        Share of the measured pixels kept out of the loss to choose the best iterate by,
        0 .. 0.5; 0 chooses by the loss itself.
    patience : int
        A search ends after this many evaluations without gain.
    tolerance : float
        Smallest gain that counts, as a share of the best value.
    noise_level : float
        Standard deviation of the measurement's noise in the generator's units (range 2); a
        search ends when its error reaches it. 0 means noise-free.
    history : int
        Pairs that L-BFGS remembers.
    precision : {"auto", "float32", "bfloat16"}
        Numbers the networks compute in; codes, loss and optimiser stay in float32.
        ``"auto"`` takes bfloat16 where the device has instructions for it: 2-3 times faster,
        the same course of the loss.
    """

    layer: int = 5
    n_codes: int = 10
    n_restarts: int = 4
    n_candidates: int = 32
    n_steps: int = 100
    feature_weight: float = 0.0
    held_out: float = 0.05
    patience: int = 25
    tolerance: float = 0.002
    noise_level: float = 0.0
    history: int = 20
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range.
        """
        ranges: dict[str, tuple[float, float]] = {
            "layer": (0, 100),
            "n_codes": (1, 64),
            "n_restarts": (1, 64),
            "n_candidates": (1, 10_000),
            "n_steps": (1, 100_000),
            "feature_weight": (0, 1e6),
            "held_out": (0, 0.5),
            "patience": (1, 100_000),
            "tolerance": (0, 1),
            "noise_level": (0, 2),
            "history": (1, 200),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            kind = next(f.type for f in fields(self) if f.name == name)
            if isinstance(value, bool) or not isinstance(
                value, int if kind is int else (int, float)
            ):
                raise SettingsError(
                    f"Got {name} = {value!r}; wanted a number of type {kind}. Correct it."
                )
            if not low <= value <= high:
                raise SettingsError(
                    f"Got {name} = {value}; wanted {low} to {high}. Choose a number in between."
                )

        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"Got precision = {self.precision!r}; wanted one of {', '.join(PRECISIONS)}. "
                "Choose auto."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "InversionConfig":
        """Read settings that `to_dict` wrote.

        Raises
        ------
        SettingsError
            If a name is unknown or a number out of range.
        """
        known = sorted(f.name for f in fields(cls))
        unknown = sorted(raw.keys() - set(known))
        if unknown:
            raise SettingsError(
                f"Got unknown settings {unknown}; wanted only {known}. Remove them, or update "
                "napari-mganprior."
            )
        return cls(**raw)


def preset(quality: str) -> InversionConfig:
    """Return the settings of a quality for filling holes.

    Parameters
    ----------
    quality : {"fast", "balanced", "best"}
        How much time to spend.

    Raises
    ------
    SettingsError
        If there is no such quality.
    """
    presets = {
        "fast": InversionConfig(n_restarts=2, n_steps=40),
        "balanced": InversionConfig(n_restarts=4, n_steps=80),
        "best": InversionConfig(n_restarts=8, n_steps=120),
    }
    if quality not in presets:
        raise SettingsError(
            f"Got the quality {quality!r}; wanted one of {', '.join(QUALITIES)}. Choose balanced."
        )
    return presets[quality]
