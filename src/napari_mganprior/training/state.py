"""What a training run consists of, between two steps."""

import copy
from math import cos, pi
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import TrainingError
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator
from napari_mganprior.training.augment import AugmentControl
from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.mixing import MixingGenerator
from napari_mganprior.training.penalty import PenaltyControl
from napari_mganprior.training.ranks import Ranks

__all__ = ["TrainingState"]

_EARLY = 0.45  # share of the run with the stronger penalty, unless the settings say otherwise
_AT_START = 1.386  # discriminator's loss when it guesses, 2 log 2
_PLAN = {
    "n_images": int,
    "minutes": (float, int, type(None)),
    "planned": int,
    "rollbacks": int,
    "best_distance": (float, type(None)),
    "best_images": (int, type(None)),
    "loss": float,
    "suspect": int,
}


class TrainingState:
    """Everything a training run needs to go on: networks, optimisers, average, randomness.

    Parameters
    ----------
    config : TrainingConfig
        Settings of the run.
    device : torch.device or str
        Where it runs.
    ranks : Ranks, optional
        The processes that train together; this one alone if left out.

    Attributes
    ----------
    n_images : int
        Crops at which the run ends: the settings', or what a time budget came to.
    minutes : float or None
        The time budget, if there is one.
    planned : int
        How often ``n_images`` followed from the budget: 0 not yet, 1 provisionally, 2 for good.
    seconds : float
        Time spent on training so far, over all sittings.
    rollbacks : int
        How often the run went wrong and was taken back.
    best_distance, best_images : float, int or None
        Smallest distance to the pictures so far, and after how many crops.
    loss : float
        Running mean of the discriminator's loss over about 100 steps.
    settings_read : set of str
        Settings that a checkpoint knew; those of an older version know fewer.
    suspect : int
        Steps in a row for which that mean has been where no run recovers from.
    """

    def __init__(
        self,
        config: TrainingConfig,
        device: torch.device | str = "cpu",
        ranks: Ranks | None = None,
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.ranks = ranks or Ranks()
        self.images_seen = 0
        self.n_images = config.n_images
        self.minutes: float | None = None
        self.planned = 0
        self.seconds = 0.0
        self.rollbacks = 0
        self.best_distance: float | None = None
        self.best_images: int | None = None
        self.loss = _AT_START
        self.suspect = 0
        self.settings_read = set(config.to_dict())
        self.augmentation = AugmentControl()
        self.penalty = PenaltyControl()
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
            network.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        if config.pixel_mean is not None and config.pixel_std is not None:
            self.discriminator.standardise(config.pixel_mean, config.pixel_std)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(0.0, 0.99))
            for name, network in (
                ("generator", self.generator),
                ("discriminator", self.discriminator),
            )
        }
        # what is called where gradients are wanted; others average them over the processes
        self.drawing = self.ranks.shared(MixingGenerator(self.generator))
        self.judging = self.ranks.shared(self.discriminator)
        if self.ranks.rank:  # each process draws crops and codes of its own
            self.rng = seeded(config.seed, self.ranks.rank)

    @property
    def memory_format(self) -> torch.memory_format:
        """Order of the numbers of images and maps in memory."""
        return torch.channels_last if self.config.channels_last else torch.contiguous_format

    @property
    def step_images(self) -> int:
        """Crops a step, over all processes."""
        return self.config.batch_size * self.ranks.size

    @property
    def r1_gamma(self) -> float:
        """Weight of the R1 penalty now."""
        config = self.config
        if config.r1_target is not None:
            return config.r1_gamma * self.penalty.factor
        late = config.r1_late_after
        late = round(_EARLY * self.n_images) if late is None else late
        return config.r1_gamma_late if self.images_seen >= late else config.r1_gamma

    def learning_rate(self) -> float:
        """Learning rate now: constant, down to a tenth over the last third; halved by rollbacks."""
        progress = min(1.0, self.images_seen / self.n_images)
        fall = max(0.0, progress - 2 / 3) * 3
        rate = self.config.learning_rate * 0.5**self.rollbacks
        return rate * (0.55 + 0.45 * cos(pi * fall))

    def codes(self, n: int) -> Tensor:
        """Draw codes (n, D) on the sphere."""
        return self.generator.sample_codes(n, rng=self.rng, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as tensors and JSON-able values; all processes must call it."""
        rngs = self.ranks.gathered(self.rng.get_state())
        return {
            "config": self.config.to_dict(),
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "plan": {name: getattr(self, name) for name in _PLAN},
            "augmentation": self.augmentation.to_dict(),
            "penalty": self.penalty.to_dict(),
            "rng": rngs[0],
            "other_rngs": rngs[1:],
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }

    @classmethod
    def from_state_dict(
        cls,
        raw: dict[str, Any],
        device: torch.device | str = "cpu",
        ranks: Ranks | None = None,
    ) -> "TrainingState":
        """Take up a run where `state_dict` left it, to the last bit on the same CPU.

        With another number of processes than it was left by, a run goes on with random numbers
        of its own. States of the version before augmentation are read, too; they go on without.

        Raises
        ------
        TrainingError
            If the dictionary is not such a state.
        """
        try:
            old = "augmentation" not in raw
            settings = {**raw["config"], **({"augment": False} if old else {})}
            state = cls(TrainingConfig.from_dict(settings), device, ranks)
            state.images_seen = int(raw["images_seen"])
            state.settings_read = set(raw["config"])
            if not old:
                state.seconds = float(raw["seconds"])
                state.augmentation = AugmentControl(**raw["augmentation"])
                state.penalty = PenaltyControl(**raw.get("penalty", {}))
                state._take_plan(raw["plan"])
            state._take_randomness([raw["rng"], *raw.get("other_rngs", [])])
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

    def _take_plan(self, plan: dict[str, Any]) -> None:
        for name, kind in _PLAN.items():
            if not isinstance(plan[name], kind):  # type: ignore[arg-type]
                raise TypeError(f"{name} is {plan[name]!r}")
            setattr(self, name, plan[name])

    def _take_randomness(self, rngs: list[Tensor]) -> None:
        rngs = [state.clone() for state in rngs]  # torch 2.13 crashes on a part of a larger tensor
        if len(rngs) == self.ranks.size:
            self.rng.set_state(rngs[self.ranks.rank])
        else:
            self.rng.set_state(rngs[0])  # refused here if it is no such state
            self.reseed()

    def reseed(self) -> None:
        """Go on with random numbers that no part of the run has used so far."""
        self.rng = seeded(self.config.seed, self.ranks.rank, self.images_seen, 1 + self.rollbacks)
