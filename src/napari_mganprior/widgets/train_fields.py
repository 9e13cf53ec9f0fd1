"""The fields of the form "Train a prior": what it is to learn from, and how long."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, Select, SpinBox
from napari.layers import Image
from napari.layers.base import Layer
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QAbstractItemView, QWidget

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.runs.training_folder import COPIED, TrainingOrder, check_training_name
from napari_mganprior.runs.training_layers import SourceLayer, count_pictures
from napari_mganprior.widgets.pages import lay_out_form, lay_out_pages, may_be_cut

__all__ = ["FILE", "FOLDER", "LAYERS", "TrainFields"]

LAYERS, FOLDER, FILE = "layers open here", "a folder", "a file"
_SIZES = (64, 128, 256)
_LEAST_PICTURES = 8
_DEVICES = ("auto", "cpu", "cuda", "mps")
_LARGEST_SEED = 2**31 - 1
_LIST_ROWS = 4
_TIPS = {
    "source": "Where the pictures come from: image layers, a folder of images (or an OME-Zarr), "
    "or one file (.npz, .zip, TIFF)",
    "layers": "The image layers to learn from, several with Ctrl or Shift. Every plane of a stack "
    "is a picture; one large picture is enough. They are copied when you press Train. If one "
    "layer alone will do, it is chosen already.",
    "path": "Images in the folder and below it; or a file with many. They are read while it "
    "trains, so leave them where they are.",
    "name": "What the prior is called from then on: letters, digits and dashes",
    "size": "Side of the crops it learns to draw, in pixels. 128 takes 3 to 4 times as long as 64 "
    "for as many crops.",
    "minutes": "How long to train, pauses not counted. Half an hour draws simple things at 64 px; "
    "more is better. You can stop and keep it at any time.",
    "domain": "What the images show, for the prior's card: 'nuclei, DAPI, 20x'",
    "licence": "Under which the prior may be used; it goes into the card. The images' own licence "
    "decides.",
    "crops": "How many crops to see, in place of the time; 0 for the time",
    "seed": "Where chance begins",
    "encoder": "Train an encoder at the end, for a tenth of the time: it guesses the codes of a "
    "damaged picture; the method 'encoder' needs one",
    "device": "What computes. auto takes the graphics card if there is one.",
}


class TrainFields(QWidget):
    """Ask what is to be learned, and how long.

    Parameters
    ----------
    layers : callable
        Returns the layers there are.
    sizes : sequence of int
        Sides of the crops to choose from, pixels.
    settings : mapping, optional
        More fields of `TrainingConfig`.

    Attributes
    ----------
    changed : Signal
        A field has changed.
    """

    changed = Signal()

    def __init__(
        self,
        layers: Callable[[], Sequence[Layer]],
        sizes: Sequence[int] = _SIZES,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._layers, self._more = layers, dict(settings or {})
        self._make_fields(sizes)
        self._choice_made = False  # by the user, who may want none
        self._lay_out()
        self.layers.changed.connect(self._on_choice)
        for field in self._all():
            field.changed.connect(self._react)
        self._react()

    def refresh_layers(self) -> None:
        """Offer the layers there are now, and keep what was chosen.

        Where nothing was chosen yet, and there is one layer alone to learn from, that is chosen.
        """
        chosen = self.layers.value
        with self.layers.changed.blocked():
            self.layers.reset_choices()
            kept = [layer for layer in chosen if layer in self.layers.choices]
            if not kept and not self._choice_made:
                usable = [layer for _, layer in self._offered() if self._is_usable(layer)]
                kept = usable if len(usable) == 1 else []
            self.layers.value = kept
        self._react()

    def fault(self) -> str:
        """Say why training cannot begin; empty if it can. Nothing is read."""
        try:
            self.order()
        except MGANPriorError as error:
            return str(error)
        return ""

    def order(self) -> tuple[TrainingOrder, list[SourceLayer]]:
        """Return what is asked for, and the layers to copy.

        Raises
        ------
        SettingsError
            If something is missing or does not fit.
        """
        resolution = int(self.side.value)
        if self.source.value == LAYERS:
            layers = self._taken_layers(self.layers.value, resolution)
            inputs, shown = (COPIED,), _told(layers)
        else:
            path = self._chosen_path()
            layers, inputs, shown = [], (str(path.absolute()),), path.name
        name = str(self.name.value).strip()
        if not name:
            raise SettingsError("No name. Say what the prior is to be called.")
        check_training_name(name)
        crops = int(self.crops.value)
        order = TrainingOrder(
            name=name,
            inputs=inputs,
            shown=shown,
            domain=str(self.domain.value).strip(),
            licence=str(self.licence.value).strip(),
            resolution=resolution,
            minutes=None if crops else float(self.minutes.value),
            n_images=crops or None,
            seed=int(self.seed.value),
            device=str(self.device.value),
            encoder=bool(self.encoder.value),
            settings=self._more,
        )
        return order, layers

    def state(self) -> dict[str, Any]:
        """Return what is worth remembering, JSON-able."""
        fields = (*self._remembered().items(),)
        return {name: field.value for name, field in fields}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set what `state` returned; what cannot be used is skipped."""
        for name, field in self._remembered().items():
            if name in state:
                try:
                    field.value = state[name]
                except (ValueError, TypeError):
                    continue

    def _make_fields(self, sizes: Sequence[int]) -> None:
        self.source = ComboBox(choices=(LAYERS, FOLDER, FILE), tooltip=_TIPS["source"])
        self.layers = Select(choices=lambda _: self._offered(), tooltip=_TIPS["layers"])
        self.path = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True, tooltip=_TIPS["path"]
        )
        self.name = LineEdit(tooltip=_TIPS["name"])
        self.side = ComboBox(choices=tuple(sizes), value=sizes[0], tooltip=_TIPS["size"])
        self.minutes = SpinBox(value=30, min=1, max=10_000, tooltip=_TIPS["minutes"])
        self.domain = LineEdit(tooltip=_TIPS["domain"])
        self.licence = LineEdit(tooltip=_TIPS["licence"])
        self.crops = SpinBox(value=0, min=0, max=100_000_000, step=1000, tooltip=_TIPS["crops"])
        self.seed = SpinBox(value=0, min=0, max=_LARGEST_SEED, tooltip=_TIPS["seed"])
        self.encoder = CheckBox(value=True, text="train an encoder", tooltip=_TIPS["encoder"])
        self.device = ComboBox(choices=_DEVICES, value="auto", tooltip=_TIPS["device"])

    def _all(self) -> tuple[Any, ...]:
        return (
            self.source, self.layers, self.path, self.name, self.side, self.minutes,
            self.domain, self.licence, self.crops, self.seed, self.device, self.encoder,
        )  # fmt: skip

    def _remembered(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "size": self.side,
            "minutes": self.minutes,
            "licence": self.licence,
            "device": self.device,
        }

    def _lay_out(self) -> None:
        may_be_cut(self.source, self.device)
        listed = self.layers.native
        if isinstance(listed, QAbstractItemView):
            listed.setFixedHeight(_LIST_ROWS * listed.fontMetrics().lineSpacing() + 12)
            listed.setTabKeyNavigation(False)
        card = (("Shows", [self.domain]), ("Licence", [self.licence]))
        advanced = (
            ("Crops", [self.crops]),
            ("Seed", [self.seed]),
            ("Device", [self.device]),
            ("At the end", [self.encoder]),
        )
        rows = (
            ("Learn from", [self.source]),
            ("Layers", [self.layers]),
            ("Path", [self.path]),
            ("Name", [self.name]),
            ("Size", [self.side], "px"),
            ("Time", [self.minutes], "minutes"),
        )
        lay_out_form(self, rows, lay_out_pages({"Card": card, "Advanced": advanced}))
        for text, (field, *_), *_unit in (*rows, *card, *advanced):
            field.native.setAccessibleName(text)  # a label is not read out with its field

    def _react(self, _: Any = None) -> None:
        from_layers = self.source.value == LAYERS
        self.layers.enabled = from_layers
        self.path.enabled = not from_layers
        modes = FileDialogMode
        self.path.mode = (
            modes.EXISTING_FILE if self.source.value == FILE else modes.EXISTING_DIRECTORY
        )
        self.minutes.enabled = not self.crops.value
        self.changed.emit()

    def _offered(self) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in self._layers() if isinstance(layer, Image)]

    def _chosen_path(self) -> Path:
        path, is_file = self.path.value, self.source.value == FILE
        if not isinstance(path, Path) or path == Path():  # what magicgui makes of nothing
            raise SettingsError(f"No {'file' if is_file else 'folder'}. Choose one.")
        if not path.exists():
            raise SettingsError(f"'{path}' is not there; wanted images. Choose another.")
        if path.is_dir() is is_file:
            kind = "a folder" if is_file else "no folder"
            raise SettingsError(f"'{path.name}' is {kind}; choose that beside 'Learn from'.")
        return path

    def _on_choice(self, _: Any) -> None:
        self._choice_made = True

    def _is_usable(self, layer: Image) -> bool:
        """Whether a layer alone is enough to learn from; nothing is read."""
        try:
            self._taken_layers([layer], int(self.side.value))
        except SettingsError:
            return False
        return True

    def _taken_layers(self, layers: Sequence[Image], resolution: int) -> list[SourceLayer]:
        """Note layers to copy; SettingsError where nothing can be learned from them."""
        chosen = [_take(layer) for layer in layers]
        if not chosen:
            raise SettingsError("No layer is chosen. Choose one or more, or another source.")
        kinds = {layer.rgb: layer.name for layer in chosen}
        if len(kinds) > 1:
            raise SettingsError(
                f"'{kinds[True]}' is RGB, '{kinds[False]}' grey; wanted one kind, since a prior "
                "draws one kind. Choose layers of one kind."
            )
        for layer in chosen:
            if min(layer.sides) < resolution:
                height, width = layer.sides
                raise SettingsError(
                    f"'{layer.name}' is {height} x {width} pixels; wanted at least {resolution} x "
                    f"{resolution}. Choose a smaller size, or other layers."
                )
        n = count_pictures(chosen, resolution)
        if n < _LEAST_PICTURES:
            raise SettingsError(
                f"Got {n} picture{'s' if n > 1 else ''} in the layers; wanted at least "
                f"{_LEAST_PICTURES}, or large ones. Choose more layers, or a smaller size."
            )
        return chosen


def _take(layer: Image) -> SourceLayer:
    """Note a layer's pixels without reading them."""
    data = layer.data[0] if layer.multiscale else layer.data
    if data.dtype.kind not in "buif":
        raise SettingsError(
            f"'{layer.name}' holds {data.dtype} values; wanted whole or floating-point numbers. "
            "Choose another layer."
        )
    return SourceLayer(name=layer.name, data=data, rgb=bool(layer.rgb))


def _told(layers: Sequence[SourceLayer]) -> str:
    """Say in words which layers it was."""
    n = sum(prod(layer.planes) for layer in layers)
    names = ", ".join(f"'{layer.name}'" for layer in layers[:3])
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return f"{n} plane{'s' if n > 1 else ''} of the napari layers {names}{more}"
