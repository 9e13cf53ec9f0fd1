"""The fields of a task's form: what the user can choose for one run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, PushButton, SpinBox
from napari.layers import Image, Labels, Shapes
from napari.layers.base import Layer
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QWidget

from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import QUALITIES, overridden, preset
from napari_mganprior.priors import prior_names
from napari_mganprior.runs.tasks import ADVANCED, find_task, overrides_in
from napari_mganprior.widgets.damage import ALL_LABELS
from napari_mganprior.widgets.inputs import Choice
from napari_mganprior.widgets.options import OptionFields
from napari_mganprior.widgets.pages import in_pairs, lay_out_form, lay_out_pages, may_be_cut
from napari_mganprior.widgets.region import IN_VIEW, WHOLE
from napari_mganprior.widgets.tips import TIPS, describe_prior

__all__ = ["TaskFields"]

_DEVICES = ("auto", "cpu", "cuda", "mps")
_LARGEST_SEED = 2**31 - 1
_LARGEST_GROWTH = 999
_SCOPES = (
    ("current slice", "slice"),
    ("all slices, each from its neighbour", "slices"),
    ("channels one by one", "channels"),
)
_PICKS = (("average of the searches", "average"), ("the best search", "best"))
_PAGES = {
    "denoise": "Noise",
    "super_resolve": "Enlarge",
    "colorize": "Colours",
    "invert": "Codes",
}
_OF_DAMAGE = ("labels", "invert", "grow", "feather")
_REGIONS = (("whole picture", WHOLE), ("current view", IN_VIEW))


class TaskFields(QWidget):
    """The fields of a task's form: a few always in sight, the others on short pages.

    Parameters
    ----------
    layers : callable
        Returns the layers there are.
    task : str
        Its name.

    Attributes
    ----------
    new_requested : Signal
        "New" was pressed.
    changed : Signal
        A field has changed.
    pages : QTabWidget
        "Damage", or what the task is told; "Where", "Search", "Layers" and "Advanced".
    options, advanced : OptionFields
        What the task is told, and settings in place of the quality's own.
    """

    new_requested = Signal()
    changed = Signal()

    def __init__(self, layers: Callable[[], Sequence[Layer]], task: str = "inpaint") -> None:
        super().__init__()
        self._layers = layers
        self.spec = find_task(task)
        self._make_fields()
        self._lay_out()
        self.new.changed.connect(lambda _: self.new_requested.emit())
        for field in (
            self.image, self.labels, self.prior, self.labels_used, self.invert, self.grow,
            self.feather, self.scope, self.region, self.estimate, self.reference, self.pick,
            *self.options.fields.values(), *self.advanced.fields.values(),
        ):  # fmt: skip
            field.changed.connect(lambda _: self._react())
        self._react()

    def choice(self) -> Choice:
        """Return what is chosen about pixels."""
        return Choice(
            image=self.image.value,
            damage=None if self.spec.mask == "none" else self.labels.value,
            labels=str(self.labels_used.value),
            invert=bool(self.invert.value),
            grow=int(self.grow.value),
            feather=int(self.feather.value),
            scope=self.scope.value,
            region=self.region.value or WHOLE,
            task=self.spec.name,
            options=self.options.told(),
        )

    def overrides(self) -> dict[str, Any]:
        """Return the settings that are put in place of the quality's own."""
        return overrides_in(self.advanced.told())

    def fault(self) -> str:
        """Return what is wrong with a line, or an advanced setting; empty if nothing is."""
        try:
            self.options.values()
            self.advanced.values()
            overridden(preset(self.quality.value), self.overrides())
        except SettingsError as error:
            return str(error)
        return ""

    def zoom_factor(self) -> float | None:
        """Return the pixel-size factor; None to estimate it."""
        return None if self.estimate.value else float(self.zoom.value)

    def state(self) -> dict[str, Any]:
        """Return the settings, JSON-able; not which layers are chosen.

        Returns
        -------
        dict
            "zoom" is None where it is estimated, "region" is "all", "view", or the name of a
            shapes layer.
        """
        state = {name: field.value for name, field in self._settings().items()}
        if self.spec.zooms:
            state["zoom"] = self.zoom_factor()
        if self.spec.mask == "needed":
            region = self.region.value or WHOLE
            state["region"] = region.name if isinstance(region, Shapes) else region
        if self.spec.options:
            state["options"] = self.options.told()
        return {**state, "overrides": self.overrides()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set what `state` returned; what is unknown or cannot be used is skipped.

        Parameters
        ----------
        state : mapping
            Some or all of the settings.
        """
        fields = self._settings()
        for name, value in state.items():
            if name == "zoom":
                self.estimate.value = value is None
                _set(self.zoom, value)
            elif name == "region":
                _set(self.region, self._region_called(value))
            elif name in ("options", "overrides"):
                if isinstance(value, Mapping):
                    (self.options if name == "options" else self.advanced).restore(value)
            elif name in fields:
                _set(fields[name], value)

    def refresh_layers(self) -> None:
        """Offer the layers there are now, and keep what was chosen."""
        for box in (self.image, self.labels, self.reference, self.region):
            chosen = box.value
            with box.changed.blocked():
                box.reset_choices()
                # A renamed layer counts as a new choice in magicgui.
                if chosen is not None and chosen in box.choices:
                    box.value = chosen

    def choose(self, layer: Layer | None, *, asked: bool = True) -> None:
        """Choose a layer, where it is offered.

        Parameters
        ----------
        layer : Layer or None
            The layer; None changes nothing.
        asked : bool
            Whether somebody asked for it. If not, labels are chosen only for a task that needs
            them: a segmentation that happens to be active is no list of bad pixels.
        """
        marks = asked or self.spec.mask == "needed"
        for box in (self.image, self.labels) if marks else (self.image,):
            if layer is not None and layer in box.choices:
                box.value = layer

    def refresh_priors(self) -> None:
        """Offer the priors there are now."""
        chosen, names = self.prior.value, prior_names()
        if tuple(self.prior.choices) != tuple(names):
            self.prior.choices = names
            if chosen in names:
                self.prior.value = chosen

    def _make_fields(self) -> None:
        self.image = ComboBox(choices=lambda _: self._of_type(Image), tooltip=TIPS["image"])
        self.labels = ComboBox(
            # Shapes may be there for the region only, so labels are offered first.
            choices=lambda _: self._of_type(Labels) + self._of_type(Shapes),
            nullable=self.spec.mask == "optional",
            tooltip=TIPS["damage" if self.spec.mask == "needed" else "bad"],
        )
        self.new = PushButton(text="New", tooltip=TIPS["new"])
        self.prior = ComboBox(choices=prior_names(), tooltip=TIPS["prior"])
        self.quality = ComboBox(choices=QUALITIES, value="balanced", tooltip=TIPS["quality"])

        self.labels_used = LineEdit(value=ALL_LABELS, tooltip=TIPS["labels_used"])
        self.invert = CheckBox(text="invert", tooltip=TIPS["invert"])
        self.grow = SpinBox(value=0, min=0, max=_LARGEST_GROWTH, tooltip=TIPS["grow"])
        self.feather = SpinBox(value=0, min=0, max=_LARGEST_GROWTH, tooltip=TIPS["feather"])

        self.scope = ComboBox(choices=_SCOPES, value="slice", tooltip=TIPS["scope"])
        self.region = ComboBox(
            choices=lambda _: [
                *_REGIONS, *((layer.name, layer) for layer in self._of_type(Shapes))
            ],
            tooltip=TIPS["region"],
        )  # fmt: skip

        self.zoom = FloatSpinBox(value=1.0, min=0.125, max=8.0, step=0.05, tooltip=TIPS["zoom"])
        self.estimate = CheckBox(text="estimate", value=False, tooltip=TIPS["estimate"])
        self.seed = SpinBox(value=0, min=0, max=_LARGEST_SEED, tooltip=TIPS["seed"])
        self.device = ComboBox(choices=_DEVICES, value="auto", tooltip=TIPS["device"])

        self.reference = ComboBox(
            choices=lambda _: self._of_type(Image), nullable=True, tooltip=TIPS["reference"]
        )
        self.mark = CheckBox(text="Invented pixels", value=True, tooltip=TIPS["mark"])
        self.uncertainty = CheckBox(text="Uncertainty", tooltip=TIPS["uncertainty"])
        self.residual = CheckBox(text="Residual", tooltip=TIPS["residual"])
        self.best = CheckBox(text="Best / average", tooltip=TIPS["best"])
        self.preview = CheckBox(text="Live preview", tooltip=TIPS["preview"])
        self.history = CheckBox(text="History", tooltip=TIPS["history"])

        self.options = OptionFields(self.spec.options, unset="measured in the image")
        self.advanced = OptionFields(ADVANCED, unset="auto")
        self.pick = ComboBox(choices=_PICKS, value="average", tooltip=TIPS["pick"])

    def _settings(self) -> dict[str, Any]:
        settings = {
            "prior": self.prior,
            "quality": self.quality,
            "seed": self.seed,
            "device": self.device,
            "labels": self.labels_used,
            "invert": self.invert,
            "grow": self.grow,
            "feather": self.feather,
            "scope": self.scope,
            "invented": self.mark,
            "uncertainty": self.uncertainty,
            "residual": self.residual,
            "best": self.best,
            "preview": self.preview,
            "history": self.history,
            "pick": self.pick,
        }
        for name in _OF_DAMAGE if self.spec.mask != "needed" else ():
            settings.pop(name)
        return settings

    def _region_called(self, name: Any) -> Any:
        if name in (WHOLE, IN_VIEW):
            return name
        return next((layer for layer in self._of_type(Shapes) if layer.name == name), None)

    def _of_type(self, kind: type[Layer]) -> list[Layer]:
        return [layer for layer in self._layers() if isinstance(layer, kind)]

    def _react(self) -> None:
        self.options.react()
        self.labels_used.enabled = not isinstance(self.labels.value, Shapes)
        self.zoom.enabled = not self.estimate.value
        self.new.enabled = self.image.value is not None
        self.prior.tooltip = f"{TIPS['prior']}\n{describe_prior(self.prior.value)}"
        self.changed.emit()

    def _lay_out(self) -> None:
        may_be_cut(self.image, self.labels, self.prior, self.reference, self.region, self.scope)
        self.pages = lay_out_pages(
            {
                **self._own_page(),
                "Where": self._where(),
                "Search": (
                    *self._zoom_row(),
                    ("Seed", [self.seed]),
                    ("Device", [self.device]),
                ),
                "Layers": (
                    ("Reference", [self.reference]),
                    (
                        "",
                        [
                            self.mark, self.uncertainty, self.residual, self.best, self.preview,
                            self.history,
                        ],
                    ),
                ),
                "Advanced": (*in_pairs(self.advanced.rows()), ("Result", [self.pick])),
            }
        )  # fmt: skip
        damage = (("Damage", [self.labels, self.new]),) if self.spec.mask == "needed" else ()
        lay_out_form(
            self,
            (
                ("Image", [self.image]),
                *damage,
                ("Prior", [self.prior]),
                ("Quality", [self.quality]),
            ),
            self.pages,
        )

    def _own_page(self) -> dict[str, Sequence[Any]]:
        """Return the page that only this task has."""
        if self.spec.mask == "needed":
            return {
                "Damage": (
                    ("Labels", [self.labels_used, self.invert]),
                    ("Grow by", [self.grow], "px"),
                    ("Feather over", [self.feather], "px"),
                )
            }
        rows = self.options.rows()
        if self.spec.mask == "optional":
            rows.insert(-1, ("Bad pixels", [self.labels, self.new]))
        return {_PAGES.get(self.spec.name, "Options"): rows}

    def _where(self) -> Sequence[Any]:
        region = (("Region", [self.region]),) if self.spec.mask == "needed" else ()
        return (("Slices", [self.scope]), *region)

    def _zoom_row(self) -> Sequence[Any]:
        return (("Pixel-size factor", [self.zoom, self.estimate]),) if self.spec.zooms else ()


def _set(field: Any, value: Any) -> None:
    """Set a field, unless it refuses the value or is no place for its type."""
    if value is None or isinstance(value, bool) is not isinstance(field, CheckBox):
        return
    try:
        field.value = value
    except (ValueError, TypeError):
        return
