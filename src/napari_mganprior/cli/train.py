"""`napari-mganprior train`: a prior from the user's own images."""

import argparse
import shlex
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mganprior.errors import TrainingError
from napari_mganprior.files import write_atomically
from napari_mganprior.priors import (
    check_free_name,
    check_prior_name,
    copy_prior,
    read_entry,
    user_folder,
)
from napari_mganprior.runs.training_folder import hold_folder

if TYPE_CHECKING:
    import torch

    from napari_mganprior.training.card import CardText
    from napari_mganprior.training.config import TrainingConfig
    from napari_mganprior.training.loop import TrainingStep
    from napari_mganprior.training.ranks import Ranks
    from napari_mganprior.training.sources import Sources
    from napari_mganprior.training.state import TrainingState

__all__ = ["run"]

_IMAGES = 200_000
_SAVE_EVERY, _MEASURE_EVERY = 2_000, 10_000  # crops
_N_CROPS, _N_SEARCHED = 2_000, 20_000  # what the finished prior is measured with
_SHORT, _FEWER = 20_000, (500, 5_000)  # a run of fewer crops is measured with fewer, too
_ENCODER_SHARE, _ENCODER_MINUTES = 0.1, (0.5, 10.0)  # of the time of the run; bounds
_RATE_AFTER, _RATE_STEPS = 5.0, 5  # seconds and steps of training after which the rate is told
_SHOWN = 10  # skipped files; all of them stand in a file


