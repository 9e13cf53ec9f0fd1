"""The form's last settings, kept from one session to the next."""

import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from napari_mganprior.errors import MGANPriorError

__all__ = ["Recall", "Remember", "recall_form", "remember_form"]

Remember = Callable[[Mapping[str, Any]], None]
Recall = Callable[[], Mapping[str, Any]]

_log = logging.getLogger(__name__)
_TASK = "inpaint"


def remember_form(form: Mapping[str, Any]) -> None:
    """Keep the settings of a form; a disk that is full must not stop a run."""
    settings = _settings()
    if settings is None:
        return
    try:
        settings.remember(_TASK, dict(form))
    except (MGANPriorError, OSError) as error:
        _log.warning("The form's settings were not kept: %s", error)


def recall_form() -> Mapping[str, Any]:
    """Return the settings that were kept last; nothing if there are none."""
    settings = _settings()
    if settings is None:
        return {}
    kept: Mapping[str, Any] = settings.recall(_TASK)
    return kept


def _settings() -> Any:
    try:
        return importlib.import_module("napari_mganprior.settings")
    except ModuleNotFoundError:
        return None
