"""File > Open Sample: pictures with known damage."""

from typing import Any

from napari_mganprior.samples import load_sample

__all__ = ["open_bubble", "open_scratch"]


def open_scratch() -> list[tuple[Any, dict[str, Any], str]]:
    """Return nuclei with scratches, and the labels that mark them."""
    return _open("nuclei_scratch", "scratched nuclei", "scratches")


def open_bubble() -> list[tuple[Any, dict[str, Any], str]]:
    """Return nuclei with bubbles over them, and the labels that mark them."""
    return _open("nuclei_bubble", "bubbled nuclei", "bubbles")


def _open(key: str, name: str, damage: str) -> list[tuple[Any, dict[str, Any], str]]:
    sample = load_sample(key)
    brightest = int(sample.truth.max())  # the damage is brighter, and would make the rest dark
    return [
        (sample.damaged, {"name": name, "contrast_limits": (0, brightest)}, "image"),
        (sample.mask.astype("uint8"), {"name": damage, "opacity": 0.4}, "labels"),
    ]
