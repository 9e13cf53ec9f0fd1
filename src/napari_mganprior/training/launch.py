"""Several devices or machines at once, through Lightning Fabric.

``torchrun`` (or ``fabric run``) starts the processes; here they find each other. Each draws crops
and codes of its own, `torch.nn.parallel.DistributedDataParallel` averages the gradients, process
0 writes the files. The deviation over the minibatch is taken over groups of 4 within a process.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from napari_mganprior.arrays import choose_device
from napari_mganprior.errors import SettingsError
from napari_mganprior.training.ranks import Ranks

__all__ = ["joined_ranks", "launched"]


class _FabricRanks(Ranks):
    """The processes that a launcher started.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric
        After ``launch()``.
    """

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.rank, self.size = int(fabric.global_rank), int(fabric.world_size)

    def shared(self, network: nn.Module) -> Callable[..., Any]:
        wrapped: Callable[..., Any] = self._fabric.setup_module(network, move_to_device=False)
        return wrapped

    def mean(self, values: Tensor) -> Tensor:
        mean: Tensor = self._fabric.all_reduce(values, reduce_op="mean")
        return mean

    def gathered(self, values: Tensor) -> list[Tensor]:
        everything = self._fabric.all_gather(values.to(self._fabric.device))
        # one process gets its own value back without a new first axis
        return [mine.clone() for mine in everything.reshape(self.size, *values.shape).cpu()]

    def from_first(self, value: Any) -> Any:
        return self._fabric.broadcast(value)


def launched() -> bool:
    """Whether ``torchrun`` or ``fabric run`` started this process as one of several."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that a launcher started; alone, if none did.

    Parameters
    ----------
    device : str
        As for `choose_device`. Under a launcher each process takes the device of its number;
        ``"cuda:1"`` and the like cannot be meant there.

    Yields
    ------
    Ranks, torch.device
        What `run_session` wants, and where this process runs.

    Raises
    ------
    SettingsError
        If a launcher started this process and Lightning Fabric is not installed, or a device is
        named by its number.
    DeviceError
        If that device is not on this machine.
    """
    if not launched():
        yield Ranks(), choose_device(device)
        return
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise SettingsError(
            "Got a start by torchrun or fabric run, but Lightning Fabric is not installed; wanted "
            "both for a run on several devices. Run: pip install 'napari-mganprior[multi]'"
        ) from error
    fabric = Fabric(**_arguments(device))
    fabric.launch()
    # 1x1 kernels have several equally good orders in memory, and torch warns of each
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    yield _FabricRanks(fabric), fabric.device
    # not after an error: others may still wait for this process, and the launcher ends them
    distributed.destroy_process_group()


def _arguments(device: str) -> dict[str, Any]:
    if "LT_CLI_USED" in os.environ:  # fabric run has said everything already
        return {}
    kind = choose_device(device).type
    if ":" in device:
        raise SettingsError(
            f"Got device {device!r} under a launcher; wanted auto, cpu or cuda, since each process "
            "takes the device of its number. Set CUDA_VISIBLE_DEVICES to choose some."
        )
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return {
        "accelerator": kind,
        "strategy": "ddp",
        "devices": local,
        "num_nodes": int(os.environ["WORLD_SIZE"]) // local,
    }
