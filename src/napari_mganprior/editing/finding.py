"""Directions found in a generator without anybody's labels.

Where codes come in through a linear map, its main axes (SeFa): Shen, Zhou, "Closed-Form
Factorization of Latent Semantics in GANs", CVPR 2021,
https://doi.org/10.1109/CVPR46437.2021.00158. Elsewhere the main axes of features, brought back to
codes by regression (GANSpace): Harkonen et al., NeurIPS 2020,
https://doi.org/10.48550/arXiv.2004.02546.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.editing.base import Direction
from napari_mganprior.errors import DirectionError, SettingsError, StorageError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.settings import cache_folder

__all__ = ["METHODS", "find_directions", "known_directions", "unit_along"]

METHODS = ("auto", "sefa", "pca")
_MOST = 64
_SAMPLES = (1000, 4000)  # codes that features are looked at for: four for each of a code's numbers
_SIDE = 4  # px; finer maps are averaged, which bounds memory
_BATCH = 50
_MEASURED = 2000  # codes that a unit is measured on


def find_directions(
    generator: SplitGenerator, n: int = 8, *, method: str = "auto", seed: int = 0
) -> tuple[Direction, ...]:
    """Find directions along which a generator's pictures change most.

    Parameters
    ----------
    generator : SplitGenerator
        The prior's.
    n : int
        How many, 1 .. 64, and at most the length of a code.
    method : {"auto", "sefa", "pca"}
        From the weights, or from features. ``"auto"`` takes the weights where there are some.
    seed : int
        Of the codes that features are looked at for, and units measured on.

    Returns
    -------
    tuple of Direction
        Named "1", "2", .., the strongest first; the same for the same seed.

    Raises
    ------
    SettingsError
        If a number or the method is out of range.
    DirectionError
        If the weights are asked for and the architecture has none of that kind.
    """
    moving = generator.in_space(generator.direction_space)
    most = min(_MOST, moving.code_dim)
    if int(n) != n or not 1 <= n <= most:
        raise SettingsError(f"Got {n} directions; wanted 1 to {most}. Choose a number in between.")
    if method not in METHODS:
        raise SettingsError(
            f"Got the method {method!r}; wanted one of {', '.join(METHODS)}. Choose auto."
        )
    weight = None if method == "pca" else generator.entry_weight()
    if weight is None and method == "sefa":
        raise DirectionError(
            f"Got the method 'sefa' for the architecture {generator.architecture!r}, whose codes "
            "do not come in through one linear map; wanted another method. Choose auto or pca."
        )
    with torch.inference_mode():
        if weight is None:
            vectors, shares, kind = *_from_features(moving, n, seed), "pca"
        else:
            vectors, shares, kind = *_from_weight(weight, n), "sefa"
        return tuple(
            Direction(
                name=str(number),
                vector=vector.numpy().astype(np.float32),
                space=generator.direction_space,
                unit=unit_along(generator, vector.numpy(), generator.direction_space, seed=seed),
                source={"kind": kind, "number": number, "share": round(float(share), 6)},
            )
            for number, (vector, share) in enumerate(zip(vectors, shares, strict=True), start=1)
        )


def known_directions(
    prior: LoadedPrior,
    n: int = 8,
    *,
    method: str = "auto",
    seed: int = 0,
    folder: Path | None = None,
) -> tuple[Direction, ...]:
    """Find directions as `find_directions` does, and remember them in a file.

    Parameters
    ----------
    prior : LoadedPrior
        Whose directions.
    n, method, seed
        As for `find_directions`.
    folder : Path, optional
        Where they are remembered; ``directions`` in the cache folder if left out. A file that
        cannot be read or written is no matter: they are found again.
    """
    folder = cache_folder() / "directions" if folder is None else folder
    path = folder / f"{prior.sha256}-{method}-{n}-{seed}.npz"
    held = _remembered(path)
    if held is not None and len(held) == n:
        return held
    found = find_directions(prior.generator, n, method=method, seed=seed)
    _remember(path, found)
    return found


def unit_along(
    generator: SplitGenerator, vector: "np.ndarray", space: str, *, seed: int = 0
) -> float:
    """Return the standard deviation of random codes along a direction, in code units.

    Parameters
    ----------
    generator : SplitGenerator
        Whose codes.
    vector : array
        (D,), of length 1.
    space : {"z", "w"}
        Where it lies.
    seed : int
        Of the codes, where they are drawn.
    """
    if space == "z":  # evenly on a sphere
        radius = generator.in_space("z").code_radius
        return float(radius / len(vector) ** 0.5)
    there = generator.in_space(space)
    device = next(generator.parameters()).device
    codes = there.sample_codes(_MEASURED, rng=seeded(seed), device=device).double().cpu()
    along = codes @ torch.from_numpy(np.array(vector, dtype=np.float64))
    return max(float(along.std()), 1e-6)


def _from_weight(weight: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Take the main axes of a linear map (M, D), each of its rows counting alike."""
    rows = weight.detach().to("cpu", torch.float64)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    values, vectors = torch.linalg.eigh(rows.T @ rows)  # ascending
    shares = values.clamp_min(0) / values.clamp_min(0).sum().clamp_min(1e-12)
    return _signed(vectors.T.flip(0)[:n]), shares.flip(0)[:n]


