"""Published weights that are no priors: networks that compare pictures.

They are never downloaded unasked: `fetch_weights` brings them, from their address or from a file
that is here already, and `find_weights` says where they are.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_mganprior.errors import PriorError, SettingsError, StorageError
from napari_mganprior.priors.addresses import is_address
from napari_mganprior.priors.download import (
    DownloadStep,
    checked_sha256,
    download_steps,
    file_sha256,
)
from napari_mganprior.settings import cache_folder

__all__ = ["WEIGHTS", "PublishedWeights", "fetch_steps", "fetch_weights", "find_weights"]

_LONGER = 2  # times the published size that another file may have


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """A file of weights that somebody offers.

    Attributes
    ----------
    file : str
        Its name.
    url : str
        Where it is offered.
    sha256 : str
        Of its bytes, in hexadecimal.
    n_bytes : int
        Its size.
    shows : str
        What it is, and under which licence.
    """

    file: str
    url: str
    sha256: str
    n_bytes: int
    shows: str


WEIGHTS = {
    # the name of the file has the first 8 digits of its sha256, as torchvision's files do
    "vgg16": PublishedWeights(
        file="vgg16-397923af.pth",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        n_bytes=553_433_881,
        shows="VGG16 trained on ImageNet, torchvision, BSD-3-Clause; 553 MB",
    ),
    "lpips-vgg": PublishedWeights(
        file="lpips-v0.1-vgg.pth",
        url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
        "lpips/weights/v0.1/vgg.pth",
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        n_bytes=7_289,
        shows="the weights of LPIPS v0.1 for VGG16, BSD-2-Clause; 7 kB, and it needs vgg16 too",
    ),
}
"""What can be fetched, by name."""


def find_weights(name: str) -> Path:
    """Return the file of fetched weights.

    The environment variable ``NAPARI_MGANPRIOR_VGG16`` or ``NAPARI_MGANPRIOR_LPIPS_VGG`` names
    another file.

    Parameters
    ----------
    name : str
        One of `WEIGHTS`.

    Raises
    ------
    SettingsError
        If there are none of the name.
    PriorError
        If they are not here. Nothing is downloaded.
    """
    published = _published(name)
    if named := os.environ.get(f"NAPARI_MGANPRIOR_{name.replace('-', '_').upper()}"):
        path = Path(named).expanduser()
    else:
        path = _place(published)
    if path.is_file():
        return path
    raise PriorError(
        f"Got the weights {name!r}, which are not here (wanted in {path}). Bring them with "
        f"`napari-mganprior priors weights {name}` ({published.shows}), or from a file: "
        f"`napari-mganprior priors weights {name} FILE`."
    )


def fetch_weights(
    name: str, source: str | Path | None = None, *, sha256: str | None = None
) -> Path:
    """Bring published weights into the cache folder, unless they are there.

    Parameters
    ----------
    name : {"vgg16", "lpips-vgg"}
        Which.
    source : str or Path, optional
        A file that is here already, or another https address of it; where it is published if
        left out.
    sha256 : str, optional
        What the file must have; that of the published file if left out.

    Returns
    -------
    Path
        The file in the cache folder.

    Raises
    ------
    SettingsError
        If there are none of the name.
    DownloadError
        If the address does not give the file.
    PriorError
        If the file is another.
    StorageError
        If it cannot be written.

    Examples
    --------
    >>> from napari_mganprior import fetch_weights
    >>> fetch_weights("vgg16")  # doctest: +SKIP
    """
    for _ in fetch_steps(name, source, sha256=sha256):
        pass
    return _place(_published(name))


def fetch_steps(
    name: str, source: str | Path | None = None, *, sha256: str | None = None
) -> Iterator[DownloadStep]:
    """Bring published weights step by step.

    Parameters
    ----------
    name, source, sha256
        As for `fetch_weights`.

    Yields
    ------
    DownloadStep
        Some ten a second; the last has the hash.

    Raises
    ------
    MGANPriorError
        As for `fetch_weights`.
    """
    published = _published(name)
    wanted = checked_sha256(sha256) or published.sha256
    target = _place(published)
    if target.is_file() and file_sha256(target) == wanted:
        size = target.stat().st_size
        yield DownloadStep(done=size, total=size, doing="it is there already", sha256=wanted)
    elif source is None or is_address(str(source)):
        yield from download_steps(
            published.url if source is None else str(source),
            target,
            sha256=wanted,
            most_bytes=_LONGER * published.n_bytes,
        )
    else:
        yield from _from_file(Path(source).expanduser(), target, wanted)


def _from_file(path: Path, target: Path, wanted: str) -> Iterator[DownloadStep]:
    try:
        size = path.stat().st_size
        yield DownloadStep(total=size, doing=f"checking {path.name}")
        got = file_sha256(path)
    except OSError as error:
        raise PriorError(
            f"Could not read {path} ({error.strerror or error}); wanted the file of the weights. "
            "Check the path."
        ) from error
    if got != wanted:
        raise PriorError(
            f"Got {path.name} with the sha256 {got}; wanted {wanted}. Choose the published file, "
            "or give the sha256 of yours if you trust it."
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part)
        part.replace(target)
    except OSError as error:
        raise StorageError(
            f"Could not write {target} ({error.strerror or error}); wanted room for {size} bytes "
            "and permission to write there. Free some space, or choose another cache folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    yield DownloadStep(done=size, total=size, doing="done", sha256=got)


def _place(published: PublishedWeights) -> Path:
    return cache_folder() / "weights" / published.file


def _published(name: str) -> PublishedWeights:
    if name not in WEIGHTS:
        raise SettingsError(
            f"Got the weights {name!r}; wanted one of {', '.join(WEIGHTS)}. Choose one of those."
        )
    return WEIGHTS[name]
