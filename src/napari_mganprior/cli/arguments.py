"""What can be asked for on the command line; reading it imports no torch."""

import argparse
from pathlib import Path

from napari_mganprior import __version__
from napari_mganprior.cli.analyse_arguments import add_analyse
from napari_mganprior.inversion.config import QUALITIES

__all__ = ["PROGRAM", "build_parser"]

PROGRAM = "napari-mganprior"


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Restore damaged images with a generative prior.",
        epilog="Example: napari-mganprior inpaint cells.tif --mask damage.png -o restored.tif",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_inpaint(commands)
    _add_denoise(commands)
    _add_super_resolve(commands)
    _add_colorize(commands)
    _add_invert(commands)
    add_analyse(commands, _add_seed_and_device)
    _add_run(commands)
    _add_demo(commands)
    _add_priors(commands)
    _add_train(commands)
    return parser


def _add_inpaint(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "inpaint",
        help="fill the damaged pixels of an image",
        description="Fill the damaged pixels of a PNG or TIFF image. Measured pixels stay as they "
        "are, bit by bit; the recipe of the result is stored in the output file.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    parser.add_argument(
        "--mask", type=Path, required=True, help="PNG or TIFF of the same size; not 0 is damage"
    )
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    _add_engine(parser)
    _add_zoom(parser)
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
    parser.set_defaults(module="inpaint", when_stopped="Nothing was written.")


def _add_denoise(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "denoise",
        help="draw a noisy image anew",
        description="Draw a noisy PNG or TIFF image anew from what a prior knows, and stop where "
        "only noise is left to explain. Every pixel becomes an estimate. Levels are in the "
        "image's units, and are measured in the image if left out.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    parser.add_argument(
        "--noise",
        choices=("gaussian", "poisson"),
        default="gaussian",
        help="the same everywhere, or growing with brightness as photons make it "
        "(default: %(default)s)",
    )
    parser.add_argument("--level", type=float, help="standard deviation, for gaussian noise")
    parser.add_argument("--gain", type=float, help="value of one photon, for poisson noise")
    parser.add_argument("--offset", type=float, help="value where no light falls")
    parser.add_argument(
        "--read-noise", type=float, metavar="LEVEL", help="standard deviation where no light falls"
    )
    parser.add_argument(
        "--mask", type=Path, help="PNG or TIFF of the same size; not 0 is a dead or hot pixel"
    )
    parser.add_argument(
        "--find-bad-pixels",
        action="store_true",
        help="fill pixels unlike all their neighbours too (dead, hot, salt and pepper)",
    )
    _add_engine(parser)
    _add_zoom(parser)
    parser.set_defaults(module="denoise", when_stopped="Nothing was written.")


def _add_super_resolve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "super-resolve",
        help="draw an image of more pixels",
        description="Draw a PNG or TIFF image of more pixels from what a prior knows. Every pixel "
        "is an estimate; reduced again, they give the input.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    parser.add_argument(
        "--factor",
        type=int,
        default=4,
        choices=(2, 4, 8, 16),
        help="so many times more pixels a side (default: %(default)s)",
    )
    parser.add_argument(
        "--kernel",
        choices=("binning", "bicubic", "gaussian"),
        default="binning",
        help="how the image became small: camera pixels, an image program, or a microscope's blur "
        "and camera pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=1.0,
        metavar="PX",
        help="standard deviation of that blur, in pixels of the result (default: %(default)s)",
    )
    _add_engine(parser)
    parser.set_defaults(module="super_resolve", when_stopped="Nothing was written.")


def _add_colorize(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "colorize",
        help="give a grey image colours",
        description="Give a grey PNG or TIFF image colours that a prior of RGB images knows. All "
        "colours are invented, another --seed may give others; the luma is the input.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey")
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    _add_engine(parser)
    _add_zoom(parser)
    parser.set_defaults(module="colorize", when_stopped="Nothing was written.", prior="histology")


def _add_invert(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "invert",
        help="draw an image as well as a prior can, and keep its codes",
        description="Draw a PNG or TIFF image anew as well as a prior can. The codes of the "
        "drawing can be kept, and a later run can begin at them.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG or TIFF, grey or RGB")
    _add_output(parser, "-o", metavar="OUT", help="PNG or TIFF to write")
    parser.add_argument("--codes", type=Path, metavar="OUT.npz", help="file to write the codes to")
    parser.add_argument("--start", type=Path, metavar="CODES.npz", help="codes to begin at")
    _add_engine(parser)
    _add_zoom(parser)
    parser.set_defaults(module="invert", when_stopped="Nothing was written.")


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_priors(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("priors", help="list, import and remove priors, or tell about one")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all priors, bundled and your own")
    listing.set_defaults(action="list")
    info = actions.add_parser("info", help="everything about one prior")
    info.add_argument("prior", metavar="NAME", help="a prior's name, or a .safetensors file")
    info.set_defaults(action="info")
    _add_import(actions)
    removing = actions.add_parser("remove", help="delete one of your own priors")
    removing.add_argument("prior", metavar="NAME", help="its name, as `priors list` shows it")
    removing.set_defaults(action="remove")
    where = actions.add_parser("path", help="print your own priors' folder, or a prior's file")
    where.add_argument("prior", nargs="?", metavar="NAME", help="a prior's name")
    where.set_defaults(action="path")
    parser.set_defaults(module="priors", when_stopped="Nothing was changed.")


def _add_import(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "train",
        help="make a prior from your own images",
        description="Train a prior on random crops. Hours on a CPU, minutes to an hour on a GPU. "
        "It can be stopped at any time: the same command goes on from the last checkpoint.",
    )
    parser.add_argument(
        "source", type=Path, metavar="SOURCE.npz", help="one array (H, W) or (H, W, 3) a key"
    )
    parser.add_argument("--name", required=True, help="name of the prior")
    _add_output(
        parser, "-o", metavar="FOLDER", help="folder for the checkpoint and NAME.safetensors"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="OTHER.npz",
        help="images kept aside: the prior is measured on them, and a model card is written",
    )
    parser.add_argument("--domain", default="", help="what the images show, in words")
    parser.add_argument("--licence", default="not stated", help="under which the prior may be used")
    parser.add_argument(
        "--images", type=int, default=200_000, help="crops to learn from (default: %(default)s)"
    )
    parser.add_argument(
        "--resolution",
        type=int,
        default=64,
        help="side of the crops in pixels, a power of two (default: %(default)s)",
    )
    _add_seed_and_device(parser)
    parser.set_defaults(
        module="train", when_stopped="The last checkpoint stays: the same command goes on from it."
    )


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


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prior",
        default="nuclei",
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
