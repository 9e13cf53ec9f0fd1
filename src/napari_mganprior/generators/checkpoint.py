"""Weight files: the only place that opens or writes them.

A prior is one ``.safetensors`` file. Its tensors are named ``generator.*``, ``discriminator.*``
and ``encoder.*``; its header carries a `PriorCard` as JSON under the key
``napari-mganprior``. Nothing in such a file can run code when it is opened.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from napari_mganprior.generators.card import WHAT_TO_DO, PriorCard
from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.generators.described import DescribedGenerator
from napari_mganprior.generators.encoder import Encoder
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator
from napari_mganprior.generators.registry import registered_name, registration
from napari_mganprior.generators.stylegan import StyleGANGenerator
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator

__all__ = [
    "HEADER_KEY",
    "LoadedPrior",
    "PriorCard",
    "add_encoder",
    "build_networks",
    "load_prior",
    "read_card",
    "save_prior",
]

HEADER_KEY = "napari-mganprior"
_ARCHITECTURES: dict[str, tuple[type[SplitGenerator], type[nn.Module] | None]] = {
    "biggan": (BigGANGenerator, None),
    "biggan-deep": (BigGANDeepGenerator, None),
    "dcgan": (DCGANGenerator, None),
    "described": (DescribedGenerator, None),
    "pggan": (PGGANGenerator, PGGANDiscriminator),
    "stylegan": (StyleGANGenerator, None),
    "stylegan2": (StyleGAN2Generator, None),
}
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LARGEST_HEADER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadedPrior:
    """A prior ready to use: frozen, folded networks in evaluation mode.

    Attributes
    ----------
    generator : SplitGenerator
        Draws images; no weight requires a gradient.
    discriminator : nn.Module or None
        Its inner maps serve as a perceptual distance; None if the file has none.
    card : PriorCard
        What the prior is.
    sha256 : str
        Of the file's bytes, in hexadecimal.
    encoder : Encoder or None
        From images and where they are known to codes; None if the file has none.
    """

    generator: SplitGenerator
    discriminator: nn.Module | None
    card: PriorCard
    sha256: str
    encoder: Encoder | None = None


def save_prior(
    path: Path,
    card: PriorCard,
    generator: SplitGenerator,
    discriminator: nn.Module | None,
    *,
    encoder: nn.Module | None = None,
    dtype: torch.dtype = torch.float16,
) -> str:
    """Write a prior to a temporary name and rename it.

    Parameters
    ----------
    path : Path
        Where to; an existing file is replaced.
    card : PriorCard
        What it is; its ``generator``, ``discriminator`` and ``encoder`` must be the networks'
        keywords.
    generator, discriminator
        Networks with unfolded scales.
    encoder : nn.Module, optional
        From images to codes.
    dtype : torch.dtype
        Type of the stored numbers.

    Returns
    -------
    str
        The sha256 of the file, in hexadecimal.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    networks = {"generator": generator, "discriminator": discriminator, "encoder": encoder}
    tensors = {
        f"{name}.{key}": value.detach().to(dtype).contiguous()
        for name, network in networks.items()
        if network is not None
        for key, value in network.state_dict().items()
    }
    data = save(tensors, metadata={HEADER_KEY: card.to_json()})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def add_encoder(path: Path, out: Path, encoder: Encoder, training: dict[str, Any]) -> str:
    """Write a prior's file again with an encoder; the other weights stay as they are, bit by bit.

    Parameters
    ----------
    path : Path
        A prior's file; an encoder that it has is replaced.
    out : Path
        Where to; may be the same file.
    encoder : Encoder
        From the prior's images to its codes; stored in half precision.
    training : dict
        How it was trained, JSON-able; the card has it under ``training["encoder"]``.

    Returns
    -------
    str
        The sha256 of the new file, in hexadecimal.

    Raises
    ------
    PriorError
        If the file is no prior, or the encoder is none for it.
    StorageError
        If the file cannot be written.
    """
    _check_encoder(path, encoder, load_prior(path).generator)
    data = _read(path)
    with _open(path, data) as file:
        card = _card(path, file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in tensors.items() if not key.startswith("encoder.")}
    added = {
        f"encoder.{key}": value.detach().to(torch.float16).contiguous()
        for key, value in encoder.state_dict().items()
    }
    card = replace(card, encoder=encoder.spec(), training={**card.training, "encoder": training})
    written = save(kept | added, metadata={HEADER_KEY: card.to_json()})
    write_atomically(out, written)
    return hashlib.sha256(written).hexdigest()


