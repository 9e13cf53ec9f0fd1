"""What a prior and its codes do: the same task at every cut, and the role of each code.

The names are loaded when first used: settings and results can be read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_mganprior.analysis.config import DAMAGES, STUDIES, StudyConfig
from napari_mganprior.analysis.outcome import AnalysisStep, Roles, Study, StudyRow
from napari_mganprior.analysis.plot import study_plot

if TYPE_CHECKING:
    from napari_mganprior.analysis.function import code_roles, layer_study
    from napari_mganprior.analysis.roles import CodeRoles
    from napari_mganprior.analysis.study import LayerStudy

__all__ = [
    "DAMAGES",
    "STUDIES",
    "AnalysisStep",
    "CodeRoles",
    "LayerStudy",
    "Roles",
    "Study",
    "StudyConfig",
    "StudyRow",
    "code_roles",
    "layer_study",
    "study_plot",
]

_WHERE = {
    "CodeRoles": "roles",
    "LayerStudy": "study",
    "code_roles": "function",
    "layer_study": "function",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
