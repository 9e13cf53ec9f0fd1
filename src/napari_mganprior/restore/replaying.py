"""A recipe once more: the same image gives the same pixels, another one the same treatment."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.damage import DamageConfig, unpack_mask
from napari_mganprior.editing import Direction
from napari_mganprior.errors import MaskError, PriorError, SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.priors import find_prior, list_priors, prior_names
from napari_mganprior.restore.codes_file import unpack_codes
from napari_mganprior.restore.editing import Editing
from napari_mganprior.restore.opening import Run, open_run, restored
from napari_mganprior.restore.record import FORMAT
from napari_mganprior.restore.result import Restoration, RestoreStep, sha256_of
from napari_mganprior.restore.tasks import recorded_options

__all__ = ["Replay", "recipe_mask", "replay"]


class Replay:
    """A run that a recipe describes, to be iterated over.

    Parameters
    ----------
    recipe : mapping
        From `Restoration.recipe`, or read from a file.
    image : array
        (H, W) or (H, W, 3); for a recipe of several planes (P, H, W) or (P, H, W, 3).
    mask : array, optional
        Damage, as it was marked; that of the recipe if left out.
    prior : LoadedPrior, optional
        What draws; if left out, the recipe's own, which must have the recipe's sha256.
    device : str, optional
        In place of the recipe's. On another device the pixels differ in their last digits.

    Attributes
    ----------
    same : bool
        Whether image and damage are those of the recipe, so that, on the same device, the result
        is the recipe's to the last bit. A run that was stopped early is then stopped at the same
        evaluation; on other images it goes on to its end.

    Raises
    ------
    SettingsError
        If the recipe is of another format, or incomplete.
    ImageError, MaskError, PriorError, DeviceError
        As `Inpainting`.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        image: Any,
        mask: ArrayLike | None = None,
        *,
        prior: LoadedPrior | None = None,
        device: str | None = None,
    ) -> None:
        _check_recipe(recipe)
        self._recipe = recipe
        self._image = image
        own = mask is None
        self._mask = _recorded_mask(recipe, tuple(image.shape)) if own else np.asarray(mask)
        self._prior = _own_prior(recipe) if prior is None else prior
        self._device = device
        self._sessions = [dict(session) for session in recipe["sessions"]]
        self.same = (
            sha256_of(np.asarray(image)) == recipe["image"]["sha256"]
            and sha256_of(self._mask != 0) == recipe["mask"]["sha256"]
            and recipe.get("repeatable", True)
        )
        for session in self._sessions:  # what is wrong in any of them is said before the work
            self._use(session)
        self._run = self._open(None, self._sessions[0])

    def __iter__(self) -> Iterator[RestoreStep]:
        """Do what the recipe says.

        Yields
        ------
        RestoreStep
            One an evaluation; where a run was continued, counting on through its parts.

        Raises
        ------
        OutOfMemoryError, ComputeError
            As `Inpainting`.
        """
        index = total = 0
        for number, session in enumerate(self._sessions):
            self._run = self._open(self._run.result() if number else None, session)
            stop = session["evaluations"] if self.same and not session["complete"] else None
            for done, step in enumerate(self._run, start=1):
                rest = len(self._sessions) - number
                total = max(total, index + step.n_steps * rest)
                yield RestoreStep(
                    index=index + step.index, n_steps=total, loss=step.loss, window=step.window,
                    n_windows=step.n_windows, plane=step.plane, n_planes=step.n_planes,
                )  # fmt: skip
                if done == stop:
                    break
            index = total // len(self._sessions) * (number + 1)

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far."""
        return self._run.preview()

    def result(self) -> Restoration:
        """Return the restoration."""
        return self._run.result()

    def _use(self, session: Mapping[str, Any]) -> None:
        """Take the settings of a session: the recipe's, but for those that it states itself."""
        said = {**self._recipe, **session.get("settings", {})}
        self._damage = DamageConfig.from_dict(dict(said["damage"]))
        self._options: dict[str, Any] = {
            "config": InversionConfig.from_dict(dict(said["config"])),
            "seed": said["seed"],
            "device": str(said["device"]) if self._device is None else self._device,
            "zoom": said["zoom"],
        }

    def _open(self, start: Restoration | None, session: Mapping[str, Any]) -> Run:
        self._use(session)
        if self._recipe["task"] == Editing.name:
            return self._editing(start)
        planes = self._recipe.get("planes")
        how = "one" if planes is None else "slices" if planes["linked"] else "channels"
        return open_run(
            str(self._recipe["task"]),
            self._image,
            self._prior,
            mask=self._mask,
            planes=how,
            # of several planes, each has a noise of its own, to be measured again
            options=recorded_options(self._recipe, used=self.same and planes is None),
            damage=self._damage,
            pick=str(self._recipe.get("pick", "average")),
            start=start,
            **self._options,
        )

    def _editing(self, start: Restoration | None) -> Run:
        if self._mask.any():
            raise MaskError(
                "Got a mask for the task 'edit'; wanted none, since all pixels count as measured. "
                "Leave it out, and inpaint the image first."
            )
        how = self._recipe["edit"]
        packed = how["codes"] if self.same else None  # codes are those of the recipe's own image
        return Editing(
            self._image,
            self._prior,
            _recorded_moves(how["moves"]),
            codes=() if packed is None else unpack_codes(packed, self._prior.sha256),
            keep_detail=bool(how["keep_detail"]),
            start=start,
            **self._options,
        )


