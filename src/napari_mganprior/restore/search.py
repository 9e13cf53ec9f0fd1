"""The search of one window of an image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_mganprior.arrays import to_tensor
from napari_mganprior.canvas import Canvas
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.codes import Codes
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import Step, invert
from napari_mganprior.operators.base import Operator
from napari_mganprior.operators.inpainting import Inpainting as InpaintingOperator
from napari_mganprior.restore.comparing import comparing_network
from napari_mganprior.restore.result import WindowCodes
from napari_mganprior.tiling import Window

__all__ = [
    "codes_of",
    "cut_for",
    "pictures",
    "search_measurement",
    "search_window",
    "tensor_codes",
]


def search_window(
    canvas: Canvas,
    window: Window,
    prior: LoadedPrior,
    config: InversionConfig,
    *,
    rng: torch.Generator,
    device: torch.device,
    start: Sequence[WindowCodes] = (),
) -> Iterator[Step]:
    """Search codes that explain one window of an image.

    Parameters
    ----------
    canvas : Canvas
        The image.
    window : Window
        One of its plan's.
    prior : LoadedPrior
        What draws.
    config : InversionConfig
        Settings; thin damage is searched at ``fine_layer``.
    rng : torch.Generator
        On the CPU.
    device : torch.device
        Where the networks run.
    start : sequence of WindowCodes
        Codes found before; those of the nearest window that overlaps by half are tried as starts.

    Yields
    ------
    Step
        One an evaluation.
    """
    values, trust = canvas.read(window)
    weight = torch.from_numpy(trust)[None, None].to(device)  # (1, 1, size, size)
    operator = InpaintingOperator((weight > 0).float())
    yield from search_measurement(
        values,
        trust,
        window,
        prior,
        replace(config, layer=cut_for(canvas, window, config)),
        operator=operator,
        rng=rng,
        device=device,
        start=start,
    )


def search_measurement(
    values: NDArray[np.float32],
    weight: NDArray[np.float32],
    window: Window,
    prior: LoadedPrior,
    config: InversionConfig,
    *,
    operator: Operator,
    rng: torch.Generator,
    device: torch.device,
    start: Sequence[WindowCodes] = (),
) -> Iterator[Step]:
    """Search codes whose drawing, passed through an operator, is what was measured.

    Parameters
    ----------
    values : array of float32
        The measurement in [-1, 1], (h, w, C).
    weight : array of float32
        Weight of each of its pixels, (h, w); 0 where nothing was measured.
    window : Window
        Where it belongs.
    prior : LoadedPrior
        What draws.
    config : InversionConfig
        Settings; the cut is ``layer``.
    operator : Operator
        From a drawing of the window to the measurement.
    rng, device, start
        As for `search_window`.

    Yields
    ------
    Step
        One an evaluation.
    """
    known = torch.from_numpy(weight)[None, None].to(device)  # (1, 1, h, w)
    encoder, comparing = prior.encoder, comparing_network(config, prior)
    yield from invert(
        prior.generator.to(device),
        operator.to(device),
        to_tensor(values).to(device) * (known > 0),
        config,
        rng=rng,
        weight=known,
        discriminator=None if comparing is None else comparing.to(device),
        encoder=None if encoder is None else encoder.to(device),
        start=_nearest(start, window, config, device),
    )


def cut_for(canvas: Canvas, window: Window, config: InversionConfig) -> int:
    """Choose the cut for a window: the fine one where its damage is thin."""
    return config.fine_layer if canvas.depth(window) <= config.fine_depth else config.layer


def codes_of(window: Window, step: Step, config: InversionConfig) -> WindowCodes:
    """Take the best codes of one window's search out of a step."""
    return _written(window, step.codes, step.layer, config)


def _written(window: Window, codes: Codes, layer: int, config: InversionConfig) -> WindowCodes:
    early = codes.early
    return WindowCodes(
        window.top,
        window.left,
        layer,
        _array(codes.z),
        _array(codes.alpha),
        beta=None if codes.beta is None else _array(codes.beta),
        noise=None if codes.noise is None else _array(codes.noise),
        code_space=config.code_space,
        method=config.method,
        offset=None if codes.offset is None else _array(codes.offset),
        early=None if early is None else _written(window, early, codes.early_layer, config),
    )


def _array(part: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = part[0].to("cpu", torch.float32).numpy()
    return array


def _nearest(
    known: Sequence[WindowCodes], window: Window, config: InversionConfig, device: torch.device
) -> Codes | None:
    """Take the codes of the nearest window, one a restart; None where there are none that fit."""
    near = [
        (max(abs(c.top - window.top), abs(c.left - window.left)), c)
        for c in known
        if _fits(c, config)
    ]
    if not near:
        return None
    distance, chosen = min(near, key=lambda pair: pair[0])
    if distance > window.size // 2:
        return None
    while config.method == "layer-by-layer" and chosen.early is not None:
        chosen = chosen.early  # the codes that it all began with
    return tensor_codes(chosen, np.arange(config.n_restarts) % len(chosen.z), device)


def _fits(codes: WindowCodes, config: InversionConfig) -> bool:
    """Whether a search by the same method found these codes with settings like these."""
    first, n_codes = codes, 0
    while True:
        n_codes += first.z.shape[1]
        if first.early is None:
            break
        first = first.early
    fixed = config.method in ("single-code", "encoder", "pulse")
    one = config.method == "features"
    return (
        codes.method == config.method
        and (fixed or codes.layer == config.layer)
        and (fixed or one or n_codes == config.n_codes)
        and codes.code_space == config.code_space
        and (codes.noise is not None) == config.optimise_noise
    )


def tensor_codes(
    codes: WindowCodes, restarts: NDArray[np.integer], device: torch.device | str = "cpu"
) -> Codes:
    """Turn a window's codes into those that `compose` draws, at the cut ``codes.layer``.

    Parameters
    ----------
    codes : WindowCodes
        Of a restoration.
    restarts : array of int
        Numbers of the searches wanted, in order, (S,).
    device : torch.device or str
        Where they are wanted.
    """

    def chosen(part: NDArray[np.float32] | None) -> Tensor | None:
        return None if part is None else torch.from_numpy(part[restarts]).to(device)

    z, alpha = chosen(codes.z), chosen(codes.alpha)
    assert z is not None
    assert alpha is not None
    early = codes.early
    return Codes(
        z,
        alpha,
        chosen(codes.beta),
        chosen(codes.noise),
        chosen(codes.offset),
        None if early is None else tensor_codes(early, restarts, device),
        0 if early is None else early.layer,
    )


def pictures(images: Tensor) -> NDArray[np.float32]:
    """Turn the restarts of one image, (1, R, C, H, W), into (R, H, W, C)."""
    return np.moveaxis(images[0].to("cpu", torch.float32).numpy(), 1, -1)