def run(args: argparse.Namespace) -> None:
    """Train, or go on training, and put the prior among the user's own."""
    check_prior_name(args.name)
    folder = args.output or Path(f"{args.name}-training")
    _check_free(args)
    from napari_mganprior.training.launch import joined_ranks

    # torchrun may have started several of us: each trains, the first one speaks and writes
    with joined_ranks(args.device) as (ranks, device):
        args.quiet = args.quiet or ranks.rank > 0
        with _held(folder) if ranks.rank == 0 else nullcontext():
            _run(args, folder, device, ranks)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other processes out; a folder in which nothing was begun does not stay."""
    made = not folder.exists()
    try:
        with hold_folder(folder):
            yield
    finally:
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _check_free(args: argparse.Namespace) -> None:
    if not args.overwrite:
        what_to_do = "Choose another with --name, or allow overwriting (--overwrite)."
        check_free_name(args.name, user_folder(), what_to_do)


def _run(args: argparse.Namespace, folder: Path, device: "torch.device", ranks: "Ranks") -> None:
    from napari_mganprior.training.budget import check_minutes
    from napari_mganprior.training.config import TrainingConfig

    check_minutes(args.minutes)  # before images are read, which takes minutes itself
    config = TrainingConfig.for_resolution(
        args.resolution,
        device=device,
        n_images=_IMAGES if args.images is None else args.images,
        seed=args.seed,
    )
    sources = _open(args)
    _tell_sources(sources, folder, quiet=args.quiet)
    config = replace(config, image_channels=sources.train.image_channels)
    if args.keep_now:
        if not (folder / "checkpoint.pt").exists():
            raise TrainingError(
                f"Got --keep-now, but no checkpoint in {folder}; wanted one that was trained for a "
                "while. Leave --keep-now out to start, or name the folder with -o."
            )
    else:
        _train(args, folder, sources, config, device, ranks)
    if ranks.rank == 0:
        _publish(args, folder, sources, device)


def _open(args: argparse.Namespace) -> "Sources":
    """Read the images, showing how far it is."""
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.training.sources import opening_steps

    steps = opening_steps(
        args.sources,
        args.resolution,
        held_out=args.held_out,
        seed=args.seed,
        channels=args.channels,
        cache_bytes=int(args.cache * 1e9),
    )
    sources = None
    for step in follow(
        steps,
        lambda step: (step.index, step.n_steps, f"{step.n_images} images"),
        unit="file",
        quiet=args.quiet,
        label="Reading",
    ):
        sources = step.sources
    assert sources is not None
    return sources


def _tell_sources(sources: "Sources", folder: Path, *, quiet: bool) -> None:
    lines = [f"{name}: {why}" for name, why in sources.skipped.items()]
    if lines:
        write_atomically(folder / "skipped.txt", ("\n".join(lines) + "\n").encode())
    if quiet:
        return
    train = sources.train
    kind = {1: "grey", 3: "RGB"}.get(train.image_channels, f"{train.image_channels}-channel")
    _say(f"Training on {train.n_images} {kind} images; held out: {sources.how or 'nothing'}.")
    if lines:
        _say(f"Left out: {len(lines)}, all of them listed in {folder / 'skipped.txt'}.")
        for line in lines[:_SHOWN]:
            _say(f"  {line}")


def _train(
    args: argparse.Namespace,
    folder: Path,
    sources: "Sources",
    config: "TrainingConfig",
    device: "torch.device",
    ranks: "Ranks",
) -> None:
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.training.session import run_session, save_state

    latest: list[TrainingState] = []
    steps = run_session(
        folder,
        sources.train,
        config,
        held_out=sources.held_out,
        minutes=args.minutes,
        device=device,
        save_every=_SAVE_EVERY,
        measure_every=_MEASURE_EVERY,
        saved=lambda state: latest.__setitem__(slice(None), [state]),
        ranks=ranks,
    )
    told = _Told(quiet=args.quiet)
    with _asked_to_stop(alone=ranks.size == 1) as asked:
        for step in follow(steps, _place, unit="crop", quiet=args.quiet, label="Training"):
            told.step(step)
            if asked.is_set():
                # before the first checkpoint nobody has told us the state: a minute's work
                if latest and not latest[0].suspect:
                    save_state(latest[0], folder / "checkpoint.pt")
                    if not args.quiet:
                        _say(f"Saved after {step.images_seen:,} crops, in {folder}.")
                raise KeyboardInterrupt


def _place(step: "TrainingStep") -> tuple[int, int, str]:
    note = f"losses {step.generator_loss:.2f} {step.discriminator_loss:.2f}"
    return step.images_seen, step.n_images, note


class _Told:
    """Tells once how fast it goes, and of every step what a person should know."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._first: tuple[float, int] | None = None
        self._steps, self._rate_told = 0, False

    def step(self, step: "TrainingStep") -> None:
        if self._quiet:
            return
        now = time.monotonic()
        if self._first is None:  # the first step is slower than the rest
            self._first = now, step.images_seen
            if step.images_seen > 1_000:
                _say(f"Going on from a checkpoint, at {step.images_seen:,} crops.")
        self._steps += 1
        seconds, seen = now - self._first[0], step.images_seen - self._first[1]
        # by then a time budget is a number of crops, too
        if not self._rate_told and seconds >= _RATE_AFTER and self._steps > _RATE_STEPS:
            self._rate_told = True
            left = (step.n_images - step.images_seen) * seconds / seen
            _say(
                f"Measured: {seen / seconds:.3g} crops a second; up to {step.n_images:,} crops it "
                f"will take about {left / 60:.3g} minutes more."
            )
        if step.notice:
            _say(step.notice)
        if step.distance is not None:
            _say(f"{step.images_seen:,} crops: distance to the pictures {step.distance:.1f}")