def _from_features(generator: SplitGenerator, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Take the main axes of features, and the codes' regression on them."""
    low, high = _SAMPLES
    count = min(max(low, 4 * generator.code_dim), high)
    rng = seeded(seed)
    device = next(generator.parameters()).device
    codes = torch.cat(
        [generator.sample_codes(_BATCH, rng=rng, device=device) for _ in range(count // _BATCH)]
    )
    layer = generator.cuts[0]
    features = torch.cat([_seen(generator, part, layer) for part in codes.split(_BATCH)]).double()
    features = features - features.mean(dim=0)
    # samples against samples: features may be many more than there are samples
    values, vectors = torch.linalg.eigh(features @ features.T)
    scores = vectors.flip(1)[:, :n]  # (S, n), each of length 1
    flat = codes.to("cpu", torch.float64)
    back = scores.T @ (flat - flat.mean(dim=0))  # least squares: the scores are orthonormal
    back = back / back.norm(dim=1, keepdim=True).clamp_min(1e-12)
    shares = values.flip(0).clamp_min(0)
    return _signed(back), (shares / shares.sum().clamp_min(1e-12))[:n]


def _seen(generator: SplitGenerator, codes: Tensor, layer: int) -> Tensor:
    """Return features of codes as rows on the CPU, maps averaged to a few positions."""
    maps = generator.head(codes, layer).map.float()
    if min(maps.shape[2:]) > _SIDE:
        maps = F.adaptive_avg_pool2d(maps, _SIDE)
    return maps.flatten(1).cpu()


def _signed(vectors: Tensor) -> Tensor:
    """Choose of a direction and its opposite the one whose largest number is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def _remembered(path: Path) -> tuple[Direction, ...] | None:
    try:
        with np.load(path, allow_pickle=False) as held:
            kinds, shares = [str(k) for k in held["kind"]], [float(s) for s in held["share"]]
            spaces, units = [str(s) for s in held["space"]], [float(u) for u in held["unit"]]
            return tuple(
                Direction(
                    str(number), vector, spaces[number - 1], units[number - 1],
                    {"kind": kinds[number - 1], "number": number, "share": shares[number - 1]},
                )
                for number, vector in enumerate(held["vector"], start=1)
            )  # fmt: skip
    except (OSError, ValueError, KeyError, IndexError, EOFError, TypeError, zipfile.BadZipFile):
        return None  # not there, or damaged


def _remember(path: Path, found: tuple[Direction, ...]) -> None:
    held = io.BytesIO()
    np.savez(
        held,
        vector=np.stack([d.vector for d in found]),
        space=np.array([d.space for d in found]),
        unit=np.array([d.unit for d in found]),
        kind=np.array([d.source["kind"] for d in found]),
        share=np.array([d.source["share"] for d in found]),
    )
    try:
        write_atomically(path, held.getvalue())
    except StorageError:
        return  # a full disk costs time, not the result
