"""Deep Image Prior on the benchmark's cases, by the engine's own loop."""

from typing import Any

from cases import Case

__all__ = ["deep_image_prior_of"]


def deep_image_prior_of(case: Case, seed: int) -> tuple[Any, float]:
    """Fit an untrained network to a case; returns the picture in [-1, 1] and CPU seconds."""
    raise NotImplementedError
