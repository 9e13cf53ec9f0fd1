"""The training loop: a Python generator that yields a `TrainingStep` a step.

Non-saturating loss (Goodfellow et al., 2014), lazy R1 (Karras et al., CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00813), adaptive augmentation and an average of the
generator's weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.augment import augment
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.mixing import draw_weights
from napari_mganprior.training.state import TrainingState

__all__ = ["DivergedError", "TrainingState", "TrainingStep", "train"]

_MEMORY = 0.99  # of the running mean of the loss: about 100 steps
_SOUND = (0.1, 20.0)  # where that mean is in a run that still learns; a guess is 1.39
_PATIENCE = 500  # steps outside in a row after which the run counts as collapsed


class DivergedError(TrainingError):
    """The numbers are no longer finite, or one network has beaten the other for good."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What one training step did.

    Attributes
    ----------
    images_seen : int
        Crops shown to the discriminator so far.
    n_images : int
        Crops at which training ends.
    generator_loss, discriminator_loss : float
        Non-saturating losses, nats.
    r1 : float or None
        Squared gradient length at real crops, on the steps that measure it.
    augment : float
        Strength of the augmentation, 0 to 1.
    overfit : float or None
        How much the discriminator overfits, -1 to 1, over the last few steps.
    distance : float or None
        Distance of the samples to the pictures, where it was measured
        (`napari_mganprior.training.heldout`).
    notice : str
        What a person should know, such as that the run was taken back; mostly empty.
    """

    images_seen: int
    n_images: int
    generator_loss: float
    discriminator_loss: float
    r1: float | None
    augment: float = 0.0
    overfit: float | None = None
    distance: float | None = None
    notice: str = ""


def train(state: TrainingState, source: CropSource) -> Iterator[TrainingStep]:
    """Train until ``state.n_images`` crops have been seen.

    Parameters
    ----------
    state : TrainingState
        Changed in place; between two steps it can be saved.
    source : CropSource
        Where the crops come from.

    Yields
    ------
    TrainingStep
        One a step, after the step is complete.

    Raises
    ------
    DivergedError
        If a loss is no longer finite, or has been hopeless for long.
    """
    config = state.config
    step = state.images_seen // state.step_images
    while state.images_seen < state.n_images:
        for optimiser in state.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = state.learning_rate()
        real = source.batch(config.batch_size, state.rng).to(state.device)
        discriminator_loss, r1, sign = _train_discriminator(
            state, real, with_r1=step % config.r1_every == 0
        )
        generator_loss = _train_generator(state)
        # the mean over the processes, so that all of them see the same and do the same
        numbers = [discriminator_loss, generator_loss, sign, *([] if r1 is None else [r1])]
        losses = state.ranks.mean(torch.stack(numbers)).tolist()  # waits for the device, once
        if not all(map(isfinite, losses)):
            raise DivergedError(
                f"Got a loss that is not finite after {state.images_seen} images; wanted a stable "
                "run. Go on from the last checkpoint with a smaller learning rate."
            )
        step += 1
        state.images_seen += state.step_images
        _update_average(state)
        if config.r1_target is not None:
            state.penalty.watch(losses[2], state.step_images, config.r1_target)
        if config.augment:
            state.augmentation.watch(losses[2], state.step_images, config.augment_target)
        _watch_loss(state, losses[0])
        yield TrainingStep(
            images_seen=state.images_seen,
            n_images=state.n_images,
            generator_loss=losses[1],
            discriminator_loss=losses[0],
            r1=None if r1 is None else losses[3],
            augment=state.augmentation.strength,
            overfit=state.augmentation.overfit,
        )


def _autocast(state: TrainingState) -> torch.autocast:
    return torch.autocast(state.device.type, dtype=torch.bfloat16, enabled=state.config.bfloat16)


def _draw(state: TrainingState, generator: Callable[..., Any]) -> Tensor:
    """Draw a batch with the generator or with what averages its gradients."""
    config = state.config
    share = config.mix_probability
    if not share or float(torch.rand((), generator=state.rng)) >= share:
        images: Tensor = generator(state.codes(config.batch_size))
        return images
    weights = draw_weights(config.batch_size, state.rng)
    cuts = state.generator.cuts
    cut = cuts[int(torch.randint(len(cuts), (), generator=state.rng))]
    codes = state.codes(weights.numel())
    mixed: Tensor = generator(codes, weights.to(state.device), cut)
    return mixed


def _shown(state: TrainingState, images: Tensor) -> Tensor:
    """Return images as the discriminator sees them."""
    images = augment(images, state.augmentation.strength, state.rng)
    images = images.contiguous(memory_format=state.memory_format)
    if state.config.channels_last and images.shape[1] == 1:
        # one channel is in both orders at once, and only its strides say which is meant: torch
        # would go on channels first through the largest maps
        images = images.contiguous()[:, 0, :, :, None].permute(0, 3, 1, 2)
    return images


def _train_discriminator(
    state: TrainingState, real: Tensor, *, with_r1: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Make one step; return the loss, the penalty if it was measured, and the signal."""
    with _autocast(state):
        with torch.no_grad():
            fake = _shown(state, _draw(state, state.drawing))
        real = _shown(state, real)
        scores = state.judging(real)
        loss = F.softplus(state.judging(fake)).mean()
        loss = loss + F.softplus(-scores).mean()
    total, r1 = loss, None
    if with_r1:
        # float32: a second derivative in bfloat16 is mostly rounding
        leaf = real.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(state.judging(leaf).sum(), leaf, create_graph=True)
        if state.discriminator.pixel_std is not None:
            slope = slope * state.discriminator.pixel_std  # a standardised pixel, not a grey level
        r1 = slope.square().sum(dim=(1, 2, 3)).mean()
        total = loss + state.r1_gamma / 2 * state.config.r1_every * r1
    state.optimisers["discriminator"].zero_grad(set_to_none=True)
    total.backward()
    state.optimisers["discriminator"].step()
    sign = scores.detach().sign().mean()
    return loss.detach(), None if r1 is None else r1.detach(), sign


def _train_generator(state: TrainingState) -> Tensor:
    state.discriminator.requires_grad_(False)
    with _autocast(state):
        fake = _shown(state, _draw(state, state.drawing))
        loss = F.softplus(-state.discriminator(fake)).mean()
    state.optimisers["generator"].zero_grad(set_to_none=True)
    loss.backward()
    state.optimisers["generator"].step()
    state.discriminator.requires_grad_(True)
    return loss.detach()


@torch.no_grad()
def _update_average(state: TrainingState) -> None:
    # a short memory at first, so that the average does not drag the random start along
    half_life = min(state.config.ema_half_life, 0.05 * state.images_seen)
    keep = 0.5 ** (state.step_images / max(half_life, 1e-8))
    averaged: list[Tensor] = list(state.average.parameters())
    current: list[Tensor] = list(state.generator.parameters())
    torch._foreach_lerp_(averaged, current, 1 - keep)


def _watch_loss(state: TrainingState, loss: float) -> None:
    """Notice when one network has beaten the other, after which neither learns any more."""
    state.loss = _MEMORY * state.loss + (1 - _MEMORY) * loss
    state.suspect = 0 if _SOUND[0] <= state.loss <= _SOUND[1] else state.suspect + 1
    if state.suspect >= _PATIENCE:
        raise DivergedError(
            f"Got a discriminator's loss of {state.loss:.3g} on average for {_PATIENCE} steps up "
            f"to {state.images_seen} images: one network has beaten the other; wanted "
            f"{_SOUND[0]} to {_SOUND[1]}. Go on from the last checkpoint with a smaller learning "
            "rate."
        )
