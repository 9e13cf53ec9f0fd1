"""A recipe in words, as JSON, as a shell command and as a Python script; and back from text.

No torch: a recipe is a dict of JSON-able values, as `restore.Restoration.recipe` holds it.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mganprior.errors import SettingsError, StorageError
from napari_mganprior.runs.tasks import TASKS, task_state

__all__ = [
    "as_json",
    "as_python",
    "as_shell",
    "form_state",
    "image_path",
    "in_words",
    "parse",
    "read_recipe",
]

_LARGEST_FILE = 1 << 28  # bytes
_OF_DAMAGE = ("grow", "feather", "labels", "invert", "region")
_FORM_KEYS = ("prior", "quality", "seed", "device", "zoom", "grow", "feather", "pick")


def as_json(recipe: Mapping[str, Any]) -> str:
    """Write a recipe as JSON text."""
    return json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False)


def parse(text: str) -> dict[str, Any]:
    """Read a recipe from JSON text.

    Parameters
    ----------
    text : str
        What `as_json` wrote, or the description that this package puts into an image file.

    Raises
    ------
    SettingsError
        If it is not JSON, or no recipe.
    """
    try:
        recipe = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise SettingsError(
            f"Got a recipe that is not JSON ({error}); wanted what napari-mganprior writes. Copy "
            "the whole recipe again."
        ) from error
    if not isinstance(recipe, dict) or not {"task", "prior", "config"} <= recipe.keys():
        raise SettingsError(
            "Got JSON that is no recipe (no task, prior and config); wanted what napari-mganprior "
            "writes. Copy the whole recipe again."
        )
    return recipe


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe from a file.

    Parameters
    ----------
    path : Path
        A JSON file, an image that this package wrote, or ``-`` for standard input.

    Raises
    ------
    StorageError
        If the file cannot be read.
    SettingsError
        If it holds no recipe.
    """
    if str(path) == "-":
        return parse(sys.stdin.read())
    if path.suffix.lower() in (".png", ".tif", ".tiff"):
        from napari_mganprior.files import read_stack

        said = read_stack(path).description
        if not said.lstrip().startswith("{"):
            raise SettingsError(
                f"Got {path.name}, an image without a recipe; wanted a result of napari-mganprior, "
                "or a JSON file. Choose another file."
            )
        return parse(said)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise StorageError(
                f"Got {path.name} of {path.stat().st_size} bytes as a recipe; wanted at most "
                f"{_LARGEST_FILE}. Choose another file."
            )
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"Could not read the recipe {path} ({error}); wanted a JSON file. Check the path."
        ) from error


def as_shell(recipe: Mapping[str, Any], image: str = "", output: str = "") -> str:
    """Write a command for a POSIX shell that repeats the result.

    Parameters
    ----------
    recipe : mapping
        It stands in the command as a whole, damage included, so that no other file is needed.
    image, output : str
        The image's file and the file to write; placeholders if left out.
    """
    image = image or image_path(recipe) or "IMAGE.tif"
    output = output or "restored.tif"
    command = shlex.join(["napari-mganprior", "run", "-", image, "-o", output])
    return f"{command} <<'RECIPE'\n{as_json(recipe)}\nRECIPE\n"


def as_python(recipe: Mapping[str, Any], image: str = "", output: str = "") -> str:
    """Write a Python script that repeats the result; parameters as for `as_shell`."""
    image = image or image_path(recipe) or "IMAGE.tif"
    return (
        "import json\n"
        "from pathlib import Path\n"
        "\n"
        "from napari_mganprior import replay\n"
        "from napari_mganprior.files import read_image, write_image\n"
        "\n"
        f"recipe = json.loads({as_json(recipe)!r})\n"
        f"image = read_image(Path({image!r}))\n"
        "restoration = replay(recipe, image.array)\n"
        f"write_image(Path({(output or 'restored.tif')!r}), restoration.image, like=image,\n"
        "            recipe=restoration.recipe)\n"
    )


def image_path(recipe: Mapping[str, Any]) -> str:
    """Return the file the image came from, as far as the recipe knows it."""
    path = _section(recipe, "layers").get("path")
    return path if isinstance(path, str) else ""


