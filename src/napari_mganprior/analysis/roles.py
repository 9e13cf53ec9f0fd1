"""What each code does in a drawing: take it out, and see which pixels change.

Gu, Shen, Zhou, CVPR 2020, https://doi.org/10.1109/CVPR42600.2020.00308, section 4.4, look for the
code that correlates best with a segment; here every pixel is asked which code it depends on most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_mganprior.analysis.outcome import AnalysisStep, Roles
from napari_mganprior.analysis.parts import Region, cut_part
from napari_mganprior.arrays import ValueMap, choose_device
from napari_mganprior.canvas import Sheet
from napari_mganprior.checks import check_image, check_prior, checked_seed
from napari_mganprior.errors import ComputeError, PriorError
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.codes import Codes, compose
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore import Reconstruction
from napari_mganprior.restore.result import WindowCodes
from napari_mganprior.restore.search import tensor_codes
from napari_mganprior.tiling import Window

__all__ = ["CodeRoles"]

_FIRST_ONLY = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)


class CodeRoles:
    """Which code draws what, to be iterated over; it may be abandoned after any step.

    Without codes the image is inverted first. A code is taken out by setting its alpha to 0 (and
    its share of styles, for style generators); nothing else is searched anew.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), at least 16x16 pixels, any integer or float type, any range.
    prior : LoadedPrior
        From `load_prior`.
    codes : sequence of WindowCodes
        From an inversion of this part of this image with this prior, `load_codes`; none has it
        inverted.
    region : tuple of int or str
        As for `LayerStudy`.
    quality, config, seed, device
        As for `Reconstruction`, for the inversion.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If an input cannot be used; the message says what to do. Codes whose numbers do not fit the
        prior are those of another one.

    Examples
    --------
    >>> from napari_mganprior import CodeRoles, load_prior  # doctest: +SKIP
    >>> roles = CodeRoles(image, load_prior(path))  # doctest: +SKIP
    >>> for step in roles:  # doctest: +SKIP
    ...     print(step.doing)
    >>> roles.result().labels  # doctest: +SKIP
    """

    def __init__(
        self,
        image: ArrayLike,
        prior: LoadedPrior,
        *,
        codes: Sequence[WindowCodes] = (),
        region: Region = "middle",
        quality: str = "balanced",
        config: InversionConfig | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        picture = np.array(image, copy=True)
        if picture.ndim not in (2, 3):
            check_image(picture)
        part = cut_part(picture.shape, region, prior.generator.resolution)
        self._corner = (part[0].start, part[1].start)
        self._image = picture[part]
        check_image(self._image)
        check_prior(prior, self._image)
        _check_codes(codes, prior)
        self._prior, self._device = prior, choose_device(device)
        self._seed = checked_seed(seed)
        normalisation = prior.card.pixel_normalisation
        self._values = ValueMap.from_percentiles(
            self._image, low=normalisation["low"], high=normalisation["high"]
        )
        self._given = tuple(codes)
        self._search = (
            None
            if codes
            else Reconstruction(
                self._image, prior, quality=quality, config=config, seed=seed, device=device
            )
        )
        self._begin()

    def __iter__(self) -> Iterator[AnalysisStep]:
        """Invert the image if need be, then take out one code after the other.

        Yields
        ------
        AnalysisStep
            One an evaluation, one a code.

        Raises
        ------
        OutOfMemoryError, ComputeError
            If the computation fails.
        """
        self._begin()
        codes, done, loss = self._given, 0, 0.0
        if self._search is not None:
            for step in self._search:
                done, loss = step.index, step.loss
                yield AnalysisStep(
                    index=step.index,
                    n_steps=step.n_steps + 1,  # how many codes follow is known at its end
                    loss=step.loss,
                    window=step.window,
                    n_windows=step.n_windows,
                    doing="inverting the image",
                )
            codes = self._search.result().codes
        windows = self._windows(codes)
        total = done + sum(kept.alpha.shape[1] for _, kept in windows)
        for number, (window, kept) in enumerate(windows):
            n_codes = kept.alpha.shape[1]
            for n in range(n_codes):
                self._take_out(window, kept, n)
                done += 1
                yield AnalysisStep(
                    index=done,
                    n_steps=total,
                    loss=loss,
                    window=number + 1,
                    n_windows=len(windows),
                    doing=f"taking out code {n + 1} of {n_codes}",
                )
            self._codes.append(kept)

    def preview(self) -> NDArray[Any]:
        """Draw what all codes together draw, as far as it is known."""
        if self._all is not None:
            values, _, drawn = self._all.picture()
            seen = drawn if self._image.ndim == 2 else drawn[..., None]
            return np.where(seen, self._values.decode(values), self._image).astype(np.float32)
        if self._search is not None:
            return self._search.preview().astype(np.float32)
        return self._image.astype(np.float32)

    def result(self) -> Roles:
        """Return the roles of the codes taken out so far.

        Raises
        ------
        ComputeError
            If none was taken out yet.
        """
        if self._all is None or not self._without:
            raise ComputeError(
                "Got no code taken out yet; wanted at least one. Let the analysis go on until the "
                "image is inverted."
            )
        unit = (self._values.high - self._values.low) / 2
        whole, _, drawn = self._all.picture()
        seen = drawn if self._image.ndim == 2 else drawn[..., None]
        changes = [(whole - sheet.picture()[0]) * unit * seen for sheet in self._without]
        alone = [self._values.decode(sheet.picture()[0]) * seen for sheet in self._alone]
        contributions = np.stack(changes).astype(np.float32)
        size = np.abs(contributions)
        size = size if self._image.ndim == 2 else size.mean(axis=-1)
        labels = np.where(drawn & (size.max(axis=0) > 0), size.argmax(axis=0) + 1, 0)
        return Roles(
            labels=labels.astype(np.uint8),
            contributions=contributions,
            alone=np.stack(alone).astype(np.float32),
            drawing=(self._values.decode(whole) * seen).astype(np.float32),
            layer=self._layer,
            codes=tuple(self._codes),
            corner=self._corner,
            recipe=self._recipe(),
        )

    def _begin(self) -> None:
        self._all: Sheet | None = None
        self._without: list[Sheet] = []
        self._alone: list[Sheet] = []
        self._codes: list[WindowCodes] = []
        self._layer = 0

    def _sheet(self) -> Sheet:
        return Sheet(
            self._values.encode(self._image),
            np.ones(self._image.shape[:2]),
            size=self._prior.generator.resolution,
        )

    @torch.no_grad()
    def _windows(self, codes: Sequence[WindowCodes]) -> list[tuple[Window, WindowCodes]]:
        """Choose the best restart of every window's codes, and draw what they draw together."""
        self._all = self._sheet()
        known = {(c.top, c.left): c for c in codes}
        found = []
        for window in self._all.in_order():
            if (given := known.get((window.top, window.left))) is None:
                continue
            generator = self._prior.generator.to(self._device).in_space(given.code_space)
            drawn = compose(generator, self._tensors(given, np.arange(len(given.z))), given.layer)
            values, weight = self._all.read(window)
            target = torch.from_numpy(np.moveaxis(values, -1, 0)).to(self._device)
            counts = torch.from_numpy(weight > 0).to(self._device)
            error = ((drawn - target).square() * counts).mean(dim=(1, 2, 3))
            best = int(error.argmin())
            self._all.fill(window, _pictures(drawn[best : best + 1]))
            found.append((window, _restart(given, best)))
        if not found:
            raise PriorError(
                "Got codes of no window of this image; wanted those of an inversion of the same "
                "part of the same image. Choose other codes, or let the image be inverted."
            )
        if len({(c.layer, c.alpha.shape[1]) for _, c in found}) > 1:
            raise PriorError(
                "Got codes of several cuts or numbers; wanted the same in all windows. Invert the "
                "image in one run."
            )
        self._layer = found[0][1].layer
        return found

    @torch.no_grad()
    def _take_out(self, window: Window, codes: WindowCodes, n: int) -> None:
        try:
            pair = self._tensors(codes, np.array([0, 0]))
            generator = self._prior.generator.to(self._device).in_space(codes.code_space)
            mask = torch.ones(2, pair.alpha.shape[1], 1, device=self._device)
            mask[0, n] = 0  # all but this one
            mask[1] = 1 - mask[0]  # this one alone
            offset = pair.offset
            pair = replace(
                pair,
                alpha=pair.alpha * mask,
                beta=None if pair.beta is None else pair.beta * mask,
                # what belongs to no code is drawn without the one, not with it alone
                offset=None
                if offset is None
                else offset * mask.new_tensor([1, 0]).view(2, 1, 1, 1),
            )
            drawn = compose(generator, pair, codes.layer)
        except RuntimeError as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ComputeError(
                f"Got a failure inside torch on {self._device} ({first}); wanted a drawing "
                "without one code. Try the device 'cpu'."
            ) from error
        if len(self._without) <= n:
            self._without.append(self._sheet())
            self._alone.append(self._sheet())
        self._without[n].fill(window, _pictures(drawn[:1]))
        self._alone[n].fill(window, _pictures(drawn[1:]))

    def _tensors(self, codes: WindowCodes, restarts: NDArray[np.integer]) -> Codes:
        return tensor_codes(codes, restarts, self._device)

    def _recipe(self) -> dict[str, Any]:
        inverted = None if self._search is None else self._search.result().recipe
        kept = ("config", "quality", "seed", "sessions")
        return {
            "task": "analyse-roles",
            "prior": {"name": self._prior.card.name, "sha256": self._prior.sha256},
            "inversion": None if inverted is None else {key: inverted[key] for key in kept},
            "codes_given": len(self._given),
            "corner": list(self._corner),
            "layer": self._layer,
        }


