"""Several planes restored one after another: the slices of a stack, the channels of an image."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_mganprior.canvas import AVERAGE, BEST
from napari_mganprior.checks import checked_pick
from napari_mganprior.damage import DamageConfig, grown, in_region, pack_mask
from napari_mganprior.errors import ComputeError, ImageError, MaskError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore.base import WindowTask
from napari_mganprior.restore.making import CLASSES, make_task
from napari_mganprior.restore.record import chained, goes_on, repeats
from napari_mganprior.restore.result import (
    Restoration,
    RestoreStep,
    WindowCodes,
    sha256_of,
)
from napari_mganprior.restore.tasks import find_task

__all__ = ["Series"]


class Series:
    """One task done to several planes, to be iterated over.

    A plane without damage is copied where the task fills damage. A plane that cannot be restored
    (a blank slice, say) is copied as well, and the recipe says why; only where that holds for all
    of them is it an error.

    Parameters
    ----------
    images : array
        (P, H, W) or (P, H, W, 3). A lazy array, as dask's, is read plane by plane.
    masks : array or None
        (P, H, W), or (H, W) for the same damage in every plane; not 0 is damaged. None where
        nothing is marked.
    prior : LoadedPrior
        From `load_prior`.
    task : str
        Its name.
    options : mapping, optional
        What the task is told.
    linked : bool
        Whether a search begins at the codes of the plane before, as it should where neighbours
        resemble each other (slices); False for planes that show different things (channels).
    quality, config, overrides, seed, device, zoom, precision, damage
        As for `Inpainting`. A zoom of None is estimated in the first plane that is restored.
    start : Restoration, optional
        A restoration of the same planes to go on from.
    pick : {"average", "best"}
        As for `Inpainting`.

    Raises
    ------
    ImageError, MaskError, PriorError, SettingsError, DeviceError
        If the input cannot be used; the message says what to do.
    """

    _key = "planes"
    """Of what the recipe says about the planes."""

    def __init__(
        self,
        images: Any,
        masks: ArrayLike | None,
        prior: LoadedPrior,
        *,
        task: str = "inpaint",
        options: Mapping[str, Any] | None = None,
        linked: bool = True,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        zoom: float | None = 1.0,
        precision: str | None = None,
        damage: DamageConfig | None = None,
        start: Restoration | None = None,
        pick: str = "average",
    ) -> None:
        self._images = images
        if len(images.shape) not in (3, 4):
            raise ImageError(
                f"Got an image of shape {tuple(images.shape)} for a series of planes; wanted "
                "(planes, height, width) or (planes, height, width, 3). Restore a single image "
                "without a series."
            )
        self._spec = find_task(task)
        self._told = self._spec.told(options or {})
        if masks is None:
            masks = np.zeros(tuple(images.shape[:3]), bool)
        self._masks = self._checked_masks(np.asarray(masks))
        self._prior, self._linked, self._zoom, self._seed = prior, linked, zoom, seed
        self._damage = DamageConfig() if damage is None else damage
        self._engine: dict[str, Any] = {
            "quality": quality, "config": config, "overrides": overrides, "device": device,
            "precision": precision, "damage": self._damage, "pick": pick,
        }  # fmt: skip
        self._touched = [p for p in range(len(self._masks)) if self._has_damage(p)]
        if not self._touched:
            raise MaskError(
                "Got no damage in any plane; wanted some. Paint the damage with a label, or draw "
                "the region over it."
            )
        self._run: WindowTask | None = None
        self._start, self._pick = start, checked_pick(pick)
        self._reset()
        # the first plane that can be restored shows at once whether prior, settings and device do
        self._first = self._open_first()

    def __iter__(self) -> Iterator[RestoreStep]:
        """Restore plane after plane.

        Yields
        ------
        RestoreStep
            One an evaluation.

        Raises
        ------
        OutOfMemoryError, ComputeError
            As `Inpainting`.
        ImageError
            If a lazy array cannot be read.
        """
        started = time.perf_counter()
        if self._evaluations:
            self._reset()
            self._first = self._open_first()
        done, previous = 0, None
        for number, plane in enumerate(self._touched):
            run = self._open(plane, previous)
            if run is None:
                continue
            self._run, self._plane = run, plane
            last = None
            for last in run:
                self._evaluations += 1
                self._history.append(last.loss)
                self._seconds = time.perf_counter() - started
                rest = len(self._touched) - number - 1
                yield RestoreStep(
                    index=done + last.index,
                    # planes still to come are taken to be like this one
                    n_steps=done + last.n_steps * (1 + rest),
                    loss=last.loss,
                    window=last.window,
                    n_windows=last.n_windows,
                    plane=number + 1,
                    n_planes=len(self._touched),
                )
            done += last.n_steps if last is not None else 0
            restoration = run.result()
            self._keep(plane, restoration)
            previous = restoration if self._linked else None
            self._run = None
        self._complete = True

    def preview(self) -> NDArray[Any]:
        """Draw the best picture so far; of the result's shape and dtype."""
        shown = self._output.copy()
        if self._run is not None:
            shown[self._plane] = self._run.preview()
        return shown

    def result(self) -> Restoration:
        """Return the best restoration so far; complete after the last step.

        Raises
        ------
        ComputeError
            If not a single step was made.
        """
        if not self._evaluations:
            raise ComputeError(
                "Got no step to keep; wanted at least one. Let the run make a step first."
            )
        if self._run is not None:  # amid a plane
            self._keep(self._plane, self._run.result())
        # a run that may go on must not reach what was handed out
        hand_out = (lambda array: array) if self._complete else np.copy
        return Restoration(
            image=hand_out(self._output),
            invented=hand_out(self._invented),
            uncertainty=hand_out(self._uncertainty),
            history=tuple(self._history),
            recipe=self._recipe(),
            residual=hand_out(self._residual),
            estimated=hand_out(self._estimated),
            average=hand_out(self._pictures[AVERAGE]),
            best=hand_out(self._pictures[BEST]),
            codes=tuple(c for plane in sorted(self._codes) for c in self._codes[plane]),
        )

    @property
    def _output(self) -> NDArray[Any]:
        return self._pictures[self._pick]

    def _reset(self) -> None:
        shape = tuple(self._images.shape)
        untouched = CLASSES[self._spec.name].untouched
        hashed = hashlib.sha256()
        for plane in range(shape[0]):
            image = self._read(plane)
            hashed.update(np.ascontiguousarray(image).tobytes())
            drawn = untouched(image, self._told)
            if plane == 0:
                average = np.zeros((shape[0], *drawn.shape), self._images.dtype)
            average[plane] = drawn
        self._pictures = {AVERAGE: average, BEST: average.copy()}
        self._sha256 = hashed.hexdigest()
        self._invented = np.zeros(self._output.shape[:3], bool)
        self._estimated = self._invented.copy()
        self._uncertainty = np.zeros(self._output.shape[:3], np.float32)
        self._residual = np.zeros(shape, np.float32)
        self._history: list[float] = []
        self._skipped: dict[int, str] = {}
        self._restored: set[int] = set()
        self._codes: dict[int, tuple[WindowCodes, ...]] = {}
        self._common: dict[str, Any] = {}
        self._n_windows: dict[int, int] = {}
        self._evaluations, self._seconds, self._complete = 0, 0.0, False
        self._run, self._plane = None, 0
        self._take_over()

    def _take_over(self) -> None:
        """Begin with what an earlier run of the same planes gave."""
        start = self._start
        ours = {
            "task": self._spec.name,
            "image": {"sha256": self._sha256},
            "mask": {"sha256": self._mask_sha256()},
            "prior": {"sha256": self._prior.sha256},
        }
        if (
            start is None
            or self._key not in start.recipe
            or start.image.shape != self._output.shape
            or not goes_on(start.recipe, ours)
        ):
            self._start = None
            return
        for which, image in ((AVERAGE, start.average), (BEST, start.best)):
            self._pictures[which] = (start.image if image is None else image).copy()
        self._invented = start.invented.copy()
        if start.estimated is not None:
            self._estimated = start.estimated.copy()
        self._uncertainty = start.uncertainty.copy()
        self._residual = start.residual.copy()
        self._restored = {c.plane for c in start.codes}
        for plane in self._restored:
            self._codes[plane] = tuple(c for c in start.codes if c.plane == plane)

    def _mask_sha256(self) -> str:
        return sha256_of(self._masks)

    def _read(self, plane: int) -> NDArray[Any]:
        try:
            return np.asarray(self._images[plane])
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ImageError(
                f"Could not read plane {plane} ({error}); wanted readable data. Check that the "
                "file is still there, then open it again."
            ) from error

    def _checked_masks(self, masks: NDArray[Any]) -> NDArray[np.bool_]:
        wanted = tuple(self._images.shape[:3])
        if masks.shape == wanted[1:]:
            masks = np.broadcast_to(masks, wanted)
        if masks.shape != wanted or masks.dtype.kind not in "biu":
            raise MaskError(
                f"Got a mask of shape {masks.shape} and type {masks.dtype} for planes of shape "
                f"{wanted}; wanted {wanted} or {wanted[1:]}, booleans or whole numbers. Make the "
                "mask from these images."
            )
        damage: NDArray[np.bool_] = np.asarray(masks != 0)
        return damage

    def _has_damage(self, plane: int) -> bool:
        mask = self._masks[plane]
        if self._spec.mask != "needed":
            return True
        if not mask.any():
            return False
        try:
            in_region(grown(mask, self._damage.grow), self._damage.region)
        except MaskError:
            return False
        return True

    def _open_first(self) -> tuple[int, WindowTask]:
        fault: ImageError | MaskError | None = None
        for plane in self._touched:
            try:
                run = self._make(plane, None)
            except (ImageError, MaskError) as error:
                fault = fault or error
                self._skipped[plane] = str(error)
                continue
            if self._zoom is None:
                self._zoom = run.zoom
            return plane, run
        assert fault is not None
        raise fault

    def _open(self, plane: int, previous: Restoration | None) -> WindowTask | None:
        if plane in self._skipped:
            return None
        if plane == self._first[0]:
            return self._first[1]
        try:
            return self._make(plane, previous)
        except (ImageError, MaskError) as error:
            self._skipped[plane] = str(error)
            return None

    def _make(self, plane: int, previous: Restoration | None) -> WindowTask:
        image = self._read(plane)
        if self._start is not None and plane in self._restored:
            previous = self._start.of_plane(plane, sha256_of(image))
        return make_task(
            self._spec.name,
            image,
            self._prior,
            mask=self._masks[plane],
            options=self._told,
            zoom=self._zoom,
            seed=self._seed_of(plane),
            start=previous,
            **self._engine,
        )

    def _seed_of(self, plane: int) -> int:
        return self._seed

    def _keep(self, plane: int, restoration: Restoration) -> None:
        for which, image in ((AVERAGE, restoration.average), (BEST, restoration.best)):
            self._pictures[which][plane] = restoration.image if image is None else image
        self._invented[plane] = restoration.invented
        if restoration.estimated is not None:
            self._estimated[plane] = restoration.estimated
        self._uncertainty[plane] = restoration.uncertainty
        self._residual[plane] = restoration.residual
        self._codes[plane] = tuple(replace(c, plane=plane) for c in restoration.codes)
        self._common = restoration.recipe
        self._n_windows[plane] = restoration.recipe["n_windows"]
        self._restored.add(plane)

    def _recipe(self) -> dict[str, Any]:
        # every plane's is alike but for image, mask and counts; where a plane began is known here
        common = {key: value for key, value in self._common.items() if key != "repeatable"}
        sessions = [{"evaluations": self._evaluations, "complete": self._complete}]
        common["seed"] = self._seed
        if self._start is not None:
            sessions = chained(self._start.recipe, {**common, "sessions": sessions})
        recipe = {
            **common,
            **self._about_planes(),
            "result": {"sha256": sha256_of(self._output)},
            "n_windows": sum(self._n_windows.values()),
            "sessions": sessions,
            "evaluations": sum(session["evaluations"] for session in sessions),
            "seconds": round(self._seconds, 3),
        }
        went_on = self._start is not None and not repeats(self._start.recipe, recipe)
        if went_on or common.get("codes_given"):
            recipe["repeatable"] = False
        return recipe

    def _about_planes(self) -> dict[str, Any]:
        return {
            "planes": {
                "n": len(self._masks),
                "linked": self._linked,
                "restored": sorted(self._restored),
                "skipped": {str(plane): why for plane, why in self._skipped.items()},
            },
            "image": {
                "dimensions": list(self._images.shape),
                "dtype": str(self._images.dtype),
                "sha256": self._sha256,
            },
            "mask": {
                "sha256": sha256_of(self._masks),
                "damaged_pixels": int(self._masks.sum()),
                "dimensions": list(self._masks.shape),
                "packed": pack_mask(self._masks),
            },
        }
