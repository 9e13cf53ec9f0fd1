"""Train a bundled prior again, and write it with its model card.

    python examples/make_prior.py nuclei ../shared/data/nuclei
    python examples/make_prior.py blood ../shared/data/blood
    python examples/make_prior.py nuclei128 ../shared/data/nuclei --device cuda

The folder holds train and test as .npz, one 8-bit array (H, W) or (H, W, 3) a key, or as .zip of
picture files; docs/training.md says where anybody finds the pictures. Training takes about an hour
on two cores, may be stopped at any time and goes on where it was. ``--export-only`` publishes the
last checkpoint as it is. The names that end in 128 draw 128 px, and are meant for a GPU.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.arrays import choose_device
from napari_mganprior.errors import MGANPriorError, TrainingError
from napari_mganprior.training.card import CardText, publish_prior
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource, load_images
from napari_mganprior.training.image_files import Opened, archive_members, member_pictures
from napari_mganprior.training.pictures import UnusableImageError, whole
from napari_mganprior.training.session import open_state, run_session

PRIORS = Path(__file__).parents[1] / "src" / "napari_mganprior" / "priors"
REPORT_EVERY = 2_000  # crops


@dataclass(frozen=True, kw_only=True)
class Making:
    """How one bundled prior is made.

    Attributes
    ----------
    text : CardText
        What its card says.
    config : TrainingConfig
        How it is trained.
    hold_out_every : int
        Every so manieth training picture is held out as well; 0 holds out the test set alone.
    kept : tuple of int or None
        Height and width of the upper left part of each picture that is used; None is all of it.
    """

    text: CardText
    config: TrainingConfig
    hold_out_every: int = 0
    kept: tuple[int, int] | None = None


NUCLEI = CardText(
    name="nuclei",
    domain="nuclei of cells and tissue in fluorescence, bright on dark, grey",
    pixel_size="many magnifications mixed; most nuclei 7 to 50 px across",
    data="487 pictures of 256x256 to 603x1272 px from image set BBBC038v1 (2018 Data Science "
    "Bowl), Broad Bioimage Benchmark Collection (Ljosa et al., Nature Methods, 2012; Caicedo et "
    "al., Nature Methods, 2019), random 64x64 crops, turned and mirrored; 27 other pictures held "
    "out",
    licence="CC0-1.0, as the training data",
    use="""Filling damaged or missing pixels in fluorescence pictures of stained nuclei (DAPI,
Hoechst and the like): bright nuclei on a dark background, one grey channel. The generator draws
plausible nuclei; the engine searches for drawings that agree with the pixels that were measured.
It suits pictures for teaching and display, said to be repaired, and filling dust, scratches and
dead pixels so that tools can run on the rest of the picture.""",
    limits="""* **It invents.** What stands in the hole is plausible, not measured: a nucleus that
  was there can be missing, and one that never was can appear. Never count, segment or measure
  inside the repaired area, and say in the caption that it was repaired. The result's mask of
  invented pixels marks where.
* It knows the textures and sizes of its training pictures: nuclei 7 to 50 px across (5th to 95th
  percentile). Set the zoom for others.
* It has not seen other stains, bright-field or histology colours, electron microscopy, three
  dimensions, or strong noise, and will draw nuclei where there should be none.
* Mitotic, apoptotic and otherwise rare nuclei are rare in the data, and rarer in its samples.
* It draws 64x64 px at a time. Larger holes are filled window by window and hold together only as
  far as the windows overlap.""",
    repeat="""`make prior-nuclei`, with `train.npz` and `test.npz` of the pictures in
`../shared/data/nuclei` (or `DATA=...`). It takes about an hour on two CPU cores, and goes on after
an interruption. On the same machine, with the same torch and number of threads, the weights come
out the same to the last bit; elsewhere they differ by rounding that grows during the training, and
the samples with them, while the distances stay alike.""",
)

HISTOLOGY = CardText(
    name="histology",
    domain="purple-stained tissue and smears (haematoxylin and eosin, and similar), bright field, "
    "RGB",
    pixel_size="several magnifications mixed; nuclei 8 to 40 px across",
    data="87 pictures, mostly 256x320 px, of stained tissue from image set BBBC038v1 (2018 Data "
    "Science Bowl), Broad Bioimage Benchmark Collection (Ljosa et al., Nature Methods, 2012; "
    "Caicedo et al., Nature Methods, 2019), random 64x64 crops, turned and mirrored; 15 other "
    "pictures held out",
    licence="CC0-1.0, as the training data",
    use="""Filling damaged or missing pixels in bright-field pictures of purple-stained tissue, in
RGB: dust, scratches, folds, dead pixels. It suits pictures for teaching and display, said to be
repaired, and filling holes so that tools can run on the rest of the picture.""",
    limits="""* **It invents.** What stands in the hole is plausible, not measured: never diagnose,
  count, segment or measure inside the repaired area, and say in the caption that it was repaired.
