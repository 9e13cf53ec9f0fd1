"""The fields of a form: what the user can choose for one run."""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, PushButton, SpinBox
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels
from napari.layers.base import Layer
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QWidget

from napari_mganprior.errors import PriorError
from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.priors import find_prior, prior_names

__all__ = ["InpaintFields"]

_ALL_LABELS, _ONE_LABEL = "all labels", "one label:"
_DEVICES = ("auto", "cpu", "cuda", "mps")
_LARGEST_SEED = 2**31 - 1
_TIPS = {
    "image": "The picture to restore. Of a stack, the slice on screen is restored.",
    "labels": "A labels layer painted over the damage. Only these pixels change.",
    "new": "Add an empty labels layer that fits the image, and paint over the damage in it",
    "which": "Every label counts as damage, or only the one named beside",
    "label": "The label that marks damage",
    "prior": "What the picture shows: the network that learned to draw it",
    "quality": "How many searches, and how long each; the result is their mean.",
    "zoom": (
        "How many times larger things are in the prior's training images than here; 1 if they "
        "are as large. The picture is enlarged by it before it is restored, and brought back."
    ),
    "estimate": "Find the pixel-size factor from the picture",
    "seed": "Where chance begins. The same seed gives the same picture again.",
    "device": "What computes. auto takes the graphics card if there is one.",
    "mark": "Add a labels layer that outlines the pixels that were invented, not measured",
    "uncertainty": (
        "Add an image layer that says how far the restarts of the search disagree, in the image's "
        "units: where it is bright, do not trust the result"
    ),
    "reference": (
        "A layer that shows the truth, if there is one: after the run the result is compared with "
        "it inside the hole (PSNR, SSIM)"
    ),
    "preview": "Show the best picture so far while the run goes on",
}


class InpaintFields(QWidget):
    """The fields of the inpainting form.

    Parameters
    ----------
    layers : callable
        Returns the layers there are.
    new_mask : callable
        Called when "New" is pressed.
    changed : callable
        Called after any field has changed.
    """

    def __init__(
        self,
        layers: Callable[[], Sequence[Layer]],
        new_mask: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._layers = layers
        self.image = ComboBox(choices=lambda _: self._of_type(Image), tooltip=_TIPS["image"])
        self.labels = ComboBox(choices=lambda _: self._of_type(Labels), tooltip=_TIPS["labels"])
        self.new = PushButton(text="New", tooltip=_TIPS["new"])
        self.which = ComboBox(choices=(_ALL_LABELS, _ONE_LABEL), tooltip=_TIPS["which"])
        self.label = SpinBox(value=1, min=1, max=_LARGEST_SEED, tooltip=_TIPS["label"])
        self.prior = ComboBox(choices=prior_names(), tooltip=_TIPS["prior"])
        self.quality = ComboBox(choices=QUALITIES, value="balanced", tooltip=_TIPS["quality"])
        self.zoom = FloatSpinBox(value=1.0, min=0.125, max=8.0, step=0.05, tooltip=_TIPS["zoom"])
        self.estimate = CheckBox(text="estimate", value=False, tooltip=_TIPS["estimate"])
        self.seed = SpinBox(value=0, min=0, max=_LARGEST_SEED, tooltip=_TIPS["seed"])
        self.device = ComboBox(choices=_DEVICES, value="auto", tooltip=_TIPS["device"])
        self.reference = ComboBox(
            choices=lambda _: self._of_type(Image), nullable=True, tooltip=_TIPS["reference"]
        )
        self.mark = CheckBox(text="Invented pixels", value=True, tooltip=_TIPS["mark"])
        self.uncertainty = CheckBox(text="Uncertainty", tooltip=_TIPS["uncertainty"])
        self.preview = CheckBox(text="Live preview", value=False, tooltip=_TIPS["preview"])
        self._lay_out()
        self.new.changed.connect(lambda _: new_mask())
        for field in (
            self.image, self.labels, self.which, self.label, self.prior, self.estimate,
            self.reference,
        ):  # fmt: skip
            field.changed.connect(lambda _: self._react(changed))
        self._react(lambda: None)

    def damage_label(self) -> int | None:
        """Return the label that counts as damage; None for all of them."""
        return int(self.label.value) if self.which.value == _ONE_LABEL else None

    def zoom_factor(self) -> float | None:
        """Return the pixel-size factor; None to estimate it."""
        return None if self.estimate.value else float(self.zoom.value)

    def refresh_layers(self) -> None:
        """Offer the layers there are now, and keep what was chosen."""
        for box in (self.image, self.labels, self.reference):
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

    def _of_type(self, kind: type[Layer]) -> list[Layer]:
        return [layer for layer in self._layers() if isinstance(layer, kind)]

    def _react(self, then: Callable[[], None]) -> None:
        self.label.enabled = self.which.value == _ONE_LABEL
        self.zoom.enabled = not self.estimate.value
        self.new.enabled = self.image.value is not None
        self.prior.tooltip = f"{_TIPS['prior']}\n{_describe_prior(self.prior.value)}"
        then()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        # Otherwise macOS keeps the fields at their narrowest.
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows: tuple[tuple[str, list[Widget]], ...] = (
            ("Image", [self.image]),
            ("Damage", [self.labels, self.new]),
            ("Counts", [self.which, self.label]),
            ("Prior", [self.prior]),
            ("Quality", [self.quality]),
            ("Pixel-size factor", [self.zoom, self.estimate]),
            ("Seed", [self.seed]),
            ("Device", [self.device]),
            ("Reference", [self.reference]),
        )
        for box in (self.image, self.labels, self.prior, self.reference):
            # A long name is cut, it must not widen the dock.
            box.native.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.native.setMinimumContentsLength(12)
        for text, fields in rows:
            label = QLabel(text)
            label.setToolTip(fields[0].tooltip)
            form.addRow(label, _row(fields))
        form.addRow(_row([self.mark, self.uncertainty, self.preview]))


def _row(fields: Sequence[Widget]) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(fields[0].native, 1)
    for field in fields[1:]:
        layout.addWidget(field.native)
    return row


def _describe_prior(name: str | None) -> str:
    if name is None:
        return ""
    try:
        path = find_prior(name)
        stat = path.stat()
        return f"{path.name}, sha256 {_sha256(path, stat.st_mtime_ns, stat.st_size)}"
    except (PriorError, OSError) as error:
        return str(error)


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file, again only after it has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
