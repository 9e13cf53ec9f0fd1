"""The recipe of a result: in words, to copy as JSON, shell command or Python, and to save."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers.base import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.files import write_atomically
from napari_mganprior.runs.recipe import as_json, as_python, as_shell, in_words
from napari_mganprior.widgets.results import METADATA_KEY

__all__ = ["RecipeDialog", "find_recipe"]

_SIZE = (640, 420)


def find_recipe(viewer: ViewerModel) -> tuple[Layer, dict[str, Any]] | None:
    """Find the layer whose recipe is meant: the active one if it has one, else the latest.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers they are.

    Returns
    -------
    Layer and dict, or None
        None where no layer has a recipe.
    """
    having = [layer for layer in viewer.layers if recipe_of(layer) is not None]
    active = viewer.layers.selection.active
    chosen = active if active in having else having[-1] if having else None
    recipe = None if chosen is None else recipe_of(chosen)
    return None if chosen is None or recipe is None else (chosen, recipe)


def recipe_of(layer: Layer) -> dict[str, Any] | None:
    """Return the recipe in a layer's metadata, if there is one."""
    recipe = layer.metadata.get(METADATA_KEY)
    return recipe if isinstance(recipe, dict) else None


class RecipeDialog(QDialog):
    """Shows how a result came about, and hands it on.

    Parameters
    ----------
    name : str
        The layer's name.
    recipe : dict
        Its recipe.
    parent : QWidget, optional
        The dialog closes with it.
    """

    def __init__(self, name: str, recipe: dict[str, Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recipe = recipe
        self.setWindowTitle(f"Recipe of '{name}'")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(*_SIZE)
        self.words = QPlainTextEdit(in_words(recipe))
        self.words.setReadOnly(True)
        self.said = QLabel(
            "With this recipe and the same image, the same device gives the same pixels."
        )
        self.said.setWordWrap(True)
        self.copy_json = self._button("Copy JSON", "As text that `napari-mganprior run` reads")
        self.copy_shell = self._button(
            "Copy command", "As a command for a POSIX shell (bash, zsh) that repeats the result"
        )
        self.copy_python = self._button("Copy Python", "As a script that repeats the result")
        self.save = self._button("Save JSON ...", "Into a file for `napari-mganprior run FILE`")
        self.copy_json.clicked.connect(lambda: self._copy(as_json, "JSON"))
        self.copy_shell.clicked.connect(lambda: self._copy(as_shell, "shell command"))
        self.copy_python.clicked.connect(lambda: self._copy(as_python, "Python script"))
        self.save.clicked.connect(self._ask_and_save)
        layout = QVBoxLayout(self)
        layout.addWidget(self.words, 1)
        buttons = QHBoxLayout()
        for button in (self.copy_json, self.copy_shell, self.copy_python, self.save):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        layout.addWidget(self.said)

    def save_to(self, path: Path) -> None:
        """Write the recipe to a JSON file, and say so, or why not."""
        try:
            write_atomically(path, as_json(self._recipe).encode())
        except MGANPriorError as error:
            self.said.setText(str(error))
        else:
            self.said.setText(f"Saved: napari-mganprior run {path.name} IMAGE -o OUTPUT")

    def _button(self, text: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAutoDefault(False)  # Enter must not copy anything by itself
        return button

    def _copy(self, write: Callable[[dict[str, Any]], str], what: str) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(write(self._recipe))
            self.said.setText(f"The {what} is in the clipboard.")

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the recipe", "recipe.json", "*.json")
        if path:
            self.save_to(Path(path))