* It has seen 87 pictures from few laboratories. Other stains, scanners and organs are foreign to
  it; where the residual is strong, do not trust it.
* It draws 64x64 px at a time. Larger holes are filled window by window and hold together only as
  far as the windows overlap.""",
    repeat="""`make prior-histology`, with `train.npz` and `test.npz` of the pictures in
`../shared/data/histology` (or `DATA=...`); every tenth training picture is held out as well, since
the test set is small. It takes about an hour on two CPU cores, and goes on after an
interruption.""",
)

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""

BLOOD = CardText(
    name="blood",
    domain="red blood cells in stained smears, bright field, RGB",
    pixel_size="one magnification; red cells about 40 px across",
    data="340 pictures of 640x480 px of blood smears, the upper left 540x400 px of each (a scale "
    "bar is burnt in below), from Chula RBC-12-Dataset (Naruenatthanaset et al., 2021, "
    "arXiv:2012.01321), random 64x64 crops, turned and mirrored; 30 other pictures held out",
    licence="MIT, as the training data: Copyright (c) 2021 Chula PIC Lab",
    use="""Filling damaged or missing pixels in bright-field pictures of stained blood smears, in
RGB: dust, scratches, bubbles, dead pixels. It suits pictures for teaching and display, said to be
repaired, and filling holes so that tools can run on the rest of the picture.""",
    limits="""* **It invents.** What stands in the hole is plausible, not measured: a cell that was
  there can be missing, and one that never was can appear. Never diagnose, count, classify or
  measure inside the repaired area, and say in the caption that it was repaired.
* It has seen smears of one data set, mostly of patients with thalassaemia: round, oval, target,
  teardrop and broken red cells. White cells, platelets and parasites are few in it; it will put red
  cells in their place.
* Cells are about 40 px across in its training pictures. Set the zoom for others.
* A few of the training pictures have a yellow arrow drawn into them; a sample may show a piece.
* It draws 64x64 px at a time. Larger holes are filled window by window and hold together only as
  far as the windows overlap.""",
    repeat="""`make prior-blood`, with `train.zip` and `test.zip` of the pictures in
`../shared/data/blood` (or `DATA=...`). It goes on after an interruption. The bundled one was
planned for 90,000 crops at first, so a repetition is alike, and not the same to the last bit. The
pictures are at
https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset.""",
    notice=f"""The training pictures, Chula RBC-12-Dataset, come under the MIT License:

Copyright (c) 2021 Chula PIC Lab

{MIT}""",
)

SATELLITE = CardText(
    name="satellite",
    domain="land seen from Sentinel-2, visible light at 10 m a pixel, RGB",
    pixel_size="10 m a pixel",
    data="12,000 tiles of 64x64 px from EuroSAT (Helber et al., IEEE JSTARS 12(7), 2019, "
    "https://doi.org/10.1109/JSTARS.2019.2918242), ten kinds of land cover in Europe, turned and "
    "mirrored; 300 other tiles held out. Contains modified Copernicus Sentinel data",
    licence="MIT, as the training data: Copyright (c) 2023 Patrick Helber",
    use="""Filling small gaps in true-colour pictures of land at 10 m a pixel: dead lines, small
clouds, burnt-in marks. For teaching and display, said to be repaired.""",
    limits="""* **It invents.** Fields, roads and houses in the hole are plausible, not measured:
  never map, count or measure there, and say in the caption that it was repaired.
* It has seen visible light over Europe, at 10 m a pixel, without clouds. Other sensors, scales,
  bands and continents are foreign to it. At most a whole tile fits into its view: 640 m.
* Every tile was stretched between its own 1st and 99.8th percentile, so colours are relative:
  dark water and dark forest came in brighter than they are.
* **Its samples are the weakest of the four.** Built-up land comes out as repeated loops, fields
  have wavy borders, and roads are missing. Look at the grid above before you use it.
* It draws 64x64 px at a time. Larger holes are filled window by window and hold together only as
  far as the windows overlap.""",
    repeat="""`make prior-satellite`, with `train.zip` and `test.zip` of the tiles in
`../shared/data/satellite` (or `DATA=...`). It goes on after an interruption. The bundled one was
planned for 90,000 crops at first, so a repetition is alike, and not the same to the last bit. All
27,000 tiles are `EuroSAT_RGB.zip` at https://doi.org/10.5281/zenodo.7711810.""",
    notice=f"""The training pictures, EuroSAT, come under the MIT License:

Copyright (c) 2023 Patrick Helber

{MIT}""",
)

MAKINGS = {
    "nuclei": Making(
        text=NUCLEI, config=TrainingConfig(n_images=170_000, r1_late_after=90_000, augment=False)
    ),
    "histology": Making(
        text=HISTOLOGY,
        config=TrainingConfig(
            n_images=110_000, image_channels=3, r1_late_after=60_000, augment=False
        ),
        hold_out_every=10,
    ),
    "blood": Making(
        text=BLOOD,
        config=TrainingConfig(
            n_images=64_000, image_channels=3, r1_late_after=32_000, augment=False
        ),
        kept=(400, 540),
    ),
    "satellite": Making(
        text=SATELLITE,
        config=TrainingConfig(
            n_images=110_000, image_channels=3, r1_late_after=32_000, augment=False
        ),
    ),
}