def in_words(recipe: Mapping[str, Any]) -> str:
    """Tell for people how a result came about.

    Parameters
    ----------
    recipe : mapping
        What is missing in it is left out.

    Returns
    -------
    str
        A few lines.
    """
    layers, prior = _section(recipe, "layers"), _section(recipe, "prior")
    config, damage = _section(recipe, "config"), _section(recipe, "damage")
    mask, versions = _section(recipe, "mask"), _section(recipe, "versions")
    quality = recipe.get("quality")
    chance = "chosen one by one" if quality is None else f"'{quality}'"
    lines = [
        _line("Task", recipe.get("task")),
        _line("Replaces", recipe.get("replaces")),
        _line("Image", layers.get("image") or layers.get("path")),
        _line("Damage", _damage_in_words(mask, layers, damage)),
        _line("Prior", prior.get("name"), f"sha256 {str(prior.get('sha256', ''))[:12]}…"),
        _line(
            "Settings",
            chance,
            f"{config.get('n_restarts')} searches of {config.get('n_codes')} codes, at most "
            f"{config.get('n_steps')} evaluations each, {config.get('precision')}",
            f"method {config['method']}" if config.get("method") else "",
            f"{config['tune_steps']} of a copy of the generator"
            if config.get("tune_steps")
            else "",
        ),
        _line("Options", _pairs_in_words(task_state(recipe).get("options"))),
        _line("In place of the quality's", _pairs_in_words(recipe.get("overrides"))),
        _line("Picture", "the best search" if recipe.get("pick") == "best" else ""),
        _line("Seed", recipe.get("seed")),
        _line("Pixel-size factor", recipe.get("zoom")),
        _line("Planes", _planes_in_words(_section(recipe, "planes"))),
        _line("Done", _work_in_words(recipe)),
        _line("Device", recipe.get("device"), f"{recipe.get('threads')} threads"),
        _line("Versions", ", ".join(f"{name} {what}" for name, what in versions.items())),
    ]
    return "\n".join(line for line in lines if line)


def form_state(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a recipe into the choices of a form, as far as it has them.

    Parameters
    ----------
    recipe : mapping
        The recipe of a layer.

    Returns
    -------
    dict
        Keys of a form's state; what the recipe does not say is left out. "task" is there for other
        tasks than inpainting, "options" and "overrides" where the task was told some.
    """
    damage, layers = _section(recipe, "damage"), _section(recipe, "layers")
    said = {**recipe, **damage, "prior": _section(recipe, "prior").get("name")}
    spec = TASKS.get(str(recipe.get("task", "inpaint")), TASKS["inpaint"])
    state = {key: said[key] for key in _FORM_KEYS if said.get(key) is not None}
    state |= {key: layers[key] for key in ("labels", "invert", "scope", "region") if key in layers}
    for key in _OF_DAMAGE if spec.mask != "needed" else ():
        state.pop(key, None)
    if not spec.zooms:
        state.pop("zoom", None)
    if recipe.get("quality", "") is None:
        state["quality"] = None  # settings that no quality has
    if spec.name != "inpaint":
        state = {"task": spec.name, **state}
    return {**state, **task_state(recipe)}


def _section(recipe: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = recipe.get(name)
    return section if isinstance(section, Mapping) else {}


def _line(name: str, *parts: Any) -> str:
    told = [str(part) for part in parts if part not in (None, "")]
    return f"{name}: {', '.join(told)}" if told and parts[0] not in (None, "") else ""


def _damage_in_words(
    mask: Mapping[str, Any], layers: Mapping[str, Any], damage: Mapping[str, Any]
) -> str:
    if "damaged_pixels" not in mask:
        return ""
    told = [f"{mask['damaged_pixels']} pixels marked"]
    if layers.get("mask"):
        told[0] += f" in '{layers['mask']}'"
    if damage.get("grow"):
        told.append(f"grown by {damage['grow']} px, feathered over {damage.get('feather', 0)} px")
    if damage.get("region"):
        top, left, bottom, right = damage["region"]
        told.append(f"only in rows {top} to {bottom}, columns {left} to {right}")
    return ", ".join(told)


def _pairs_in_words(pairs: Any) -> str:
    if not isinstance(pairs, Mapping):
        return ""
    return ", ".join(
        str(name).replace("_", " ") if value is True else f"{str(name).replace('_', ' ')} {value}"
        for name, value in pairs.items()
    )


def _planes_in_words(planes: Mapping[str, Any]) -> str:
    if not planes:
        return ""
    how = "each begun from its neighbour" if planes.get("linked") else "each by itself"
    told = f"{len(planes.get('restored', ()))} of {planes.get('n')} restored, {how}"
    skipped = planes.get("skipped") or {}
    return told + (f"; left as they were: {', '.join(skipped)}" if skipped else "")


def _work_in_words(recipe: Mapping[str, Any]) -> str:
    sessions = recipe.get("sessions") or [{}]
    told = f"{recipe.get('evaluations')} evaluations in {recipe.get('n_windows')} windows"
    if "seconds" in recipe:
        told += f", {recipe['seconds']:.1f} s"
    if len(sessions) > 1:
        told += f", in {len(sessions)} runs, each going on from the last"
    return told + ("" if sessions[-1].get("complete", True) else ", stopped early")
