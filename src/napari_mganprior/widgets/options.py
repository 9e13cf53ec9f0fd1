"""Fields made from the description of a task's options, and of the settings that replace others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QSizePolicy

from napari_mganprior.errors import SettingsError
from napari_mganprior.runs.tasks import Option
from napari_mganprior.widgets.pages import may_be_cut

__all__ = ["OptionFields"]

_NARROWEST = 56  # pixels of the screen


class OptionFields:
    """A field an option.

    Numbers without a default are lines that may stay empty, which says `unset`.

    Parameters
    ----------
    options : sequence of Option
        What can be told.
    unset : str
        What an empty line means, shown in it in grey.
    """

    def __init__(self, options: Sequence[Option], *, unset: str = "") -> None:
        self._options = {option.name: option for option in options}
        self.fields: dict[str, Any] = {o.name: _field(o, unset) for o in options}

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of a page; tick boxes stand together at the end."""
        ticks = [self.fields[o.name] for o in self._options.values() if o.kind is bool]
        rows: list[tuple[Any, ...]] = [
            (o.label, [self.fields[o.name]], *([o.unit] if o.unit else []))
            for o in self._options.values()
            if o.kind is not bool
        ]
        return [*rows, ("", ticks)] if ticks else rows

    def react(self) -> None:
        """Grey what does not count as the other fields stand."""
        for option in self._options.values():
            if option.only is not None:
                self.fields[option.name].enabled = self._counts(option)

    def values(self) -> dict[str, Any]:
        """Return what is told; options that do not count are left out.

        Raises
        ------
        SettingsError
            If a line holds no number.
        """
        return {
            name: _read(option, self.fields[name].value)
            for name, option in self._options.items()
            if self._counts(option)
        }

    def told(self) -> dict[str, Any]:
        """Return `values` without those that are not set; none if a line holds no number."""
        try:
            values = self.values()
        except SettingsError:
            return {}
        return {n: value for n, value in values.items() if value is not None and value is not False}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set the fields; an option that is missing goes back to its default."""
        for name, option in self._options.items():
            value = values.get(name, option.default)
            field = self.fields[name]
            try:
                if isinstance(field, LineEdit):
                    field.value = "" if value is None else f"{value:.12g}"
                elif isinstance(field, CheckBox):
                    field.value = bool(value)
                elif value is not None or isinstance(field, (ComboBox, FileEdit)):
                    field.value = value
            except (ValueError, TypeError):  # of a recipe from somewhere else
                continue

    def _counts(self, option: Option) -> bool:
        if option.only is None:
            return True
        other, value = option.only
        return bool(self.fields[other].value == value)


def _field(option: Option, unset: str) -> Any:
    tip = f"{option.help[0].upper()}{option.help[1:]}"
    if option.kind is bool:
        return CheckBox(text=option.label, value=bool(option.default), tooltip=tip)
    if option.choices:
        nullable = option.default is None
        box = ComboBox(choices=option.choices, nullable=nullable, tooltip=tip)
        box.value = option.default
        may_be_cut(box, letters=6)
        return box
    if option.kind is str:
        return FileEdit(
            mode=FileDialogMode.EXISTING_FILE, nullable=True, filter="*.npz", tooltip=tip
        )
    if option.default is None:
        line = LineEdit(tooltip=f"{tip}; empty: {unset}" if unset else tip)
        line.native.setPlaceholderText(unset)
        # its own wish, seventeen letters, would widen the dock
        line.native.setMinimumWidth(_NARROWEST)
        line.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return line
    kind = SpinBox if option.kind is int else FloatSpinBox
    low, high = option.low or 0, 1e9 if option.high is None else option.high
    return kind(value=option.default, min=low, max=high, tooltip=tip)


def _read(option: Option, value: Any) -> Any:
    if isinstance(value, Path):  # what magicgui makes of nothing is the folder one is in
        return None if value == Path() else str(value)
    if not isinstance(value, str) or option.choices:
        return value
    text = value.strip()
    if not text:
        return None
    try:
        return option.kind(text.replace(",", ".") if option.kind is float else text)
    except ValueError as error:
        wanted = "a whole number" if option.kind is int else "a number"
        raise SettingsError(
            f"Got '{text}' for {option.label}; wanted {wanted}. Correct it, or leave it empty."
        ) from error
