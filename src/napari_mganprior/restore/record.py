"""The recipe: everything that is needed to repeat a result, as JSON-able values."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mganprior.arrays import network_dtype
from napari_mganprior.damage import DamageConfig, pack_mask
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore.result import sha256_of
from napari_mganprior.restore.tasks import recorded_options

__all__ = ["FORMAT", "SESSION_SETTINGS", "chained", "goes_on", "repeats", "write_recipe"]

FORMAT = 2
"""Of recipes; 1, of version 0.1.0's first development, had no mask and cannot be replayed."""


SESSION_SETTINGS = ("config", "seed", "zoom", "damage", "device")
"""What may differ between the sessions of one recipe."""


def write_recipe(
    *,
    task: str,
    prior: LoadedPrior,
    config: InversionConfig,
    quality: str | None,
    seed: int,
    zoom: float,
    device: torch.device,
    damage: DamageConfig,
    image: dict[str, Any],
    mask: NDArray[np.bool_],
    n_windows: int,
    sessions: Sequence[dict[str, Any]],
    seconds: float,
    result: NDArray[Any],
) -> dict[str, Any]:
    """Write down how a result came about.

    Parameters
    ----------
    task : str
        Name of the task.
    prior : LoadedPrior
        What drew.
    config : InversionConfig
        The settings of the search.
    quality : str or None
        The quality they belong to; None where they were given one by one.
    seed : int
        Where chance began.
    zoom : float
        The enlargement that was used.
    device : torch.device
        What computed.
    damage : DamageConfig
        What became of the mask.
    image : dict
        Dimensions, dtype and sha256 of the image.
    mask : array of bool
        The damage as it was marked.
    n_windows : int
        How many windows there were.
    sessions : sequence of dict
        "evaluations" and whether they were "complete" (False for a run that was stopped); several
        where a run was continued.
    seconds : float
        Time it took, without loading.
    result : array
        The restored image; its hash tells later whether a repetition is the same.
    """
    return {
        "format": FORMAT,
        "task": task,
        "prior": {"name": prior.card.name, "sha256": prior.sha256},
        "quality": quality,
        # "auto" means something else on another machine: what was used stands here
        "config": {
            **config.to_dict(),
            "precision": str(network_dtype(config.precision, device)).removeprefix("torch."),
        },
        "seed": seed,
        "zoom": float(zoom),
        "damage": damage.to_dict(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "napari-mganprior": _version("napari-mganprior"),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "image": image,
        "mask": {
            "sha256": sha256_of(mask),
            "damaged_pixels": int(mask.sum()),
            "dimensions": list(mask.shape),
            "packed": pack_mask(mask),
        },
        "result": {"sha256": sha256_of(result)},
        "n_windows": n_windows,
        "sessions": list(sessions),
        "evaluations": sum(session["evaluations"] for session in sessions),
        "seconds": round(seconds, 3),
    }


def goes_on(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Say whether a run goes on from an earlier one: same task, image, damage and prior.

    Parameters
    ----------
    before, now : mapping
        Recipes; what one of them does not say is taken to be the same.
    """
    same = all(
        before.get(part, {}).get("sha256", now[part]["sha256"]) == now[part]["sha256"]
        for part in ("image", "mask", "prior")
    )
    return same and before.get("task", now["task"]) == now["task"]


def chained(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the sessions of a run that went on from another.

    Parameters
    ----------
    before, now : mapping
        The recipes of both.

    Returns
    -------
    list of dict
        The sessions of both. Those that were made with other settings than the last say so under
        "settings", so that each can be repeated as it was.
    """
    sessions = []
    for session in before.get("sessions", ()):
        made_with = {key: before[key] for key in SESSION_SETTINGS if key in before}
        made_with |= session.get("settings", {})
        other = {key: value for key, value in made_with.items() if value != now[key]}
        counts = {key: session[key] for key in ("evaluations", "complete")}
        sessions.append({**counts, "settings": other} if other else counts)
    return [*sessions, *now["sessions"]]


def repeats(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Say whether a run that went on from an earlier one can be repeated from its recipe.

    Not if the earlier one cannot, or if the task was told something else then: a recipe holds one
    set of options for all its sessions.

    Parameters
    ----------
    before, now : mapping
        Recipes; without a task, the earlier one says nothing of its options.
    """
    if not before.get("repeatable", True):
        return False
    return "task" not in before or recorded_options(before) == recorded_options(now)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
