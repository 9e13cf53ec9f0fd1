"""Groups of examples that a direction is learnt from: layers, or crops that shapes mark."""

from collections.abc import Iterator

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QListWidget, QPushButton, QWidget

from napari_mganprior.errors import ImageError
from napari_mganprior.widgets.edit_layers import take_picture

__all__ = ["Examples", "find_examples"]

_SMALLEST = 16  # px
_LIST_LINES = 4

Example = tuple[str, NDArray[np.generic]]


class Examples(QWidget):
    """Two lists of examples, and a button that learns what leads from one to the other.

    Parameters
    ----------
    viewer : ViewerModel
        Whose selected layers are added.

    Attributes
    ----------
    learn_requested : Signal
        "Learn" was pressed.
    refused : Signal
        With the reason why nothing could be added.
    image : Image or None
        The picture that crops are cut out of.
    like, unlike : list of (str, ndarray)
        Names and copies of the examples.
    """

    learn_requested = Signal()
    refused = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.image: Image | None = None
        self.like: list[Example] = []
        self.unlike: list[Example] = []
        self.name = QLineEdit("learnt")
        self.name.setToolTip("What the direction is to be called")
        self.learn_button = QPushButton("Learn the direction")
        self.learn_button.setToolTip(
            "Invert every example with one code, and find what leads from 'like those' to 'like "
            "these'"
        )
        self.learn_button.clicked.connect(self.learn_requested)
        grid = QGridLayout(self)
        grid.setContentsMargins(4, 4, 4, 4)
        grid.setSpacing(4)
        grid.setRowStretch(4, 1)
        self._lists = []
        groups = (("Like these", self.like), ("Like those", self.unlike))
        for column, (title, group) in enumerate(groups):
            shown = QListWidget()
            shown.setMaximumHeight(_LIST_LINES * 18)
            add, clear = QPushButton("Add selected"), QPushButton("Clear")
            add.setToolTip(
                "Add the selected image layers; of a selected shapes layer, what each of its "
                "shapes frames in the picture that is edited"
            )
            add.clicked.connect(lambda _=False, n=column: self.add_selected(n))
            clear.clicked.connect(lambda _=False, n=column: self.clear(n))
            self._lists.append((group, shown))
            grid.addWidget(QLabel(title), 0, 2 * column, 1, 2)
            grid.addWidget(shown, 1, 2 * column, 1, 2)
            grid.addWidget(add, 2, 2 * column)
            grid.addWidget(clear, 2, 2 * column + 1)
        grid.addWidget(QLabel("Name"), 3, 0)
        grid.addWidget(self.name, 3, 1)
        grid.addWidget(self.learn_button, 3, 2, 1, 2)

    def add_selected(self, number: int) -> None:
        """Add what is selected to a group: 0 is "like these", 1 "like those"."""
        group, shown = self._lists[number]
        try:
            found = list(find_examples(self._viewer, self.image))
        except ImageError as error:
            self.refused.emit(str(error))
            return
        for name, pixels in found:
            group.append((name, pixels))
            shown.addItem(f"{name} ({pixels.shape[0]} x {pixels.shape[1]})")

    def clear(self, number: int) -> None:
        """Empty a group."""
        group, shown = self._lists[number]
        group.clear()
        shown.clear()


def find_examples(viewer: ViewerModel, image: Image | None) -> Iterator[Example]:
    """Copy what the selected layers show, or frame.

    Raises
    ------
    ImageError
        If no image or shapes layer is selected, or what is framed is too small.
    """
    selected = [x for x in viewer.layers if x in viewer.layers.selection]
    chosen = [x for x in selected if isinstance(x, (Image, Shapes))]
    if not chosen:
        raise ImageError(
            "Got no image or shapes layer in the selection; wanted examples. Select layers in the "
            "list, several with Ctrl, then add them."
        )
    for layer in chosen:
        if isinstance(layer, Image):
            yield layer.name, take_picture(layer, viewer.dims).pixels
        elif image is None:
            raise ImageError("Got shapes but no picture; wanted one. Choose an image first.")
        else:
            yield from _framed(layer, image, viewer)


def _framed(shapes: Shapes, image: Image, viewer: ViewerModel) -> Iterator[Example]:
    taken = take_picture(image, viewer.dims)
    axes = taken.cut.plane.axes
    for number, corners in enumerate(shapes.data, start=1):
        # a shape has the last axes of the world, and so has the picture
        world = np.array([shapes.data_to_world(point) for point in corners])
        here = np.zeros((len(world), max(image.ndim, world.shape[1])))
        here[:, -world.shape[1] :] = world
        inside = np.array([image.world_to_data(point) for point in here])[:, list(axes)]
        # pixels whose centre is framed; a hair more, for what transforms round
        top, left = np.clip(np.ceil(inside.min(axis=0) - 1e-6), 0, None).astype(int)
        bottom, right = np.clip(np.floor(inside.max(axis=0) + 1e-6) + 1, 0, None).astype(int)
        crop = taken.pixels[top:bottom, left:right]
        if min(crop.shape[:2]) < _SMALLEST:
            raise ImageError(
                f"Got shape {number} of '{shapes.name}' around {crop.shape[0]} x {crop.shape[1]} "
                f"pixels of '{image.name}'; wanted at least {_SMALLEST} x {_SMALLEST}. Draw it "
                "larger."
            )
        yield f"{image.name}, {shapes.name} {number}", crop.copy()