def read_card(path: Path) -> tuple[PriorCard, str]:
    """Read a prior's card and hash without building the networks.

    Parameters
    ----------
    path : Path
        A prior's file.

    Returns
    -------
    PriorCard, str
        The card, and the sha256 of the file in hexadecimal.

    Raises
    ------
    PriorError
        If this is not a prior's file, or it is damaged.
    """
    if (name := registered_name(path)) is not None:
        _, card, sha256 = _registered(name)
        return card, sha256
    data = _read(path)
    with _open(path, data) as file:
        return _card(path, file.metadata()), hashlib.sha256(data).hexdigest()


def load_prior(path: Path, *, device: torch.device | str = "cpu") -> LoadedPrior:
    """Open a prior, build its networks, check every weight, fold and freeze them.

    Parameters
    ----------
    path : Path
        A prior's file, or ``registered:NAME`` for one that is registered from Python.
    device : torch.device or str
        Where the networks are wanted.

    Returns
    -------
    LoadedPrior
        Networks in float32, evaluation mode, without gradients.

    Raises
    ------
    PriorError
        If the file is missing, truncated, a pickle, of another architecture, or its weights do
        not fit the networks it describes.
    """
    if (name := registered_name(path)) is not None:
        generator, card, sha256 = _registered(name)
        return LoadedPrior(generator.to(device), None, card, sha256)
    data = _read(path)
    with _open(path, data) as file:
        card = _card(path, file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    generator, discriminator = build_networks(path, card, tensors)
    encoder = _build(path, Encoder, card.encoder, tensors, "encoder.") if card.encoder else None
    for network in (generator, discriminator):
        if network is not None:
            network.fold_scales()
    for network in (generator, discriminator, encoder):
        if network is not None:
            network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    if encoder is not None:
        _check_encoder(path, encoder, generator)
    return LoadedPrior(generator, discriminator, card, hashlib.sha256(data).hexdigest(), encoder)


def build_networks(path: Path, card: PriorCard, tensors: dict[str, Tensor]) -> tuple[Any, Any]:
    """Build the networks that a card describes around their weights, and check every weight.

    Parameters
    ----------
    path : Path
        Where the weights come from, for messages.
    card : PriorCard
        What the networks are.
    tensors : dict of Tensor
        Named ``generator.*`` and ``discriminator.*``; ``encoder.*`` may be there too.

    Returns
    -------
    SplitGenerator, nn.Module or None
        With scales not folded, as `save_prior` wants them. They share memory with float32 tensors.

    Raises
    ------
    PriorError
        If the architecture is unknown, or the weights do not fit the networks.
    """
    if card.architecture not in _ARCHITECTURES:
        raise PriorError(
            f"Got {path.name} of architecture {card.architecture!r}; this version knows "
            f"{sorted(_ARCHITECTURES)}. Update napari-mganprior, or choose another prior."
        )
    there = ("generator", "discriminator", "encoder")
    prefixes = tuple(f"{name}." for name in there if getattr(card, name) or name == "generator")
    stray = sorted(key for key in tensors if not key.startswith(prefixes))
    if stray:
        raise PriorError(
            f"Got weights in {path.name} that belong to no network: {stray[:3]}; wanted only "
            f"those named {' or '.join(prefixes)}. {WHAT_TO_DO}"
        )
    generator_class, discriminator_class = _ARCHITECTURES[card.architecture]
    generator = _build(path, generator_class, card.generator, tensors, "generator.")
    discriminator = None
    if card.discriminator:
        if discriminator_class is None:
            raise PriorError(
                f"Got a discriminator in {path.name}, a prior of architecture "
                f"{card.architecture!r}, which has none here; wanted a generator only. "
                f"{WHAT_TO_DO}"
            )
        discriminator = _build(
            path, discriminator_class, card.discriminator, tensors, "discriminator."
        )
    return generator, discriminator


def _check_encoder(path: Path, encoder: Encoder, generator: SplitGenerator) -> None:
    """Check that an encoder takes a generator's images and gives its codes."""
    both = [
        (network.resolution, network.image_channels, network.code_dim)
        for network in (encoder, generator)
    ]
    if both[0] != both[1]:
        raise PriorError(
            f"Got an encoder in {path.name} for size, channels and code length {both[0]}; wanted "
            f"the generator's, {both[1]}. {WHAT_TO_DO}"
        )


def _registered(name: str) -> tuple[SplitGenerator, PriorCard, str]:
    """Build a generator registered from Python; its hash is that of its weights."""
    known = registration(name)
    generator = known.build()
    generator.fold_scales()
    digest = hashlib.sha256(json.dumps(generator.spec(), sort_keys=True, default=str).encode())
    for key, value in sorted(generator.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(
            value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        )
    card = PriorCard(
        name=known.name,
        architecture=f"registered:{known.name}",
        generator={},
        discriminator={},
        domain=known.domain,
        licence=known.licence,
    )
    return generator, card, digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PriorError(
            f"Could not read the prior {path} ({error.strerror or error}); wanted a readable "
            f"file. {WHAT_TO_DO}"
        ) from error


def _open(path: Path, data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little") if len(data) >= 8 else 0
    # a header's length may begin with the same bytes; then the header itself follows
    if data[8:9] != b"{" and (data[:1] == b"\x80" or data[:2] == b"PK"):
        raise PriorError(
            f"Got {path.name}, a pickle or torch file, which could run code when opened; wanted "
            "a .safetensors file. Ask its author for one, or choose another prior."
        )
    if not 0 < length <= min(_LARGEST_HEADER, len(data) - 8):
        raise PriorError(
            f"Got {path.name}, which is truncated or no .safetensors file ({len(data)} bytes). "
            f"{WHAT_TO_DO}"
        )
    try:
        return safe_open(str(path), framework="pt", device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise PriorError(
            f"Got {path.name}, which is truncated or damaged ({error}). {WHAT_TO_DO}"
        ) from error


def _card(path: Path, metadata: Mapping[str, str] | None) -> PriorCard:
    if not metadata or HEADER_KEY not in metadata:
        raise PriorError(
            f"Got {path.name}, a .safetensors file without a {HEADER_KEY!r} header; wanted a "
            f"prior. {WHAT_TO_DO}"
        )
    return PriorCard.from_json(metadata[HEADER_KEY], source=path.name)


def _build(
    path: Path,
    network_class: type[nn.Module],
    keywords: dict[str, Any],
    tensors: dict[str, Tensor],
    prefix: str,
) -> Any:
    try:
        with torch.device("meta"):  # no memory is spent on a spec that does not fit its weights
            network = network_class(**keywords)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise PriorError(
            f"Got {path.name} with a description its {prefix[:-1]} cannot be built from "
            f"({error}). {WHAT_TO_DO}"
        ) from error
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    got = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    for key in sorted(wanted.keys() | got.keys()):
        shape = tuple(got[key].shape) if key in got else "nothing"
        expected = wanted.get(key, "nothing")
        if shape != expected:
            raise PriorError(
                f"Got {shape} for the weight {prefix}{key} in {path.name}; wanted {expected}. "
                f"{WHAT_TO_DO}"
            )
        if got[key].dtype not in _DTYPES:
            raise PriorError(
                f"Got the weight {prefix}{key} of {path.name} as {got[key].dtype}; wanted one of "
                f"{', '.join(map(str, _DTYPES))}. {WHAT_TO_DO}"
            )
        if not torch.isfinite(got[key]).all():
            raise PriorError(
                f"Got NaN or infinity in the weight {prefix}{key} of {path.name}. {WHAT_TO_DO}"
            )
    network.load_state_dict({k: v.float() for k, v in got.items()}, assign=True)
    return network
