"""A foreign file becomes a prior: read, recognised, taken over, built, drawn and written."""

import contextlib
import hashlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused, MGANPriorError, SettingsError, StorageError
from napari_mganprior.files import write_atomically
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.checkpoint import (
    HEADER_KEY,
    PriorCard,
    build_networks,
    save_prior,
)
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.base import Adapter, Converted, Foreign
from napari_mganprior.imports.readers import open_foreign
from napari_mganprior.priors import PriorEntry, check_prior_name, read_entry, user_folder
from napari_mganprior.priors.grid import GRID_SEED, contact_sheet, encode_sheet

__all__ = ["ImportStep", "adapter_names", "import_prior", "import_steps"]

# an adapter's checks cannot foresee every odd file
_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_OPTIONS = {"class", "truncation", "description"}
_SHEET = 1024  # px, about the side of a grid
_MOST, _LEAST = 8, 2  # samples along a side of it
_ALIKE = 1e-4  # deviation between samples, of a range of 2
_FAR, _MANY = 1.25, 0.05  # values beyond this are far out; a share of pixels that is worth a word


@dataclass(frozen=True, slots=True)
class ImportStep:
    """Where an import is.

    Attributes
    ----------
    index, n_steps : int
        Steps done, of how many; their number is known once the network is.
    doing : str
        What comes next, in words.
    entry : PriorEntry or None
        The new prior, in the last step.
    """

    index: int
    n_steps: int
    doing: str
    entry: PriorEntry | None = None


class _Asked(Mapping):
    """Options that know which of them were asked for."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self._options[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)


def adapter_names() -> tuple[str, ...]:
    """Return the layouts that a user can name, in the order in which they are tried."""
    return tuple(adapter.name for adapter in ADAPTERS)


def import_prior(path: Path, **settings: Any) -> PriorEntry:
    """Make a prior from somebody else's file; the keywords are those of `import_steps`."""
    for step in import_steps(path, **settings):
        if step.entry is not None:
            return step.entry
    raise AssertionError("the last step has the entry")


