"""The way from the codes of one picture to those of another."""

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.inversion.codes import Codes, normalised

__all__ = ["between", "match"]


def match(generator: SplitGenerator, first: Codes, second: Codes, layer: int) -> Codes:
    """Bring the codes of a second picture into the order in which they resemble the first's.

    The order of codes means nothing to the picture they draw, but on the way from one picture
    to another each code becomes the one at its place. The assignment minimises the sum of
    squared distances between what paired codes give to the composed map, alpha_n * G1(z_n);
    Kuhn, 1955, https://doi.org/10.1002/nav.3800020109.

    Parameters
    ----------
    generator : SplitGenerator
        For codes of this space.
    first, second : Codes
        z (B, N, D); of as many codes each.
    layer : int
        The cut.

    Returns
    -------
    Codes
        The second ones, reordered picture by picture; they draw the same.
    """
    if first.z.shape[1] == 0:
        ours, theirs = first.z, second.z  # all codes are composed at a shallower cut
    else:
        ours, theirs = (_given(generator, codes, layer) for codes in (first, second))
    orders = []
    for one, other in zip(ours, theirs, strict=True):
        cost = torch.cdist(one, other).square().cpu().numpy()
        orders.append(np.asarray(linear_sum_assignment(cost)[1]))
    order = torch.from_numpy(np.stack(orders)).to(second.z.device)  # (B, N)

    def reordered(part: Tensor) -> Tensor:
        return part.gather(1, order[..., None].expand(-1, -1, part.shape[2]))

    def rows(part: Tensor) -> Tensor:  # a last row may belong to what shallower codes drew
        n = order.shape[1]
        return torch.cat([reordered(part[:, :n]), part[:, n:]], dim=1)

    early = second.early
    if first.early is not None and early is not None:
        early = match(generator, first.early, early, second.early_layer)
    return replace(
        second,
        z=reordered(second.z),
        alpha=rows(second.alpha),
        beta=None if second.beta is None else rows(second.beta),
        early=early,
    )


def between(generator: SplitGenerator, first: Codes, second: Codes, share: float) -> Codes:
    """Return codes on the way: along great circles in z and noise, straight in all else.

    Parameters
    ----------
    generator : SplitGenerator
        For codes of this space.
    first, second : Codes
        z (B, N, D).
    share : float
        0 is the first, 1 the second.
    """
    first, second = (normalised(generator, codes) for codes in (first, second))
    return _between(generator, first, second, share)


def _between(generator: SplitGenerator, first: Codes, second: Codes, share: float) -> Codes:
    z = (
        _turned(first.z, second.z, share)
        if generator.code_space == "z"
        else torch.lerp(first.z, second.z, share)
    )

    def mixed(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        return None if one is None or other is None else torch.lerp(one, other, share)

    noise = early = None
    if first.noise is not None and second.noise is not None:
        noise = _turned(first.noise, second.noise, share)
    if first.early is not None and second.early is not None:
        early = _between(generator, first.early, second.early, share)
    return replace(
        first,
        z=z,
        alpha=torch.lerp(first.alpha, second.alpha, share),
        beta=mixed(first.beta, second.beta),
        noise=noise,
        offset=mixed(first.offset, second.offset),
        early=early,
    )


def _turned(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Turn vectors towards others of the same length, about the last axis."""
    lengths = first.norm(dim=-1, keepdim=True) * second.norm(dim=-1, keepdim=True)
    cosine = (first * second).sum(dim=-1, keepdim=True) / lengths.clamp_min(1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    turned = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second
    # where they point the same way, or exactly opposite ways, there is no one circle
    return torch.where(sine > 1e-4, turned / sine.clamp_min(1e-4), torch.lerp(first, second, share))


@torch.inference_mode()
def _given(generator: SplitGenerator, codes: Codes, layer: int) -> Tensor:
    """Return what every code gives to the composed map, (B, N, C_l * H_l * W_l)."""
    codes = normalised(generator, codes)
    batch, n_codes, length = codes.z.shape
    maps = generator.head(codes.z.reshape(batch * n_codes, length), layer).map
    alpha = codes.alpha[:, :n_codes, :, None, None]
    weighted: Tensor = maps.unflatten(0, (batch, n_codes)) * alpha
    return weighted.flatten(2).float()
