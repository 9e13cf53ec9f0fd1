"""Take priors over into the user's own folder: from a file, a folder, or an https address.

A prior is copied into a hidden folder beside its place, loaded there with every check there is,
and drawn from. Only then it is renamed into the list; until then nothing of it can be seen.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from napari_mganprior import __version__
from napari_mganprior.errors import MGANPriorError, PriorError, SettingsError, StorageError
from napari_mganprior.priors.addresses import is_address, shown_address
from napari_mganprior.priors.catalogue import (
    PriorEntry,
    check_prior_name,
    read_entry,
    user_folder,
)
from napari_mganprior.priors.download import (
    checked_sha256,
    download_steps,
    file_sha256,
)
from napari_mganprior.priors.header import read_header
from napari_mganprior.priors.partial import address_key
from napari_mganprior.priors.turns import DownloadStep, address_lock, turn_steps
from napari_mganprior.priors.words import size_in_words
from napari_mganprior.settings import cache_folder

if TYPE_CHECKING:  # it imports torch
    from numpy.typing import NDArray

__all__ = ["InstallStep", "install", "install_prior", "install_steps"]

_SUFFIX = ".safetensors"
_LARGEST = 2 * 1024**3  # bytes; priors are 2 to 200 MB
_COPIED = 4 * 1024**2  # bytes at once
_BESIDE = ("_nearest.png", ".md")  # what training writes beside a prior; samples are drawn anew
_ALWAYS_BESIDE = ("_grid.png", "_installed.json")
_LARGEST_BESIDE = 20 * 1024**2
_SHEET, _MOST, _LEAST = 512, 8, 2  # px about a side of the sheet; samples along it
_STALE = 24 * 3600.0  # seconds after which a hidden folder is that of a program that died
_WHAT_TO_DO = "Name a .safetensors file, a folder of them, or an https address."


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallStep:
    """How far an installation is.

    Attributes
    ----------
    index, n_steps : int
        Done, of how much: kilobytes, or stages; 0 of 0 while it is not known.
    doing : str
        What happens, in words.
    downloading : bool
        Whether what has been done is kept where it ends now.
    entries : tuple of PriorEntry
        The priors that are there now, in the last step.
    fresh : tuple of str
        Names of those that were not there before, in the last step.
    refused : dict
        Why files of a folder were left out, by their names, in the last step.
    """

    index: int = 0
    n_steps: int = 0
    doing: str
    downloading: bool = False
    entries: tuple[PriorEntry, ...] = ()
    fresh: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


def install(
    source: str | Path,
    *,
    sha256: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> tuple[PriorEntry, ...]:
    """Install priors into the user's own folder.

    Parameters
    ----------
    source : str or Path
        A prior's ``.safetensors`` file, a folder of such files, or an https address of one (http
        from this computer itself only).
    sha256 : str, optional
        What the file must have, 64 hexadecimal digits. If left out, the hash that it has is
        stored with it.
    name : str, optional
        What it is called from then on; the file's name if left out. Not for a folder.
    overwrite : bool
        Whether a prior of that name may be replaced.

    Returns
    -------
    tuple of PriorEntry
        What there is now; one unless ``source`` is a folder.

    Raises
    ------
    PriorError
        If a file is no prior, is damaged, or is not the one wanted.
    SettingsError
        If the name or the hash cannot be one.
    DownloadError
        If the address does not give the file.
    StorageError
        If the name is taken, or the files cannot be written.

    Examples
    --------
    >>> from napari_mganprior import install_prior
    >>> install_prior("https://example.org/yeast.safetensors")  # doctest: +SKIP
    """
    entries: tuple[PriorEntry, ...] = ()
    for step in install_steps(source, sha256=sha256, name=name, overwrite=overwrite):
        entries = step.entries
    return entries


install_prior = install
"""The same under the name that it has at the top of the package."""


def install_steps(
    source: str | Path,
    *,
    sha256: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> Generator[InstallStep]:
    """Install priors step by step; closed before its end, it leaves no prior.

    Parameters
    ----------
    source, sha256, name, overwrite
        As for `install`.

    Yields
    ------
    InstallStep
        Some a second; the last says what there is now.

    Raises
    ------
    MGANPriorError
        As for `install`.
    """
    wanted = checked_sha256(sha256)
    if name is not None:
        check_prior_name(name)
    text = str(source).strip()
    if is_address(text):
        yield from _from_address(text, wanted, name, overwrite=overwrite)
        return
    path = Path(text).expanduser() if text else Path("?")
    if path.is_dir():
        yield from _from_folder(path, wanted, name, overwrite=overwrite)
    elif path.is_file():
        read_header(path)  # here under its own name: the copy bears the prior's
        origin = {"source": path.name, "pinned": wanted is not None}
        order = _Order(path, name or path.stem, wanted, origin, overwrite)
        yield from _install_file(order)
    else:
        raise PriorError(
            f"Got {text!r}, which is neither a file, a folder nor an address; wanted a prior to "
            f"install. {_WHAT_TO_DO}"
        )


@dataclass(frozen=True, slots=True)
class _Order:
    """One file to install."""

    path: Path
    name: str
    sha256: str | None
    origin: dict[str, Any]
    overwrite: bool


def _from_address(
    url: str, sha256: str | None, name: str | None, *, overwrite: bool
) -> Generator[InstallStep]:
    try:
        last = unquote(urlsplit(url).path).rpartition("/")[2]
    except ValueError:  # no address; the download says so
        last = ""
    chosen = name or last.removesuffix(_SUFFIX) or "prior"
    check_prior_name(chosen)
    _check_free(chosen, sha256, overwrite=overwrite)
    staged = cache_folder() / "downloads" / f"{address_key(url)}{_SUFFIX}"
    # until it is installed: another installation of this address has the same file
    with address_lock(staged.parent, url) as lock:
        for step in turn_steps(lock, url):
            yield InstallStep(doing=step.doing)
        _check_free(chosen, sha256, overwrite=overwrite)  # what was waited for may have its name
        try:
            for step in download_steps(url, staged, sha256=sha256, most_bytes=_LARGEST, lock=lock):
                yield InstallStep(
                    index=step.done // 1000,
                    n_steps=-(-step.total // 1000),
                    doing=_so_far(step),
                    downloading=True,
                )
            origin = {"source": shown_address(url), "pinned": sha256 is not None}
            yield from _install_file(_Order(staged, chosen, sha256, origin, overwrite))
        finally:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)


def _so_far(step: DownloadStep) -> str:
    if not 0 < step.done < step.total:
        return step.doing
    return f"{step.doing}, {size_in_words(step.done)} of {size_in_words(step.total)}"


def _from_folder(
    folder: Path, sha256: str | None, name: str | None, *, overwrite: bool
) -> Generator[InstallStep]:
    paths = sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.is_file())
    if not paths:
        raise PriorError(
            f"Got the folder {folder}, which holds no {_SUFFIX} file; wanted priors to install. "
            f"{_WHAT_TO_DO}"
        )
    if len(paths) > 1 and (name is not None or sha256 is not None):
        raise SettingsError(
            f"Got a name or a sha256 for a folder of {len(paths)} files; wanted one file. Name the "
            "file, or leave name and sha256 out."
        )
    entries: list[PriorEntry] = []
    fresh: list[str] = []
    refused: dict[str, str] = {}
    for path in paths:
        origin = {"source": path.name, "pinned": sha256 is not None}
        order = _Order(path, name or path.stem, sha256, origin, overwrite)
        try:
            for step in _install_file(order):
                yield replace(step, doing=f"{path.name}: {step.doing}", entries=(), fresh=())
            entries += step.entries
            fresh += step.fresh
        except MGANPriorError as error:  # one bad file must not keep the others out
            refused[path.name] = str(error)
    if not entries:
        told = " ".join(refused.values())
        raise PriorError(f"Got the folder {folder}, of which nothing could be installed: {told}")
    yield InstallStep(
        index=1,
        n_steps=1,
        doing="done",
        entries=tuple(entries),
        fresh=tuple(fresh),
        refused=refused,
    )


def _install_file(order: _Order) -> Generator[InstallStep]:
    """Copy, check, draw, and let it be seen."""
    check_prior_name(order.name)
    folder = user_folder()
    target = folder / f"{order.name}{_SUFFIX}"
    hidden = _hidden_folder(folder)
    try:
        copy = hidden / target.name
        got = yield from _copied(order.path, copy)
        if order.sha256 is not None and got != order.sha256:
            raise PriorError(
                f"Got {order.path.name} with the sha256 {got}; wanted {order.sha256}. Nothing is "
                "installed. Check the sha256, or ask whoever offers the file."
            )
        if target.is_file() and file_sha256(target) == got:
            entry = read_entry(target)
            yield InstallStep(index=1, n_steps=1, doing="it is there already", entries=(entry,))
            return
        _check_free(order.name, got, overwrite=order.overwrite)
        read_header(copy)  # the quick checks before torch is loaded
        sheet = yield from _drawn(copy)
        yield InstallStep(index=1, n_steps=1, doing="writing the prior")
        _write_beside(order, hidden, sheet, got)
        _reveal(hidden, folder, target)
    except OSError as error:
        if isinstance(error, MGANPriorError):
            raise
        raise StorageError(
            f"Could not write the prior into {folder} ({error.strerror or error}); wanted room and "
            "permission to write there. Free some space, or choose another folder."
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    entry = read_entry(target)
    yield InstallStep(index=1, n_steps=1, doing="done", entries=(entry,), fresh=(entry.name,))


def _hidden_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(".incoming-*"):
            if time.time() - old.stat().st_mtime > _STALE:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))
    except OSError as error:
        raise StorageError(
            f"Could not write into {folder} ({error.strerror or error}); wanted the folder of your "
            "own priors. Choose another one with NAPARI_MGANPRIOR_PRIORS, or the cache folder in "
            "Preferences."
        ) from error


def _copied(path: Path, copy: Path) -> Generator[InstallStep, None, str]:
    """Copy a file, and hash what was written: what is checked is what is installed."""
    digest = hashlib.sha256()
    try:
        source = path.open("rb")
    except OSError as error:
        raise PriorError(
            f"Could not read {path} ({error.strerror or error}); wanted a prior's file. Check the "
            "path."
        ) from error
    with source, copy.open("wb") as out:
        size = source.seek(0, 2)
        source.seek(0)
        if size > _LARGEST:
            raise PriorError(
                f"Got {path.name} of {size} bytes; wanted {_LARGEST} at most. {_WHAT_TO_DO}"
            )
        while part := source.read(_COPIED):
            digest.update(part)
            out.write(part)
            yield InstallStep(
                index=out.tell() // 1000, n_steps=-(-size // 1000), doing=f"copying {path.name}"
            )
    return digest.hexdigest()


def _drawn(path: Path) -> Generator[InstallStep, None, "NDArray[Any]"]:
    """Load a prior with all checks, and draw its sheet of samples."""
    yield InstallStep(doing="checking every weight")
    import torch

    from napari_mganprior.arrays import seeded
    from napari_mganprior.generators.checkpoint import load_prior
    from napari_mganprior.priors.grid import GRID_SEED, contact_sheet

    generator = load_prior(path).generator
    side = min(_MOST, max(_LEAST, _SHEET // generator.resolution))
    drawn = []
    codes = generator.sample_codes(side * side, rng=seeded(GRID_SEED)).split(side)
    for row, z in enumerate(codes):
        yield InstallStep(index=row, n_steps=side, doing="drawing samples")
        with torch.no_grad():  # never across a yield: it belongs to the thread
            images = generator(z).float()
        if not torch.isfinite(images).all():
            raise PriorError(
                f"Got {path.name}, whose network draws pictures with NaN or infinity; wanted "
                "pictures. Ask its author for another copy."
            )
        drawn.append(images.clamp(-1, 1))
    return contact_sheet(torch.cat(drawn), side)


def _write_beside(order: _Order, hidden: Path, sheet: "NDArray[Any]", sha256: str) -> None:
    """Write what belongs beside a prior: samples, where it came from, and its model card."""
    from napari_mganprior.priors.grid import encode_sheet

    (hidden / f"{order.name}_grid.png").write_bytes(encode_sheet(sheet))
    record = {
        **order.origin,
        "sha256": sha256,
        "installed": datetime.now(UTC).date().isoformat(),
        "version": __version__,
    }
    (hidden / f"{order.name}_installed.json").write_text(json.dumps(record, indent=2) + "\n")
    for ending in _BESIDE:
        beside = order.path.with_name(f"{order.path.stem}{ending}")
        if beside.is_file() and beside.stat().st_size <= _LARGEST_BESIDE:
            shutil.copyfile(beside, hidden / f"{order.name}{ending}")


def _reveal(hidden: Path, folder: Path, target: Path) -> None:
    """Rename all of it into the folder, the prior last; on a fault what was there comes back.

    What lay beside an older prior of this name goes: its card and licence are not the new one's.
    """
    new = sorted(path.name for path in hidden.iterdir() if path.name != target.name)
    old = {f"{target.stem}{ending}" for ending in (*_BESIDE, *_ALWAYS_BESIDE)}
    names = (*sorted(old.difference(new)), *new, target.name)
    before = hidden / "before"
    before.mkdir()
    changed: list[str] = []
    try:
        for name in names:
            if (folder / name).exists():
                shutil.copyfile(folder / name, before / name)
            changed.append(name)
            if (hidden / name).exists():
                (hidden / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except BaseException:
        for name in changed:
            with contextlib.suppress(OSError):
                if (before / name).exists():
                    (before / name).replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        raise


def _check_free(name: str, sha256: str | None, *, overwrite: bool) -> None:
    target = user_folder() / f"{name}{_SUFFIX}"
    if overwrite or not target.exists():
        return
    if sha256 is not None and file_sha256(target) == sha256:
        return
    raise StorageError(
        f"Got the name {name!r} for a prior, and {target} exists already; wanted a new name. "
        "Choose another with --name, or allow overwriting (--overwrite)."
    )
