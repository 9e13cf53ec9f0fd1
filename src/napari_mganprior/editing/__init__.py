"""Codes moved: directions found, read or learnt, and the way from one picture to another.

The names are loaded when first used: what a direction is can be known without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_mganprior.editing.base import Direction, check_strength
from napari_mganprior.editing.boundaries import read_boundary, save_boundary

if TYPE_CHECKING:
    from napari_mganprior.editing.finding import find_directions, known_directions
    from napari_mganprior.editing.groups import learn_direction
    from napari_mganprior.editing.moving import check_direction, move
    from napari_mganprior.editing.paths import between, match

__all__ = [
    "Direction",
    "between",
    "check_direction",
    "check_strength",
    "find_directions",
    "known_directions",
    "learn_direction",
    "match",
    "move",
    "read_boundary",
    "save_boundary",
]

_WHERE = {
    "between": "paths",
    "check_direction": "moving",
    "find_directions": "finding",
    "known_directions": "finding",
    "learn_direction": "groups",
    "match": "paths",
    "move": "moving",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
