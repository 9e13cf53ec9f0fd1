"""From whatever a computation raised to an error made for people."""

from traceback import clear_frames, format_exception

from napari_mganprior.errors import ComputeError, MGANPriorError, OutOfMemoryError

__all__ = ["explain", "forget_frames"]

_SMALLER = (
    "Close other programs that use this memory, crop the image, choose quality 'fast', or "
    "choose device 'cpu'."
)


def explain(error: BaseException) -> MGANPriorError:
    """Turn any exception of a run into one whose message helps.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    MGANPriorError
        The same error if it was made for people, else a new one caused by it.
    """
    if isinstance(error, MGANPriorError):
        return error
    said = _first_line(error)
    if _is_out_of_memory(error):
        told: MGANPriorError = OutOfMemoryError(
            f"The run did not fit into memory ({said}); wanted more than is free. {_SMALLER}"
        )
    elif _is_torch_missing(error):
        told = ComputeError(
            f"PyTorch could not be loaded ({said}). Install it again with `pip install "
            "--force-reinstall torch`; on Windows also install the Microsoft Visual C++ "
            "Redistributable, and start napari again."
        )
    else:
        told = ComputeError(
            f"The computation failed ({said}); wanted a result. Press Run again; if it fails "
            "again, try device 'cpu' and report this message."
        )
    told.__cause__ = error
    return told


def forget_frames(error: BaseException) -> str:
    """Let go of everything the frames of an error hold, and say where it came from.

    A traceback keeps every local variable of every frame alive, here the model and its tensors.

    Parameters
    ----------
    error : BaseException
        Its traceback, and those of its causes, are removed.

    Returns
    -------
    str
        The traceback as text, for a log.
    """
    text = "".join(format_exception(error))
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__]
        if one.__traceback__ is not None:
            clear_frames(one.__traceback__)
            one.__traceback__ = None
    return text


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # The CPU allocator, MPS and cuDNN raise a plain RuntimeError.
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "not enough memory" in said or "can't allocate" in said
    )


def _is_torch_missing(error: BaseException) -> bool:
    # Windows: an OSError (WinError 126, 127, 1114) whose message names a file of torch.
    return isinstance(error, (ImportError, OSError)) and "torch" in str(error).lower()
