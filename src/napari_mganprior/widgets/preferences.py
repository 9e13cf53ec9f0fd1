"""The preferences, from napari's Preferences page where napari has one for plugins.

napari 0.9 and later make the page from ``configurations`` in our manifest and keep its values in
``napari-mganprior.yaml`` beside their own settings. Older napari pass the entry over; there the
JSON file of `napari_mganprior.settings` is all there is.
"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari import settings as napari_settings

from napari_mganprior.errors import StorageError
from napari_mganprior.runs import RunController
from napari_mganprior.settings import (
    Preferences,
    load_preferences,
    read_preferences,
    save_preferences,
)

__all__ = ["current_preferences", "engine_options", "obey"]

_PLUGIN = "napari-mganprior"
_SOURCE = "napari's Preferences"

_log = logging.getLogger(__name__)


def current_preferences() -> Preferences:
    """Return the preferences in force.

    What the page says is also written into the JSON file, where the shell and a run in a process
    of its own find it. A page that nobody has touched takes over what is in that file.
    """
    page = _find_page()
    stored = load_preferences()
    if page is None:
        return stored
    if not Path(page.config_path).exists():  # napari writes it at the first change
        if stored != Preferences():
            page.restoration.update(asdict(stored))
        return stored
    chosen = read_preferences(page.restoration.model_dump(), _SOURCE)
    if chosen != stored:
        try:
            save_preferences(chosen)
        except StorageError as error:
            _log.warning("The shell will not know these preferences: %s", error)
    return chosen


def engine_options(preferences: Preferences, device: str) -> dict[str, Any]:
    """Return the keywords of a `RunRequest` that preferences decide about.

    Parameters
    ----------
    preferences : Preferences
        Those in force.
    device : str
        What the form says; where it leaves the choice open ("auto"), the preferences choose.
    """
    return {
        "device": preferences.device if device == "auto" else device,
        "precision": preferences.precision,
    }


def obey(preferences: Preferences, controller: RunController) -> None:
    """Let the runs that a controller starts from now on happen as preferred."""
    controller.process_mode = preferences.process_mode
    controller.threads = preferences.threads


def _find_page() -> Any:
    get_plugin_settings = getattr(napari_settings, "get_plugin_settings", None)
    if get_plugin_settings is None:  # napari before 0.9
        return None
    try:
        page = get_plugin_settings(_PLUGIN)
    except (KeyError, ValueError, TypeError, OSError) as error:
        # The plugin is switched off, or the page of some plugin cannot be made.
        _log.warning("%s has no page of %s (%s)", _SOURCE, _PLUGIN, error)
        return None
    return page if page.config_path and hasattr(page, "restoration") else None
