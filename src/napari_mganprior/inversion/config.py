"""Settings of an inversion. This file imports no torch, so that forms can be built quickly."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from napari_mganprior.errors import SettingsError

__all__ = [
    "CODE_SPACES",
    "DATA_TERMS",
    "FEATURES",
    "METHODS",
    "NORMS",
    "PRECISIONS",
    "QUALITIES",
    "InversionConfig",
    "overridden",
    "preset",
]

PRECISIONS = ("auto", "float32", "bfloat16")
QUALITIES = ("fast", "balanced", "best")
CODE_SPACES = ("z", "w", "w+")
FEATURES = ("discriminator", "vgg16")
DATA_TERMS = ("mse", "poisson-gaussian")
NORMS = ("l1", "l2")
METHODS = (
    "multi-code",
    "single-code",
    "encoder",
    "encoder-optimised",
    "features",
    "pulse",
    "layer-by-layer",
    "multi-cut",
)
"""What is searched for; `inversion.spaces` says what each is and who described it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InversionConfig:
    """How codes are searched; checked when made, stored with every result.

    Attributes
    ----------
    layer : int
        Composing layer l: blocks of the generator below the cut, 0 or more.
    fine_layer : int
        The same for thin damage, which asks for detail rather than for shapes.
    fine_depth : float
        Damage is thin where no pixel lies further than this from a measured one, in pixels.
    n_codes : int
        Codes N composed at the cut, 1 .. 64.
    n_restarts : int
        Independent searches of the same image, run as one batch, 1 or more.
    n_candidates : int
        Random starts tried for each restart; the best on the measured pixels begins.
    n_steps : int
        Evaluations of the generator at the most.
    feature_weight : float
        Weight of the distance between inner maps of a network, 0 or more; each map is divided
        by its own variance.
    features : {"discriminator", "vgg16"}
        Which network: the prior's own discriminator, or VGG16 (relu3_3 and conv4_3), whose
        weights `fetch_weights` brings.
    data_term : {"mse", "poisson-gaussian"}
        How far the drawing is from what was measured: mean squared error, or the likelihood of
        noise whose variance grows with the drawing, for an operator that knows its noise.
    held_out : float
        Share of the measured pixels kept out of the loss to choose the best iterate by,
        0 .. 0.5; 0 chooses by the loss itself.
    context : float
        Distance in pixels over which the weight of measured pixels falls as they lie further
        from the damage, so that the codes explain what surrounds a hole first; 0 weighs all
        alike.
    reach : float
        Distance from measured pixels, in pixels, at which prior and smooth interpolation count
        half each; nearer, interpolation counts more, deeper in a hole the prior does. 0 relies
        on the prior everywhere.
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
    code_space : {"z", "w", "w+"}
        Where codes of style generators live: in z as they were trained, in w (one style for all
        layers) or in w+ (a style for each layer), which fits more and knows less. Other
        generators have z alone.
    optimise_noise : bool
        Whether the noise inputs above the cut are searched too, on a sphere as z is; for style
        generators. They fit fine detail of what was measured and add nothing where it was not.
    method : str
        One of `METHODS`.
    tune_steps : int
        Evaluations after the search in which a copy of the generator's blocks above the cut is
        fitted too, 0 or more. It fits what was measured better, noise included, and the prior
        knows less of what was not.
    tune_rate : float
        Learning rate of that, above 0 .. 1.
    ball : float
        For the method layer-by-layer: how far a map may leave what the search below it drew, as a
        share of that map's own length, 0.001 .. 10.
    ball_norm : {"l1", "l2"}
        The length that is meant.
    map_weight : float
        For the method features: weight of the squared distance, in standard deviations, of the
        map from what the generator draws, 0 or more.
    """

    layer: int = 5
    fine_layer: int = 7
    fine_depth: float = 4.0
    n_codes: int = 10
    n_restarts: int = 4
    n_candidates: int = 4
    n_steps: int = 100
    feature_weight: float = 0.0
    features: str = "discriminator"
    data_term: str = "mse"
    held_out: float = 0.05
    context: float = 4.0
    reach: float = 2.0
    patience: int = 25
    tolerance: float = 0.002
    noise_level: float = 0.0
    history: int = 20
    precision: str = "auto"
    code_space: str = "z"
    optimise_noise: bool = False
    method: str = "multi-code"
    tune_steps: int = 0
    tune_rate: float = 1e-3
    ball: float = 0.3
    ball_norm: str = "l2"
    map_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range.
        """
        ranges: dict[str, tuple[float, float]] = {
            "layer": (0, 100),
            "fine_layer": (0, 100),
            "fine_depth": (0, 1_000),
            "context": (0, 1_000),
            "reach": (0, 1_000),
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
            "tune_steps": (0, 100_000),
            "tune_rate": (1e-8, 1),
            "ball": (1e-3, 10),
            "map_weight": (0, 1e6),
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

        names = {
            "precision": PRECISIONS,
            "code_space": CODE_SPACES,
            "features": FEATURES,
            "data_term": DATA_TERMS,
            "method": METHODS,
            "ball_norm": NORMS,
        }
        for name, choices in names.items():
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"Got {name} = {getattr(self, name)!r}; wanted one of {', '.join(choices)}. "
                    f"Choose {choices[0]}."
                )
        if not isinstance(self.optimise_noise, bool):
            raise SettingsError(
                f"Got optimise_noise = {self.optimise_noise!r}; wanted True or False. Choose False."
            )

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the generator at the most, the fitting of its copy included."""
        return (1 if self.method == "encoder" else self.n_steps) + self.tune_steps

    def smaller(self) -> "InversionConfig":
        """Return settings that take less memory: half the restarts, or else half the codes.

        Where there is one of each, nothing is left to save: the same settings.
        """
        if self.n_restarts > 1:
            return replace(self, n_restarts=(self.n_restarts + 1) // 2)
        return replace(self, n_codes=(self.n_codes + 1) // 2)

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


def overridden(config: InversionConfig, overrides: Mapping[str, Any]) -> InversionConfig:
    """Put single settings in place of those of a quality.

    Parameters
    ----------
    config : InversionConfig
        The quality's.
    overrides : mapping
        Names of settings, and their values. A ``layer`` alone is meant for thin damage too.

    Raises
    ------
    SettingsError
        If a name is unknown, a value out of range, or features are chosen that have no weight.
    """
    changed = dict(overrides)
    if "layer" in changed:
        changed.setdefault("fine_layer", changed["layer"])
    chosen = InversionConfig.from_dict({**config.to_dict(), **changed})
    if "features" in overrides and chosen.feature_weight == 0:
        raise SettingsError(
            f"Got features {chosen.features!r} of no weight; wanted a weight above 0. Give "
            "feature_weight too (--feature-weight 0.1), or leave features out."
        )
    return chosen


def preset(quality: str, cuts: tuple[int, int] = (5, 7)) -> InversionConfig:
    """Return the settings of a quality for filling holes.

    Parameters
    ----------
    quality : {"fast", "balanced", "best"}
        How much time to spend.
    cuts : tuple of int
        Where to cut the prior for shapes and for thin damage, as `SplitGenerator.cuts` says; by
        default those of a PGGAN of 64 px.

    Raises
    ------
    SettingsError
        If there is no such quality.
    """
    effort: dict[str, tuple[int, int, int]] = {  # restarts, codes, evaluations
        "fast": (2, 10, 30),
        "balanced": (4, 10, 50),
        "best": (8, 20, 80),
    }
    if quality not in effort:
        raise SettingsError(
            f"Got the quality {quality!r}; wanted one of {', '.join(QUALITIES)}. Choose balanced."
        )
    n_restarts, n_codes, n_steps = effort[quality]
    return InversionConfig(
        layer=cuts[0],
        fine_layer=cuts[1],
        n_restarts=n_restarts,
        n_codes=n_codes,
        n_steps=n_steps,
    )