def at_128(making: Making) -> Making:
    """Return the same prior at 128 px, for a GPU."""
    name = f"{making.text.name}128"
    words = {
        field.name: getattr(making.text, field.name).replace("64x64", "128x128")
        for field in fields(CardText)
    }
    words["name"] = name
    words["repeat"] = (
        f"`python examples/make_prior.py {name} ../shared/data/{making.text.name} --device cuda`, "
        "with the pictures of "
        f"`{making.text.name}` in that folder. It is meant for a GPU, and goes on after an "
        "interruption."
    )
    config = TrainingConfig.for_resolution(
        128, image_channels=making.config.image_channels, n_images=400_000, bfloat16=True
    )
    return replace(making, text=CardText(**words), config=config)


MAKINGS |= {f"{name}128": at_128(MAKINGS[name]) for name in ("nuclei", "histology", "blood")}


def load_pictures(folder: Path, part: str, making: Making) -> dict[str, NDArray[Any]]:
    """Read PART.npz or PART.zip, sorted by name, and cut away what is not used."""
    arrays, archive = folder / f"{part}.npz", folder / f"{part}.zip"
    if not arrays.exists() and not archive.exists():
        raise TrainingError(
            f"Got neither {arrays} nor {archive.name} there; wanted one of them. docs/training.md "
            "says where the pictures are."
        )
    pictures = load_images(arrays) if arrays.exists() else _unzip(archive)
    if making.kept is not None:
        height, width = making.kept
        pictures = {key: image[:height, :width] for key, image in pictures.items()}
    return pictures


def _unzip(path: Path) -> dict[str, NDArray[np.generic]]:
    opened, pictures = Opened(), {}
    try:
        for member, _ in archive_members(path, opened):
            for picture in member_pictures(path, member, member, None, opened):
                pictures[picture.key] = picture.read(whole(picture))
    except UnusableImageError as why:
        raise TrainingError(
            f"Could not read {path} ({why}); wanted a zip archive of pictures. Fetch it again."
        ) from why
    finally:
        opened.close()
    return pictures


def load_sources(folder: Path, making: Making) -> tuple[CropSource, CropSource]:
    """Read the pictures to train on and those held out."""
    train_set = load_pictures(folder, "train", making)
    held_out = load_pictures(folder, "test", making)
    if making.hold_out_every:
        kept = sorted(train_set)[:: making.hold_out_every]
        held_out = {**held_out, **{key: train_set.pop(key) for key in kept}}
    size = making.config.resolution
    return CropSource(train_set, size), CropSource(held_out, size)


def train(folder: Path, source: CropSource, config: TrainingConfig, device: str = "cpu") -> None:
    """Train until done, reporting as it goes."""
    start, first, reported = time.monotonic(), None, 0
    for step in run_session(folder, source, config, device=choose_device(device)):
        first = step.images_seen if first is None else first
        if step.images_seen - reported < REPORT_EVERY and step.images_seen < step.n_images:
            continue
        reported = step.images_seen
        rate = (step.images_seen - first) / max(time.monotonic() - start, 1e-9)
        left = f"{(step.n_images - step.images_seen) / rate / 60:.0f} min" if rate else "?"
        print(
            f"{step.images_seen:7,} of {step.n_images:,} crops | "
            f"generator {step.generator_loss:.3f} discriminator {step.discriminator_loss:.3f} | "
            f"{rate:.0f} crops/s, {left} left",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, train and publish; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("name", choices=sorted(MAKINGS), help="which prior")
    parser.add_argument("data", type=Path, help="folder with train and test, .npz or .zip")
    parser.add_argument("--run", type=Path, help="training folder; .prior-runs/NAME if left out")
    parser.add_argument("--out", type=Path, default=PRIORS, help="folder the prior is written to")
    parser.add_argument(
        "--checkpoint", type=Path, help="publish this one; RUN/checkpoint.pt if left out"
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--export-only", action="store_true", help="publish without training")
    args = parser.parse_args(argv)
    making, run = MAKINGS[args.name], args.run or Path(".prior-runs") / args.name
    try:
        source, held_out = load_sources(args.data, making)
        if not args.export_only:
            train(run, source, making.config, args.device)
        state = open_state(args.checkpoint or run / "checkpoint.pt")
        print(
            f"Measuring and writing {args.name} after {state.images_seen:,} crops ...", flush=True
        )
        sha256 = publish_prior(state, args.out, making.text, train=source, held_out=held_out)
    except MGANPriorError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\nStopped. The last checkpoint stays in {run}; run again to go on.",
            file=sys.stderr,
        )
        return 130
    print(f"{args.out / args.name}.safetensors  sha256 {sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
