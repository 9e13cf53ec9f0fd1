"""How much memory was wanted and how much there was, read from what torch and numpy say."""

import os
import re
from dataclasses import dataclass

__all__ = ["MemoryNeed", "free_memory", "is_out_of_memory", "memory_need", "size_in_words"]

_STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SIZE = r"([\d.]+) ?(bytes|[KMGTPE]?i?B)"
_WANTED = (rf"tried to allocate {_SIZE}", rf"unable to allocate {_SIZE}")
# torch 2 says "of which 1.20 GiB is free", torch 1 said "1.20 GiB free".
_FREE = (rf"of which {_SIZE} is free", rf"; {_SIZE} free")
_MPS = rf"MPS allocated: {_SIZE}, other allocations: {_SIZE}, max allowed: {_SIZE}"
_ON_GPU = ("cuda", "cudnn", "mps ", "hip ", "xpu ")


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What an allocation that failed asked for.

    Attributes
    ----------
    on_gpu : bool
        Whether it was memory of the GPU.
    wanted : int or None
        Bytes asked for at once; None where the error does not say.
    free : int or None
        Bytes that were free; None where nobody knows.
    """

    on_gpu: bool
    wanted: int | None
    free: int | None

    def in_words(self) -> str:
        """Return a sentence, empty where neither number is known."""
        where = "the GPU" if self.on_gpu else "main memory"
        if self.wanted is None:
            return "" if self.free is None else f"Of {where}, {size_in_words(self.free)} were free."
        asked = f"It asked {where} for {size_in_words(self.wanted)} at once"
        return (
            f"{asked}."
            if self.free is None
            else (f"{asked}, and {size_in_words(self.free)} were free.")
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out.

    Parameters
    ----------
    error : BaseException
        Of Python, numpy or torch.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # The CPU allocator, MPS and cuDNN raise a plain RuntimeError.
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "not enough memory" in said or "can't allocate" in said
    )


def memory_need(error: BaseException) -> MemoryNeed:
    """Read from an out-of-memory error what was wanted and what was free.

    Parameters
    ----------
    error : BaseException
        Of Python, numpy or torch.

    Returns
    -------
    MemoryNeed
        The free main memory is asked of the system, as it is now.
    """
    said = str(error)
    on_gpu = any(word in said.lower() for word in _ON_GPU)
    wanted = _first(_WANTED, said)
    free = _first(_FREE, said)
    found = re.search(_MPS, said)
    if found is not None:
        taken, others, allowed = (_bytes(*found.group(n, n + 1)) for n in (1, 3, 5))
        free = max(0, allowed - taken - others)
    if not on_gpu and free is None:
        free = free_memory()
    return MemoryNeed(on_gpu=on_gpu, wanted=wanted, free=free)


def free_memory() -> int | None:
    """Return how many bytes of main memory a program may still take; None where unknown."""
    try:
        import psutil
    except ImportError:
        pass
    else:
        return int(psutil.virtual_memory().available)
    try:
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; macOS does not know the first
        return None


def size_in_words(size: int) -> str:
    """Write a number of bytes for people.

    Parameters
    ----------
    size : int
        0 or more.

    Examples
    --------
    >>> size_in_words(9 * 2**30), size_in_words(123456), size_in_words(12)
    ('9.0 GiB', '120.6 KiB', '12 bytes')
    """
    if size < 1024:
        return f"{size} bytes"
    step = min(6, (size.bit_length() - 1) // 10)
    return f"{size / 1024**step:.1f} {' KMGTPE'[step]}iB"


def _first(patterns: tuple[str, ...], said: str) -> int | None:
    for pattern in patterns:
        found = re.search(pattern, said, re.IGNORECASE)
        if found is not None:
            return _bytes(*found.group(1, 2))
    return None


def _bytes(number: str, unit: str) -> int:
    # All of them count in steps of 1024, MPS too, although it writes GB.
    letter = "" if unit.lower() == "bytes" else unit[:-1].removesuffix("i")
    return round(float(number.rstrip(".")) * float(1024 ** _STEPS[letter.upper()]))
