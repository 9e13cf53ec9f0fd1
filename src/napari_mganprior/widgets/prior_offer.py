"""Tell every form that is open which priors there are now."""

from qtpy.QtWidgets import QApplication

__all__ = ["offer_everywhere"]


def offer_everywhere() -> None:
    """Let every open form offer the priors there are now, without a restart.

    A form takes part by having a method ``refresh_priors``.
    """
    for widget in QApplication.allWidgets():
        refresh = getattr(widget, "refresh_priors", None)
        if refresh is not None:
            refresh()
