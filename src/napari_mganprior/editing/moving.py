"""Codes moved along directions, all codes of a picture alike."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from napari_mganprior.editing.base import Direction, check_strength
from napari_mganprior.errors import DirectionError
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.style import StyleGenerator
from napari_mganprior.inversion.codes import Codes, normalised

__all__ = ["check_direction", "move", "to_direction_space"]

Moves = Iterable[tuple[Direction, float]]


def move(generator: SplitGenerator, codes: Codes, moves: Moves) -> tuple[SplitGenerator, Codes]:
    """Move all codes of every picture along directions.

    Codes in z are brought back to their sphere when they are drawn, so that a large strength
    turns them towards the direction instead of leading away from what was trained on. Importances
    stay as they are.

    Parameters
    ----------
    generator : SplitGenerator
        For codes of the space that ``codes`` are in (`SplitGenerator.in_space`).
    codes : Codes
        z (B, N, D).
    moves : iterable of (Direction, float)
        Directions and strengths.

    Returns
    -------
    SplitGenerator
        For the codes' space, which is w where styles are moved.
    Codes
        Moved; with the strengths 0 they draw what they drew before.

    Raises
    ------
    DirectionError
        If a direction is of another dimension or space than the codes.
    SettingsError
        If a strength is out of range.
    """
    shifts: dict[str, Tensor] = {}
    for direction, strength in moves:
        distance = check_strength(strength) * direction.unit
        step = torch.from_numpy(direction.vector.copy()).to(codes.z.device) * distance
        known = shifts.get(direction.space)
        if known is not None and known.shape != step.shape:
            raise _misfit(direction, len(known))
        shifts[direction.space] = step if known is None else known + step
        check_direction(generator, direction)
    codes = normalised(generator, codes)
    if "z" in shifts:
        codes = _shifted(codes, shifts["z"])
    if "w" in shifts:
        generator, codes = to_direction_space(generator, codes)
        step = shifts["w"]
        if generator.code_space == "w+":
            step = step.repeat(codes.z.shape[2] // len(step))
        codes = _shifted(codes, step)
    return generator, codes


def to_direction_space(generator: SplitGenerator, codes: Codes) -> tuple[SplitGenerator, Codes]:
    """Map codes in z to the styles they stand for, where there are styles; others stay.

    Law: what is drawn stays the same.
    """
    if not isinstance(generator, StyleGenerator) or generator.code_space != "z":
        return generator, codes
    return generator.in_space("w"), _styles(generator, normalised(generator, codes))


def _styles(generator: StyleGenerator, codes: Codes) -> Codes:
    batch, n_codes, length = codes.z.shape
    styles = generator.styles_of(codes.z.reshape(batch * n_codes, length))[:, 0]
    early = None if codes.early is None else _styles(generator, codes.early)
    return replace(codes, z=styles.reshape(batch, n_codes, generator.style_dim), early=early)


def _shifted(codes: Codes, step: Tensor) -> Codes:
    """Add a step to every code, those composed at shallower cuts as well."""
    early = None if codes.early is None else _shifted(codes.early, step)
    return replace(codes, z=codes.z + step, early=early)


def check_direction(generator: SplitGenerator, direction: Direction) -> None:
    """Check that a direction is one for codes of a generator's space.

    Raises
    ------
    DirectionError
        If it is of another dimension or space.
    """
    if direction.space == "z" and generator.code_space != "z":
        raise DirectionError(
            f"Got the direction {direction.name!r} for codes in z, and codes in "
            f"{generator.code_space}; wanted both in the same space. Choose a direction made for "
            "w, or invert with code_space='z'."
        )
    if direction.space not in generator.code_spaces:
        raise DirectionError(
            f"Got the direction {direction.name!r} for codes in {direction.space} and a generator "
            f"of architecture {generator.architecture!r}, which has codes in "
            f"{', '.join(generator.code_spaces)}; wanted one made for it. Choose another."
        )
    wanted = generator.in_space(direction.space).code_dim
    if len(direction.vector) != wanted:
        raise _misfit(direction, wanted)


def _misfit(direction: Direction, wanted: int) -> DirectionError:
    return DirectionError(
        f"Got the direction {direction.name!r} of {len(direction.vector)} numbers for codes of "
        f"{wanted}; wanted as many. Choose a direction that was made for this prior."
    )
