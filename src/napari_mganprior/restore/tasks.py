"""What every task is called and asked: one description for functions, shell, forms and recipes.

No torch: reading it is quick, so that forms and ``--help`` can be built from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion import config as inversion
from napari_mganprior.inversion.config import CODE_SPACES, InversionConfig

__all__ = [
    "ADVANCED",
    "PICKS",
    "PLANES",
    "TASKS",
    "Option",
    "TaskSpec",
    "find_task",
    "recorded_options",
]

PICKS = ("average", "best")
"""The mean over the restarts of a search, or the best of them."""

PLANES = ("one", "slices", "channels")
"""One image; several planes that resemble their neighbours; or several that do not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One thing a task can be told.

    Attributes
    ----------
    name : str
        Keyword of the public function, and key of `RunRequest.options`.
    kind : type
        ``bool``, ``int``, ``float`` or ``str``.
    default : object
        None where it is found from the image, or there is none.
    choices : tuple
        All values there are, where they can be counted.
    low, high : float or None
        The least and the greatest value a form offers; the task itself has the last word.
    label : str
        Beside the field of a form.
    unit : str
        Behind the field.
    help : str
        A sentence for people, without a full stop.
    flag : str
        On the command line; ``--name`` if left out.
    metavar : str
        What stands behind the flag in the help.
    only : tuple of (str, object) or None
        Another option, and the value it must have for this one to count.
    """

    name: str
    kind: type
    label: str
    help: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    flag: str = ""
    metavar: str = ""
    only: tuple[str, Any] | None = None

    @property
    def shell(self) -> str:
        """The flag."""
        return self.flag or f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One task.

    Attributes
    ----------
    name : str
        As recipes and `RunRequest.task` call it; also the public function's name.
    title : str
        Of its form.
    done : str
        Behind the image's name, it names the result's layer.
    help, about : str
        A line, and a few sentences, for the shell's help.
    mask : {"needed", "optional", "none"}
        Whether pixels are marked: those to be filled, or those that are bad.
    replaces : str
        Which pixels of the result are drawn: "damage", "pixels" or "colours", all of them.
    zooms : bool
        Whether the image may be brought to the prior's scale.
    grey_only : bool
        Whether the image must be grey, and the prior one of RGB images.
    prior : str
        The one it begins with.
    options : tuple of Option
        What it is told besides.
    steps : int
        How many times the evaluations of a quality it makes at the most.
    n_codes : int or None
        Codes it composes in place of a quality's own.
    """

    name: str
    title: str
    done: str
    help: str
    about: str
    mask: str = "none"
    replaces: str = "pixels"
    zooms: bool = True
    grey_only: bool = False
    prior: str = "nuclei"
    options: tuple[Option, ...] = field(default=())
    steps: int = 1
    n_codes: int | None = None

    @property
    def command(self) -> str:
        """Its name in the shell."""
        return self.name.replace("_", "-")

    def told(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all its options: those given, and the others as they are if left out.

        Raises
        ------
        SettingsError
            If one is not an option of the task.
        """
        known = {option.name: option.default for option in self.options}
        unknown = sorted(options.keys() - known.keys())
        if unknown:
            wanted = ", ".join(known) or "none"
            raise SettingsError(
                f"Got the options {', '.join(unknown)} for the task {self.name!r}; wanted only "
                f"those it has ({wanted}). Leave them out."
            )
        return {**known, **options}

    def counting(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that are set, and count as the others stand."""
        told = {**{option.name: option.default for option in self.options}, **options}
        return {
            option.name: told[option.name]
            for option in self.options
            if told[option.name] not in (None, "")
            and told[option.name] is not False
            and (option.only is None or told[option.only[0]] == option.only[1])
        }

    def growth(self, options: Mapping[str, Any]) -> int:
        """Return how many pixels of the result lie along the side of one of the image."""
        return int(options.get("factor") or 4) if self.name == "super_resolve" else 1

    def is_cut_for_detail(self, options: Mapping[str, Any]) -> bool:
        """Say whether it cuts the generator where it knows detail, everywhere in the image."""
        if self.name == "super_resolve":
            return self.growth(options) <= _FOLLOWED
        return self.name == "invert"


_FOLLOWED = 4  # factor up to which the deeper cut measured better (make bench-tasks)

_DENOISE = (
    Option(
        name="noise", kind=str, default="gaussian", choices=("gaussian", "poisson"), label="Noise",
        help="the same everywhere, or growing with brightness as photons make it",
    ),
    Option(
        name="level", kind=float, label="Level", low=0.0, only=("noise", "gaussian"),
        help="standard deviation, for gaussian noise",
    ),
    Option(
        name="gain", kind=float, label="Gain", low=0.0, only=("noise", "poisson"),
        help="value of one photon, for poisson noise",
    ),
    Option(
        name="offset", kind=float, label="Offset", only=("noise", "poisson"),
        help="value where no light falls",
    ),
    Option(
        name="read_noise", kind=float, label="Read noise", low=0.0, metavar="LEVEL",
        only=("noise", "poisson"),
        help="standard deviation where no light falls",
    ),
    Option(
        name="find_bad", kind=bool, default=False, label="Find bad pixels",
        flag="--find-bad-pixels",
        help="fill pixels unlike all their neighbours too (dead, hot, salt and pepper)",
    ),
    Option(
        name="drawing_only", kind=bool, default=False, label="Only what was drawn",
        help="take no detail from the noisy image, which a filter does otherwise, told by the "
        "drawing what is no noise",
    ),
)  # fmt: skip
_SUPER_RESOLVE = (
    Option(
        name="factor", kind=int, default=4, choices=(2, 4, 8, 16), label="Factor",
        help="so many times more pixels a side",
    ),
    Option(
        name="kernel", kind=str, default="binning", choices=("binning", "bicubic", "gaussian"),
        label="Made small by",
        help="how the image became small: camera pixels, an image program, or a microscope's blur "
        "and camera pixels",
    ),
    Option(
        name="sigma", kind=float, default=1.0, low=0.0, high=64.0, label="Blur", unit="px",
        metavar="PX", only=("kernel", "gaussian"),
        help="standard deviation of that blur, in pixels of the result",
    ),
    Option(
        name="drawing_only", kind=bool, default=False, label="Only what was drawn",
        help="give bicubic interpolation no share in the result, which it has otherwise, the "
        "larger the better it explains what was measured nearby",
    ),
)  # fmt: skip
_COLORIZE = (
    Option(
        name="proposals", kind=int, default=1, low=1, high=100, label="Proposals", metavar="N",
        help="how many results to choose from, of this seed and those after it",
    ),
)  # fmt: skip
_INVERT = (
    Option(
        name="codes", kind=str, label="Begin at", flag="--start", metavar="CODES.npz",
        help="codes to begin at",
    ),
)  # fmt: skip

TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="inpaint", title="Inpaint", done="inpainted", mask="needed",
            replaces="damage", help="fill the damaged pixels of an image",
            about="Fill the damaged pixels of a PNG or TIFF image. Measured pixels stay as they "
            "are, bit by bit; the recipe of the result is stored in the output file.",
        ),
        TaskSpec(
            name="denoise", title="Denoise", done="denoised", mask="optional",
            options=_DENOISE, steps=2, help="draw a noisy image anew",
            about="Draw a noisy PNG or TIFF image anew from what a prior knows, and stop where "
            "only noise is left to explain; the drawing then tells a filter what in the image is "
            "no noise. Every pixel becomes an estimate. Levels are in the image's units, and are "
            "measured in the image if left out.",
        ),
        TaskSpec(
            name="super_resolve", title="Super-resolve", done="super-resolved",
            zooms=False, options=_SUPER_RESOLVE, steps=2,
            help="draw an image of more pixels",
            about="Draw a PNG or TIFF image of more pixels from what a prior knows. Every pixel "
            "is an estimate; reduced again, they give the input.",
        ),
        TaskSpec(
            name="colorize", title="Colorize", done="colorized",
            replaces="colours", grey_only=True, prior="histology", options=_COLORIZE,
            help="give a grey image colours",
            about="Give a grey PNG or TIFF image colours that a prior of RGB images knows. All "
            "colours are invented, another --seed may give others; the luma is the input.",
        ),
        TaskSpec(
            name="invert", title="Invert", done="inverted",
            options=_INVERT, steps=2,
            n_codes=20,  # more bring nothing, Gu, Shen, Zhou, section 4.1
            help="draw an image as well as a prior can, and keep its codes",
            about="Draw a PNG or TIFF image anew as well as a prior can. The codes of the "
            "drawing can be kept, and a later run can begin at them.",
        ),
    )
}  # fmt: skip
"""All there are, by name, in the order in which they are offered."""


