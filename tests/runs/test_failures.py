"""Whatever goes wrong in the thread arrives as an error made for people."""

import gc
import os
import sys
import time
import weakref
from types import SimpleNamespace

import pytest
import torch

from napari_mganprior.errors import (
    ComputeError,
    DeviceError,
    ImageError,
    MGANPriorError,
    OutOfMemoryError,
)
from napari_mganprior.runs import RunController, device_note, failures, nvidia_gpu_present
from napari_mganprior.runs.failures import explain


class Heavy:
    """Stands for a model."""


def failure_of(request, error):
    """Run a task that raises; return what was told, and a reference to what it held."""
    held, told = [], []

    def open_task(_):
        model = Heavy()
        held.append(weakref.ref(model))
        raise error

    controller = RunController(open_task)
    controller.failed.connect(told.append)
    controller.start(request)
    end = time.monotonic() + 10
    while controller.busy and time.monotonic() < end:
        controller.poll()
    assert len(told) == 1
    return told[0], held[0]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("sizes differ\n  at line 3"), ComputeError, r"RuntimeError: sizes differ\)"),
        (ZeroDivisionError(), ComputeError, "ZeroDivisionError"),
        (SystemExit(1), ComputeError, "SystemExit"),
        (MemoryError("8 GiB"), OutOfMemoryError, "8 GiB.*choose quality 'fast'"),
        (torch.OutOfMemoryError("CUDA out of memory."), OutOfMemoryError, "choose device 'cpu'"),
        (RuntimeError("MPS backend out of memory"), OutOfMemoryError, "crop the image"),
        (RuntimeError("[enforce fail] can't allocate memory"), OutOfMemoryError, "can't allocate"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), OutOfMemoryError, "Tried"),
        (ImportError("No module named 'torch'"), ComputeError, "pip install.*torch"),
        (OSError("[WinError 1114] Error loading torch\\lib\\c10.dll"), ComputeError, "Visual C"),
        (ImageError("Got NaN; wanted numbers."), ImageError, "^Got NaN; wanted numbers.$"),
    ],
)
def test_every_exception_becomes_an_error_for_people(request_, error, kind, message):
    told, _ = failure_of(request_, error)
    assert type(told) is kind
    with pytest.raises(MGANPriorError, match=message):
        raise told


@pytest.mark.parametrize("error", [RuntimeError("x"), ImageError("x")])
def test_an_error_keeps_no_model_alive(request_, error):
    """A traceback holds every local variable, here the model: it must be gone."""
    told, model = failure_of(request_, error)
    gc.collect()
    assert model() is None
    assert told.__traceback__ is None
    assert told.__cause__ is None or told.__cause__.__traceback__ is None


def torch_file(code):
    error = OSError(f'[WinError {code}] Error loading "torch\\lib\\c10.dll"')
    error.winerror = code
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            r"not installed where napari runs; wanted it there. Install .* `pip install torch`",
        ),
        (
            ImportError("cannot import name '_C' from 'torch'"),
            r"could not be loaded .* `pip install --force-reinstall torch`",
        ),
        (
            ModuleNotFoundError("No module named 'torchsomething'", name="torchsomething"),
            r"--force-reinstall torch",
        ),
    ],
)
def test_a_missing_and_a_broken_torch_have_remedies_of_their_own(error, message):
    with pytest.raises(ComputeError, match=message):
        raise explain(error)


@pytest.mark.parametrize("code", [126, 127, 1114])
def test_torch_loaded_after_qt_on_windows_has_three_remedies(monkeypatch, code):
    """Process mode, torch first, the redistributable; the first two only where Qt is there."""
    monkeypatch.setitem(sys.modules, "PyQt6.QtCore", SimpleNamespace())
    told = explain(torch_file(code))
    with pytest.raises(ComputeError, match=r"after Qt .*; wanted PyTorch loaded first"):
        raise told
    for remedy in ("process mode in Preferences", "import torch, napari", "Visual C++"):
        assert remedy in str(told)
    for name in list(sys.modules):
        if name.endswith(".QtCore"):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        ComputeError, match=r"Install the Microsoft Visual C\+\+ Redistributable"
    ) as e:
        raise explain(torch_file(code))
    assert "process mode" not in str(e.value)


@pytest.fixture
def gpu_without_cuda(monkeypatch):
    """A torch built without CUDA beside an NVIDIA GPU."""
    cpu_only = SimpleNamespace(version=SimpleNamespace(cuda=None, hip=None))
    monkeypatch.setitem(sys.modules, "torch", cpu_only)
    monkeypatch.setattr(failures, "nvidia_gpu_present", lambda: True)
    return cpu_only


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_an_idle_gpu_is_noted_with_the_command_that_puts_it_to_work(gpu_without_cuda, device):
    assert "pip install torch --index-url https://download.pytorch.org/whl/cu" in device_note(
        device
    )


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_who_chose_another_device_is_told_nothing(gpu_without_cuda, device):
    assert device_note(device) == ""


@pytest.mark.parametrize("build", ["cuda", "hip"])
def test_a_torch_that_can_use_a_gpu_is_told_nothing(gpu_without_cuda, build):
    setattr(gpu_without_cuda.version, build, "12.8")
    assert device_note("auto") == ""


def test_no_gpu_no_note(gpu_without_cuda, monkeypatch):
    monkeypatch.setattr(failures, "nvidia_gpu_present", lambda: False)
    assert device_note("auto") == ""


def test_the_note_never_loads_torch(monkeypatch):
    monkeypatch.setattr(failures, "nvidia_gpu_present", lambda: True)
    monkeypatch.delitem(sys.modules, "torch")
    assert device_note("auto") == ""
    assert "torch" not in sys.modules


def test_cuda_asked_of_a_torch_without_it_gets_the_command(gpu_without_cuda):
    """The engine's words stay, the command is added; an error about another device stays."""
    told = explain(DeviceError("Got device 'cuda', which is not available here. Choose auto."))
    assert type(told) is DeviceError
    with pytest.raises(DeviceError, match=r"^Got device 'cuda'.*auto\. This computer has.*pip"):
        raise told
    assert explain(told) is told
    other = DeviceError("Got device 'mps', which is not available here.")
    assert explain(other) is other


def test_a_run_that_left_a_gpu_idle_says_so_in_its_result(request_, bench, monkeypatch):
    monkeypatch.setattr("napari_mganprior.runs.job.device_note", lambda device: f"on {device}")
    bench.let(5)
    bench.controller.start(request_)
    bench.until(lambda: bool(bench.of("finished")))
    assert bench.of("finished")[0].note == "on auto"


@pytest.mark.parametrize("there", ["driver", "program", "windows", "nothing"])
def test_an_nvidia_gpu_is_found_without_torch(monkeypatch, tmp_path, there):
    """By its driver in /proc, by nvidia-smi, or by Windows' nvcuda.dll."""
    driver = tmp_path / "version"
    monkeypatch.setattr(failures, "_DRIVER", driver)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    if there == "driver":
        driver.write_text("NVRM version: 570")
    elif there == "program":
        program = tmp_path / ("nvidia-smi.exe" if os.name == "nt" else "nvidia-smi")
        program.write_text("")
        program.chmod(0o755)
    elif there == "windows":
        (tmp_path / "System32").mkdir()
        (tmp_path / "System32" / "nvcuda.dll").write_text("")
    assert nvidia_gpu_present() is (there != "nothing")
