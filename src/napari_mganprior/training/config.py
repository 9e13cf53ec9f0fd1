"""Settings of a training run."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_mganprior.errors import SettingsError

if TYPE_CHECKING:
    import torch

__all__ = ["TrainingConfig"]

_RESOLUTIONS = (16, 32, 64, 128, 256, 512, 1024)
_WIDEST, _FINEST = 192, 24  # channels at the coarsest and the finest size


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a prior is trained; checked when made, stored with the prior.

    Attributes
    ----------
    resolution : int
        Height and width of the crops in pixels, a power of two.
    widths : tuple of int
        Channels at 4, 8, .. resolution pixels.
    code_dim : int
        Length of a latent code.
    image_channels : int
        1 to 4.
    n_images : int
        Training ends when this many crops have been seen; a time budget replaces it.
    batch_size : int
        Crops a step; a multiple of 4 (the group of the minibatch deviation).
    learning_rate : float
        Of Adam, betas 0 and 0.99; constant, then falling on a cosine to a tenth over the last
        third of the run.
    r1_gamma : float
        Weight of the R1 penalty (Mescheder, Geiger, Nowozin, ICML 2018,
        https://doi.org/10.48550/arXiv.1801.04406).
    r1_gamma_late : float
        The same from ``r1_late_after`` on: once the discriminator is stable, a weaker penalty
        lets it see finer detail.
    r1_late_after : int or None
        Crops after which ``r1_gamma_late`` replaces ``r1_gamma``; None is 45 % of the run.
    r1_target : float or None
        How often the discriminator should know a real crop for one, 0 (guessing) to 1 (always):
        the weight of the penalty starts at ``r1_gamma`` and is driven towards it
        (`napari_mganprior.training.penalty`). None keeps to ``r1_gamma`` and ``r1_gamma_late``.
    r1_every : int
        Steps between two R1 penalties; the penalty is multiplied by this.
    ema_half_life : int
        Crops after which the average of the generator's weights forgets half.
    seed : int
        Of every random number of the run.
    bfloat16 : bool
        Run the networks in bfloat16 where that is safe; about twice as fast on machines with
        instructions for it, slower on others.
    channels_last : bool
        Keep the channels of a pixel side by side in memory; faster on CPUs and GPUs alike.
    augment : bool
        Change real and drawn crops alike before the discriminator sees them, as much as its
        overfitting asks for (`napari_mganprior.training.augment`).
    augment_target : float
        Overfitting, 0 to 1, towards which the strength of the changes is driven.
    mix_probability : float
        Share of batches, 0 to 1, in which the generator draws from random mixtures of several
        codes at a cut (`napari_mganprior.training.mixing`).
    pixel_mean, pixel_std : tuple of float or None
        Mean and standard deviation of the crops' pixels, one number a channel, by which the
        discriminator standardises what it sees; None are measured when a run starts.
    """

    resolution: int = 64
    widths: tuple[int, ...] = (192, 192, 96, 48, 24)
    code_dim: int = 128
    image_channels: int = 1
    n_images: int = 200_000
    batch_size: int = 16
    learning_rate: float = 2e-3
    r1_gamma: float = 1.0
    r1_gamma_late: float = 0.1
    r1_late_after: int | None = None
    r1_target: float | None = None
    r1_every: int = 16
    ema_half_life: int = 5_000
    seed: int = 0
    bfloat16: bool = True
    channels_last: bool = True
    augment: bool = True
    augment_target: float = 0.6
    mix_probability: float = 0.0
    pixel_mean: tuple[float, ...] | None = None
    pixel_std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range.
        """
        for name in ("widths", "pixel_mean", "pixel_std"):
            if getattr(self, name) is not None:  # JSON knows no tuples
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.batch_size < 4 or self.batch_size % 4:
            raise SettingsError(
                f"Got batch_size {self.batch_size}; wanted a positive multiple of 4. Choose 16."
            )
        for name in ("n_images", "code_dim", "r1_every", "ema_half_life", "resolution"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"Got {name} {getattr(self, name)}; wanted at least 1. Leave it out to use "
                    "the default."
                )
        if not 0 < self.learning_rate < 1 or min(self.r1_gamma, self.r1_gamma_late) < 0:
            raise SettingsError(
                f"Got learning_rate {self.learning_rate}, r1_gamma {self.r1_gamma} "
                f"and r1_gamma_late {self.r1_gamma_late}; wanted a rate "
                "between 0 and 1 and a weight from 0 up. Leave them out to use the defaults."
            )
        if self.image_channels not in (1, 2, 3, 4):
            raise SettingsError(
                f"Got image_channels {self.image_channels}; wanted 1 to 4. Set it to what the "
                "images have."
            )
        pixels = (self.pixel_mean, self.pixel_std)
        if any(x is not None and len(x) != self.image_channels for x in pixels) or (
            self.pixel_std is not None and min(self.pixel_std) <= 0
        ):
            raise SettingsError(
                f"Got pixel_mean {self.pixel_mean} and pixel_std {self.pixel_std} for "
                f"{self.image_channels} image channels; wanted one number a channel, deviations "
                "above 0. Leave them out to have them measured."
            )
        for name in ("augment_target", "mix_probability", "r1_target"):
            if not 0 <= (getattr(self, name) or 0.0) <= 1:
                raise SettingsError(
                    f"Got {name} {getattr(self, name)}; wanted a share from 0 to 1. Leave it out "
                    "to use the default."
                )

    @classmethod
    def for_resolution(
        cls,
        resolution: int,
        *,
        image_channels: int = 1,
        device: "torch.device | str" = "cpu",
        **changes: Any,
    ) -> "TrainingConfig":
        """Choose settings by the size of the crops: the recipe that needs no tuning.

        The penalty grows with the size, since the slope of a score is spread over more pixels.

        Parameters
        ----------
        resolution : int
            64, 128 or 256 (any power of two from 16 to 1024 is taken).
        image_channels : int
            1 to 4.
        device : torch.device or str
            Where it will run; decides whether bfloat16 is used.
        **changes
            Any other setting, in place of the recipe's.

        Raises
        ------
        SettingsError
            If the resolution is not such a number, or a setting is out of range.
        """
        if resolution not in _RESOLUTIONS:
            raise SettingsError(
                f"Got a resolution of {resolution} px; wanted one of "
                f"{', '.join(map(str, _RESOLUTIONS))}. Choose 64, or 128 where there is a GPU or "
                "much time."
            )
        import torch

        from napari_mganprior.arrays import network_dtype

        larger = resolution / 64
        recipe: dict[str, Any] = {
            "widths": tuple(
                min(_WIDEST, _FINEST * resolution // side)
                for side in (4 * 2**i for i in range(resolution.bit_length() - 2))
            ),
            "learning_rate": 1e-3,
            "r1_gamma": 32 * larger,
            "r1_target": 0.45,
            "bfloat16": network_dtype("auto", torch.device(device)) == torch.bfloat16,
        }
        return cls(resolution=resolution, image_channels=image_channels, **{**recipe, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        raw = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in raw.items()}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "TrainingConfig":
        """Read settings that `to_dict` wrote; unknown names are refused with `SettingsError`."""
        unknown = raw.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise SettingsError(
                f"Got unknown training settings {sorted(unknown)}; wanted only "
                f"{sorted(f.name for f in fields(cls))}. Remove them."
            )
        return cls(**raw)
