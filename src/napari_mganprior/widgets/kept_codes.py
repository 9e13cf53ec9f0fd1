"""Codes that were found already: in the layer of an inversion, or in a file. No Qt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.priors import find_prior, prior_names
from napari_mganprior.priors.header import prior_sha256
from napari_mganprior.restore.codes_file import load_codes, pack_codes, unpack_codes
from napari_mganprior.restore.result import Restoration, WindowCodes, sha256_of
from napari_mganprior.widgets.edit_layers import Taken, take_picture
from napari_mganprior.widgets.planes import Cut, Plane, spatial_shape
from napari_mganprior.widgets.results import METADATA_KEY

__all__ = ["CODES_KEY", "Found", "find_codes", "holds_codes", "keep_codes"]

CODES_KEY = "napari-mganprior codes"
"""Of a layer's metadata; beside the recipe, which people copy and read."""

_MOST_KEPT = 1_000_000  # numbers, 4 MB: packing them takes 0.2 s of the window's time


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A picture whose codes are known.

    Attributes
    ----------
    layer : Image
        Where the picture is.
    taken : Taken
        The picture.
    prior : str
        Whose codes they are.
    restoration : Restoration
        The inversion, as far as it is known: codes and recipe.
    """

    layer: Image
    taken: Taken
    prior: str
    restoration: Restoration


def keep_codes(layer: Image, restoration: Restoration) -> None:
    """Put the codes of an inversion into its layer's metadata, unless they are very many."""
    codes, recipe = restoration.codes or (), restoration.recipe
    numbers = sum(c.z.size + c.alpha.size + _size(c.offset) + _size(c.noise) for c in codes)
    if codes and numbers <= _MOST_KEPT:
        layer.metadata[CODES_KEY] = pack_codes(codes, str(recipe["prior"]["sha256"]))


def holds_codes(layer: Image | None) -> bool:
    """Say whether a layer brings the codes it was drawn from."""
    return layer is not None and {CODES_KEY, METADATA_KEY} <= layer.metadata.keys()


def find_codes(
    layer: Image, viewer: ViewerModel, path: Path | None, prior: str, zoom: float
) -> Found:
    """Read codes, and find the picture that they are codes of.

    Parameters
    ----------
    layer : Image
        One that `holds_codes`, whose picture must be in the viewer, unchanged, by whatever name;
        or the picture itself, if there is a file.
    viewer : ViewerModel
        With the layers.
    path : Path or None
        An ``.npz`` file to read instead of the layer.
    prior : str
        The prior that codes in a file must be those of; a layer says its own.
    zoom : float
        The pixel-size factor that they were found at; a layer says its own.

    Raises
    ------
    ImageError
        If the picture is not there, or a file's codes are another's.
    PriorError
        If the codes are another prior's, or no prior here is theirs.
    SettingsError
        If they are codes of several slices.
    StorageError
        If they cannot be read.
    """
    if path is None:
        return _in_layer(layer, viewer)
    sha256 = prior_sha256(find_prior(prior))
    taken = take_picture(layer, viewer.dims)
    codes = load_codes(path, sha256, taken.pixels)
    recipe = {"prior": {"name": prior, "sha256": sha256}, "zoom": float(zoom)}
    return Found(layer, taken, prior, _inversion(taken, codes, recipe))


def _in_layer(layer: Image, viewer: ViewerModel) -> Found:
    recipe = layer.metadata[METADATA_KEY]
    if "planes" in recipe:
        raise SettingsError(
            f"Got '{layer.name}', whose slices were inverted in one run; wanted one picture. Put "
            "the slice on screen and invert the current slice only."
        )
    sha256 = str(recipe["prior"]["sha256"])
    codes = unpack_codes(layer.metadata[CODES_KEY], sha256)
    source, taken = _source(layer, recipe, viewer)
    prior = _prior(str(recipe["prior"]["name"]), sha256, layer.name)
    return Found(source, taken, prior, _inversion(taken, codes, recipe))


def _source(layer: Image, recipe: dict[str, Any], viewer: ViewerModel) -> tuple[Image, Taken]:
    name, at = recipe["layers"]["image"], recipe["layers"]["slice"]
    axes = tuple(axis for axis, where in enumerate(at) if where is None)
    point = tuple(0 if where is None else int(where) for where in at)
    images = [one for one in viewer.layers if isinstance(one, Image) and one is not layer]
    for one in sorted(images, key=lambda one: one.name != name):
        shape = spatial_shape(one)
        if len(shape) != len(at) or any(n <= where for n, where in zip(shape, point, strict=True)):
            continue
        cut = Cut(Plane((axes[0], axes[1]), point), shape)
        if list(cut.size) != recipe["image"]["dimensions"][:2]:
            continue
        taken = take_picture(one, viewer.dims, cut)
        if sha256_of(taken.pixels) == recipe["image"]["sha256"]:
            return one, taken
    raise ImageError(
        f"Got the codes of '{name}' in '{layer.name}' and no layer with its pixels; wanted that "
        "picture, unchanged, to edit. Open it, or press 'Invert' to edit this layer."
    )


def _prior(name: str, sha256: str, made: str) -> str:
    for one in sorted(prior_names(), key=lambda one: one != name):
        try:
            if prior_sha256(find_prior(one)) == sha256:
                return one
        except PriorError:  # one that is gone, or that was registered and has no file
            continue
    raise PriorError(
        f"Got '{made}', inverted with the prior {name!r} of sha256 {sha256}, which is not here; "
        "wanted the same file. Install it, or press 'Invert' with another prior."
    )


def _inversion(taken: Taken, codes: tuple[WindowCodes, ...], recipe: dict[str, Any]) -> Restoration:
    shape = taken.pixels.shape[:2]
    return Restoration(
        image=taken.pixels, invented=np.zeros(shape, bool),
        uncertainty=np.zeros(shape, np.float32), history=(), recipe=recipe, codes=codes,
    )  # fmt: skip


def _size(part: Any) -> int:
    return 0 if part is None else int(part.size)
