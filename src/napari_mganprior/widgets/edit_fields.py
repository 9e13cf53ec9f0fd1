"""The fields of the form Edit, and where they stand."""

from functools import partial
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, SpinBox
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.priors import prior_names
from napari_mganprior.widgets.edit_examples import Examples
from napari_mganprior.widgets.edit_rows import DirectionRows
from napari_mganprior.widgets.help import help_label
from napari_mganprior.widgets.pages import lay_out_form, may_be_cut
from napari_mganprior.widgets.preferences import current_preferences
from napari_mganprior.widgets.scroll import FieldScroll

__all__ = ["BAR_STEPS", "EditFields"]

BAR_STEPS = 1000
_FOUND_BY = (
    ("weights, where there are some", "auto"), ("features of random pictures", "pca"),
)  # fmt: skip


class EditFields(QWidget):
    """All that can be chosen and pressed.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are offered.

    Attributes
    ----------
    image, prior, quality, zoom, found_by : ComboBox, FloatSpinBox
        What is inverted, and how.
    detail : CheckBox
        Whether what the prior cannot draw is kept.
    other, pictures : ComboBox, SpinBox
        Where a way leads, in how many pictures.
    rows : DirectionRows
        The sliders.
    examples : Examples
        The groups that a direction is learnt from.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._make_fields()
        self._lay_out()

    def refresh_priors(self) -> None:
        """Offer the priors there are now."""
        chosen, names = self.prior.value, prior_names()
        if tuple(self.prior.choices) != tuple(names):
            self.prior.choices = names
            if chosen in names:
                self.prior.value = chosen

    def offer_codes(self, *, inside: bool) -> None:
        """Say where codes can be opened from: the chosen layer brings some inside it, or a file."""
        self.codes_button.setText("Open its codes" if inside else "Open codes…")
        self.codes_button.setToolTip(
            "Edit the picture that this layer was inverted from, with the codes found then"
            if inside
            else "Edit the picture with codes that the form Invert saved, an .npz file; prior and "
            "pixel-size factor must be those it was inverted with"
        )

    def _make_fields(self) -> None:
        images = partial(_images, self._viewer)
        self.image = ComboBox(
            choices=images, tooltip="The picture to edit; of a stack, the slice on screen"
        )
        self.prior = ComboBox(
            choices=prior_names(),
            tooltip="What the picture shows: the network that learned to draw it",
        )
        if current_preferences().default_prior in self.prior.choices:
            self.prior.value = current_preferences().default_prior
        self.quality = ComboBox(
            choices=QUALITIES, value="balanced", tooltip="How long the inversion may search"
        )
        self.zoom = FloatSpinBox(
            value=1.0, min=0.125, max=8.0, step=0.05,
            tooltip="How many times larger things are in the prior's training images than here",
        )  # fmt: skip
        self.found_by = ComboBox(
            choices=_FOUND_BY, tooltip="Where the directions 1, 2, .. come from"
        )
        self.detail = CheckBox(
            text="Keep detail", value=True,
            tooltip="Add to the picture what the sliders change in the drawing, so that what the "
            "prior cannot draw stays",
        )  # fmt: skip
        self.other = ComboBox(choices=images, tooltip="The picture that the way leads to")
        self.pictures = SpinBox(
            value=9, min=3, max=999, tooltip="How many pictures the way has, both ends included"
        )
        may_be_cut(self.image, self.prior, self.found_by, self.other)
        self.rows, self.examples = DirectionRows(), Examples(self._viewer)
        self.invert_button = _button(
            "Invert", "Find the codes of the picture; then it can be edited"
        )
        self.codes_button = _button("", "")
        self.offer_codes(inside=False)
        self.cancel_button = _button("Cancel", "End what is under way and keep nothing")
        self.boundary_button = _button("Load boundary…", "Add a slider for a .npy file, 1 x D")
        self.reset_button = _button("Reset", "Bring all sliders to 0")
        self.keep_button = _button(
            "Keep as new layer", "Add the edited picture as a layer, with its recipe"
        )
        self.way_button = _button("Draw the way", "Add a stack that leads from one to the other")
        self.bar = QProgressBar()
        self.bar.setRange(0, BAR_STEPS)
        self.bar.setTextVisible(False)
        self.status = QLabel(
            "Press 'Invert' first, or open codes that were found already: they are what is edited."
        )
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(3 * self.status.fontMetrics().lineSpacing())

    def _lay_out(self) -> None:
        form, way = QWidget(), QWidget()
        lay_out_form(
            form,
            (
                ("Image", [self.image]), ("Prior", [self.prior]),
                ("Quality", [self.quality]), ("Pixel-size factor", [self.zoom]),
                ("Directions from", [self.found_by]),
            ),
        )  # fmt: skip
        lay_out_form(way, (("To", [self.other]), ("Pictures", [self.pictures])), self.way_button, 4)
        directions = QWidget()
        inner = QVBoxLayout(directions)
        inner.setContentsMargins(4, 4, 4, 4)
        inner.addWidget(self.rows)
        inner.addLayout(_row(self.detail.native, self.boundary_button, self.reset_button))
        self.tabs = QTabWidget()
        for page, title in ((directions, "Sliders"), (self.examples, "Examples"), (way, "Way")):
            self.tabs.addTab(page, title)
        whole = QWidget()
        fields = QVBoxLayout(whole)
        fields.setContentsMargins(0, 0, 0, 0)
        fields.addWidget(form)
        fields.addLayout(_row(self.invert_button, self.codes_button, self.cancel_button, self.bar))
        fields.addWidget(self.tabs)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(FieldScroll(whole))
        layout.addLayout(_row(self.keep_button, help_label("edit")))
        layout.addWidget(self.status)
        layout.addStretch(1)


def _images(viewer: ViewerModel, _: Any = None) -> list[Image]:
    return [layer for layer in viewer.layers if isinstance(layer, Image)]


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*parts: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for part in parts:
        row.addWidget(part)
    return row
