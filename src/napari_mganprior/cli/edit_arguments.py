"""What can be asked of `napari-mganprior edit`; reading it imports no torch."""

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["add_edit"]


def add_edit(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    output: Callable[..., None],
    *shared: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        Where to.
    output : callable
        Adds the option for the file to write.
    *shared : callable
        Add the options that all tasks have.
    """
    parser = commands.add_parser(
        "edit",
        help="change what an image shows along directions of a prior's codes",
        description="Move the codes of a PNG or TIFF image along directions and draw it from them, "
        "or draw the way to another image. Every pixel that changes is invented.",
        epilog="Example: napari-mganprior edit cells.tif --move 1=2 --move 3=-1 -o edited.tif",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    output(parser, "-o", metavar="OUT", help="PNG or TIFF to write; TIFF with --to")
    parser.add_argument(
        "--move",
        action="append",
        default=[],
        metavar="DIRECTION=STRENGTH",
        help="a direction's number (1, 2, ..; the strongest first), a boundary file (.npy), or "
        "'learnt', and how far to go, in standard deviations of random codes; can be repeated",
    )
    parser.add_argument(
        "--like", type=Path, nargs="+", default=[], metavar="FILE",
        help="images to learn a direction from, 'learnt': at least two that are like this",
    )  # fmt: skip
    parser.add_argument(
        "--unlike", type=Path, nargs="+", default=[], metavar="FILE",
        help="and at least two that are not",
    )  # fmt: skip
    parser.add_argument(
        "--boundary", type=Path, metavar="OUT.npy", help="file to write the learnt direction to"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE",
        help="draw the way to this image instead, as a stack; same size and type",
    )  # fmt: skip
    parser.add_argument(
        "--pictures", type=int, default=9, metavar="N",
        help="how many pictures the way has, both ends included (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--codes", type=Path, metavar="CODES.npz",
        help="codes of this image, from `invert --codes`; inverted anew if left out",
    )  # fmt: skip
    parser.add_argument(
        "--drawing", action="store_true",
        help="write what the prior draws, without the detail that it cannot draw",
    )  # fmt: skip
    parser.add_argument(
        "--strip", type=Path, metavar="OUT.png",
        help="picture to write besides: what the first eight directions do to the image",
    )  # fmt: skip
    for add in shared:
        add(parser)
    parser.set_defaults(module="edit", when_stopped="Nothing was written.")
