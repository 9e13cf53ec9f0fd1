"""What `napari-mganprior train` can be asked for; reading it imports no torch."""

import argparse
from pathlib import Path

__all__ = ["add_train"]


def add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="make a prior from your own images",
        description="Train a prior on random crops of your images and put it among your own "
        "priors. An hour or more on a CPU, much less on a GPU. Ctrl-C stops at any time: the same "
        "command goes on from the last checkpoint.",
        epilog="Example: napari-mganprior train scans/ more/stack.tif --name tissue --minutes 60",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="folder (with those in it), TIFF, PNG, JPEG, .npy, .npz, zip of images, OME-Zarr",
    )
    parser.add_argument("--name", required=True, help="name of the prior")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder for checkpoints, card and a copy of the prior (default: NAME-training here)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace your own prior of that name"
    )
    parser.add_argument("--domain", default="", help="what the images show, in words")
    parser.add_argument("--licence", default="not stated", help="under which the prior may be used")
    parser.add_argument(
        "--resolution",
        type=int,
        default=64,
        help="side of the crops in pixels, a power of two from 16 up (default: %(default)s)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, help="how long to train; the rate is measured at the start"
    )
    length.add_argument(
        "--images", type=int, help="how many crops to learn from (default: 200,000)"
    )
    parser.add_argument(
        "--channels",
        type=_channels,
        metavar="N,..",
        help="which channels, counted from 0, such as 0 or 0,2; 'grey' for the brightness; 'each' "
        "for every channel as an image of its own (default: grey and RGB as they are)",
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        nargs="+",
        default=[],
        metavar="OTHER",
        help="images to measure the prior with, instead of a tenth of the sources",
    )
    parser.add_argument(
        "--cache",
        type=float,
        default=1.0,
        metavar="GB",
        help="memory for decoded images; where they need more, they are read again and again, "
        "which is slower and changes nothing else (default: %(default)g)",
    )
    parser.add_argument(
        "--no-encoder",
        dest="encoder",
        action="store_false",
        help="do not train an encoder at the end, which takes a tenth of the time",
    )
    parser.add_argument(
        "--keep-now",
        action="store_true",
        help="do not train any further: make the prior of the last checkpoint",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="chooses the crops and what is held out; the same seed gives the same prior on the "
        "same device (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but the result")
    parser.set_defaults(
        module="train",
        when_stopped="The last checkpoint stays: the same command goes on from it, and with "
        "--keep-now it makes a prior of what is there.",
    )


def _channels(text: str) -> tuple[int, ...] | str:
    """Read numbers with commas between them; words are checked later."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        return text
