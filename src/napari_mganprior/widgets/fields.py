"""The fields of a form: what the user can choose for one run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, LineEdit, PushButton, SpinBox
from napari.layers import Image, Labels, Shapes
from napari.layers.base import Layer
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QWidget

from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.priors import prior_names
from napari_mganprior.widgets.damage import ALL_LABELS
from napari_mganprior.widgets.inputs import Choice
from napari_mganprior.widgets.pages import lay_out_form, lay_out_pages, may_be_cut
from napari_mganprior.widgets.region import IN_VIEW, WHOLE
from napari_mganprior.widgets.tips import TIPS, describe_prior

__all__ = ["InpaintFields"]

_DEVICES = ("auto", "cpu", "cuda", "mps")
_LARGEST_SEED = 2**31 - 1
_LARGEST_GROWTH = 999
_SCOPES = (
    ("current slice", "slice"),
    ("all slices, each from its neighbour", "slices"),
    ("channels one by one", "channels"),
)
_REGIONS = (("whole picture", WHOLE), ("current view", IN_VIEW))


class InpaintFields(QWidget):
    """The fields of the inpainting form: four always in sight, the others on short pages.

    Parameters
    ----------
    layers : callable
        Returns the layers there are.

    Attributes
    ----------
    new_requested : Signal
        "New" was pressed.
    changed : Signal
        A field has changed.
    pages : QTabWidget
        "Damage", "Where", "Search" and "Layers".
    """

    new_requested = Signal()
    changed = Signal()

    def __init__(self, layers: Callable[[], Sequence[Layer]]) -> None:
        super().__init__()
        self._layers = layers
        self._make_fields()
        self._lay_out()
        self.new.changed.connect(lambda _: self.new_requested.emit())
        for field in (
            self.image, self.labels, self.prior, self.labels_used, self.invert, self.grow,
            self.feather, self.scope, self.region, self.estimate, self.reference,
        ):  # fmt: skip
            field.changed.connect(lambda _: self._react())
        self._react()

    def choice(self) -> Choice:
        """Return what is chosen about pixels."""
        return Choice(
            image=self.image.value,
            damage=self.labels.value,
            labels=str(self.labels_used.value),
            invert=bool(self.invert.value),
            grow=int(self.grow.value),
            feather=int(self.feather.value),
            scope=self.scope.value,
            region=self.region.value or WHOLE,
        )

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
        region = self.region.value or WHOLE
        return {
            **state,
            "zoom": self.zoom_factor(),
            "region": region.name if isinstance(region, Shapes) else region,
        }

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

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer, where it is offered."""
        for box in (self.image, self.labels):
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
            tooltip=TIPS["damage"],
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
        self.preview = CheckBox(text="Live preview", tooltip=TIPS["preview"])
        self.history = CheckBox(text="History", tooltip=TIPS["history"])

    def _settings(self) -> dict[str, Any]:
        return {
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
            "preview": self.preview,
            "history": self.history,
        }

    def _region_called(self, name: Any) -> Any:
        if name in (WHOLE, IN_VIEW):
            return name
        return next((layer for layer in self._of_type(Shapes) if layer.name == name), None)

    def _of_type(self, kind: type[Layer]) -> list[Layer]:
        return [layer for layer in self._layers() if isinstance(layer, kind)]

    def _react(self) -> None:
        self.labels_used.enabled = not isinstance(self.labels.value, Shapes)
        self.zoom.enabled = not self.estimate.value
        self.new.enabled = self.image.value is not None
        self.prior.tooltip = f"{TIPS['prior']}\n{describe_prior(self.prior.value)}"
        self.changed.emit()

    def _lay_out(self) -> None:
        may_be_cut(self.image, self.labels, self.prior, self.reference, self.region, self.scope)
        self.pages = lay_out_pages(
            {
                "Damage": (
                    ("Labels", [self.labels_used, self.invert]),
                    ("Grow by", [self.grow], "px"),
                    ("Feather over", [self.feather], "px"),
                ),
                "Where": (("Slices", [self.scope]), ("Region", [self.region])),
                "Search": (
                    ("Pixel-size factor", [self.zoom, self.estimate]),
                    ("Seed", [self.seed]),
                    ("Device", [self.device]),
                ),
                "Layers": (
                    ("Reference", [self.reference]),
                    ("", [self.mark, self.uncertainty, self.residual, self.preview, self.history]),
                ),
            }
        )
        lay_out_form(
            self,
            (
                ("Image", [self.image]),
                ("Damage", [self.labels, self.new]),
                ("Prior", [self.prior]),
                ("Quality", [self.quality]),
            ),
            self.pages,
        )


def _set(field: Any, value: Any) -> None:
    """Set a field, unless it refuses the value or is no place for its type."""
    if value is None or isinstance(value, bool) is not isinstance(field, CheckBox):
        return
    try:
        field.value = value
    except (ValueError, TypeError):
        return
