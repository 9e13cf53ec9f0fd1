"""An image inverted, and drawn anew from moved codes: the task "edit"."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_mganprior.editing import (
    Direction,
    check_direction,
    check_strength,
    known_directions,
    read_boundary,
)
from napari_mganprior.errors import ComputeError, PriorError, SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig, preset
from napari_mganprior.restore.codes_file import check_image_of, image_sha256_in, pack_codes
from napari_mganprior.restore.editor import Editor, check_codes
from napari_mganprior.restore.reconstruction import Reconstruction
from napari_mganprior.restore.result import Restoration, RestoreStep, WindowCodes

__all__ = ["Editing", "check_origin", "checked_moves"]

_USUAL = 8  # directions that are found at the least
_MOST_PACKED = 500_000  # numbers of codes that a recipe can hold, 2 MB

Which = Direction | int | str | Path


class Editing(Reconstruction):
    """One edit of one 2-D image, to be iterated over.

    Without codes the image is inverted first, as `Reconstruction` does. Then all codes of all
    windows are moved along the directions, alike, and the picture is drawn from them.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`.
    moves : mapping, or sequence of pairs
        Directions and how far to go along them, in standard deviations of random codes,
        -100 .. 100; -3 to 3 stays near what the prior has seen. A direction is a `Direction`, the
        number of one found in the generator (1, 2, ..), or the path of a boundary file.
    codes : Restoration or sequence of WindowCodes, optional
        Of this image, from `Reconstruction` or `load_codes`: they are moved as they are.
    keep_detail : bool
        Add to the image what the moves change in the drawing, so that what the prior cannot draw
        stays; else the drawing itself is the result.
    quality, config, overrides, seed, device, zoom, precision, start
        As for `Reconstruction`.

    Raises
    ------
    ImageError, PriorError, DirectionError, SettingsError, StorageError, DeviceError
        If an input cannot be used; the message says what to do.

    Notes
    -----
    Every pixel that differs from the image is invented: nothing was measured of the picture that
    is shown there.
    """

    name = "edit"

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        moves: Mapping[Which, float] | Sequence[tuple[Which, float]],
        *,
        codes: Restoration | Sequence[WindowCodes] = (),
        keep_detail: bool = True,
        quality: str = "balanced",
        config: InversionConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        zoom: float | None = 1.0,
        precision: str | None = None,
        start: Restoration | None = None,
    ) -> None:
        self.moves = checked_moves(prior, moves)
        self._keep_detail = keep_detail
        self._inverted: dict[str, Any] = {}
        if isinstance(codes, Restoration):
            check_origin(codes, prior, np.asarray(image))
            self._inverted = codes.recipe
            zoom = codes.recipe.get("zoom", zoom)
            codes = codes.codes
        self._fixed = tuple(codes)
        if self._fixed:
            check_codes(self._fixed, prior)
            quality, config = "balanced", self._config_of(config, prior)
        self._editor: Editor | None = None
        super().__init__(
            image, prior, quality=quality, config=config, overrides=overrides, seed=seed,
            device=device, zoom=zoom, precision=precision, start=start,
        )  # fmt: skip
        self._given = self._fixed
        for direction, _ in self.moves:
            check_direction(prior.generator.in_space(self._config.code_space), direction)
        if self._fixed:  # what is wrong with them is said at the door
            self._editor = self._opened(self._fixed)

    def result(self) -> Restoration:
        """Return the edited image.

        After a search that was stopped, windows without codes stay as they are.

        Raises
        ------
        ComputeError
            If not a single step was made.
        """
        if not self._history:
            raise ComputeError(
                "Got no step to keep; wanted at least one. Let the run make a step first."
            )
        found = self._fixed or super().result().codes
        editor = self._editor or self._opened(found)
        if self._complete:
            self._editor = editor
        edited = editor.draw(self.moves, keep_detail=self._keep_detail)
        changed = edited != self._image
        if changed.ndim == 3:
            changed = changed.any(axis=2)
        return Restoration(
            image=edited,
            invented=changed,
            uncertainty=np.where(changed, editor.spread(self.moves), 0).astype(np.float32),
            history=tuple(self._history),
            recipe=self._edit_recipe(edited, editor),
            residual=(editor.unmoved - self._image).astype(np.float32),
            codes=found,
        )

    def _steps(self) -> Iterator[RestoreStep]:
        if not self._fixed:
            self._editor = None
            yield from super()._steps()
            return
        started = time.perf_counter()
        assert self._editor is not None
        self._history = [self._editor.error]
        self._complete = True
        self._seconds = time.perf_counter() - started
        n = self._editor.n_windows
        yield RestoreStep(index=1, n_steps=1, loss=self._editor.error, window=n, n_windows=n)

    def _opened(self, codes: Sequence[WindowCodes]) -> Editor:
        return Editor(
            self._image, codes, self._prior, zoom=self.zoom, device=str(self._device),
            precision=self._config.precision,
        )  # fmt: skip

    def _config_of(self, config: InversionConfig | None, prior: LoadedPrior) -> InversionConfig:
        """Return the settings that the given codes were found with, as far as they are known."""
        if config is None and "config" in self._inverted:
            config = InversionConfig.from_dict(dict(self._inverted["config"]))
        one = self._fixed[0]
        return replace(
            preset("balanced", prior.generator.cuts) if config is None else config,
            layer=one.layer,
            fine_layer=one.layer,
            n_codes=max(1, one.z.shape[1]),
            method=one.method,
            code_space=one.code_space,
            optimise_noise=one.noise is not None,
        )

    def _edit_recipe(self, edited: "np.ndarray", editor: Editor) -> dict[str, Any]:
        recipe = self._recipe(edited)
        size = sum(map(_numbers, editor.codes))
        packed = pack_codes(editor.codes, self._prior.sha256) if size <= _MOST_PACKED else None
        if packed is not None:
            recipe.pop("repeatable", None)
        return {
            **recipe,
            "replaces": "every pixel that the moves change; all of these are invented",
            "edit": {
                "keep_detail": self._keep_detail,
                "moves": [
                    {"direction": direction.to_dict(), "strength": strength}
                    for direction, strength in self.moves
                ],
                "codes": packed,
            },
        }


def checked_moves(
    prior: LoadedPrior, moves: Mapping[Which, float] | Sequence[tuple[Which, float]]
) -> tuple[tuple[Direction, float], ...]:
    """Find the directions that are asked for, and check their strengths.

    Parameters
    ----------
    prior : LoadedPrior
        Whose codes they move.
    moves : mapping, or sequence of pairs
        As for `Editing`.

    Raises
    ------
    SettingsError
        If there are none, or a strength or number is out of range.
    DirectionError, StorageError
        If a boundary file cannot be used.
    """
    pairs = list(moves.items() if isinstance(moves, Mapping) else moves)
    if not pairs:
        raise SettingsError(
            "Got no move; wanted a direction and a strength at least. Give {1: 2.0}, say."
        )
    return tuple((_direction(prior, which), check_strength(strength)) for which, strength in pairs)


def _direction(prior: LoadedPrior, which: Which) -> Direction:
    if isinstance(which, Direction):
        return which
    if isinstance(which, str) and which.isdecimal():
        which = int(which)
    if isinstance(which, int):
        most = min(64, prior.generator.in_space(prior.generator.direction_space).code_dim)
        if not 1 <= which <= most:
            raise SettingsError(
                f"Got direction {which}; wanted 1 to {most}. Choose a number in between."
            )
        return known_directions(prior, min(max(_USUAL, which), most))[which - 1]
    return read_boundary(which, prior.generator)


def _numbers(codes: WindowCodes) -> int:
    """Count the numbers that codes are made of."""
    parts = (codes.z, codes.alpha, codes.beta, codes.noise, codes.offset)
    early = 0 if codes.early is None else _numbers(codes.early)
    return early + sum(part.size for part in parts if part is not None)


def check_origin(given: Restoration, prior: LoadedPrior, image: "np.ndarray") -> None:
    """Check that codes are those of a prior and an image, as far as their recipe says.

    Raises
    ------
    PriorError, ImageError
        If they are others'.
    """
    recipe = given.recipe
    theirs = recipe.get("prior", {}).get("sha256", prior.sha256)
    if theirs != prior.sha256:
        raise PriorError(
            f"Got codes of the prior of sha256 {theirs} for that of sha256 {prior.sha256}; wanted "
            "the same. Choose the prior they were found with, or invert again."
        )
    check_image_of(image_sha256_in(recipe), image)