_OWN_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "inpaint": {},
    "colorize": {},
    "denoise": {"noise": ("given", "used")},
    "edit": {"edit": ("keep_detail", "moves", "codes")},
    "invert": {},
    "super_resolve": {"operator": ("factor", "kernel", "sigma")},
}


def replay(
    recipe: Mapping[str, Any],
    image: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    prior: str | Path | None = None,
    device: str | None = None,
) -> Restoration:
    """Repeat a result from its recipe, or treat another image in the same way.

    Parameters
    ----------
    recipe : mapping
        From `Restoration.recipe`, from a layer's metadata, or read from a file.
    image : array
        (H, W) or (H, W, 3); for a recipe of several planes (P, H, W) or (P, H, W, 3).
    mask : array, optional
        Damage; that of the recipe if left out.
    prior : str or Path, optional
        A prior in place of the recipe's.
    device : str, optional
        A device in place of the recipe's.

    Returns
    -------
    Restoration
        On the recipe's own image and device equal to the recorded result, to the last bit.

    Raises
    ------
    SettingsError, ImageError, MaskError, PriorError, DeviceError, ComputeError
        If something cannot be used; the message says what to do.
    """
    run = Replay(
        recipe,
        np.asarray(image),
        mask,
        prior=None if prior is None else load_prior(find_prior(str(prior))),
        device=device,
    )
    return restored(run)


def _recorded_moves(moves: Any) -> list[tuple[Direction, float]]:
    """Read the moves of an edit."""
    try:
        return [(Direction.from_dict(move["direction"]), move["strength"]) for move in moves]
    except (KeyError, TypeError, IndexError) as error:
        raise SettingsError(
            f"Got an edit whose moves cannot be read ({error!r}); wanted what napari-mganprior "
            "writes there. Copy the whole recipe again."
        ) from error


def recipe_mask(recipe: Mapping[str, Any], dimensions: tuple[int, ...]) -> NDArray[np.bool_]:
    """Unpack the damage that a recipe holds, for an image of the same size.

    Parameters
    ----------
    recipe : mapping
        The recipe.
    dimensions : tuple of int
        Shape of the image.

    Raises
    ------
    MaskError
        If the recipe holds none, a damaged one, or one of another size.
    """
    held = recipe["mask"]
    wanted = tuple(held.get("dimensions", ()))
    if "packed" not in held or not wanted:
        raise MaskError(
            "Got a recipe without a mask; wanted the damage. Give it as a file (--mask)."
        )
    if tuple(dimensions[: len(wanted)]) != wanted or len(dimensions) - len(wanted) not in (0, 1):
        raise MaskError(
            f"Got an image of shape {tuple(dimensions)} for a recipe whose damage is "
            f"{' x '.join(map(str, wanted))} pixels; wanted the same size. Give the damage of this "
            "image (--mask)."
        )
    return unpack_mask(held["packed"], wanted)