@contextmanager
def _asked_to_stop(*, alone: bool) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish, so that the step under way ends; the second stops.

    Not where other processes would wait for this one.
    """
    asked = threading.Event()
    if not alone or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def wish(_number: int, _frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, wish)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _publish(
    args: argparse.Namespace, folder: Path, sources: "Sources", device: "torch.device"
) -> None:
    """Write the prior beside its checkpoint, and a copy among the user's own."""
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.training.card import publish_steps
    from napari_mganprior.training.choosing import best_state

    assert sources.held_out is not None  # a tenth can always be spared
    state = best_state(folder, sources.held_out, sources.train, device)
    text = _card_text(args, sources, state)
    short = state.images_seen < _SHORT
    n_crops, n_searched = _FEWER if short else (_N_CROPS, _N_SEARCHED)
    n_crops = max(16, n_crops * 64**2 // max(64, args.resolution) ** 2)  # the same memory
    lasting = "some seconds to a minute" if short else "some minutes"
    if not args.quiet:
        _say(
            f"Drawing samples after {state.images_seen:,} crops, measuring {n_crops:,} and "
            f"searching {n_searched:,} training crops for the nearest: {lasting}."
        )
    steps = publish_steps(
        state,
        folder,
        text,
        train=sources.train,
        held_out=sources.held_out,
        n_crops=n_crops,
        n_searched=n_searched,
    )
    sha256 = ""
    for step in follow(
        steps,
        lambda step: (step.index, step.n_steps, step.doing),
        unit="part",
        quiet=args.quiet,
        label="Publishing",
    ):
        sha256 = step.sha256
    if args.encoder:
        sha256 = _add_encoder(args, folder / args.name, state.seconds, sha256)
    _check_free(args)  # training takes hours
    copy_prior(folder, args.name, user_folder())
    path = user_folder() / f"{args.name}.safetensors"
    print(f"{path}  sha256 {sha256}")
    # where a bundled prior has the name, it goes by another one
    print(f"Use it with --prior {read_entry(path).name}, or choose it in napari.")


def _add_encoder(args: argparse.Namespace, stem: Path, seconds: float, sha256: str) -> str:
    """Train an encoder on the prior's own drawings, and name the new hash on its card."""
    from napari_mganprior.cli.progress import follow
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.training.encoder import (
        EncoderConfig,
        EncoderState,
        store_encoder,
        train_encoder,
    )

    share = _ENCODER_SHARE * seconds / 60
    minutes = min(max(share, _ENCODER_MINUTES[0]), _ENCODER_MINUTES[1])
    if not args.quiet:
        _say(f"Training an encoder on its drawings, about {minutes:.2g} minutes.")
    path = stem.with_name(f"{stem.name}.safetensors")
    generator = load_prior(path).generator
    state = EncoderState(generator, EncoderConfig(seed=args.seed))
    steps = train_encoder(generator, state, minutes=minutes)
    shown = follow(
        steps,
        lambda step: (step.images_seen, step.n_images, f"loss {step.image_loss:.3f}"),
        unit="drawing",
        quiet=args.quiet,
        label="Encoder",
    )
    last = next(iter(deque(shown, maxlen=1)), None)
    if last is None:  # not even its first drawings were done in the time
        return sha256
    return store_encoder(path, state, state.told(last, minutes))


def _card_text(args: argparse.Namespace, sources: "Sources", state: "TrainingState") -> "CardText":
    from napari_mganprior.training.card import CardText

    shown = ", ".join(path.name for path in args.sources)
    domain = args.domain or f"images like those of {shown}"
    held_out = f"; held out: {sources.how}" if sources.how else ""
    again = ["napari-mganprior", "train", *(path.name for path in args.sources)]
    again += ["--name", args.name, "--resolution", str(args.resolution), "--seed", str(args.seed)]
    again += ["--images", str(state.n_images)]
    if args.channels is not None:
        chosen = args.channels
        words = chosen if isinstance(chosen, str) else ",".join(map(str, chosen))
        again += ["--channels", words]
    if args.held_out:
        again += ["--held-out", *(path.name for path in args.held_out)]
    return CardText(
        name=args.name,
        domain=domain,
        pixel_size="as in the training images",
        data=f"{sources.train.n_images} images of {shown}, random {args.resolution}x"
        f"{args.resolution} crops, turned and mirrored{held_out}",
        licence=args.licence,
        use=f"Filling damaged pixels of {domain}.",
        limits="It invents: what stands in the hole is plausible, not measured. Never count or "
        "measure there. It knows only what its training images showed.",
        repeat=f"`{shlex.join(again)}`, with the same images.",
    )


def _say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)  # above a progress bar that may be there
