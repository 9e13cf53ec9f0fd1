"""`napari-mganprior demo`: the two sample images restored, measured and shown."""

import argparse
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.errors import StorageError
from napari_mganprior.files import write_atomically, write_image
from napari_mganprior.metrics import psnr_in, ssim_in
from napari_mganprior.priors import find_prior
from napari_mganprior.samples import SAMPLES, Sample, load_sample

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["run"]

_COMPARISON = "comparison.png"
_PANELS = ("truth", "damaged", "napari-mganprior", "biharmonic")
_PANEL, _GAP, _HEAD = 384, 6, 22  # px
_DETAIL = 64  # px of the image in a magnified panel


def run(args: argparse.Namespace) -> None:
    """Restore the samples, print the table, write the pictures."""
    outputs = [args.output / f"{name}_restored.png" for name in SAMPLES]
    _check_outputs([*outputs, args.output / _COMPARISON], overwrite=args.overwrite)
    find_prior(args.prior)

    from napari_mganprior.cli.restoring import open_prior, restore

    prior = open_prior(args)
    print("Inside the hole only; the higher, the better.\n")
    print(f"{'sample':16}{'method':18}{'PSNR (dB)':>10}{'SSIM':>8}{'seconds':>9}")
    rows = []
    for name, output in zip(SAMPLES, outputs, strict=True):
        sample = load_sample(name)
        started = time.perf_counter()
        restoration = restore(sample.damaged, sample.mask, prior, args, label=name)
        _print_row(sample, _PANELS[2], restoration.image, time.perf_counter() - started)
        started = time.perf_counter()
        smooth = _biharmonic(sample)
        _print_row(sample, _PANELS[3], smooth, time.perf_counter() - started)
        write_image(output, restoration.image, recipe=restoration.recipe)
        rows.append((sample, restoration.image, smooth))
    write_atomically(args.output / _COMPARISON, _comparison(rows))
    print(f"\nPrior {prior.card.name}, sha256 {prior.sha256}")
    print(f"Picture: {args.output / _COMPARISON}")


def _check_outputs(paths: list[Path], *, overwrite: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        raise StorageError(
            f"Got a folder that holds {', '.join(there)} already; wanted a new one. Choose "
            "another with -o, or allow overwriting (--overwrite)."
        )


def _biharmonic(sample: Sample) -> NDArray[np.uint8]:
    from skimage.restoration import inpaint_biharmonic

    filled = inpaint_biharmonic(sample.damaged / 255.0, sample.mask)
    values: NDArray[np.uint8] = np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)
    return values


def _print_row(sample: Sample, method: str, image: NDArray[Any], seconds: float) -> None:
    psnr = psnr_in(sample.mask, sample.truth, image, 255)
    ssim = ssim_in(sample.mask, sample.truth, image, 255)
    print(f"{sample.name:16}{method:18}{psnr:10.2f}{ssim:8.3f}{seconds:9.1f}", flush=True)


def _comparison(rows: list[tuple[Sample, NDArray[Any], NDArray[Any]]]) -> bytes:
    """Draw every sample twice: whole, and magnified around the most interesting damage."""
    from PIL import Image, ImageDraw, ImageFont

    width = len(_PANELS) * (_PANEL + _GAP) + _GAP
    height = 2 * len(rows) * (_PANEL + _GAP) + _HEAD + _GAP
    sheet = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for column, title in enumerate(_PANELS):
        draw.text((_GAP + column * (_PANEL + _GAP), 3), title, fill=0, font=font)
    for number, (sample, ours, smooth) in enumerate(rows):
        low, high = np.percentile(sample.truth, [0.5, 99.9])
        top, left = _most_detailed(sample)
        cut = np.s_[top : top + _DETAIL, left : left + _DETAIL]
        for column, image in enumerate((sample.truth, sample.damaged, ours, smooth)):
            shown = np.clip((image - low) / (high - low), 0, 1) * 255
            x = _GAP + column * (_PANEL + _GAP)
            y = _HEAD + 2 * number * (_PANEL + _GAP)
            sheet.paste(_panel(shown), (x, y))
            sheet.paste(_panel(shown[cut]), (x, y + _PANEL + _GAP))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _panel(values: NDArray[Any]) -> "Image":
    from PIL import Image

    # nearest pixels: a picture of pixels must not be smoothed by its own display
    return Image.fromarray(values.astype(np.uint8)).resize(
        (_PANEL, _PANEL), Image.Resampling.NEAREST
    )


def _most_detailed(sample: Sample) -> tuple[int, int]:
    """Find the cut in which the damage hides most: the largest variance of the truth under it."""
    places = [
        (top, left)
        for top in range(0, sample.truth.shape[0] - _DETAIL + 1, 16)
        for left in range(0, sample.truth.shape[1] - _DETAIL + 1, 16)
    ]

    def hidden(place: tuple[int, int]) -> float:
        cut = np.s_[place[0] : place[0] + _DETAIL, place[1] : place[1] + _DETAIL]
        under = sample.truth[cut][sample.mask[cut]].astype(float)
        return float(((under - under.mean()) ** 2).sum()) if under.size else 0.0

    return max(places, key=hidden)
