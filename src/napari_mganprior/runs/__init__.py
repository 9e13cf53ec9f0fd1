"""A run's life without Qt: what is asked for, the thread that does it, who watches over it.

Importing this room imports neither torch nor Qt.
"""

from napari_mganprior.runs.controller import RunController, RunState
from napari_mganprior.runs.job import Job, OpenTask, Progress, RunResult, Task
from napari_mganprior.runs.request import RunRequest

__all__ = [
    "Job",
    "OpenTask",
    "Progress",
    "RunController",
    "RunRequest",
    "RunResult",
    "RunState",
    "Task",
]
