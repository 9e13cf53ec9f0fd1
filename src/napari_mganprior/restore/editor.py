"""A picture whose codes are known, drawn anew from moved codes as often as one likes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_mganprior.arrays import ValueMap, choose_device, network_dtype
from napari_mganprior.canvas import Sheet
from napari_mganprior.checks import check_image, check_prior, check_zoom
from napari_mganprior.editing import Direction, move
from napari_mganprior.errors import ImageError, PriorError, SettingsError
from napari_mganprior.generators.base import Features, SplitGenerator
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.codes import Codes, assembled, compose, normalised
from napari_mganprior.restore.base import to_pixels
from napari_mganprior.restore.result import WindowCodes
from napari_mganprior.restore.search import tensor_codes

__all__ = ["Editor", "Moves", "check_codes"]

Moves = Iterable[tuple[Direction, float]]
_AT_ONCE = 200  # codes drawn in one batch, which bounds memory


class Editor:
    """A picture and the codes it was found to have.

    Of several searches of a window the one whose drawing is nearest to the picture is moved.

    Parameters
    ----------
    image : array
        (H, W) or (H, W, 3), the picture that was inverted.
    codes : sequence of WindowCodes
        Of its inversion; windows that are missing stay as they are.
    prior : LoadedPrior
        That they are codes of.
    zoom : float
        The pixel-size factor of the inversion.
    device : str
        As for `Inpainting`.
    precision : {"auto", "float32", "bfloat16"}
        Numbers the networks compute in.

    Attributes
    ----------
    codes : tuple of WindowCodes
        Those that are moved, one search a window.
    error : float
        Mean squared error of their drawing, generator's range (2).
    device : torch.device
        Where it is drawn.
    generator : SplitGenerator
        Of the space that the codes are in.
    layer : int
        The cut.
    moving : Codes
        The codes of all windows, one behind the other.
    windows : list of Window
        Where they are.
    values : ValueMap
        Between the image's units and the generator's.

    Raises
    ------
    ImageError, PriorError, SettingsError, DeviceError
        If the codes are not those of this image, prior and zoom.
    """

    def __init__(
        self,
        image: ArrayLike,
        codes: Sequence[WindowCodes],
        prior: LoadedPrior,
        *,
        zoom: float = 1.0,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.image = np.array(image, copy=True)
        check_image(self.image)
        check_prior(prior, self.image)
        check_zoom(zoom, self.image.shape)
        check_codes(codes, prior)
        self.prior, self.zoom = prior, float(zoom)
        self.device = choose_device(device)
        self.precision = precision
        self._dtype = network_dtype(precision, self.device)
        self.layer, space = codes[0].layer, codes[0].code_space
        self.generator = prior.generator.to(self.device).in_space(space)
        normalisation = prior.card.pixel_normalisation
        self.values = ValueMap.from_percentiles(
            self.image, low=normalisation["low"], high=normalisation["high"]
        )
        self._sheet = Sheet(
            self.values.encode(self.image),
            np.ones(self.image.shape[:2]),
            size=prior.generator.resolution,
            zoom=self.zoom,
        )
        by_place = {(c.top, c.left): c for c in codes}
        plan = self._sheet.plan.windows
        self.windows = [w for w in plan if (w.top, w.left) in by_place]
        if len(self.windows) != len(codes):
            raise ImageError(
                f"Got codes of {len(codes)} windows, of which {len(self.windows)} are windows of "
                f"this image of {self.image.shape[0]}x{self.image.shape[1]} pixels at the zoom "
                f"{self.zoom:g}; wanted codes of this image. Choose the image and the zoom that "
                "were inverted, or invert this image."
            )
        ordered = [by_place[w.top, w.left] for w in self.windows]
        self._all = [tensor_codes(c, np.arange(len(c.z)), self.device) for c in ordered]
        self._best = self._nearest()
        self.codes = tuple(_only(c, best) for c, best in zip(ordered, self._best, strict=True))
        self.moving = _joined([_rows(c, n, 1) for c, n in zip(self._all, self._best, strict=True)])
        self._base = self.blended([self.finished(features) for features in self.composing()])

    @property
    def n_windows(self) -> int:
        """How many windows are drawn."""
        return len(self.windows)

    @property
    def unmoved(self) -> NDArray[np.float64]:
        """What the codes draw as they were found, in the image's units."""
        return self.values.decode(self._base[0])

    def draw(self, moves: Moves = (), *, keep_detail: bool = True) -> NDArray[Any]:
        """Draw the picture from moved codes.

        Parameters
        ----------
        moves : iterable of (Direction, float)
            Directions and strengths.
        keep_detail : bool
            Add to the image what the move changes in the drawing, so that what the prior cannot
            draw stays; else the drawing itself.

        Returns
        -------
        array
            Of the image's shape and dtype; with the strengths 0 and the detail kept the image.

        Raises
        ------
        DirectionError, SettingsError
            If a direction does not belong to these codes, or a strength is out of range.
        """
        *_, (_, picture) = self.drawing(moves, keep_detail=keep_detail)
        assert picture is not None  # the last is
        return picture

    def drawing(
        self, moves: Moves = (), *, keep_detail: bool = True
    ) -> Iterator[tuple[list[Features], NDArray[Any] | None]]:
        """Draw as `draw` does, a few windows at a time; may be abandoned after any.

        Yields
        ------
        list of Features
            What was composed at the cut so far, some windows a part.
        None or array
            None after some windows, the picture at the end.
        """
        composed, pictures = [], []
        for features in self.composing(moves):
            composed.append(features)
            pictures.append(self.finished(features))
            yield composed, None
        yield composed, self.shown(pictures, keep_detail=keep_detail)

    def composing(self, moves: Moves = ()) -> Iterator[Features]:
        """Compose moved codes at the cut, some windows a part."""
        with torch.inference_mode():
            generator, codes = move(self.generator, self.moving, moves)
        for part in self.parts(codes):
            yield self.compose(generator, part)

    def compose(self, generator: SplitGenerator, codes: Codes) -> Features:
        """Compose the codes of some windows at the cut."""
        with torch.inference_mode(), self._autocast():
            return assembled(generator, normalised(generator, codes), self.layer)

    def finished(self, features: Features) -> NDArray[np.float32]:
        """Draw what was composed, (B, H, W, C) in [-1, 1]."""
        with torch.inference_mode(), self._autocast():
            return _pictures(self.generator.tail(features, self.layer))

    def shown(self, pictures: Sequence[NDArray[np.float32]], *, keep_detail: bool) -> NDArray[Any]:
        """Make the result of the drawings of all windows."""
        return self._composed(*self.blended(pictures), keep_detail=keep_detail)

    def parts(self, codes: Codes) -> Iterator[Codes]:
        """Split the codes of all windows into batches that bound memory."""
        step = max(1, _AT_ONCE // _count(codes))
        for begin in range(0, self.n_windows, step):
            yield _rows(codes, begin, step)

    def blended(
        self, pictures: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Blend the drawings of all windows, in [-1, 1]; also where there are any."""
        self._sheet.erase()
        flat = (picture for part in pictures for picture in part)
        for window, picture in zip(self.windows, flat, strict=True):
            self._sheet.fill(window, picture[None])
        picture, _, covered = self._sheet.picture()
        return picture, covered

    def tile(self, moves: Moves = (), window: int | None = None) -> NDArray[Any]:
        """Draw one window from moved codes, without its detail: a thumbnail.

        Parameters
        ----------
        moves : iterable of (Direction, float)
            Directions and strengths.
        window : int, optional
            Its number; the middle one if left out.

        Returns
        -------
        array of float32
            (size, size) or (size, size, 3), 0 .. 1.
        """
        number = self.n_windows // 2 if window is None else window
        with torch.inference_mode():
            generator, codes = move(self.generator, _rows(self.moving, number, 1), moves)
            drawn = self._draw(generator, codes)[0].movedim(0, -1)
        picture = np.clip((drawn.cpu().numpy() + 1) / 2, 0, 1)
        return picture[..., 0] if self.image.ndim == 2 else picture

    def spread(self, moves: Moves = ()) -> NDArray[np.float32]:
        """Say how far the searches disagree about the moved picture.

        Returns
        -------
        array of float32
            Standard deviation over searches, (H, W), in the image's units.
        """
        moves = list(moves)
        self._sheet.erase()
        for window, codes in zip(self.windows, self._all, strict=True):
            with torch.inference_mode():
                drawn = self._draw(*move(self.generator, codes, moves))
            self._sheet.fill(window, _pictures(drawn))
        return self._sheet.picture()[1] * np.float32((self.values.high - self.values.low) / 2)

    def _nearest(self) -> list[int]:
        """Choose the search whose drawing is nearest, window by window."""
        best, errors = [], []
        for window, codes in zip(self.windows, self._all, strict=True):
            with torch.inference_mode():
                drawn = _pictures(self._draw(self.generator, codes))
            error = ((drawn - self._sheet.read(window)[0]) ** 2).mean(axis=(1, 2, 3))
            best.append(int(error.argmin()))
            errors.append(float(error.min()))
        self.error = float(np.mean(errors))
        return best

    def _draw(self, generator: SplitGenerator, codes: Codes) -> Tensor:
        with self._autocast():
            return compose(generator, codes, self.layer).float()

    def _autocast(self) -> torch.autocast:
        fewer = self._dtype == torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=fewer)

    def _composed(
        self,
        picture: NDArray[np.float32],
        drawn: NDArray[np.bool_],
        *,
        keep_detail: bool,
    ) -> NDArray[Any]:
        image = self.image
        seen = drawn if image.ndim == 2 else drawn[..., None]
        if keep_detail:
            scale = (self.values.high - self.values.low) / 2
            change = (picture.astype(np.float64) - self._base[0]) * scale
            # adding 0 to a whole number of 64 bits would already round it
            touched = seen & (change != 0)
            edited = to_pixels(image + change, image.dtype)
        else:
            touched = np.broadcast_to(seen, image.shape)
            edited = to_pixels(self.values.decode(picture), image.dtype)
        return np.where(touched, edited, image)


def check_codes(codes: Sequence[WindowCodes], prior: LoadedPrior) -> None:
    """Check that codes can be those of a prior, and belong to one picture.

    Raises
    ------
    PriorError
        If they are of other lengths than the prior's.
    SettingsError
        If there are none, or those of several pictures.
    """
    if not codes:
        raise SettingsError("Got no codes to move; wanted those of an inversion. Invert first.")
    kinds = {(c.layer, c.code_space, c.method, c.z.shape[1], c.noise is None) for c in codes}
    if len(kinds) != 1 or len({(c.top, c.left) for c in codes}) != len(codes):
        raise SettingsError(
            "Got codes of several pictures or of several cuts; wanted those of one picture, "
            "inverted as a whole. Invert it, one plane at a time."
        )  # fmt: skip
    if not all(map(_count, codes)):
        raise SettingsError(
            f"Got a picture inverted by the method {codes[0].method!r}, which finds no codes; "
            "wanted codes to move. Invert it with the method multi-code."
        )
    first, generator = codes[0], prior.generator
    fits = 0 <= first.layer <= generator.n_layers and first.code_space in generator.code_spaces
    wanted: tuple[int, ...] = ()
    if fits:
        there = generator.in_space(first.code_space)
        wanted = (
            there.code_dim, there.feature_shape(first.layer)[0], there.n_mixed(first.layer),
        )  # fmt: skip
    for part in codes:
        mixed = 0 if part.beta is None else part.beta.shape[2]
        got = (part.z.shape[2], part.alpha.shape[2], mixed)
        if not fits or got != wanted:
            raise PriorError(
                f"Got codes of {part.z.shape[2]} numbers in {part.code_space} at the cut "
                f"{part.layer} for the prior {prior.card.name!r}, whose codes have "
                f"{generator.code_dim} in {generator.code_space} and cuts 0 to "
                f"{generator.n_layers}; wanted codes of this prior. Choose the prior they were "
                "found with, or invert again."
            )


def _only(codes: WindowCodes, number: int) -> WindowCodes:
    """Keep one search."""

    def one(part: NDArray[np.float32] | None) -> Any:
        return None if part is None else part[number : number + 1]

    early = None if codes.early is None else _only(codes.early, number)
    return replace(
        codes, z=one(codes.z), alpha=one(codes.alpha), beta=one(codes.beta),
        noise=one(codes.noise), offset=one(codes.offset), early=early,
    )  # fmt: skip


def _rows(codes: Codes, begin: int, n: int) -> Codes:
    """Take some samples."""
    return codes.each(lambda part: part[begin : begin + n])


def _joined(samples: Sequence[Codes]) -> Codes:
    """Put samples into one batch."""

    def both(name: str) -> Any:
        parts = [getattr(sample, name) for sample in samples]
        return None if parts[0] is None else torch.cat(parts)

    early = [sample.early for sample in samples if sample.early is not None]
    return replace(
        samples[0], z=both("z"), alpha=both("alpha"), beta=both("beta"), noise=both("noise"),
        offset=both("offset"), early=_joined(early) if early else None,
    )  # fmt: skip


def _count(codes: Codes | WindowCodes) -> int:
    """Count the codes of a sample, those composed at shallower cuts as well."""
    return int(codes.z.shape[1]) + (0 if codes.early is None else _count(codes.early))


def _pictures(drawn: Tensor) -> NDArray[np.float32]:
    """Turn images (B, C, H, W) into (B, H, W, C)."""
    return np.moveaxis(drawn.to("cpu", torch.float32).numpy(), 1, -1)
