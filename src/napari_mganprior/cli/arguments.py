"""What can be asked for on the command line; reading it imports no torch."""

import argparse
from pathlib import Path
from typing import Any, TypeAlias

from napari_mganprior import __version__
from napari_mganprior.cli.analyse_arguments import add_analyse
from napari_mganprior.cli.edit_arguments import add_edit
from napari_mganprior.cli.train_arguments import add_train
from napari_mganprior.inversion.config import QUALITIES
from napari_mganprior.restore.tasks import ADVANCED, PICKS, PLANES, TASKS, Option, TaskSpec

__all__ = ["PROGRAM", "build_parser"]

PROGRAM = "napari-mganprior"
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Restore damaged images with a generative prior.",
        epilog="Example: napari-mganprior inpaint cells.tif --mask damage.png -o restored.tif",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    tasks = {name: _add_task(commands, spec) for name, spec in TASKS.items()}
    _add_damage(tasks["inpaint"])
    tasks["invert"].add_argument(
        "--codes",
        type=Path,
        dest="codes_out",
        metavar="OUT.npz",
        help="file to write the codes to",
    )
    add_edit(commands, _add_output, _add_engine, _add_zoom)
    add_analyse(commands, _add_seed_and_device)
    _add_run(commands)
    _add_demo(commands)
    _add_priors(commands)
    add_train(commands)
    return parser


def _add_task(commands: _Commands, spec: TaskSpec) -> argparse.ArgumentParser:
    """Add the command of a task: image, output, its options, what every task is told."""
    parser = commands.add_parser(spec.command, help=spec.help, description=spec.about)
    kinds = "grey" if spec.grey_only else "grey or RGB"
    parser.add_argument("image", type=Path, metavar="IMAGE", help=f"PNG or TIFF, {kinds}")
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    for option in spec.options:
        _add_option(parser, option, default=option.default)
    if spec.mask != "none":
        what = "damage" if spec.mask == "needed" else "a dead or hot pixel"
        parser.add_argument(
            "--mask",
            type=Path,
            required=spec.mask == "needed",
            help=f"PNG or TIFF of the same size; not 0 is {what}",
        )
    parser.add_argument(
        "--planes",
        choices=PLANES,
        default="one",
        help="one image; all slices of a stack, each begun from its neighbour; or channels one by "
        "one (default: %(default)s)",
    )
    _add_engine(parser, spec.prior)
    if spec.zooms:
        _add_zoom(parser)
    _add_pick(parser)
    advanced = parser.add_argument_group("settings in place of those of the quality")
    for option in ADVANCED:
        _add_option(advanced, option, default=None)
    parser.set_defaults(module="task", task=spec.name, when_stopped="Nothing was written.")
    return parser


def _add_option(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup", option: Option, *, default: Any
) -> None:
    told = option.help if default in (None, False) else f"{option.help} (default: %(default)s)"
    if option.kind is bool:
        parser.add_argument(
            option.shell, dest=option.name, action="store_true", default=default, help=told
        )
        return
    parser.add_argument(
        option.shell,
        dest=option.name,
        type=option.kind,
        default=default,
        choices=option.choices or None,
        metavar=option.metavar or None,
        help=told,
    )


def _add_pick(parser: argparse.ArgumentParser) -> None:
    pick = parser.add_mutually_exclusive_group()
    for which, told in zip(
        PICKS,
        (
            "write the mean over the searches, in which chance evens out (default)",
            "write of each window the search that explains best what was measured; sharper",
        ),
        strict=True,
    ):
        pick.add_argument(
            f"--{which}", dest="pick", action="store_const", const=which, default="average",
            help=told,
        )  # fmt: skip


def _add_damage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--invert", action="store_true", help="damage is where the mask is 0, not where it is not"
    )
    parser.add_argument(
        "--grow", type=int, default=0, metavar="PX", help="enlarge the damage by so many pixels"
    )
    parser.add_argument(
        "--feather",
        type=int,
        default=0,
        metavar="PX",
        help="mix result and image over the outermost so many pixels of what was grown",
    )
    parser.add_argument(
        "--region",
        type=int,
        nargs=4,
        metavar=("TOP", "LEFT", "BOTTOM", "RIGHT"),
        help="restore only the damage inside this rectangle, in pixels",
    )


def _add_run(commands: _Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="repeat a result from its recipe, or treat other images in the same way",
        description="Do to every image what a recipe says. On the recipe's own image and device "
        "the result is identical, and that is said. With several images, or a folder, OUT is a "
        "folder, and a table of the results, summary.csv, is written into it.",
    )
    parser.add_argument(
        "recipe",
        type=Path,
        metavar="RECIPE",
        help="a JSON file, an image restored by this program, or - for standard input",
    )
    parser.add_argument(
        "image", type=Path, nargs="+", metavar="IMAGE", help="PNG or TIFF files, or folders of them"
    )
    parser.add_argument(
        "--mask",
        type=Path,
        help="the damage, not 0: a file for all images, or a folder with NAME or NAME_mask for "
        "each; the recipe's own damage if left out",
    )
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write, or a folder")
    parser.add_argument("--prior", metavar="NAME", help="a prior in place of the recipe's")
    parser.add_argument("--device", help="a device in place of the recipe's")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(module="run", when_stopped="Images already finished stay.")


