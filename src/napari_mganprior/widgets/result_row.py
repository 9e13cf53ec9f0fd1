"""What can be done with a result: compare, go on, see its recipe, take over its settings."""

from collections.abc import Mapping
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_mganprior.runs.recipe import form_state
from napari_mganprior.widgets.blink import BlinkButton
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.recipe_view import RecipeDialog, find_recipe

__all__ = ["ResultRow", "tell_loaded"]

_CLOSE_ENOUGH = 0.01  # a factor is shown with two digits


class ResultRow(QWidget):
    """Buttons for the active result, or the latest where none is active.

    Parameters
    ----------
    viewer : ViewerModel
        Where the results are.
    topic : str
        What the link "What is this?" explains.

    Attributes
    ----------
    blink : BlinkButton
        Before and after.
    continue_button, recipe_button, load_button : QPushButton
        Go on; show the recipe; take over the settings.
    dialog : RecipeDialog or None
        The recipe that was shown last, while it is open.
    load_requested : Signal
        With a form's state, made from the recipe, and the name of the layer.
    """

    load_requested = Signal(object, str)

    def __init__(self, viewer: ViewerModel, topic: str = "trusting-a-result") -> None:
        super().__init__()
        self._viewer = viewer
        self.dialog: RecipeDialog | None = None
        self.blink = BlinkButton(viewer)
        self.continue_button = _button(
            "Continue",
            "Search on from the last result, with the same settings and pixels; the new result "
            "gets a layer of its own",
        )
        self.recipe_button = _button(
            "Recipe",
            "How the active result came about, in words, and to copy as JSON, shell command or "
            "Python",
        )
        self.load_button = _button(
            "Load settings", "Set this form to what the active result was made with"
        )
        self.recipe_button.clicked.connect(self.show_recipe)
        self.load_button.clicked.connect(self._load)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for button in (self.blink, self.continue_button, self.recipe_button, self.load_button):
            row.addWidget(button)
        row.addStretch(1)
        help_link = help_label(topic)
        help_link.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(help_link)

    def refresh(self) -> None:
        """Look which results there are; call it when layers came, went or were selected."""
        self.blink.refresh()
        there = find_recipe(self._viewer) is not None
        self.recipe_button.setEnabled(there)
        self.load_button.setEnabled(there)

    def show_recipe(self) -> None:
        """Open the recipe of the active result beside the window."""
        found = find_recipe(self._viewer)
        if found is None:
            return
        self.close_recipe()
        layer, recipe = found
        self.dialog = RecipeDialog(layer.name, recipe, self)
        self.dialog.destroyed.connect(self._forget)
        self.dialog.show()

    def close_recipe(self) -> None:
        """Close the recipe, if one is shown."""
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            dialog.destroyed.disconnect(self._forget)
            dialog.close()

    def _forget(self) -> None:
        self.dialog = None

    def _load(self) -> None:
        found = find_recipe(self._viewer)
        if found is not None:
            layer, recipe = found
            self.load_requested.emit(form_state(recipe), layer.name)


def tell_loaded(name: str, wanted: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    """Say whether a form has taken over the settings of a result.

    Parameters
    ----------
    name : str
        The result's layer.
    wanted : mapping
        What the recipe says.
    taken : mapping
        What the form says now.

    Examples
    --------
    >>> tell_loaded("cells inpainted", {"prior": "cats", "seed": 1}, {"prior": "nuclei", "seed": 1})
    "The settings of 'cells inpainted' are loaded, except: prior cats."
    """
    missed = [
        key if value is None else f"{key} {value}"
        for key, value in wanted.items()
        if not _alike(value, taken.get(key))
    ]
    rest = f", except: {', '.join(missed)}" if missed else ""
    return f"The settings of '{name}' are loaded{rest}."


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, (int, float)):
        return abs(one - other) <= _CLOSE_ENOUGH
    return bool(one == other)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setEnabled(False)
    return button
