"""The training loop: a Python generator that yields a `TrainingStep` a step.

Non-saturating loss (Goodfellow et al., 2014), lazy R1 (Karras et al., CVPR 2020,
https://doi.org/10.1109/CVPR42600.2020.00813) and an average of the generator's weights.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import TrainingError
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource

__all__ = ["TrainingState", "TrainingStep", "train"]


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
    """

    images_seen: int
    n_images: int
    generator_loss: float
    discriminator_loss: float
    r1: float | None


class TrainingState:
    """Everything a training run needs to go on: networks, optimisers, average, randomness.

    Parameters
    ----------
    config : TrainingConfig
        Settings of the run.
    device : torch.device or str
        Where it runs.
    """

    def __init__(self, config: TrainingConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.images_seen = 0
        self.rng = seeded(config.seed)
        shape: dict[str, Any] = {
            "resolution": config.resolution,
            "widths": config.widths,
            "image_channels": config.image_channels,
        }
        self.generator = PGGANGenerator(code_dim=config.code_dim, **shape)
        self.discriminator = PGGANDiscriminator(**shape)
        for network in (self.generator, self.discriminator):
            network.initialise(self.rng)
            # torch's own stubs know no memory_format for modules
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimisers = {
            "generator": torch.optim.Adam(
                self.generator.parameters(), lr=config.learning_rate, betas=(0.0, 0.99)
            ),
            "discriminator": torch.optim.Adam(
                self.discriminator.parameters(), lr=config.learning_rate, betas=(0.0, 0.99)
            ),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as tensors and JSON-able values."""
        return {
            "config": self.config.to_dict(),
            "images_seen": self.images_seen,
            "rng": self.rng.get_state(),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }

    @classmethod
    def from_state_dict(
        cls, raw: dict[str, Any], device: torch.device | str = "cpu"
    ) -> "TrainingState":
        """Take up a run where `state_dict` left it, to the last bit on the same CPU.

        Raises
        ------
        TrainingError
            If the dictionary is not such a state.
        """
        try:
            state = cls(TrainingConfig.from_dict(raw["config"]), device)
            state.images_seen = int(raw["images_seen"])
            state.rng.set_state(raw["rng"])
            state.generator.load_state_dict(raw["generator"])
            state.discriminator.load_state_dict(raw["discriminator"])
            state.average.load_state_dict(raw["average"])
            for name, optimiser in state.optimisers.items():
                optimiser.load_state_dict(raw["optimisers"][name])
        except (KeyError, TypeError, RuntimeError, ValueError, AttributeError, IndexError) as error:
            raise TrainingError(
                f"Got a training checkpoint that does not fit ({error}); wanted one written by "
                "this version. Start again, or use the version that wrote it."
            ) from error
        return state

    def learning_rate(self) -> float:
        """Learning rate now: constant, then down to a tenth over the last third."""
        progress = min(1.0, self.images_seen / self.config.n_images)
        fall = max(0.0, progress - 2 / 3) * 3
        return self.config.learning_rate * (0.55 + 0.45 * cos(pi * fall))

    def codes(self, n: int) -> Tensor:
        """Draw codes (n, D) on the sphere."""
        return self.generator.sample_codes(n, rng=self.rng, device=self.device)


def train(state: TrainingState, source: CropSource) -> Iterator[TrainingStep]:
    """Train until ``config.n_images`` crops have been seen.

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
    TrainingError
        If a loss is no longer finite.
    """
    config = state.config
    step = state.images_seen // config.batch_size
    while state.images_seen < config.n_images:
        for optimiser in state.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = state.learning_rate()
        real = source.batch(config.batch_size, state.rng)
        real = real.to(state.device).contiguous(memory_format=torch.channels_last)
        with_r1 = step % config.r1_every == 0
        discriminator_loss, r1 = _train_discriminator(state, real, with_r1=with_r1)
        generator_loss = _train_generator(state)
        if not (discriminator_loss.isfinite() and generator_loss.isfinite()):
            raise TrainingError(
                f"Got a loss that is not finite after {state.images_seen} images; wanted a stable "
                "run. Go on from the last checkpoint with a smaller learning rate."
            )
        step += 1
        state.images_seen += config.batch_size
        _update_average(state)
        yield TrainingStep(
            images_seen=state.images_seen,
            n_images=config.n_images,
            generator_loss=float(generator_loss),
            discriminator_loss=float(discriminator_loss),
            r1=None if r1 is None else float(r1),
        )


def _autocast(state: TrainingState) -> torch.autocast:
    return torch.autocast(state.device.type, dtype=torch.bfloat16, enabled=state.config.bfloat16)


def _train_discriminator(
    state: TrainingState, real: Tensor, *, with_r1: bool
) -> tuple[Tensor, Tensor | None]:
    config = state.config
    with _autocast(state):
        with torch.no_grad():
            fake = state.generator(state.codes(config.batch_size))
        loss = F.softplus(state.discriminator(fake)).mean()
        loss = loss + F.softplus(-state.discriminator(real)).mean()
    total, r1 = loss, None
    if with_r1:
        # float32: a second derivative in bfloat16 is mostly rounding
        leaf = real.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(state.discriminator(leaf).sum(), leaf, create_graph=True)
        r1 = slope.square().sum(dim=(1, 2, 3)).mean()
        late = state.images_seen >= config.r1_late_after
        gamma = config.r1_gamma_late if late else config.r1_gamma
        total = loss + gamma / 2 * config.r1_every * r1
    state.optimisers["discriminator"].zero_grad(set_to_none=True)
    total.backward()
    state.optimisers["discriminator"].step()
    return loss.detach(), None if r1 is None else r1.detach()


def _train_generator(state: TrainingState) -> Tensor:
    state.discriminator.requires_grad_(False)
    with _autocast(state):
        fake = state.generator(state.codes(state.config.batch_size))
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
    keep = 0.5 ** (state.config.batch_size / max(half_life, 1e-8))
    averaged: list[Tensor] = list(state.average.parameters())
    current: list[Tensor] = list(state.generator.parameters())
    torch._foreach_lerp_(averaged, current, 1 - keep)