def import_steps(
    path: Path,
    *,
    name: str | None = None,
    architecture: str | None = None,
    options: Mapping[str, Any] | None = None,
    domain: str = "",
    licence: str = "",
    folder: Path | None = None,
    overwrite: bool = False,
) -> Generator[ImportStep]:
    """Make a prior from somebody else's file, a stage a step.

    Nothing is written before the last stage; closing the generator before leaves nothing behind.

    Parameters
    ----------
    path : Path
        The file. Nothing in it is run.
    name : str, optional
        Of the prior, and of its file; the stem of ``path`` if left out.
    architecture : str, optional
        One of `adapter_names`; recognised if left out.
    options : mapping, optional
        ``"class"``, ``"truncation"``, ``"description"``, as in `Adapter.convert`.
    domain : str
        What the images show, in words.
    licence : str
        Under which the weights may be used; "not stated" if empty.
    folder : Path, optional
        Gets ``NAME.safetensors`` and ``NAME_grid.png``; `user_folder` if left out.
    overwrite : bool
        Whether files that exist are replaced.

    Yields
    ------
    ImportStep
        Before each stage what it does, and last the new prior's entry.

    Raises
    ------
    ImportRefused
        If the file is unsafe, damaged, of no known layout, or does not fit the layout.
    SettingsError
        If the name or an option is out of range.
    StorageError
        If the prior exists already, or cannot be written.
    """
    asked = _Asked(_checked(options or {}))
    name = path.stem if name is None else name
    check_prior_name(name)
    folder = user_folder() if folder is None else folder
    target = folder / f"{name}.safetensors"
    if target.exists() and not overwrite:
        raise StorageError(
            f"Got the name {name!r} for a prior, and {target} exists already; wanted a new name. "
            "Choose another with --name, or allow overwriting (--overwrite)."
        )
    yield ImportStep(0, 5, f"reading {path.name}")
    foreign = open_foreign(path)
    yield ImportStep(1, 5, "taking over the weights")
    adapter = _choose(foreign, architecture)
    converted = _convert(adapter, foreign, asked)
    card = _card(path, name, foreign, adapter, converted, asked, domain=domain, licence=licence)
    yield ImportStep(2, 5, "building the network")
    generator, discriminator = build_networks(path, card, _named(converted, foreign))
    generator.eval()
    side = min(_MOST, max(_LEAST, _SHEET // generator.resolution))
    drawn: list[Tensor] = []
    for z in generator.sample_codes(side * side, rng=seeded(GRID_SEED)).split(side):
        yield ImportStep(3 + len(drawn), 4 + side, "drawing samples")
        drawn.append(_draw(generator, z, path.name))
    images = torch.cat(drawn)
    notes = [note for note in (converted.note, *_remarks(images)) if note]
    card.training["note"] = "; ".join(notes)
    yield ImportStep(3 + side, 4 + side, "writing the prior")
    sheet = encode_sheet(contact_sheet(images.clamp(-1, 1), side))
    _write(target, sheet, card, generator, discriminator)
    yield ImportStep(4 + side, 4 + side, "done", read_entry(target))


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise SettingsError(
            f"Got the unknown options {unknown}; wanted some of {sorted(_OPTIONS)}. Correct them."
        )
    truncation = options.get("truncation", 1.0)
    if not isinstance(truncation, int | float) or not 0 < truncation <= 1:
        raise SettingsError(
            f"Got a truncation of {truncation!r}; wanted a number above 0, 1 at most. "
            "Give 1 for none."
        )
    number = options.get("class", 0)
    if not isinstance(number, int) or number < 0:
        raise SettingsError(
            f"Got the class {number!r}; wanted a whole number from 0 on. Give the class's number."
        )
    return options


def _choose(foreign: Foreign, architecture: str | None) -> Adapter:
    names = ", ".join(adapter_names())
    metadata = foreign.meta.get("metadata")
    if isinstance(metadata, dict) and HEADER_KEY in metadata:
        raise ImportRefused(
            f"Got {foreign.source}, which is a prior of this program already; wanted somebody "
            f"else's file. Copy it into {user_folder()}."
        )
    if architecture is not None:
        for adapter in ADAPTERS:
            if adapter.name == architecture:
                return adapter
        raise ImportRefused(
            f"Got the architecture {architecture!r}; wanted one of: {names}. Choose one of those, "
            "or write an architecture file."
        )
    for adapter in ADAPTERS:
        with contextlib.suppress(*_FAULTS):
            if adapter.recognise(foreign):
                return adapter
    keys = ", ".join(list(foreign.tensors)[:3])
    raise ImportRefused(
        f"Got {foreign.source}, {len(foreign.tensors)} tensors in a layout that is not known here "
        f"({keys}, ..); wanted one of: {names}. Name the architecture (--architecture), or "
        "describe the network in an architecture file."
    )


def _convert(adapter: Adapter, foreign: Foreign, asked: _Asked) -> Converted:
    try:
        converted = adapter.convert(foreign, asked)
    except _FAULTS as error:
        if isinstance(error, MGANPriorError):
            raise
        raise ImportRefused(
            f"Got {foreign.source}, which does not fit the architecture {adapter.name} "
            f"({type(error).__name__}: {str(error)[:100]!a}); wanted its layout. Choose another "
            "--architecture."
        ) from error
    unused = sorted(set(asked) - asked.asked)
    if unused:
        raise ImportRefused(
            f"Got {' and '.join(unused)} for {foreign.source}, a network of the architecture "
            f"{adapter.name}, which knows no such option; wanted none. Leave it out."
        )
    return converted


def _card(
    path: Path,
    name: str,
    foreign: Foreign,
    adapter: Adapter,
    converted: Converted,
    options: Mapping[str, Any],
    *,
    domain: str,
    licence: str,
) -> PriorCard:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImportRefused(
            f"Could not read {path.name} again ({error.strerror or error}); wanted it to stay "
            "while it is imported. Try again."
        ) from error
    return PriorCard(
        name=name,
        architecture=converted.architecture,
        generator=converted.generator,
        discriminator=converted.discriminator or {},
        domain=domain or "not stated",
        value_range=converted.value_range,
        training={
            "imported_from": path.name,
            "source_sha256": sha256,
            "source_format": foreign.kind,
            "layout": adapter.name,
            "options": {key: options[key] for key in options if key != "description"},
        },
        licence=licence or "not stated",
    )


def _named(converted: Converted, foreign: Foreign) -> dict[str, Tensor]:
    tensors = {f"generator.{key}": value for key, value in converted.state.items()}
    for key, value in (converted.discriminator_state or {}).items():
        tensors[f"discriminator.{key}"] = value
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ImportRefused(
                f"Got {foreign.source} with NaN or infinity in what becomes {key}; wanted numbers. "
                "Ask the file's author for another copy."
            )
    return tensors


@torch.no_grad()
def _draw(generator: SplitGenerator, z: Tensor, source: str) -> Tensor:
    images = torch.cat([generator(code[None]).float() for code in z])
    if not torch.isfinite(images).all():
        raise ImportRefused(
            f"Got {source}, whose network draws pictures with NaN or infinity; wanted pictures. "
            "Choose another --architecture, or ask the file's author for another copy."
        )
    return images


def _remarks(images: Tensor) -> Iterator[str]:
    """Say what a look at the samples would tell."""
    if len(images) > 1 and images.std(dim=0).max() < _ALIKE:
        yield "all samples are alike: these may be weights that were never trained"
    far = float((images.abs() > _FAR).float().mean())
    if far > _MANY:
        yield f"{100 * far:.0f} % of the samples' pixels lie far outside -1 .. 1"


def _write(
    target: Path, sheet: bytes, card: PriorCard, generator: SplitGenerator, discriminator: Any
) -> None:
    """Write the picture and the prior, or neither."""
    picture = target.with_name(f"{target.stem}_grid.png")
    before = picture.read_bytes() if picture.is_file() else None
    write_atomically(picture, sheet)
    try:
        # float32, as it came: half numbers would change the pictures
        save_prior(target, card, generator, discriminator, dtype=torch.float32)
    except BaseException:
        with contextlib.suppress(OSError, StorageError):
            if before is None:
                picture.unlink()
            else:
                write_atomically(picture, before)
        raise
