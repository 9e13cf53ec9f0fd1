"""How much memory was wanted and had, read from the words of torch and numpy, and said."""

import pickle
import sys

import numpy as np
import pytest
import torch

from napari_mganprior.errors import ComputeError, OutOfMemoryError
from napari_mganprior.runs import Job, ProcessJob, RunRequest, memory
from napari_mganprior.runs.failures import explain, out_of_memory
from napari_mganprior.runs.memory import free_memory, memory_need

GIB, MIB = 2**30, 2**20
CUDA = (
    "CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has a total capacity of 8.00 GiB of "
    "which 1.20 GiB is free. Including non-PyTorch memory, this process has 6.50 GiB memory in use."
)
CUDA_1 = (
    "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.93 GiB total capacity; 6.50 GiB "
    "already allocated; 15.06 MiB free; 6.60 GiB reserved in total by PyTorch)"
)
MPS = (
    "MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 2.00 GB, max allowed: "
    "7.50 GB). Tried to allocate 1024.00 MB on private pool."
)
CPU = (
    "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried "
    "to allocate 123456 bytes."
)
NUMPY = "Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)"
FREE = 3 * GIB


@pytest.fixture(autouse=True)
def three_gib_free(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: FREE)


@pytest.mark.parametrize(
    ("error", "wanted", "free", "words"),
    [
        (torch.OutOfMemoryError(CUDA), 9 * GIB, round(1.2 * GIB), "the GPU for 9.0 GiB .* 1.2 GiB"),
        (RuntimeError(CUDA_1), 20 * MIB, round(15.06 * MIB), "the GPU for 20.0 MiB .* 15.1 MiB"),
        (RuntimeError(MPS), GIB, GIB // 2, "the GPU for 1.0 GiB at once, and 512.0 MiB were free"),
        (RuntimeError(CPU), 123456, FREE, "main memory for 120.6 KiB at once, and 3.0 GiB"),
        (MemoryError(NUMPY), round(7.28 * 1024 * GIB), FREE, "main memory for 7.3 TiB"),
        (MemoryError(), None, FREE, "Of main memory, 3.0 GiB were free"),
        (torch.OutOfMemoryError("CUDA out of memory."), None, None, "wanted more than is free. Cl"),
    ],
)
def test_what_was_wanted_and_had_is_said(error, wanted, free, words):
    """In bytes for a program, in words for people."""
    told = explain(error)
    assert (told.wanted, told.free) == (wanted, free)
    with pytest.raises(OutOfMemoryError, match=words):
        raise told


def test_an_error_of_the_engine_keeps_its_words_and_gets_the_numbers():
    """They are read from its cause; a second time nothing is added."""
    engine = OutOfMemoryError("Got too little memory on cuda; wanted room. Choose 'fast'.")
    engine.__cause__ = torch.OutOfMemoryError(CUDA)
    told = explain(engine)
    assert (told.wanted, told.free) == (9 * GIB, round(1.2 * GIB))
    with pytest.raises(OutOfMemoryError, match=r"^Got too little .* It asked the GPU for 9.0 GiB"):
        raise told
    assert explain(told) is told


def test_only_the_cpu_is_suggested_to_who_ran_out_of_gpu_memory():
    assert "device 'cpu'" in str(out_of_memory(torch.OutOfMemoryError(CUDA)))
    assert "device 'cpu'" not in str(out_of_memory(RuntimeError(CPU)))


def test_the_numbers_survive_being_pickled():
    """A run's process sends its error."""
    told = pickle.loads(pickle.dumps(OutOfMemoryError("Got; wanted.", wanted=9, free=2)))
    assert (type(told), str(told), told.wanted, told.free) == (
        OutOfMemoryError,
        "Got; wanted.",
        9,
        2,
    )


def test_what_torch_really_says_can_be_read():
    """The CPU allocator of the torch that is installed; 2**60 bytes fit into no computer."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory_need(caught.value).wanted == 2**60


def test_what_numpy_really_says_can_be_read():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    assert memory_need(caught.value).wanted == pytest.approx(2**60, rel=0.01)


@pytest.mark.parametrize("psutil", [True, False])
def test_free_memory_is_known_with_and_without_psutil(monkeypatch, psutil):
    """Between 1 MiB and what the computer has; None only where the system does not say."""
    if not psutil:
        monkeypatch.setitem(sys.modules, "psutil", None)
    free = free_memory()
    if free is None:
        assert not psutil
        assert sys.platform in ("win32", "darwin")
    else:
        assert MIB < free < 2**50


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [Job, ProcessJob])
def test_gpu_memory_is_what_it_was_before_the_run(kind, prior_folder, monkeypatch):
    """Nothing of the model or the search stays on the GPU."""
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    mask = np.zeros((32, 32), bool)
    mask[10:14, 10:14] = True
    before = torch.cuda.memory_allocated()
    job = kind(RunRequest(image=image, mask=mask, prior="tiny16", quality="fast", device="cuda"))
    job.start()
    assert job.join(120.0)
    outcome = job.collect().outcome
    assert outcome.error is None, outcome.error
    assert torch.cuda.memory_allocated() == before


@pytest.mark.gpu
def test_what_cuda_really_says_can_be_read():
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(2**42, dtype=torch.uint8, device="cuda")
    told = explain(caught.value)
    assert isinstance(told, ComputeError)
    assert told.wanted == 2**42
    assert 0 <= told.free < 2**42