def _check_codes(codes: Sequence[WindowCodes], prior: LoadedPrior) -> None:
    """Refuse codes whose numbers do not fit a prior; equal numbers are told apart by the hash."""
    generator = prior.generator
    for given in codes:
        if given.alpha.shape[1] == 0:
            raise PriorError(
                f"Got codes found by the method {given.method!r}, which has none to take out; "
                "wanted those of an inversion with several. Invert with the method multi-code."
            )
        fits = given.layer <= generator.n_layers
        if fits:
            space = generator.in_space(given.code_space)
            wanted = (space.code_dim, generator.feature_shape(given.layer)[0])
            fits = (given.z.shape[2], given.alpha.shape[2]) == wanted
        if not fits:
            raise PriorError(
                f"Got codes of {given.z.shape[2]} numbers with {given.alpha.shape[2]} channel "
                f"weights at cut {given.layer}, which do not fit the prior {prior.card.name!r}; "
                "wanted codes of this prior. Choose the prior they were found with, or let the "
                "image be inverted."
            )


def _restart(codes: WindowCodes, number: int) -> WindowCodes:
    """Keep one of the searches."""

    def kept(part: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if part is None else part[number : number + 1]

    return replace(
        codes,
        z=codes.z[number : number + 1],
        alpha=codes.alpha[number : number + 1],
        beta=kept(codes.beta),
        noise=kept(codes.noise),
        offset=kept(codes.offset),
        early=None if codes.early is None else _restart(codes.early, number),
    )


def _pictures(drawn: Tensor) -> NDArray[np.float32]:
    """Turn (1, C, H, W) into (1, H, W, C)."""
    planes: NDArray[np.float32] = drawn.float().cpu().numpy()
    return np.moveaxis(planes, 1, -1)
