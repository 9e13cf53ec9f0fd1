"""Images a second that the trainer sees, with and without bfloat16 and channels_last.

``make bench-training`` prints a table for the CPU, and for a GPU where there is one. All variants
are alive at once and take turns, 16 steps each (one of them with the penalty), so that whatever
else the machine does meets them alike. The numbers are medians over the turns. On a machine that
does much else, images a CPU second, with OMP_NUM_THREADS=1, say more than images a second.
"""

import argparse
import time
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
import torch

from napari_mganprior.training.config import TrainingConfig
from napari_mganprior.training.data import CropSource
from napari_mganprior.training.loop import train
from napari_mganprior.training.state import TrainingState

STEPS = 16  # a turn; R1 is measured once in it


@dataclass
class Variant:
    """One way to train, in the middle of its run."""

    name: str
    state: TrainingState
    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)

    def turn(self, source: CropSource, steps: int = STEPS) -> None:
        """Train a turn and note the rate."""
        state = self.state
        state.n_images = state.images_seen + steps * state.step_images
        strength = state.augmentation.strength
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in train(state, source):
            state.augmentation.strength = strength  # whatever the signal says
        images = steps * state.step_images
        self.rates.append(images / (time.perf_counter() - start))
        self.cpu_rates.append(images / (time.process_time() - cpu_start))


def noise(resolution: int, channels: int) -> CropSource:
    """Images that cost as much to crop as real ones."""
    rng = np.random.default_rng(0)
    shape = (2 * resolution, 2 * resolution, *([channels] if channels > 1 else []))
    images = {str(i): rng.integers(0, 255, shape, dtype=np.uint8) for i in range(20)}
    return CropSource(images, resolution)


def variants(resolution: int, channels: int, batch_size: int, device: str) -> list[Variant]:
    """Build all there is to compare on a device."""
    base = TrainingConfig.for_resolution(
        resolution, image_channels=channels, batch_size=batch_size, augment=False
    )
    table = [
        ("float32, channels first", {"bfloat16": False, "channels_last": False}, 0.0),
        ("float32, channels last", {"bfloat16": False, "channels_last": True}, 0.0),
        ("bfloat16, channels first", {"bfloat16": True, "channels_last": False}, 0.0),
        ("bfloat16, channels last", {"bfloat16": True, "channels_last": True}, 0.0),
        ("the same, augmented with 0.5", {"bfloat16": True, "augment": True}, 0.5),
        ("the same, half of it mixtures", {"bfloat16": True, "mix_probability": 0.5}, 0.0),
    ]
    made = []
    for name, changes, strength in table:
        state = TrainingState(replace(base, **changes), device)
        state.augmentation.strength = strength
        made.append(Variant(name, state))
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channels", type=int, default=1, choices=(1, 3))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=120, help="on each device, about")
    parser.add_argument("--device", help="only this one")
    args = parser.parse_args()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    source = noise(args.resolution, args.channels)
    print(
        f"{args.resolution} px, {args.channels} channels, batches of {args.batch_size}, torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads"
    )
    for device in [args.device] if args.device else devices:
        name = torch.cuda.get_device_name() if device.startswith("cuda") else device
        made = variants(args.resolution, args.channels, args.batch_size, device)
        for variant in made:
            variant.turn(source, 2)  # to warm up
            variant.state.images_seen = 0
            variant.rates.clear()
            variant.cpu_rates.clear()
        start = time.perf_counter()
        while time.perf_counter() - start < args.seconds or not made[0].rates:
            for variant in made:
                variant.turn(source)
        slowest = median(made[0].rates)
        print(f"\n{name}, {len(made[0].rates)} turns of {STEPS} steps")
        print("| variant | images a second | lowest .. highest | to the first | a CPU second |")
        print("|---|---|---|---|---|")
        for variant in made:
            rates = variant.rates
            print(
                f"| {variant.name} | {median(rates):.1f} | {min(rates):.1f} .. {max(rates):.1f} "
                f"| {median(rates) / slowest:.2f} | {median(variant.cpu_rates):.1f} |"
            )


if __name__ == "__main__":
    main()
