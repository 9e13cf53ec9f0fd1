"""What can be asked of `napari-mganprior analyse`; reading it imports no torch."""

import argparse
from collections.abc import Callable
from pathlib import Path

from napari_mganprior.inversion.config import QUALITIES

__all__ = ["add_analyse"]

# as in `analysis.config` and `analysis.parts`, which would bring torch here
_STUDIES = ("invert", "inpaint", "missing", "denoise", "super-resolve", "colorize")
_STOPPED = "Combinations already finished stay in the table."


def add_analyse(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_seed_and_device: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Describe the command and its two actions.

    Parameters
    ----------
    commands : subparsers
        Where to.
    add_seed_and_device : callable
        Adds the options that every command has.
    """
    parser = commands.add_parser(
        "analyse",
        help="compare cuts and numbers of codes, or show what each code draws",
        description="Look into a prior: the same task at every cut, or the role of each code.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_study(actions, add_seed_and_device)
    _add_roles(actions, add_seed_and_device)


def _add_study(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_seed_and_device: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = actions.add_parser(
        "study",
        help="the same task at every cut and with several numbers of codes",
        description="Do the same at every cut of the prior and with several numbers of codes. The "
        "image is taken to be good: a copy is damaged, restored, and compared with it. With "
        "--measured the image itself is restored. Writes study.csv, study.svg and the results "
        "(study.tif) into a folder.",
    )
    _add_common(parser)
    parser.add_argument(
        "--task", choices=_STUDIES, default="invert", help="what is done (default: %(default)s)"
    )
    parser.add_argument(
        "--cuts", type=int, nargs="+", default=[], metavar="L", help="cuts to try (default: all)"
    )
    parser.add_argument(
        "--codes",
        type=int,
        nargs="+",
        default=[1, 5, 10, 20],
        metavar="N",
        help="numbers of codes to try (default: 1 5 10 20)",
    )
    parser.add_argument(
        "--quality",
        choices=QUALITIES,
        help="search each combination as long as the task is by itself (default: as --restarts 2 "
        "--steps 60)",
    )
    parser.add_argument(
        "--restarts",
        type=int,
        metavar="N",
        help="searches of each combination, averaged, in place of the quality's",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="evaluations of each at the most, in place of the quality's",
    )
    parser.add_argument(
        "--measured", action="store_true", help="restore the image itself, not a damaged copy"
    )
    parser.add_argument("--mask", type=Path, help="with --measured: the damage, not 0")
    parser.add_argument(
        "--truth", type=Path, help="with --measured: an image to compare the results with"
    )
    parser.add_argument(
        "--factor", type=int, choices=(2, 4, 8, 16), default=4, help="of super-resolve (default: 4)"
    )
    add_seed_and_device(parser)
    parser.set_defaults(module="analyse", action="study", when_stopped=_STOPPED)


def _add_roles(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_seed_and_device: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = actions.add_parser(
        "roles",
        help="which code draws what",
        description="Invert the image, take out one code after the other, and see what changes. "
        "Writes roles.csv, the number of the first contributor of each pixel (roles.tif), each "
        "code's contribution (contributions.tif) and what it draws alone (alone.tif).",
    )
    _add_common(parser)
    parser.add_argument(
        "--start",
        type=Path,
        metavar="CODES.npz",
        help="codes from an inversion of this part of the image, in place of a new one",
    )
    parser.add_argument(
        "--quality",
        choices=QUALITIES,
        default="balanced",
        help="of the inversion (default: %(default)s)",
    )
    add_seed_and_device(parser)
    parser.set_defaults(module="analyse", action="roles", when_stopped="Nothing was written.")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write into"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--prior", default="nuclei", metavar="NAME", help="a prior's name or file (default: nuclei)"
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--region",
        type=int,
        nargs=4,
        metavar=("TOP", "LEFT", "BOTTOM", "RIGHT"),
        help="the part of the image (default: one drawing of the prior from the middle)",
    )
    part.add_argument("--whole", action="store_true", help="all of the image")
