"""From the way a process ended to an error made for people."""

import signal

from napari_mganprior.errors import ComputeError, OutOfMemoryError

__all__ = ["how_it_died"]

_SIGNALS = {
    "SIGSEGV": "it touched memory that is not its own",
    "SIGBUS": "it touched memory that is not there",
    "SIGILL": "it used an instruction this processor does not know",
    "SIGFPE": "it divided by zero",
    "SIGABRT": "a library gave up",
    "SIGTERM": "another program ended it",
    "SIGINT": "it was interrupted from the keyboard",
}
# Windows: https://learn.microsoft.com/openspecs/windows_protocols/ms-erref
_STATUSES = {
    0xC0000017: "there was no memory",
    0xC0000005: "it touched memory that is not its own",
    0xC000001D: "it used an instruction this processor does not know",
    0xC00000FD: "its stack overflowed",
    0xC0000135: "a library it needs was not found",
    0xC0000142: "a library it needs could not start",
    0xC0000409: "a library gave up",
}
_NO_MEMORY = 0xC0000017
_LONGEST_WORDS = 200


def how_it_died(code: int | None, said: str) -> ComputeError:
    """Say how a run's process ended, and what to do.

    Parameters
    ----------
    code : int or None
        Its exit code; minus the signal's number where a signal ended it; None if it went silent.
    said : str
        The end of what it wrote; the last line goes into the message, all of it into a note.

    Returns
    -------
    ComputeError
        An OutOfMemoryError where the system most likely ended it for want of memory.
    """
    if code in (-9, _NO_MEMORY):  # nobody but the system, or the user, sends a SIGKILL
        error: ComputeError = OutOfMemoryError(
            f"The system ended the run's process ({_in_words(code)}), most often because "
            "memory ran out; wanted a result. Close other programs, crop the image, or choose "
            "quality 'fast'."
        )
    else:
        error = ComputeError(
            f"The run's process ended by itself: {_in_words(code)}{_last_words(code, said)}; "
            "wanted a result. napari is not harmed. Press Run again; if it fails again, try device "
            "'cpu' and report this message."
        )
    if said.strip():
        error.add_note(f"The end of what the process wrote:\n{said.strip()}")
    return error


def _in_words(code: int | None) -> str:
    if code is None:
        return "it went silent"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name} ({_SIGNALS[name]})" if name in _SIGNALS else name
    unsigned = code & 0xFFFFFFFF
    if unsigned in _STATUSES:
        return f"code 0x{unsigned:08X} ({_STATUSES[unsigned]})"
    return f"exit code {code}"


def _last_words(code: int | None, said: str) -> str:
    # After a signal the last line is one of a list of frames: it helps nobody.
    lines = said.strip().splitlines()
    if code is None or code < 0 or not lines:
        return ""
    return f", after it wrote {lines[-1].strip()[:_LONGEST_WORDS]!r}"
