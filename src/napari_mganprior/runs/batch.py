"""Many image files treated alike: which they are, their masks, their outputs, the table of results.

No torch and no Qt: the shell and the window plan their batches here.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import ImageError, StorageError
from napari_mganprior.files import ImageFile, read_mask, read_stack, write_atomically, write_image

__all__ = [
    "IMAGE_ENDINGS",
    "SUMMARY",
    "BatchRow",
    "Laid",
    "find_images",
    "find_mask",
    "lay_out",
    "outputs_for",
    "write_result",
    "write_summary",
]

IMAGE_ENDINGS = (".png", ".tif", ".tiff")
SUMMARY = "summary.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """What became of one image.

    Attributes
    ----------
    image, output : str
        Names of the files, or of the layers.
    outcome : str
        "restored", "stopped", "refused" or "cancelled".
    invented_pixels : int
        How many pixels were invented.
    loss : float or str
        Misfit on measured pixels at the end; empty where nothing was restored.
    seconds : float or str
        Time it took; empty where nothing was restored.
    message : str
        Why it was refused, or what is good to know.
    """

    image: str
    output: str = ""
    outcome: str = "refused"
    invented_pixels: int = 0
    loss: float | str = ""
    seconds: float | str = ""
    message: str = ""

    @classmethod
    def restored(cls, image: str, output: str, restoration: Any, *, stopped: bool) -> "BatchRow":
        """Describe a `Restoration`."""
        skipped = restoration.recipe.get("planes", {}).get("skipped", {})
        return cls(
            image=image,
            output=output,
            outcome="stopped" if stopped else "restored",
            invented_pixels=int(restoration.invented.sum()),
            loss=float(restoration.history[-1]),
            seconds=float(restoration.recipe.get("seconds", 0.0)),
            message="; ".join(f"plane {plane}: {why}" for plane, why in skipped.items()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """An image file, read and laid out as a recipe wants it.

    Attributes
    ----------
    file : ImageFile
        As read.
    image : ndarray
        (H, W) or (H, W, 3); (P, H, W) or (P, H, W, 3) for a recipe of several planes.
    mask : ndarray or None
        Its damage; None for that of the recipe.
    planes : bool
        Whether the output has several planes.
    colours_apart : bool
        Whether the planes are the colours of one image.
    """

    file: ImageFile
    image: NDArray[Any]
    mask: NDArray[np.bool_] | None
    planes: bool = False
    colours_apart: bool = False


def find_images(given: Sequence[Path]) -> list[Path]:
    """Replace folders by the images in them, in alphabetical order.

    Raises
    ------
    StorageError
        If there is none.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
        else:
            found.append(path)
    if not found:
        raise StorageError(
            f"Got no image in {', '.join(map(str, given))}; wanted PNG or TIFF files. Check the "
            "folder."
        )
    return found


def outputs_for(
    paths: Sequence[Path], folder: Path, *, planes: bool, overwrite: bool
) -> list[Path]:
    """Name the outputs of a batch, and refuse what could not be written.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    folder : Path
        Where the outputs and the table of results go.
    planes : bool
        Whether results have several planes, which only TIFF holds.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    StorageError
        If two images have the same output, or one exists already.
    """
    if folder.exists() and not folder.is_dir():
        raise StorageError(
            f"Got the file {folder} as output of several images; wanted a folder. Choose another."
        )
    outputs = [
        folder / f"{path.stem}_restored{'.tif' if planes else path.suffix}" for path in paths
    ]
    twice = sorted({str(path) for path in outputs if outputs.count(path) > 1})
    if twice:
        raise StorageError(
            f"Got several images for the output {', '.join(twice)}; wanted one each. Restore "
            "images of the same name in separate runs."
        )
    there = [path for path in [*outputs, folder / SUMMARY] if path.exists()]
    if there and not overwrite:
        raise StorageError(
            f"Got the output {there[0]}, which exists already; wanted a new name. Choose another "
            "folder, move it away, or, in the shell, add --overwrite."
        )
    return outputs


def find_mask(path: Path, masks: Path) -> Path:
    """Find the mask of an image: the file given, or the one of its name in the folder given.

    Raises
    ------
    StorageError
        If the folder has none of its name.
    """
    if not masks.is_dir():
        return masks
    names = [f"{path.stem}{tail}{end}" for tail in ("", "_mask") for end in IMAGE_ENDINGS]
    for name in names:
        if (masks / name).is_file():
            return masks / name
    raise StorageError(
        f"Got no mask for {path.name} in {masks}; wanted one of {', '.join(names)}. Add it, or "
        "give one mask for all images."
    )


def lay_out(path: Path, recipe: Mapping[str, Any], masks: Path | None) -> Laid:
    """Read an image and cut out of it, or bring into order, what a recipe is about.

    Parameters
    ----------
    path : Path
        The image.
    recipe : mapping
        With "planes" the file's planes are a series; else one slice is taken out of a stack, the
        one the recipe names.
    masks : Path or None
        As for `find_mask`; None for the damage of the recipe.

    Raises
    ------
    StorageError, ImageError, MaskError
        If a file cannot be used.
    """
    file = read_stack(path)
    image = file.array
    n_extra = image.ndim - (3 if file.rgb else 2)
    mask = None if masks is None else read_mask(find_mask(path, masks), stack=True)
    if "planes" in recipe:
        wanted = tuple(recipe.get("image", {}).get("dimensions", ()))
        if file.rgb and n_extra == 0 and wanted[:1] == (3,):
            return Laid(file, np.moveaxis(image, -1, 0), mask, colours_apart=True)
        if mask is not None and mask.ndim > 2:
            mask = mask.reshape(-1, *mask.shape[-2:])
        return Laid(file, image.reshape(-1, *image.shape[n_extra:]), mask, planes=True)
    if n_extra:
        place = _slice_of(path, recipe, image.shape[:n_extra])
        image = image[place]
        mask = mask[place] if mask is not None and mask.ndim > 2 else mask
    return Laid(file, image, mask)


def write_result(path: Path, laid: Laid, restoration: Any) -> None:
    """Write a `Restoration` of what `lay_out` read; errors as of `files.write_image`."""
    image = restoration.image
    write_image(
        path,
        np.moveaxis(image, 0, -1) if laid.colours_apart else image,
        like=laid.file.enlarged(restoration.recipe.get("operator", {}).get("factor", 1)),
        recipe=restoration.recipe,
        planes=laid.planes or "proposals" in restoration.recipe,
    )


def write_summary(path: Path, rows: Sequence[BatchRow]) -> None:
    """Write the table of results as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(BatchRow)])
    writer.writerows(astuple(row) for row in rows)
    write_atomically(path, text.getvalue().encode())


def _slice_of(path: Path, recipe: Mapping[str, Any], extra: tuple[int, ...]) -> tuple[int, ...]:
    """Find the slice of a stack that the recipe restored."""
    place = tuple(at for at in recipe.get("layers", {}).get("slice", ()) if at is not None)
    if len(place) != len(extra) or any(at >= n for at, n in zip(place, extra, strict=True)):
        raise ImageError(
            f"Got {path.name} with {' x '.join(map(str, extra))} planes for a recipe of the slice "
            f"{list(place)}; wanted an image that has it. Save the plane as a file of its own."
        )
    return place
