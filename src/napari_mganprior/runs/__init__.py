"""A run's life without Qt: what is asked for, the thread or process that does it, who watches.

Importing this room imports neither torch nor Qt.
"""

from napari_mganprior.runs.base import (
    Frames,
    JobLike,
    MakeJob,
    OpenTask,
    Progress,
    RunResult,
    Task,
    TaskStep,
)
from napari_mganprior.runs.controller import RunController, RunState
from napari_mganprior.runs.failures import device_note, nvidia_gpu_present
from napari_mganprior.runs.job import Job
from napari_mganprior.runs.process import ProcessJob
from napari_mganprior.runs.request import RunRequest

__all__ = [
    "Frames",
    "Job",
    "JobLike",
    "MakeJob",
    "OpenTask",
    "ProcessJob",
    "Progress",
    "RunController",
    "RunRequest",
    "RunResult",
    "RunState",
    "Task",
    "TaskStep",
    "device_note",
    "nvidia_gpu_present",
]