def _recorded_mask(recipe: Mapping[str, Any], dimensions: tuple[int, ...]) -> NDArray[np.bool_]:
    """Unpack the recipe's damage; where a task had none, an image of any size has none."""
    if recipe["task"] != "inpaint" and recipe["mask"].get("damaged_pixels") == 0:
        return np.zeros(dimensions[: 3 if "planes" in recipe else 2], bool)
    return recipe_mask(recipe, dimensions)


def _own_prior(recipe: Mapping[str, Any]) -> LoadedPrior:
    """Find the very prior a recipe was made with, whatever its file is called here."""
    name, wanted = str(recipe["prior"]["name"]), recipe["prior"]["sha256"]
    if name in prior_names() and (named := load_prior(find_prior(name))).sha256 == wanted:
        return named
    for entry in list_priors():
        if entry.sha256 == wanted:
            return load_prior(entry.path)
    there = f"another {name!r}" if name in prior_names() else f"none called {name!r}"
    raise PriorError(
        f"Got a recipe made with the prior {name!r}, sha256 {wanted}; here is {there}, and none of "
        "that sha256. Install that one, or choose a prior yourself (--prior), which gives other "
        "pixels."
    )


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    if not isinstance(recipe, Mapping):
        raise SettingsError(
            f"Got a recipe of type {type(recipe).__name__}; wanted a table, as napari-mganprior "
            "writes it. Copy the whole recipe again."
        )
    task = recipe.get("task")
    if recipe.get("format") != FORMAT or task not in _OWN_KEYS:
        raise SettingsError(
            f"Got a recipe of format {recipe.get('format')!r} for the task {task!r}; wanted "
            f"format {FORMAT} and one of {', '.join(_OWN_KEYS)}. Use one that this version of "
            "napari-mganprior wrote, or update it."
        )
    kinds: dict[str, type | tuple[type, ...]] = {
        "prior": Mapping, "config": Mapping, "damage": Mapping, "image": Mapping, "mask": Mapping,
        "sessions": list, "seed": int, "zoom": (int, float), "device": str,
    }  # fmt: skip
    own = _OWN_KEYS[str(task)]
    kinds.update(dict.fromkeys(own, Mapping))
    for name, kind in kinds.items():
        if not isinstance(recipe.get(name), kind):
            raise SettingsError(
                f"Got a recipe whose {name!r} is {recipe.get(name)!r}; wanted what "
                "napari-mganprior writes there. Copy the whole recipe again."
            )
    wanted = (
        ("prior", ("name", "sha256")), ("image", ("sha256",)), ("mask", ("sha256",)),
        *own.items(),
    )  # fmt: skip
    missing = [f"{a}.{b}" for a, keys in wanted for b in keys if b not in recipe[a]]
    if not recipe["sessions"] or not all(map(_is_session, recipe["sessions"])):
        missing.append("sessions")
    planes = recipe.get("planes", {"linked": True})
    if not isinstance(planes, Mapping) or not isinstance(planes.get("linked"), bool):
        missing.append("planes.linked")
    if missing:
        raise SettingsError(
            f"Got a recipe without {', '.join(missing)}; wanted a whole one. Copy it again."
        )


def _is_session(session: Any) -> bool:
    if not isinstance(session, Mapping) or not isinstance(session.get("complete"), bool):
        return False
    count, settings = session.get("evaluations"), session.get("settings", {})
    kinds: dict[str, type | tuple[type, ...]] = {
        "config": dict, "damage": dict, "seed": int, "zoom": (int, float), "device": str,
    }  # fmt: skip
    return (
        type(count) is int
        and count > 0
        and isinstance(settings, Mapping)
        and all(name in kinds and isinstance(v, kinds[name]) for name, v in settings.items())
    )
