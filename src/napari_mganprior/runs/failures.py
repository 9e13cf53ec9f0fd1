"""From whatever a computation raised to an error made for people."""

import os
import shutil
import sys
from pathlib import Path
from traceback import clear_frames, format_exception

from napari_mganprior.errors import ComputeError, DeviceError, MGANPriorError, OutOfMemoryError
from napari_mganprior.runs.memory import is_out_of_memory, memory_need

__all__ = ["device_note", "explain", "forget_frames", "nvidia_gpu_present", "out_of_memory"]

_SMALLER = "Close other programs that use this memory, crop the image, or choose quality 'fast'."
_SMALLER_ON_GPU = (
    "Close other programs that use this memory, crop the image, choose quality 'fast', or "
    "choose device 'cpu'."
)
_WITH_CUDA = (
    "For faster runs: `pip uninstall torch`, then `pip install torch --index-url "
    "https://download.pytorch.org/whl/cu128` (other CUDA versions: "
    "https://pytorch.org/get-started/locally), and start napari again."
)
_REDISTRIBUTABLE = (
    "the Microsoft Visual C++ Redistributable (https://aka.ms/vs/17/release/vc_redist.x64.exe)"
)
_TORCH_FIRST = '`python -c "import torch, napari; napari.Viewer(); napari.run()"`'
_QT = ("PyQt5.QtCore", "PyQt6.QtCore", "PySide2.QtCore", "PySide6.QtCore")
_DRIVER = Path("/proc/driver/nvidia/version")


def explain(error: BaseException) -> MGANPriorError:
    """Turn any exception of a run into one whose message helps.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    MGANPriorError
        The same error if it was made for people and nothing can be added, else a new one caused
        by it.
    """
    if isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
        return out_of_memory(error)
    if isinstance(error, DeviceError):
        return _with_device_note(error)
    if isinstance(error, MGANPriorError):
        return error
    said = _first_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        text = (
            "PyTorch is not installed where napari runs; wanted it there. Install it with `pip "
            "install torch` (or see https://pytorch.org/get-started/locally), and start napari "
            "again."
        )
    elif _is_torch_broken(error):
        text = _torch_broken(error, said)
    else:
        text = (
            f"The computation failed ({said}); wanted a result. Press Run again; if it fails "
            "again, try device 'cpu' and report this message."
        )
    told = ComputeError(text)
    told.__cause__ = error
    return told


def out_of_memory(error: BaseException) -> OutOfMemoryError:
    """Say how much memory was wanted and how much there was.

    Parameters
    ----------
    error : BaseException
        An out-of-memory error of Python, numpy, torch, or already of this package; from the
        latter's cause the numbers are read.

    Returns
    -------
    OutOfMemoryError
        With ``wanted`` and ``free`` in bytes where known, and both in words. An error of this
        package keeps its text; the words are added.
    """
    ours = isinstance(error, OutOfMemoryError)
    if isinstance(error, OutOfMemoryError) and (error.wanted, error.free) != (None, None):
        return error
    need = memory_need((error.__cause__ or error) if ours else error)
    words = need.in_words()
    if ours:
        text = f"{error} {words}".strip()
    else:
        hint = _SMALLER_ON_GPU if need.on_gpu else _SMALLER
        text = (
            f"The run did not fit into memory ({_first_line(error)}); wanted more than is free. "
            f"{words} {hint}"
        ).replace("  ", " ")
    told = OutOfMemoryError(text, wanted=need.wanted, free=need.free)
    told.__cause__ = error
    return told


def nvidia_gpu_present() -> bool:
    """Whether this computer has an NVIDIA GPU with its driver; found out without torch."""
    if _DRIVER.exists() or shutil.which("nvidia-smi") is not None:
        return True
    windows = os.environ.get("SYSTEMROOT", "")
    return bool(windows) and (Path(windows) / "System32" / "nvcuda.dll").exists()


def device_note(device: str) -> str:
    """Say that a GPU lies idle because torch was built without CUDA.

    Parameters
    ----------
    device : str
        The device asked for; only for "auto", "cuda" and "cuda:N" there is something to say.

    Returns
    -------
    str
        A note with the remedy. Empty if nothing is wrong, or if torch is not loaded in this
        process: it is never loaded here.
    """
    torch = sys.modules.get("torch")
    if torch is None or not (device == "auto" or device.startswith("cuda")):
        return ""
    version = getattr(torch, "version", None)
    if getattr(version, "cuda", None) or getattr(version, "hip", None):
        return ""
    if not nvidia_gpu_present():
        return ""
    return (
        "This computer has an NVIDIA GPU, but the PyTorch installed here was built without CUDA "
        f"and cannot use it. {_WITH_CUDA}"
    )


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


def _with_device_note(error: DeviceError) -> DeviceError:
    note = device_note("cuda") if "cuda" in str(error) else ""
    if not note or note in str(error):
        return error
    told = DeviceError(f"{error} {note}")
    told.__cause__ = error
    return told


def _is_torch_broken(error: BaseException) -> bool:
    # An OSError names a file of torch, an ImportError the module.
    return isinstance(error, (ImportError, OSError)) and "torch" in str(error).lower()


def _torch_broken(error: BaseException, said: str) -> str:
    # 126: module not found, 127: procedure not found, 1114: initialisation failed
    codes = (126, 127, 1114)
    on_windows = getattr(error, "winerror", None) in codes or any(
        f"WinError {code}]" in said for code in codes
    )
    if on_windows and any(name in sys.modules for name in _QT):
        return (
            f"Windows could not load PyTorch after Qt ({said}); wanted PyTorch loaded first. "
            "Switch on process mode in Preferences: its process has no Qt. Or start "
            f"napari with {_TORCH_FIRST}. If neither helps, install {_REDISTRIBUTABLE}."
        )
    if on_windows:
        return (
            f"Windows could not load PyTorch ({said}); wanted its libraries and those they need. "
            f"Install {_REDISTRIBUTABLE}, and start napari again. If that does not help: `pip "
            "install --force-reinstall torch`."
        )
    return (
        f"PyTorch could not be loaded ({said}); wanted it to work. Install it again with `pip "
        "install --force-reinstall torch`, and start napari again."
    )
