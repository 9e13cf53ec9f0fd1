"""Architecture files: JSON that describes a network; docs/architecture-files.md says how."""

import json
from pathlib import Path
from typing import Any

from napari_mganprior.errors import PriorError

__all__ = ["read_description"]

_LONGEST = 1024**2  # bytes


def read_description(path: Path) -> Any:
    """Read an architecture file; what is in it is checked when the network is built.

    Parameters
    ----------
    path : Path
        A JSON file of 1 MiB at most.

    Raises
    ------
    PriorError
        If it cannot be read, is too long, or is no JSON.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise ValueError("too long")
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PriorError(
            f"Could not read the architecture file {path} ({error}); wanted a JSON file. Correct "
            "it, or choose another."
        ) from error
