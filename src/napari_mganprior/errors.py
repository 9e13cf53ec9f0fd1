"""Errors raised on purpose.

Every message says three things: what was got, what was wanted, and what to do.
No class here derives from `RuntimeError`: Qt worker wrappers swallow that type
(superqt 0.9), and torch raises it for faults that are not ours.
"""

__all__ = [
    "ComputeError",
    "DeviceError",
    "DirectionError",
    "DownloadError",
    "ImageError",
    "ImportRefused",
    "MGANPriorError",
    "MaskError",
    "OutOfMemoryError",
    "PriorError",
    "SettingsError",
    "StorageError",
    "TrainingError",
]


class MGANPriorError(Exception):
    """Base class of every error this package raises on purpose."""


class ImageError(MGANPriorError, ValueError):
    """The image cannot be restored as it is."""


class MaskError(MGANPriorError, ValueError):
    """The damage mask does not describe damage in the image."""


class SettingsError(MGANPriorError, ValueError):
    """A setting is out of its range, or unknown."""


class PriorError(MGANPriorError, ValueError):
    """A prior is missing, damaged, or does not fit the image."""


class ImportRefused(PriorError):  # noqa: N818  it is no fault, it is an answer
    """A foreign file is not taken over: unsafe, damaged, or of an unknown layout."""


class DeviceError(MGANPriorError, ValueError):
    """The compute device asked for is not there."""


class DirectionError(MGANPriorError, ValueError):
    """A direction of editing cannot be read, learnt, or used with this prior's codes."""


class StorageError(MGANPriorError, OSError):
    """A file could not be read or written."""


class DownloadError(MGANPriorError, OSError):
    """A file could not be downloaded, or may not be."""


class ComputeError(MGANPriorError):
    """The computation itself failed; the cause is chained."""


class OutOfMemoryError(ComputeError):
    """The computation did not fit into memory; the cause is chained.

    Parameters
    ----------
    *args : object
        The message.
    wanted : int, optional
        Bytes that were asked for at once, 1 or more.
    free : int, optional
        Bytes that were free then, 0 or more.

    Attributes
    ----------
    wanted, free : int or None
        As given; None where nobody said.
    """

    def __init__(self, *args: object, wanted: int | None = None, free: int | None = None) -> None:
        super().__init__(*args)
        self.wanted = wanted
        self.free = free


class TrainingError(MGANPriorError, ValueError):
    """A prior cannot be trained from this data with these settings."""
