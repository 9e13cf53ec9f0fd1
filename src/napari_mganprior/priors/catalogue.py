"""Find priors by name or path.

A prior's name is its file's name without ``.safetensors``. The bundled ones lie beside this file,
the user's own in `user_folder`. A bundled name always means the bundled prior; the user's file of
the same name is called ``user/NAME``, so that no result rests on another prior than it says.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_mganprior.errors import PriorError, SettingsError, StorageError
from napari_mganprior.generators.registry import registered_name, registered_names, registration
from napari_mganprior.settings import load_preferences

if TYPE_CHECKING:  # it imports torch, and names must be cheap to list
    from napari_mganprior.generators.checkpoint import PriorCard

__all__ = [
    "PriorEntry",
    "check_free_name",
    "check_prior_name",
    "copy_prior",
    "find_prior",
    "list_priors",
    "prior_names",
    "prior_source",
    "read_entry",
    "remove_prior",
    "user_folder",
]

_FOLDER_VARIABLE = "NAPARI_MGANPRIOR_PRIORS"
_SUFFIX = ".safetensors"
_BUNDLED = Path(__file__).parent
_LONGEST_NAME = 100  # characters; file systems allow 255 bytes, endings included
# what training, import and installation write beside a prior
_MADE_BESIDE, _RECORD = ("_grid.png", "_nearest.png", ".md"), "_installed.json"
_BESIDE = (*_MADE_BESIDE, _RECORD)

Source = Literal["bundled", "user", "registered"]


@dataclass(frozen=True, slots=True)
class PriorEntry:
    """One prior of the catalogue.

    Attributes
    ----------
    name : str
        How to ask for it.
    path : Path
        Its file.
    card : PriorCard
        What it is.
    sha256 : str
        Of its file, in hexadecimal.
    source : str
        ``"bundled"`` with the package, ``"user"``, or ``"registered"`` from Python.
    """

    name: str
    path: Path
    card: "PriorCard"
    sha256: str
    source: Source


def user_folder() -> Path:
    """Return the folder of the user's own priors, which need not exist.

    The environment variable ``NAPARI_MGANPRIOR_PRIORS`` names another one; so does the
    preference ``cache_folder``, whose ``priors`` it then is.
    """
    if folder := os.environ.get(_FOLDER_VARIABLE):
        return Path(folder).expanduser()
    if preferred := load_preferences().cache_folder:
        return Path(preferred).expanduser() / "priors"
    from platformdirs import user_data_path

    return user_data_path("napari-mganprior", appauthor=False) / "priors"


def prior_names() -> tuple[str, ...]:
    """Return the names of all priors, bundled ones first, registered ones last.

    No file is opened, and nothing is built.
    """
    return (*_files(), *registered_names())


def prior_source(name: str) -> Source:
    """Tell where one of `prior_names` comes from: ``"bundled"``, ``"user"``, ``"registered"``.

    Raises
    ------
    PriorError
        If there is none of the name.
    """
    if registered_name(name) is not None:
        return "registered"
    files = _files()
    if name not in files:
        raise _none_of(name, files)
    return files[name][1]


def find_prior(name_or_path: str | Path) -> Path:
    """Return the file of a prior.

    Parameters
    ----------
    name_or_path : str or Path
        A name of `prior_names`, or the path of a ``.safetensors`` file.

    Returns
    -------
    Path
        For `load_prior`; for a registered prior ``registered:NAME``, which is no file.

    Raises
    ------
    PriorError
        If there is none.
    """
    if (name := registered_name(name_or_path)) is not None:
        registration(name)  # or it is refused here
        return Path(name_or_path)
    files = _files()
    if str(name_or_path) in files:
        return files[str(name_or_path)][0]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise _none_of(name_or_path, files)


def read_entry(name_or_path: str | Path) -> PriorEntry:
    """Read what a prior is, without building its networks.

    Parameters
    ----------
    name_or_path : str or Path
        As for `find_prior`.

    Raises
    ------
    PriorError
        If there is no such prior, or its file is damaged.
    """
    from napari_mganprior.generators.checkpoint import read_card

    path = find_prior(name_or_path)
    if registered_name(path) is not None:
        return PriorEntry(str(path), path, *read_card(path), "registered")
    for name, (known, source) in _files().items():
        if known.resolve() == path.resolve():
            return PriorEntry(name, path, *read_card(path), source)
    return PriorEntry(str(name_or_path), path, *read_card(path), "user")


def list_priors() -> tuple[PriorEntry, ...]:
    """Read every prior of the catalogue; files that are no priors are left out.

    `read_entry` says what is wrong with one that is missing here.
    """
    entries = []
    for name in prior_names():
        try:
            entries.append(read_entry(name))
        except PriorError:  # one damaged file must not hide the others
            continue
    return tuple(entries)


def check_prior_name(name: str) -> None:
    """Refuse names that cannot be a file's name everywhere.

    Raises
    ------
    SettingsError
        If the name is empty or too long, begins with a dot, or has letters that paths are made of.
    """
    odd = set(name) & set('/\\:*?"<>|') or not name.isprintable() or name[:1] == "."
    if odd or not name or name != name.strip() or len(name) > _LONGEST_NAME:
        raise SettingsError(
            f"Got the name {name!r}; wanted one that can be a file's name. Use letters, "
            "digits and dashes."
        )


def check_free_name(name: str, folder: Path, what_to_do: str) -> None:
    """Refuse a name that a prior in a folder has.

    Parameters
    ----------
    name : str
        Of a prior that is to be put there.
    folder : Path
        Usually `user_folder`.
    what_to_do : str
        Sentences for the end of the message.

    Raises
    ------
    StorageError
        If it is taken.
    """
    path = folder / f"{name}{_SUFFIX}"
    if path.exists():
        raise StorageError(
            f"Got the name {name!r}, which one of your priors has already ({path}); wanted a new "
            f"name. {what_to_do}"
        )


def copy_prior(made: Path, name: str, folder: Path) -> None:
    """Copy a prior that was made here into a folder of priors, with what was made beside it.

    Parameters
    ----------
    made : Path
        The folder it was made in.
    name : str
        Of the prior; one of this name in the folder is replaced.
    folder : Path
        Usually `user_folder`.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    # here, since it imports numpy, which looking for a prior can do without
    from napari_mganprior.files import write_atomically

    # it was not installed, and an earlier record would tell another file's hash
    (folder / f"{name}{_RECORD}").unlink(missing_ok=True)
    # the prior itself last: what lies beside it is no prior
    for file in (made / f"{name}{ending}" for ending in (*_MADE_BESIDE, _SUFFIX)):
        if file.exists():
            write_atomically(folder / file.name, file.read_bytes())


