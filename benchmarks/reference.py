"""The original's procedure, re-implemented from its description, and the race against it.

What it does (Gu, Shen, Zhou, CVPR 2020, and what is known of the authors' program): N codes from
N(0, 1), run through the generator's first half one after the other; alpha starts at 1/N and the
sum is divided by N again; plain SGD with learning rate 1 on all codes and alphas together for
3000 steps; no weight is frozen; the last iterate is returned. Its perceptual term is left out on
both sides: it needs VGG weights that know nothing of grey microscopy.

``make bench-reference`` prints both times; its last line is
``ratio: R``, how many times faster the engine reaches the loss at which the original ends.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from scenes import scenes
from torch import Tensor

from napari_mganprior.arrays import seeded, to_tensor
from napari_mganprior.generators.base import Features, SplitGenerator
from napari_mganprior.generators.checkpoint import LoadedPrior, load_prior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import invert
from napari_mganprior.operators import Denoising, Operator
from napari_mganprior.priors import find_prior

__all__ = ["reference", "reference_batched"]


def reference(
    generator: SplitGenerator,
    operator: Operator,
    y: Tensor,
    *,
    layer: int,
    n_codes: int,
    n_steps: int = 3000,
    learning_rate: float = 1.0,
    rng: torch.Generator,
) -> tuple[Tensor, float]:
    """Run the original's procedure on one measurement, as it was written.

    Returns
    -------
    Tensor, float
        The last drawing, (1, C, H, W), and its mean squared error.
    """
    channels = generator.feature_shape(layer)[0]
    z = [torch.randn(1, generator.code_dim, generator=rng) for _ in range(n_codes)]
    alpha = [torch.full((1, channels, 1, 1), 1 / n_codes) for _ in range(n_codes)]
    for leaf in (*z, *alpha):
        leaf.requires_grad_(True)
    optimiser = torch.optim.SGD([*z, *alpha], lr=learning_rate)
    for step in range(n_steps + 1):  # the last round only draws
        maps = [generator.head(z[n], layer).map * alpha[n] for n in range(n_codes)]
        x = generator.tail(Features(torch.stack(maps).sum(dim=0) / n_codes), layer)
        loss = (operator(x) - y).square().mean()
        if step < n_steps:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return x.detach(), float(loss.detach())


def reference_batched(
    generator: SplitGenerator,
    operator: Operator,
    y: Tensor,
    *,
    layer: int,
    n_codes: int,
    n_steps: int = 3000,
    learning_rate: float = 1.0,
    rng: torch.Generator,
) -> Tensor:
    """Run the same arithmetic on several measurements at once, to compare quality in less time.

    Returns
    -------
    Tensor
        The last drawings, (B, C, H, W).
    """
    batch, channels = y.shape[0], generator.feature_shape(layer)[0]
    z = torch.randn(batch * n_codes, generator.code_dim, generator=rng)
    alpha = torch.full((batch, n_codes, channels, 1, 1), 1 / n_codes)
    for step in range(n_steps + 1):
        z.requires_grad_(True)
        alpha.requires_grad_(True)
        maps = generator.head(z, layer).map.unflatten(0, (batch, n_codes))
        x = generator.tail(Features((maps * alpha).sum(dim=1) / n_codes), layer)
        if step == n_steps:
            break
        loss = (operator(x) - y).square().mean(dim=(1, 2, 3)).sum()
        dz, dalpha = torch.autograd.grad(loss, (z, alpha))
        z = (z - learning_rate * dz).detach()
        alpha = (alpha - learning_rate * dalpha).detach()
    return x.detach()


def race(prior: LoadedPrior, y: Tensor, *, layer: int, n_codes: int, n_steps: int) -> float:
    """Time both procedures on the same measurement and return the ratio of their times."""
    generator = prior.generator
    # the original freezes nothing, so it computes the gradients of all weights, too
    generator.requires_grad_(True)
    started = time.perf_counter()
    _, target = reference(
        generator, Denoising(), y, layer=layer, n_codes=n_codes, n_steps=n_steps, rng=seeded(0)
    )
    theirs = time.perf_counter() - started
    generator.requires_grad_(False)
    print(f"reference: {n_steps} evaluations, {theirs:.1f} s, loss {target:.3g}", flush=True)

    config = InversionConfig(
        layer=layer,
        n_codes=n_codes,
        n_restarts=1,
        n_candidates=16,
        n_steps=3000,
        held_out=0.0,
        patience=3000,
    )
    times = []
    for precision in ("float32", "auto"):
        started = time.perf_counter()
        for step in invert(
            generator, Denoising(), y, replace(config, precision=precision), rng=seeded(0)
        ):
            if step.loss <= target:
                break
        times.append(time.perf_counter() - started)
        print(
            f"ours ({precision}): {step.index} evaluations, {times[-1]:.2f} s, "
            f"loss {step.loss:.3g}, ratio {theirs / times[-1]:.0f}",
            flush=True,
        )
        if step.loss > target:
            raise SystemExit("ours never reached the loss of the reference")
    return theirs / times[-1]


def main() -> None:
    """Race on one held-out crop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="an .npz of held-out images")
    parser.add_argument("--prior", default="nuclei", help="name or file")
    parser.add_argument("--image", default="feffce59a1a3", help="key of the image")
    parser.add_argument("--layer", type=int, default=5)
    parser.add_argument("--codes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    prior = load_prior(find_prior(options.prior))
    size = prior.generator.resolution
    truth = next(s.truth for s in scenes(options.data, size=size) if s.name == options.image)
    print(
        f"one {size}x{size} px image, cut {options.layer}, {options.codes} codes, mean squared "
        f"error, {torch.get_num_threads()} threads, prior {prior.card.name} {prior.sha256[:12]}"
    )
    ratio = race(
        prior,
        to_tensor(truth),
        layer=options.layer,
        n_codes=options.codes,
        n_steps=options.steps,
    )
    print(f"ratio: {ratio:.0f}")


if __name__ == "__main__":
    main()