def _add_demo(commands: _Commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="restore the two sample images and compare with biharmonic inpainting",
        description="Restore the sample images, print PSNR and SSIM inside the hole beside "
        "scikit-image's inpaint_biharmonic, and write a before/after picture.",
    )
    _add_output(
        parser,
        "-o",
        metavar="FOLDER",
        default=Path("napari-mganprior-demo"),
        help="folder for the pictures (default: %(default)s)",
    )
    _add_engine(parser)
    parser.set_defaults(module="demo", when_stopped="Pictures already finished stay.")


def _add_priors(commands: _Commands) -> None:
    parser = commands.add_parser("priors", help="list, install, import and remove priors")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all priors, bundled and your own")
    listing.set_defaults(action="list")
    info = actions.add_parser("info", help="everything about one prior")
    info.add_argument("prior", metavar="NAME", help="a prior's name, or a .safetensors file")
    info.set_defaults(action="info")
    _add_install(actions)
    _add_import(actions)
    removing = actions.add_parser("remove", help="delete one of your own priors")
    removing.add_argument("prior", metavar="NAME", help="its name, as `priors list` shows it")
    removing.set_defaults(action="remove")
    where = actions.add_parser("path", help="print your own priors' folder, or a prior's file")
    where.add_argument("prior", nargs="?", metavar="NAME", help="a prior's name")
    where.set_defaults(action="path")
    parser.set_defaults(module="priors", when_stopped="Nothing was changed.")


def _add_install(actions: _Commands) -> None:
    kept = "What was downloaded is kept: the same command goes on from there."
    parser = actions.add_parser(
        "install",
        help="take over a ready prior from a file, a folder or an https address",
        description="Download or copy a prior, check its sha256 and every weight, draw samples, "
        "and put it into the folder of your own priors. A broken download is gone on with. "
        "HTTPS_PROXY and NO_PROXY are obeyed; NAPARI_MGANPRIOR_OFFLINE=1 forbids downloads.",
    )
    parser.add_argument("source", metavar="SOURCE", help="a .safetensors file, a folder, or a URL")
    parser.add_argument("--sha256", metavar="HEX", help="what the file must have, 64 digits")
    parser.add_argument("--name", help="name of the prior (default: that of the file)")
    parser.add_argument("--overwrite", action="store_true", help="replace a prior of that name")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(action="install", when_stopped=kept)
    fetching = actions.add_parser(
        "weights",
        help="bring published weights that compare pictures: vgg16, lpips-vgg",
        description="Download VGG16 (553 MB) or the weights of LPIPS from where they are "
        "published, or take them from a file, and check their sha256.",
    )
    fetching.add_argument("weights", choices=("vgg16", "lpips-vgg"), help="which")
    fetching.add_argument(
        "source", nargs="?", metavar="SOURCE", help="a file that is here already, or another URL"
    )
    fetching.add_argument(
        "--sha256", metavar="HEX", help="what the file must have (default: as published)"
    )
    fetching.add_argument("--quiet", action="store_true", help="no progress bar")
    fetching.set_defaults(action="weights", when_stopped=kept)


def _add_import(actions: _Commands) -> None:
    parser = actions.add_parser(
        "import",
        help="make a prior from somebody else's generator",
        description="Read a checkpoint without running anything in it, recognise the network, "
        "check every weight, draw samples, and write a prior and a picture of the samples into "
        "the folder of your own priors.",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="torch, NVIDIA .pkl, safetensors, .npz, Keras .h5"
    )
    parser.add_argument("--name", help="name of the prior (default: that of the file)")
    parser.add_argument(
        "--architecture",
        metavar="ARCH",
        help="layout of the file, or an architecture file (.json) that describes the network; "
        "recognised if left out",
    )
    parser.add_argument(
        "--class", type=int, dest="number", metavar="N", help="class of a conditional generator"
    )
    parser.add_argument(
        "--truncation",
        type=float,
        metavar="T",
        help="draw codes nearer to the mean: above 0, 1 at most",
    )
    parser.add_argument("--domain", default="", help="what the images show, in words")
    parser.add_argument("--licence", default="", help="under which the weights may be used")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(action="import", when_stopped="Nothing was written.")


def _add_output(
    parser: argparse.ArgumentParser,
    flag: str,
    *,
    metavar: str,
    help: str,  # noqa: A002  argparse's own word
    default: Path | None = None,
) -> None:
    parser.add_argument(
        flag,
        "--output",
        type=Path,
        metavar=metavar,
        default=default,
        required=default is None,
        help=help,
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def _add_engine(parser: argparse.ArgumentParser, prior: str = "nuclei") -> None:
    parser.add_argument(
        "--prior",
        default=prior,
        metavar="NAME",
        help="a prior's name (see `priors list`), or a .safetensors file (default: %(default)s)",
    )
    parser.add_argument(
        "--quality",
        choices=QUALITIES,
        default="balanced",
        help="how much time to spend (default: %(default)s)",
    )
    _add_seed_and_device(parser)


def _add_zoom(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--zoom",
        type=_zoom,
        default=1.0,
        metavar="FACTOR",
        help="enlarge by this factor before restoring, so that structures have the size the prior "
        "knows; 'auto' estimates it (default: 1)",
    )


def _add_seed_and_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed gives the same pixels on the same device (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _zoom(text: str) -> float | None:
    """Read a factor; None stands for 'auto'."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}; wanted a number or 'auto'") from error
