"""What a form says about pixels, and what was taken from the layers when Run was pressed.

No Qt here; everything works on napari's models.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_mganprior.runs.tasks import TaskSpec, find_task
from napari_mganprior.widgets.damage import ALL_LABELS
from napari_mganprior.widgets.geometry import coloured_look, finer_place, with_axis
from napari_mganprior.widgets.planes import Cut, Plane
from napari_mganprior.widgets.region import WHOLE, Region

__all__ = ["Choice", "Inputs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What a form says about pixels; its layers are still napari's.

    Attributes
    ----------
    image : Image or None
        The layer to restore.
    damage : Labels, Shapes or None
        The layer that marks damage.
    labels : str
        The labels that count: "all", or "1, 3-5". Nothing to shapes.
    invert : bool
        Whether damage is where nothing is marked.
    grow, feather : int
        By how many pixels damage is grown, and over how many of them it is blended.
    scope : {"slice", "slices", "channels"}
        The slice on screen, all slices, or all planes and colours by themselves.
    region : {"all", "view"} or Shapes
        Where the picture may be changed.
    task : str
        What is to be done.
    options : dict
        What the task is told.
    """

    image: Image | None
    damage: Labels | Shapes | None
    labels: str = ALL_LABELS
    invert: bool = False
    grow: int = 0
    feather: int = 0
    scope: str = "slice"
    region: str | Shapes = WHOLE
    task: str = "inpaint"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> TaskSpec:
        """The task's description."""
        return find_task(self.task)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What was taken from the layers when Run was pressed; nothing in it is a layer.

    Attributes
    ----------
    image : array
        (H, W) or (H, W, 3), with a plane axis P before it where several planes are taken; lazy
        where the layer's data is and several planes are taken, else a copy.
    mask : ndarray or None
        (H, W) or (P, H, W), bool; as marked. None where nothing is.
    alpha : array or None
        The opacity of an RGBA picture, (H, W) or (n, H, W) with n planes of the layer.
    cut : Cut
        Where in the image layer it was, and the way back.
    region : tuple of int, or None
        (top, left, bottom, right), where the picture may be changed.
    grow, feather : int
        In pixels.
    names : dict
        Of the layers: "image", "mask"; where the region is "all", "view", or a layer's name.
    marked : dict
        How the layer of damage was read and which planes were meant, JSON-able: "kind", "labels",
        "invert", "scope".
    look : dict
        Keywords for `viewer.add_image` that put a result where the image is and make it look
        like it.
    place : dict
        The part of `look` that any layer takes.
    spec : TaskSpec
        What is done.
    options : dict
        What the task is told.
    """

    image: Any
    mask: NDArray[np.bool_] | None
    alpha: Any
    cut: Cut
    region: Region | None
    grow: int
    feather: int
    names: dict[str, str]
    marked: dict[str, Any]
    look: dict[str, Any]
    place: dict[str, Any]
    spec: TaskSpec = field(default_factory=lambda: find_task("inpaint"))
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def growth(self) -> int:
        """How many pixels of the result lie along the side of one of the image."""
        return self.spec.growth(self.options)

    @property
    def proposals(self) -> int:
        """How many results there are to choose from."""
        return int(self.options.get("proposals", 1))

    @property
    def coloured(self) -> bool:
        """Whether the image that is restored has colours."""
        return bool(self.look["rgb"]) and self.cut.colours == 1

    @property
    def image_place(self) -> dict[str, Any]:
        """The place of what has the image's pixels; with an axis for several proposals."""
        return with_axis(self.place, "proposal") if self.proposals > 1 else self.place

    @property
    def result_place(self) -> dict[str, Any]:
        """The place of what has the result's pixels."""
        finer = finer_place(self.place, self.growth, self.plane.axes)
        return with_axis(finer, "proposal") if self.proposals > 1 else finer

    @property
    def result_look(self) -> dict[str, Any]:
        """Keywords for `viewer.add_image` that put a result where the image is."""
        look = coloured_look(self.look) if self.spec.grey_only else self.look
        return {**look, **self.result_place}

    @property
    def plane(self) -> Plane:
        """The plane that was on screen."""
        return self.cut.plane
