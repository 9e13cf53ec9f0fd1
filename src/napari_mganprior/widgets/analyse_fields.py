"""The fields of the form "Analyse"."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from napari.layers import Image, Labels
from napari.layers.base import Layer
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QWidget

from napari_mganprior.analysis.config import DAMAGES, STUDIES, StudyConfig
from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.priors import prior_names
from napari_mganprior.widgets.pages import lay_out_form, lay_out_pages, may_be_cut

__all__ = ["ALL_CUTS", "AnalyseFields"]

ALL_CUTS = "all"
_KINDS = (("layer study: cuts and numbers of codes", "study"), ("roles of the codes", "roles"))
_PARTS = (("one drawing from the middle", "middle"), ("whole picture", "whole"))
_DEVICES = ("auto", "cpu", "cuda", "mps")
_ROLES_PAGE = 2
_LARGEST_SEED = 2**31 - 1
_TIPS = {
    "kind": "The same task at every cut and with several numbers of codes, or what each code draws",
    "image": "The picture to analyse; the slice on screen of a stack",
    "prior": "The prior that is looked into",
    "task": "What is done at every cut",
    "trial": "The picture is good: a copy is damaged, restored, and compared with it. Untick it to "
    "restore the picture itself",
    "mask": "The damage in the picture, where it is restored itself",
    "truth": "A picture of the truth to compare the results with, where there is one",
    "cuts": "Composing layers to try, for example 3, 5, 7; or: all",
    "codes": "Numbers of codes to try",
    "part": "The part that is analysed; each drawing of the prior more takes as long again",
    "restarts": "Searches of each combination, averaged",
    "steps": "Evaluations of the generator for each combination at the most",
    "factor": "How many times more pixels a side, for super-resolve",
    "quality": "How much time to spend on the inversion, for the roles of codes",
    "file": "Codes from an inversion of this part of this picture, in place of a new one",
    "seed": "The same seed gives the same result on the same device",
    "device": "Where to compute",
}


class AnalyseFields(QWidget):
    """Four fields always in sight, the others on two pages.

    Parameters
    ----------
    layers : callable
        Returns the layers there are.

    Attributes
    ----------
    changed : Signal
        A field has changed.
    pages : QTabWidget
        "Study", "Search" and "Roles".
    """

    changed = Signal()

    def __init__(self, layers: Callable[[], Sequence[Layer]]) -> None:
        super().__init__()
        self._layers = layers
        self._make_fields()
        self._lay_out()
        for field in self._all():
            field.changed.connect(lambda _: self._react())
        self.kind.changed.connect(self._turn_page)
        self._react()

    def refresh_layers(self) -> None:
        """Offer the layers there are now, and keep what was chosen."""
        for box in (self.image, self.damage, self.truth):
            chosen = box.value
            with box.changed.blocked():
                box.reset_choices()
                if chosen is not None and chosen in box.choices:
                    box.value = chosen

    def refresh_priors(self) -> None:
        """Offer the priors there are now."""
        chosen, names = self.prior.value, prior_names()
        if tuple(self.prior.choices) != tuple(names):
            self.prior.choices = names
            if chosen in names:
                self.prior.value = chosen

    def study(self) -> StudyConfig:
        """Return the settings of a study.

        Raises
        ------
        SettingsError
            If a list of numbers is none.
        """
        text = str(self.cuts.value).strip()
        return StudyConfig(
            task=str(self.task.value),
            cuts=() if text.lower() == ALL_CUTS else _numbers("cuts", text),
            codes=_numbers("codes", str(self.codes.value)),
            n_restarts=int(self.restarts.value),
            n_steps=int(self.steps.value),
            trial=bool(self.trial.value),
            factor=int(self.factor.value),
        )

    def codes_file(self) -> Path | None:
        """Return the file of codes; None where none is chosen."""
        path = self.file.value
        return path if isinstance(path, Path) and path != Path() else None

    def _make_fields(self) -> None:
        self.kind = ComboBox(choices=_KINDS, value="study", tooltip=_TIPS["kind"])
        self.image = ComboBox(choices=lambda _: self._of_type(Image), tooltip=_TIPS["image"])
        self.prior = ComboBox(choices=prior_names(), tooltip=_TIPS["prior"])
        self.part = ComboBox(choices=_PARTS, value="middle", tooltip=_TIPS["part"])
        self.task = ComboBox(choices=STUDIES, value="invert", tooltip=_TIPS["task"])
        self.trial = CheckBox(text="try on a damaged copy", value=True, tooltip=_TIPS["trial"])
        self.damage = ComboBox(
            choices=lambda _: self._of_type(Labels), nullable=True, tooltip=_TIPS["mask"]
        )
        self.truth = ComboBox(
            choices=lambda _: self._of_type(Image), nullable=True, tooltip=_TIPS["truth"]
        )
        self.cuts = LineEdit(value=ALL_CUTS, tooltip=_TIPS["cuts"])
        self.codes = LineEdit(value="1, 5, 10, 20", tooltip=_TIPS["codes"])
        self.restarts = SpinBox(value=2, min=1, max=64, tooltip=_TIPS["restarts"])
        self.steps = SpinBox(value=60, min=1, max=999, tooltip=_TIPS["steps"])
        self.factor = ComboBox(choices=(2, 4, 8, 16), value=4, tooltip=_TIPS["factor"])
        self.quality = ComboBox(choices=QUALITIES, value="balanced", tooltip=_TIPS["quality"])
        self.file = FileEdit(filter="*.npz", nullable=True, tooltip=_TIPS["file"])
        self.seed = SpinBox(value=0, min=0, max=_LARGEST_SEED, tooltip=_TIPS["seed"])
        self.device = ComboBox(choices=_DEVICES, value="auto", tooltip=_TIPS["device"])

    def _all(self) -> tuple[Any, ...]:
        return (
            self.kind, self.image, self.prior, self.part, self.task, self.trial, self.damage,
            self.truth, self.cuts, self.codes, self.restarts, self.steps, self.factor,
            self.quality, self.file, self.seed, self.device,
        )  # fmt: skip

    def _of_type(self, kind: type[Layer]) -> list[Layer]:
        return [layer for layer in self._layers() if isinstance(layer, kind)]

    def _react(self) -> None:
        study, trial = self.kind.value == "study", bool(self.trial.value)
        of_study: tuple[Any, ...] = (
            self.task, self.trial, self.cuts, self.codes, self.restarts, self.steps,
        )  # fmt: skip
        for field in of_study:
            field.enabled = study
        self.damage.enabled = self.truth.enabled = study and not trial
        self.factor.enabled = study and self.task.value == "super-resolve"
        self.quality.enabled = self.file.enabled = not study
        self.trial.tooltip = f"{_TIPS['trial']}. The copy: {DAMAGES[str(self.task.value)]}"
        self.changed.emit()

    def _turn_page(self, kind: Any) -> None:
        self.pages.setCurrentIndex(0 if kind == "study" else _ROLES_PAGE)

    def _lay_out(self) -> None:
        may_be_cut(self.kind, self.image, self.prior, self.part, self.task)
        may_be_cut(self.damage, self.truth, letters=6)  # they share a row
        self.pages = lay_out_pages(
            {
                "Study": (
                    ("Task", [self.task]),
                    ("", [self.trial]),
                    ("Cuts", [self.cuts, "Codes", self.codes]),
                    ("Damage", [self.damage, "Truth", self.truth]),
                ),
                "Search": (
                    ("Restarts", [self.restarts, "Steps", self.steps]),
                    ("Factor", [self.factor]),
                    ("Seed", [self.seed]),
                    ("Device", [self.device]),
                ),
                "Roles": (("Quality", [self.quality]), ("Codes from", [self.file])),
            }
        )
        lay_out_form(
            self,
            (
                ("Analysis", [self.kind]),
                ("Image", [self.image]),
                ("Prior", [self.prior]),
                ("Part", [self.part]),
            ),
            self.pages,
        )


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace(",", " ").split())
    except ValueError as error:
        raise SettingsError(
            f"Got the {name} {text!r}; wanted whole numbers with commas between them. Write, for "
            "example, 1, 5, 10, 20."
        ) from error
