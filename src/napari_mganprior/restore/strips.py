"""What directions do to a picture, side by side."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.editing import Direction, check_strength
from napari_mganprior.errors import SettingsError
from napari_mganprior.restore.editor import Editor

__all__ = ["preview_row", "preview_strip"]


def preview_row(
    editor: Editor, direction: Direction, *, strength: float = 3.0, n: int = 5
) -> NDArray[np.uint8]:
    """Draw one direction at strengths from -s to s, side by side.

    Parameters
    ----------
    editor : Editor
        Whose picture is moved: the drawing of its middle window.
    direction : Direction
        Along which.
    strength : float
        The outermost, above 0 .. 100.
    n : int
        How many, odd, so that the middle one is not moved; 3 .. 101.

    Returns
    -------
    array of uint8
        (size, n * size) or (size, n * size, 3).
    """
    if not check_strength(strength) > 0 or n % 2 == 0 or not 3 <= n <= 101:
        raise SettingsError(
            f"Got a strip of {n} pictures up to the strength {strength}; wanted an odd number from "
            "3 to 101 and a strength above 0. Choose 5 and 3."
        )
    tiles = [editor.tile([(direction, float(s))]) for s in np.linspace(-strength, strength, n)]
    row: NDArray[np.uint8] = np.rint(np.concatenate(tiles, axis=1) * 255).astype(np.uint8)
    return row


def preview_strip(
    editor: Editor, directions: Sequence[Direction], *, strength: float = 3.0, n: int = 5
) -> Iterator[NDArray[np.uint8]]:
    """Draw directions one below the other, as `preview_row` draws one.

    Yields
    ------
    array of uint8
        One row a direction.
    """
    for direction in directions:
        yield preview_row(editor, direction, strength=strength, n=n)
