"""What a prior says of itself, stored as JSON in the header of its file."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from napari_mganprior.errors import PriorError

__all__ = ["WHAT_TO_DO", "PriorCard"]

WHAT_TO_DO = "Choose a .safetensors file made by `napari-mganprior`, or install it again."
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorCard:
    """What a prior is, stored in the header of its file.

    Attributes
    ----------
    name : str
        Short name, as shown in lists.
    architecture : str
        Name of the network family, ``"pggan"``, ``"stylegan"``, ``"stylegan2"``.
    generator, discriminator : dict
        Keywords that build the networks again; an empty dict means there is none.
    domain : str
        What the images show, in words.
    value_range : tuple of float
        Range of the generator's images.
    pixel_normalisation : dict
        How pixel values were mapped to that range: ``{"kind": "percentile", "low": 1.0,
        "high": 99.8}``, percentiles in per cent of a whole image's pixels.
    pixel_size : str
        Scale at which the training images were taken, in words.
    training : dict
        Data, images seen, seed, settings and measured distances.
    licence : str
        Under which the weights may be used.
    encoder : dict
        Keywords that build the encoder again; an empty dict means there is none.
    """

    name: str
    architecture: str
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    domain: str
    value_range: tuple[float, float] = (-1.0, 1.0)
    pixel_normalisation: dict[str, Any] = field(
        default_factory=lambda: {"kind": "percentile", "low": 1.0, "high": 99.8}
    )
    pixel_size: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    encoder: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write the card as JSON; without an encoder as it was before there were any."""
        raw = {"format": _FORMAT, **asdict(self)}
        if not self.encoder:
            del raw["encoder"]
        return json.dumps(raw, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "PriorCard":
        """Read a card from JSON.

        Parameters
        ----------
        text : str
            What `to_json` wrote.
        source : str
            Where it came from, for messages.

        Raises
        ------
        PriorError
            If the text is not such a card.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PriorError(
                f"Got a broken header in {source}; wanted JSON. {WHAT_TO_DO}"
            ) from error
        known = {f.name: f for f in fields(cls)}
        required = {"name", "architecture", "generator", "discriminator", "domain"}
        if not isinstance(raw, dict) or not required <= raw.keys():
            raise PriorError(
                f"Got a header in {source} without {sorted(required)}; wanted all of them. "
                f"{WHAT_TO_DO}"
            )
        if raw.pop("format", None) != _FORMAT:
            raise PriorError(
                f"Got {source} in another format version; wanted format {_FORMAT}. "
                "Update napari-mganprior, or install the prior again."
            )
        unknown = raw.keys() - known.keys()
        if unknown:
            raise PriorError(
                f"Got unknown entries {sorted(unknown)} in the header of {source}; wanted only "
                f"{sorted(known)}. Update napari-mganprior, or install the prior again."
            )
        wrong = sorted(key for key, value in raw.items() if not _fits(key, value))
        if wrong:
            raise PriorError(
                f"Got entries {wrong} of the wrong type in the header of {source}; wanted text, "
                f"numbers and tables as in the documentation of PriorCard. {WHAT_TO_DO}"
            )
        low, high = raw.get("value_range", (-1.0, 1.0))
        return cls(**{**raw, "value_range": (float(low), float(high))})


def _fits(key: str, value: Any) -> bool:
    """Whether a value of a card has the type its entry needs."""
    if key in ("generator", "discriminator", "encoder", "training"):
        return isinstance(value, dict)
    if key == "value_range":
        return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
    if key == "pixel_normalisation":
        return isinstance(value, dict) and all(
            _is_number(value.get(end)) and 0 <= value[end] <= 100 for end in ("low", "high")
        )
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    # a comparison, since JSON's whole numbers can be too long for a float
    return isinstance(value, int | float) and -1e30 < value < 1e30
