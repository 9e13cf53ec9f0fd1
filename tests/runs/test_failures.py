"""Whatever goes wrong in the thread arrives as an error made for people."""

import gc
import time
import weakref

import pytest
import torch

from napari_mganprior.errors import (
    ComputeError,
    ImageError,
    MGANPriorError,
    OutOfMemoryError,
)
from napari_mganprior.runs import RunController


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
        (MemoryError("8 GiB"), OutOfMemoryError, "8 GiB.*choose device 'cpu'"),
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
