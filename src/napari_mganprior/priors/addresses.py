"""Addresses that may be asked, and what of them may be told."""

from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from napari_mganprior.errors import DownloadError

__all__ = ["check_address", "check_redirect", "is_address", "shown_address"]


def is_address(source: str) -> bool:
    """Whether a text is an address rather than a path."""
    return "://" in source


def shown_address(url: str) -> str:
    """Return an address without password and query, which may be secret.

    Examples
    --------
    >>> shown_address("https://me:word@example.org/a.safetensors?token=1")
    'https://example.org/a.safetensors'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_address(url: str) -> None:
    """Refuse what is not https, or http of this computer itself.

    Raises
    ------
    DownloadError
        If it is another address, or none.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise DownloadError(
            f"Got the address {shown_address(url) if host else url[:100]!r}; wanted one that "
            "begins with https://. Ask for such an address, or download the file yourself and "
            "name its path."
        )


def check_redirect(url: str, place: str) -> None:
    """Refuse to be led from an address to one that is not https.

    From http of this computer itself to http of this computer itself is allowed.

    Raises
    ------
    DownloadError
        If it leads elsewhere.
    """
    parts, first = urlsplit(place), urlsplit(url)
    here = parts.scheme == first.scheme == "http" and _is_here(parts.hostname or "")
    if not (parts.hostname and (parts.scheme == "https" or here)):
        raise DownloadError(
            f"Got a redirect from {shown_address(url)} to {shown_address(place)}; wanted https "
            "all the way. Ask whoever offers the file for another address."
        )


def _is_here(host: str) -> bool:
    """Whether a host is this computer itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
