"""What each method searches, one space after another, and what a generator must have for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.codes import Codes
from napari_mganprior.inversion.config import METHODS, InversionConfig
from napari_mganprior.inversion.maps import Ball, FeatureMaps
from napari_mganprior.inversion.problem import Problem
from napari_mganprior.inversion.pulse import Pulse
from napari_mganprior.inversion.spaces import ComposedCodes, FixedMixture, Space, TwoCuts

__all__ = ["check_method", "encoded", "methods_for", "plan"]

NextSpace = Callable[[Codes | None], Space]
"""Makes a space from what the search before it found."""

_WITH_ENCODER = ("encoder", "encoder-optimised")
_SEVERAL_CUTS = ("layer-by-layer", "multi-cut")
_NO_NOISE = ("encoder", "features", "layer-by-layer")


def methods_for(generator: SplitGenerator, encoder: nn.Module | None) -> tuple[str, ...]:
    """List the methods that go with a generator.

    Parameters
    ----------
    generator : SplitGenerator
        The prior.
    encoder : nn.Module or None
        What the prior has for images to codes.
    """
    return tuple(
        method
        for method in METHODS
        if (encoder is not None or method not in _WITH_ENCODER)
        and (generator.runs_between or method not in _SEVERAL_CUTS)
    )


def check_method(
    generator: SplitGenerator,
    encoder: nn.Module | None,
    config: InversionConfig,
    layers: Sequence[int] | None = None,
) -> None:
    """Check that a generator can be searched by the method of some settings.

    Parameters
    ----------
    generator, encoder
        As for `methods_for`.
    config : InversionConfig
        Settings.
    layers : sequence of int, optional
        The cuts that may be used; ``config.layer`` if left out.

    Raises
    ------
    SettingsError
        If it cannot; the message says which methods can.
    """
    method = config.method
    if method in _WITH_ENCODER and encoder is None:
        raise SettingsError(
            f"Got the method {method!r} for a prior without an encoder; wanted one of "
            f"{', '.join(methods_for(generator, encoder))}. Choose multi-code, or add an encoder "
            "(examples/add_encoder.py)."
        )
    if method not in methods_for(generator, encoder):
        raise SettingsError(
            f"Got the method {method!r}, unknown for the architecture "
            f"{generator.architecture!r}; wanted one of "
            f"{', '.join(methods_for(generator, encoder))}. Choose multi-code."
        )
    if method in (*_WITH_ENCODER, "pulse") and config.code_space != "z":
        raise SettingsError(
            f"Got the method {method!r} in the code space {config.code_space!r}; wanted z, where "
            "its codes lie on a sphere. Choose z, or the method multi-code."
        )
    if method in _NO_NOISE and config.optimise_noise:
        raise SettingsError(
            f"Got optimise_noise for the method {method!r}, which searches no noise; wanted "
            "False. Set it to False, or choose the method multi-code."
        )
    shallow = min((config.layer,) if layers is None else layers)
    wanted = {"features": 1, "layer-by-layer": 2, "multi-cut": 2}.get(method, 0)
    if shallow < wanted:
        raise SettingsError(
            f"Got the method {method!r} at the cut {shallow}; wanted {wanted} or deeper. Choose a "
            "deeper layer, or the method multi-code."
        )


def plan(
    generator: SplitGenerator, config: InversionConfig, given: Tensor | None
) -> list[NextSpace]:
    """List the spaces that a method searches, one after another.

    Parameters
    ----------
    generator : SplitGenerator
        The prior, in the settings' code space.
    config : InversionConfig
        Settings.
    given : Tensor or None
        The encoder's codes, one a search, (S, D).
    """
    layer, method = config.layer, config.method
    if method in ("single-code", "encoder"):
        alpha = torch.ones(1, generator.feature_shape(0)[0])
        return [lambda _: FixedMixture(generator, config, 0, alpha, given=given)]
    if method == "pulse":
        return [lambda _: Pulse(generator, config)]
    if method == "features":
        return [lambda _: FeatureMaps(generator, config, layer)]
    if method == "multi-cut":
        return [lambda _: TwoCuts(generator, config, layer)]
    if method == "layer-by-layer":
        return _upwards(generator, config)
    return [lambda _: ComposedCodes(generator, config, layer, config.n_codes, given)]


def _upwards(generator: SplitGenerator, config: InversionConfig) -> list[NextSpace]:
    """Codes composed at half of the cut; then maps in a ball, at three quarters and at the cut."""
    top = config.layer
    first = max(1, top // 2)
    above = sorted({(first + top + 1) // 2, top} - {first})
    share = config.n_steps // (2 * len(above))
    begin = replace(config, n_steps=max(1, config.n_steps - share * len(above)))
    stage = replace(config, n_steps=max(1, share))
    spaces: list[NextSpace] = [lambda _: ComposedCodes(generator, begin, first, begin.n_codes)]
    for below, layer in zip([first, *above], above, strict=False):

        def ball(found: Codes | None, below: int = below, layer: int = layer) -> Space:
            assert found is not None
            return Ball(generator, stage, layer, found, below)

        spaces.append(ball)
    return spaces


@torch.no_grad()
def encoded(generator: SplitGenerator, encoder: nn.Module, problem: Problem) -> Tensor:
    """Let an encoder say which code drew what was measured.

    Parameters
    ----------
    generator : SplitGenerator
        Says what its images are like.
    encoder : nn.Module
        Takes images (S, C, R, R) and where they are known (S, 1, R, R).
    problem : Problem
        The measurement; pixels held out are not shown. One of another size is brought to that of
        the images, and one of fewer channels counts as grey.

    Returns
    -------
    Tensor
        One code a search, (S, D).
    """
    known = (problem.fit > 0).float()
    y = problem.y * known
    size = (generator.resolution, generator.resolution)
    if y.shape[1] != generator.image_channels:
        y = y.mean(dim=1, keepdim=True).expand(-1, generator.image_channels, -1, -1)
    if y.shape[2:] != size:
        y, known = (F.interpolate(part, size, mode="nearest") for part in (y, known))
    codes: Tensor = encoder(y, known).float()
    return codes
