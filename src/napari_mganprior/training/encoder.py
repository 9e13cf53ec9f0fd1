"""Teach an encoder the codes of a generator's own drawings: no images are needed.

The drawings are damaged at random as restorations will find them: holes, scattered pixels,
scratches, noise, lost detail. The loss is the angle between the encoder's code and the true one,
and the error of the drawing that the encoder's code gives. Drawing costs far more than encoding:
so a pool of drawings is shown several times, each time with other damage, and only a part of every
batch is drawn again for its error.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_mganprior.arrays import network_dtype, seeded
from napari_mganprior.errors import SettingsError, TrainingError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.checkpoint import add_encoder, read_card
from napari_mganprior.generators.encoder import Encoder

__all__ = [
    "EncoderConfig",
    "EncoderState",
    "EncoderStep",
    "damaged",
    "store_encoder",
    "train_encoder",
]

_POOL = 2048  # drawings at the most
_POOL_NUMBERS = 1 << 25


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """How an encoder is trained; checked when made, stored with the prior.

    Attributes
    ----------
    n_images : int
        Drawings at which training ends, 1 or more.
    batch_size : int
        Drawings a step, 1 .. 1024.
    image_share : int
        One in so many of a batch is drawn again for its error, 1 or more.
    passes : int
        How often a pool of drawings is shown, 1 or more.
    learning_rate : float
        Of Adam, above 0 and below 1; falls to a tenth on a cosine.
    code_weight : float
        Weight of 1 - cosine of the angle between codes beside the mean squared error, 0 or more.
    seed : int
        Of every random number, 0 or more.
    """

    n_images: int = 200_000
    batch_size: int = 32
    image_share: int = 4
    passes: int = 3
    learning_rate: float = 1e-3
    code_weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        SettingsError
            If a number is out of range.
        """
        ranges = {
            "n_images": (1, 10**9), "batch_size": (1, 1024), "learning_rate": (1e-8, 1),
            "code_weight": (0, 1e6), "seed": (0, 2**63 - 1), "image_share": (1, 1024),
            "passes": (1, 1000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise SettingsError(
                    f"Got {name} = {value!r}; wanted {low} to {high}. Leave it out to use the "
                    "default."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "EncoderConfig":
        """Read settings that `to_dict` wrote; unknown names are refused with `SettingsError`."""
        unknown = raw.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise SettingsError(
                f"Got unknown encoder settings {sorted(unknown)}; wanted only "
                f"{sorted(f.name for f in fields(cls))}. Remove them."
            )
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class EncoderStep:
    """What one training step did.

    Attributes
    ----------
    images_seen, n_images : int
        Drawings shown so far and at the end.
    image_loss : float
        Mean squared error of the drawings, generator's range (2).
    code_loss : float
        1 - cosine of the angle between codes, 0 .. 2.
    """

    images_seen: int
    n_images: int
    image_loss: float
    code_loss: float


class EncoderState:
    """Everything that training an encoder needs to go on.

    Parameters
    ----------
    generator : SplitGenerator
        Whose codes are learnt; frozen.
    config : EncoderConfig
        Settings.
    """

    def __init__(self, generator: SplitGenerator, config: EncoderConfig) -> None:
        self.config, self.images_seen, self.rng = config, 0, seeded(config.seed)
        self.encoder = Encoder(
            resolution=generator.resolution,
            widths=Encoder.widths_for(generator.resolution),
            code_dim=generator.code_dim,
            code_radius=generator.code_radius,
            image_channels=generator.image_channels,
        )
        self.encoder.initialise(self.rng)
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), lr=config.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as tensors and JSON-able values."""
        return {
            "config": self.config.to_dict(),
            "images_seen": self.images_seen,
            "rng": self.rng.get_state(),
            "encoder": self.encoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def told(self, last: EncoderStep, minutes: float) -> dict[str, Any]:
        """Return what a card says of a training of some minutes that ended with a step."""
        return {
            "images_seen": last.images_seen,
            "minutes": minutes,
            "image_loss": last.image_loss,
            "code_loss": last.code_loss,
            "config": self.config.to_dict(),
        }

    @classmethod
    def from_state_dict(cls, generator: SplitGenerator, raw: dict[str, Any]) -> "EncoderState":
        """Take up a run where `state_dict` left it, to the last bit on the same CPU.

        Raises
        ------
        TrainingError
            If the dictionary is not such a state, or of another generator.
        """
        try:
            state = cls(generator, EncoderConfig.from_dict(raw["config"]))
            state.images_seen = int(raw["images_seen"])
            state.rng.set_state(raw["rng"])
            state.encoder.load_state_dict(raw["encoder"])
            state.optimiser.load_state_dict(raw["optimiser"])
        except (KeyError, TypeError, RuntimeError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"Got an encoder's checkpoint that does not fit ({error}); wanted one of this "
                "generator. Start again."
            ) from error
        return state


def train_encoder(
    generator: SplitGenerator,
    state: EncoderState | None = None,
    *,
    config: EncoderConfig | None = None,
    minutes: float | None = None,
) -> Iterator[EncoderStep]:
    """Train an encoder on a generator's own drawings.

    Parameters
    ----------
    generator : SplitGenerator
        Frozen, on the CPU.
    state : EncoderState, optional
        Changed in place, so that the caller keeps the encoder; between two steps it can be saved.
    config : EncoderConfig, optional
        Settings where there is no state.
    minutes : float, optional
        End after this time, with the learning rate falling towards it; the number of drawings
        then depends on the machine. Without it the same settings give the same encoder.

    Yields
    ------
    EncoderStep
        One a step, after the step is complete.

    Raises
    ------
    TrainingError
        If a loss is no longer finite.
    """
    state = EncoderState(generator, config or EncoderConfig()) if state is None else state
    config, began = state.config, time.monotonic()
    for z, x in _pools(generator, state):
        progress = state.images_seen / config.n_images
        if minutes is not None:
            progress = (time.monotonic() - began) / (60 * minutes)
        if progress >= 1:
            return
        for group in state.optimiser.param_groups:
            group["lr"] = config.learning_rate * (0.55 + 0.45 * cos(pi * progress))
        found = state.encoder(*damaged(x, state.rng))
        n = max(1, len(x) // config.image_share)
        with _autocast():
            drawn = generator(found[:n]).float()
        image_loss = F.mse_loss(drawn, x[:n])
        code_loss = 1 - F.cosine_similarity(found, z).mean()
        state.optimiser.zero_grad(set_to_none=True)
        (image_loss + config.code_weight * code_loss).backward()
        state.optimiser.step()
        state.images_seen += len(x)
        losses = float(image_loss.detach()), float(code_loss.detach())
        if not all(map(isfinite, losses)):
            raise TrainingError(
                f"Got a loss that is not finite after {state.images_seen} drawings; wanted a "
                "stable run. Start again with a smaller learning rate."
            )
        yield EncoderStep(state.images_seen, config.n_images, *losses)


def store_encoder(
    path: Path, state: EncoderState, told: dict[str, Any], *, out: Path | None = None
) -> str:
    """Add an encoder to a prior's file, and let the page beside it name the new hash.

    Parameters
    ----------
    path : Path
        The prior's file.
    state : EncoderState
        Whose encoder it is.
    told : dict
        How it was trained, JSON-able, for the card.
    out : Path, optional
        File to write; the prior's own if left out. ``NAME.md`` beside it, where there is one that
        names the hash before, names the new one.

    Returns
    -------
    str
        The sha256 of the new file, in hexadecimal.

    Raises
    ------
    PriorError
        If the file is no prior, or the encoder is none for it.
    StorageError
        If a file cannot be written.
    """
    out = path if out is None else out
    _, before = read_card(path)
    sha256 = add_encoder(path, out, state.encoder, told)
    page = out.with_suffix(".md")
    if page.exists() and before in (text := page.read_text(encoding="utf-8")):
        write_atomically(page, text.replace(before, sha256).encode())
    return sha256


def _pools(generator: SplitGenerator, state: EncoderState) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of codes (B, D) and their drawings (B, C, H, W), from pool after pool.

    A pool follows from the seed and its number, so that a run can be taken up inside one.
    """
    batch = state.config.batch_size
    numbers = generator.image_channels * generator.resolution**2
    batches = max(1, min(_POOL, _POOL_NUMBERS // numbers) // batch)
    while True:
        number, done = divmod(state.images_seen // batch, batches * state.config.passes)
        z = generator.sample_codes(batches * batch, rng=seeded(state.config.seed, 1 + number))
        with torch.no_grad(), _autocast():
            x = torch.cat([generator(part).float().clamp(-1, 1) for part in z.split(batch)])
        for index in range(done, batches * state.config.passes):
            which = slice(index % batches * batch, (index % batches + 1) * batch)
            yield z[which], x[which]


def _autocast() -> torch.autocast:
    """Let the generator compute in bfloat16 where the CPU is made for it."""
    fast = network_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast)


def damaged(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Damage images at random.

    Parameters
    ----------
    x : Tensor
        Images, (B, C, H, W).
    rng : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor, Tensor
        What was measured, (B, C, H, W), 0 where nothing was, and 1 where something was,
        (B, 1, H, W). A quarter of the images each has no hole, scattered holes (up to 90 %), a
        rectangle, or scratches; half are noisy, up to 0.2 in the generator's units; a quarter
        have lost detail, 2 to 8 times.
    """
    size = x.shape[2]
    y, known = x.clone(), torch.ones_like(x[:, :1])
    for index in range(len(x)):
        kind, noisy, coarse = (int(torch.randint(4, (), generator=rng)) for _ in range(3))
        drawn = torch.rand(5, generator=rng)
        if coarse == 0:
            factor = 2 ** (1 + int(drawn[0] * 3))
            if factor < size:
                small = F.avg_pool2d(y[index : index + 1], factor, ceil_mode=True)
                y[index] = F.interpolate(small, (size, size), mode="nearest")[0]
        if noisy < 2:
            noise = torch.randn(y[index].shape, generator=rng)
            y[index] += 0.2 * float(drawn[1]) * noise
        if kind == 1:
            share = 0.1 + 0.8 * float(drawn[2])
            known[index] = (torch.rand(known[index].shape, generator=rng) > share).float()
        elif kind == 2:
            known[index] = _rectangle(size, drawn)
        elif kind == 3:
            known[index] = _scratches(size, rng)
    return y * known, known


def _rectangle(size: int, drawn: Tensor) -> Tensor:
    """Return 0 in a rectangle of an eighth to five eighths of the side, 1 elsewhere."""
    height, width = (max(1, int(size * (0.125 + 0.5 * float(share)))) for share in drawn[1:3])
    top = int((size - height) * float(drawn[3]))
    left = int((size - width) * float(drawn[4]))
    known = torch.ones(1, size, size)
    known[:, top : top + height, left : left + width] = 0.0
    return known


def _scratches(size: int, rng: torch.Generator) -> Tensor:
    """Return 0 on one to four straight lines 2 to 4 pixels wide, 1 elsewhere."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    known = torch.ones(1, size, size)
    for _ in range(1 + int(torch.randint(4, (), generator=rng))):
        angle, place, width = torch.rand(3, generator=rng).tolist()
        across = rows * cos(pi * angle) + columns * cos(pi * (angle - 0.5))
        centre = float(across.min()) + place * float(across.max() - across.min())
        known[:, (across - centre).abs() < 1 + width] = 0.0
    return known