def _choices(name: str) -> tuple[str, ...]:
    """Return what `inversion.config` lists under a name; nothing where it has no such list."""
    return tuple(getattr(inversion, name, ()))


_ALL_ADVANCED = (
    Option(
        name="method", kind=str, choices=_choices("METHODS"), label="Method",
        help="how codes are searched",
    ),
    Option(
        name="n_codes", kind=int, low=1, high=64, label="Codes", metavar="N",
        help="so many codes are composed",
    ),
    Option(
        name="n_restarts", kind=int, low=1, high=64, label="Searches", metavar="N",
        help="so many independent searches",
    ),
    Option(
        name="n_steps", kind=int, low=1, high=100_000, label="Evaluations", metavar="N",
        help="evaluations of a search at the most",
    ),
    Option(
        name="layer", kind=int, low=0, high=100, label="Cut", metavar="LAYER",
        help="where the generator is cut: blocks below, more for shapes, fewer for detail",
    ),
    Option(
        name="code_space", kind=str, choices=CODE_SPACES, label="Code space",
        help="where codes of style generators live",
    ),
    Option(
        name="optimise_noise", kind=bool, label="Search the noise inputs",
        help="search the noise inputs of style generators too",
    ),
    Option(
        name="features", kind=str, choices=_choices("FEATURES"), label="Features",
        help="whose features are compared besides pixels",
    ),
    Option(
        name="feature_weight", kind=float, low=0.0, high=1e6, label="Weight",
        metavar="WEIGHT", help="weight of that comparison; 1 makes it count as the pixels do",
    ),
    Option(
        name="data_term", kind=str, choices=_choices("DATA_TERMS"), label="Data term",
        help="how pixels are compared: mean square, or the likelihood of photon noise",
    ),
    Option(
        name="tune_steps", kind=int, low=0, high=100_000, label="Tuning steps", metavar="N",
        help="evaluations in which the generator itself is adapted at the end",
    ),
)  # fmt: skip
_SETTINGS = {f.name for f in fields(InversionConfig)}