def remove_prior(name: str) -> tuple[Path, ...]:
    """Delete one of the user's own priors, with the pictures and the text beside it.

    Parameters
    ----------
    name : str
        A name of `prior_names`.

    Returns
    -------
    tuple of Path
        The files that are gone.

    Raises
    ------
    PriorError
        If there is none of the name, or it came with the package.
    StorageError
        If it cannot be deleted.
    """
    files = _files()
    if name not in files:
        own = ", ".join(key for key, (_, source) in files.items() if source == "user") or "none"
        raise PriorError(
            f"Got the prior {name!r} to remove; wanted one of your own: {own}. Choose one of those."
        )
    path, source = files[name]
    if source == "bundled":
        raise PriorError(
            f"Got the prior {name!r} to remove, which came with the package; wanted one of your "
            "own. Leave it, or uninstall napari-mganprior."
        )
    beside = [path.with_name(path.stem + ending) for ending in _BESIDE]
    gone = [path, *(file for file in beside if file.is_file())]
    try:
        for file in gone:
            file.unlink()
    except OSError as error:
        raise StorageError(
            f"Could not remove {path} ({error.strerror or error}); wanted permission to delete "
            "there. Close other programs that use it, or delete it yourself."
        ) from error
    return tuple(gone)


def _files() -> dict[str, tuple[Path, Source]]:
    """Return the files by name, bundled ones first, each group in alphabetical order."""
    files: dict[str, tuple[Path, Source]] = {
        path.stem: (path, "bundled") for path in sorted(_BUNDLED.glob(f"*{_SUFFIX}"))
    }
    for path in sorted(user_folder().glob(f"*{_SUFFIX}")):
        files[f"user/{path.stem}" if path.stem in files else path.stem] = (path, "user")
    return files


def _none_of(name: str | Path, files: Iterable[str]) -> PriorError:
    names = ", ".join(files) or "none"
    return PriorError(
        f"Got the prior {str(name)!r}, which is neither a prior's name nor a file; wanted "
        f"one of: {names}. Choose one, give the path of a {_SUFFIX} file, or put one into "
        f"{user_folder()}."
    )
