"""How a reader says no: one line that says what was got, what was wanted and what to do."""

from typing import Any

from napari_mganprior.errors import ImportRefused

__all__ = ["DAMAGED", "UNSAFE", "refusal", "shown"]

DAMAGED = "Download the file again, or ask its author for another copy."
UNSAFE = "Do not open the file elsewhere; ask its author for a .safetensors file."


def refusal(source: str, got: str, *, wanted: str, todo: str = DAMAGED) -> ImportRefused:
    """Make the error for a file.

    Parameters
    ----------
    source : str
        Name of the file.
    got : str
        What is wrong with it, to go on after "which".
    wanted : str
        What it should have been.
    todo : str
        What the user can do.
    """
    return ImportRefused(f"Got {source}, which {got}; wanted {wanted}. {todo}")


def shown(value: Any, most: int = 60) -> str:
    """Show text of a stranger in a message: quoted, on one line, cut off.

    >>> shown("evil" * 100, most=5)
    "'evile...'"
    """
    text = value if isinstance(value, str) else str(value)
    return ascii(text if len(text) <= most else f"{text[:most]}...")
