"""One of two processes that torchrun starts: see test_launch.py.

Trains with given crops and codes, then straight, then stopped and resumed, then by the clock.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.launch import joined_ranks
from napari_mganprior.training.loop import train
from napari_mganprior.training.ranks import Ranks
from napari_mganprior.training.session import run_session
from napari_mganprior.training.state import TrainingState

N_STEPS = 7
CONFIG = TrainingConfig(
    resolution=16, widths=(8, 8, 4), code_dim=8, batch_size=4, r1_every=3, bfloat16=False
)


class Given:
    """Hands out the same crops in the same order, or a process's share of them."""

    resolution, image_channels, n_images = 16, 1, 8

    def __init__(self, n: int, rank: int = 0, size: int = 1) -> None:
        rng = torch.Generator().manual_seed(0)
        # a picture of something, so that gradients are more than rounding
        y = torch.linspace(-3, 3, 16)
        phase = torch.rand(N_STEPS, n, 1, 1, 1, generator=rng) * 6
        self._crops = torch.sin(y[:, None] * y[None, :] + phase).contiguous()
        self._codes = torch.randn(2 * N_STEPS, n, 8, generator=rng)
        # groups of the minibatch deviation are images that lie n / 4 apart: each stays whole
        self._mine = slice(rank, None, size)
        self._step = self._draw = 0

    def batch(self, n: int, rng: torch.Generator) -> torch.Tensor:
        crops = self._crops[self._step, self._mine]
        assert len(crops) == n
        self._step += 1
        return crops

    def codes(self, n: int) -> torch.Tensor:
        codes = self._codes[self._draw, self._mine]
        assert len(codes) == n
        self._draw += 1
        return codes


def train_given(
    batch_size: int, ranks: Ranks | None = None, *, rank: int = 0, size: int = 1
) -> dict[str, object]:
    """Train with given crops and codes; return losses and weights."""
    config = CONFIG.from_dict(
        {**CONFIG.to_dict(), "batch_size": batch_size, "n_images": 8 * N_STEPS}
    )
    state = TrainingState(config, ranks=ranks)
    state.n_images = state.step_images * N_STEPS
    source = Given(8, rank, size)
    state.codes = source.codes
    steps = list(train(state, source))
    return {
        "losses": torch.tensor(
            [(s.generator_loss, s.discriminator_loss, s.r1 or 0.0) for s in steps]
        ),
        "generator": state.generator.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "average": state.average.state_dict(),
    }


def main() -> None:
    out = Path(sys.argv[1])
    noise = np.random.default_rng(0).integers(0, 255, (8, 24, 24), dtype=np.uint8)
    source = CropSource({str(i): image for i, image in enumerate(noise)}, 16)
    config = CONFIG.from_dict({**CONFIG.to_dict(), "n_images": 64})
    with joined_ranks("cpu") as (ranks, device):
        assert device.type == "cpu"
        given = train_given(4, ranks, rank=ranks.rank, size=ranks.size)
        torch.save(given, out / f"given{ranks.rank}.pt")

        def session(name: str, minutes: float | None = None):
            # a folder of its own for each, as on machines that share no disk
            folder = out / f"{name}{ranks.rank}"
            return run_session(
                folder, source, config, device=device, save_every=16, minutes=minutes, ranks=ranks
            )

        straight = list(session("straight"))
        first = session("stopped")
        stopped = [next(first) for _ in range(5)]
        first.close()
        stopped = stopped[:4] + list(session("stopped"))
        steps = [[(s.generator_loss, s.images_seen) for s in x] for x in (straight, stopped)]
        timed = [(s.n_images, s.images_seen, s.notice) for s in session("timed", 0.03)]
        rngs = ranks.gathered(source.batch(1, torch.Generator().manual_seed(ranks.rank)))
        result = {"steps": steps, "timed": timed, "gathered": torch.stack(rngs)}
        torch.save(result, out / f"steps{ranks.rank}.pt")


if __name__ == "__main__":
    main()
