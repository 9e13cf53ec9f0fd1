"""Train a bundled prior again, and write it with its model card.

    python examples/make_prior.py nuclei ../shared/data/nuclei
    python examples/make_prior.py histology ../shared/data/histology

The folder holds train.npz and test.npz: 8-bit pictures from BBBC038v1, one array (H, W) or
(H, W, 3) a key. Training takes about an hour on two cores, may be stopped at any time and
goes on where it was. ``--export-only`` publishes the last checkpoint as it is.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_mganprior.errors import MGANPriorError
from napari_mganprior.training.card import CardText, publish_prior
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource, load_images
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
    """

    text: CardText
    config: TrainingConfig
    hold_out_every: int = 0


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
}


def load_sources(folder: Path, making: Making) -> tuple[CropSource, CropSource]:
    """Read the pictures to train on and those held out."""
    train_set = load_images(folder / "train.npz")
    held_out = load_images(folder / "test.npz")
    if making.hold_out_every:
        kept = sorted(train_set)[:: making.hold_out_every]
        held_out = {**held_out, **{key: train_set.pop(key) for key in kept}}
    size = making.config.resolution
    return CropSource(train_set, size), CropSource(held_out, size)


def train(folder: Path, source: CropSource, config: TrainingConfig) -> None:
    """Train until done, reporting as it goes."""
    start, first, reported = time.monotonic(), None, 0
    for step in run_session(folder, source, config):
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
    parser.add_argument("data", type=Path, help="folder with train.npz and test.npz")
    parser.add_argument("--run", type=Path, help="training folder; .prior-runs/NAME if left out")
    parser.add_argument("--out", type=Path, default=PRIORS, help="folder the prior is written to")
    parser.add_argument(
        "--checkpoint", type=Path, help="publish this one; RUN/checkpoint.pt if left out"
    )
    parser.add_argument("--export-only", action="store_true", help="publish without training")
    args = parser.parse_args(argv)
    making, run = MAKINGS[args.name], args.run or Path(".prior-runs") / args.name
    try:
        source, held_out = load_sources(args.data, making)
        if not args.export_only:
            train(run, source, making.config)
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
