"""Every task as shell and forms see it: its description, and where its result lies. No torch."""

from collections.abc import Mapping
from typing import Any

from napari_mganprior.restore.tasks import (
    ADVANCED,
    PICKS,
    PLANES,
    TASKS,
    Option,
    TaskSpec,
    find_task,
    recorded_options,
)

__all__ = [
    "ADVANCED",
    "PICKS",
    "PLANES",
    "TASKS",
    "Option",
    "TaskSpec",
    "find_task",
    "noise_in_words",
    "overrides_in",
    "task_state",
]


def overrides_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take the settings that are given in place of a quality's own out of what a door was told.

    This is the one place where they come in, from the shell and from forms alike.

    Parameters
    ----------
    values : mapping
        By their names in `ADVANCED`; None, or nothing, leaves a setting to the quality.

    Examples
    --------
    >>> overrides_in({"n_codes": 5, "n_steps": None, "seed": 3})
    {'n_codes': 5}
    """
    names = [option.name for option in ADVANCED]
    return {name: values[name] for name in names if values.get(name) is not None}


def task_state(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's options and overrides, as a form's state has them.

    Parameters
    ----------
    recipe : mapping
        Of any task.

    Returns
    -------
    dict
        "options" and "overrides", each only where the recipe has some.
    """
    overrides, task = recipe.get("overrides"), recipe.get("task")
    parts: dict[str, Any] = {"overrides": dict(overrides) if isinstance(overrides, Mapping) else {}}
    if task in TASKS:
        parts["options"] = TASKS[task].counting(recorded_options(recipe))
    if recipe.get("codes_given"):  # which a recipe does not hold
        parts["codes given"] = recipe["codes_given"]
    return {name: part for name, part in parts.items() if part}


def noise_in_words(recipe: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what noise was removed.

    Parameters
    ----------
    recipe : mapping
        Of a `Restoration`.

    Returns
    -------
    tuple of str and bool
        Its numbers, and whether there are more, measured in each of several planes.

    Examples
    --------
    >>> numbers = {"given": {"level": None}, "used": {"model": "gaussian", "level": 12.0}}
    >>> noise_in_words({"noise": numbers})
    ('level 12', False)
    >>> noise_in_words({"noise": numbers, "planes": {}})
    ('', True)
    """
    noise = recipe.get("noise") or {}
    given, used = noise.get("given") or {}, dict(noise.get("used") or {})
    used.pop("model", None)
    known = {name: value for name, value in used.items() if value is not None}
    # of several planes the recipe has the numbers of one
    same = {
        name: value
        for name, value in known.items()
        if "planes" not in recipe or given.get(name) is not None
    }
    told = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in same.items())
    return told, len(same) < len(known)