ADVANCED: tuple[Option, ...] = tuple(o for o in _ALL_ADVANCED if o.name in _SETTINGS)
"""Settings of `InversionConfig` that shell and forms let people put in place of a quality's own."""


def find_task(name: str) -> TaskSpec:
    """Return the description of a task.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    if name not in TASKS:
        raise SettingsError(
            f"Got the task {name!r}; wanted one of {', '.join(TASKS)}. Choose one of those."
        )
    return TASKS[name]


def recorded_options(recipe: Mapping[str, Any], *, used: bool = False) -> dict[str, Any]:
    """Read from a recipe what the task was told.

    Parameters
    ----------
    recipe : mapping
        Of a `Restoration`; what it does not say is left out.
    used : bool
        Of noise that was measured, take the numbers found.
    """
    told: dict[str, Any] = {}
    noise, operator = recipe.get("noise"), recipe.get("operator")
    if isinstance(noise, Mapping):
        known = noise.get("used" if used else "given")
        if isinstance(known, Mapping):
            told |= {("noise" if key == "model" else key): value for key, value in known.items()}
    if "find_bad" in recipe:
        told["find_bad"] = recipe["find_bad"]
    if recipe.get("task") in ("denoise", "super_resolve"):
        # nothing was said of it while a drawing was all there was
        told["drawing_only"] = recipe.get("drawing_only", True)
    if isinstance(operator, Mapping):
        told |= {key: operator[key] for key in ("factor", "kernel", "sigma") if key in operator}
    if recipe.get("task") == "colorize":
        told["proposals"] = recipe.get("proposals", 1)
    return told
