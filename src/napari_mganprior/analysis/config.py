"""Settings of a layer study. This file imports no torch, so that forms can be built quickly."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.restore.tasks import find_task

__all__ = ["DAMAGES", "STUDIES", "StudyConfig"]

STUDIES = ("invert", "inpaint", "missing", "denoise", "super-resolve", "colorize")
"""What a study does at every cut; "missing" is inpainting of pixels lost at random."""

DAMAGES = {
    "invert": "nothing is damaged",
    "inpaint": "a square hole in the middle, a quarter of the side wide",
    "missing": "80 % of the pixels lost at random",
    "denoise": "Gaussian noise of 25/255 of the range",
    "super-resolve": "made smaller by the factor",
    "colorize": "colours taken out",
}
"""How a trial damages an image that is known to be good."""

_TASKS = {"missing": "inpaint", "super-resolve": "super_resolve"}  # as the rest calls them
_MOST_CODES = 64
_FACTORS = (2, 4, 8, 16)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """What a layer study tries; checked when made, stored with its result.

    Attributes
    ----------
    task : str
        One of `STUDIES`.
    cuts : tuple of int
        Composing layers to try, each once; empty tries all from 1 to the prior's last.
    codes : tuple of int
        Numbers of codes N to try, each once, 1 .. 64.
    n_restarts : int
        Independent searches of each combination, averaged, 1 .. 64.
    n_steps : int
        Evaluations of the generator for each combination at the most, 1 or more.
    trial : bool
        The image is good: a copy of it is damaged as `DAMAGES` says, and restored, and the image
        is the truth. Otherwise the image itself is restored.
    factor : {2, 4, 8, 16}
        For "super-resolve".
    """

    task: str = "invert"
    cuts: tuple[int, ...] = ()
    codes: tuple[int, ...] = (1, 5, 10, 20)
    n_restarts: int = 2
    n_steps: int = 60
    trial: bool = True
    factor: int = 4

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a setting is out of its range.
        """
        if self.task not in STUDIES:
            raise SettingsError(
                f"Got a study of {self.task!r}; wanted one of {', '.join(STUDIES)}. Choose invert."
            )
        if self.factor not in _FACTORS:
            raise SettingsError(
                f"Got a factor of {self.factor}; wanted one of "
                f"{', '.join(map(str, _FACTORS))}. Choose 4."
            )
        object.__setattr__(self, "cuts", _whole_numbers("cuts", self.cuts, 0, 100))
        object.__setattr__(self, "codes", _whole_numbers("codes", self.codes, 1, _MOST_CODES))
        if not self.codes:
            raise SettingsError("Got no numbers of codes; wanted one or more. Give 1 5 10 20.")
        self.search(0, 1)  # checks the rest

    @classmethod
    def of_quality(cls, quality: str | None, **settings: Any) -> "StudyConfig":
        """Search every combination as long as a task of a quality does.

        Parameters
        ----------
        quality : {"fast", "balanced", "best"} or None
            Whose number of restarts and of evaluations is taken; None takes those of the class.
        **settings
            As for the class; restarts and evaluations given here replace the quality's, None
            leaves them.

        Raises
        ------
        SettingsError
            If there is no such quality, or a setting is out of its range.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        config = cls(**given)
        if quality is None:
            return config
        plain = preset(quality)
        steps = find_task(_TASKS.get(config.task, config.task)).steps * plain.n_steps
        return replace(config, **{"n_restarts": plain.n_restarts, "n_steps": steps, **given})

    def search(self, cut: int, n_codes: int, *, held_out: float = 0.0) -> InversionConfig:
        """Return the settings of one combination's search.

        Parameters
        ----------
        cut : int
            Composing layer.
        n_codes : int
            How many codes.
        held_out : float
            Share of measured pixels kept out of the loss, 0 .. 0.5.
        """
        return InversionConfig(
            layer=cut,
            fine_layer=cut,
            n_codes=n_codes,
            n_restarts=self.n_restarts,
            n_steps=self.n_steps,
            held_out=held_out,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return {**asdict(self), "cuts": list(self.cuts), "codes": list(self.codes)}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "StudyConfig":
        """Read settings that `to_dict` wrote.

        Raises
        ------
        SettingsError
            If a name is unknown or a setting out of its range.
        """
        known = sorted(f.name for f in fields(cls))
        if unknown := sorted(raw.keys() - set(known)):
            raise SettingsError(
                f"Got unknown settings {unknown} of a study; wanted only {known}. Remove them, or "
                "update napari-mganprior."
            )
        return cls(**raw)


def _whole_numbers(name: str, values: Any, low: int, high: int) -> tuple[int, ...]:
    try:
        numbers = tuple(values)
    except TypeError:
        numbers = (values,)
    for number in numbers:
        whole = isinstance(number, int) and not isinstance(number, bool)
        if not whole or not low <= number <= high:
            raise SettingsError(
                f"Got {number!r} among the {name}; wanted whole numbers from {low} to {high}. "
                "Correct it."
            )
    if len(set(numbers)) != len(numbers):
        raise SettingsError(
            f"Got the {name} {', '.join(map(str, numbers))}; wanted each once. Leave out those "
            "that stand there twice."
        )
    return tuple(sorted(numbers))
