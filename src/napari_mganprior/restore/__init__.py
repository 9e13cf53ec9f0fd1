"""An image restored: one plane, a series of planes, or a recipe once more.

The names are loaded when first used: what a run returns can be read without torch, and what
tasks there are without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mganprior.restore.codes_file import load_codes, save_codes
    from napari_mganprior.restore.colorization import Colorization
    from napari_mganprior.restore.comparing import deep_distance
    from napari_mganprior.restore.denoising import Denoising
    from napari_mganprior.restore.editing import Editing
    from napari_mganprior.restore.editing_function import edit, interpolate, learn_from_images
    from napari_mganprior.restore.editor import Editor
    from napari_mganprior.restore.function import colorize, denoise, inpaint, invert, super_resolve
    from napari_mganprior.restore.inpainting import Inpainting
    from napari_mganprior.restore.interpolation import way_between
    from napari_mganprior.restore.noise import NoiseConfig, find_bad_pixels
    from napari_mganprior.restore.opening import open_run, restored
    from napari_mganprior.restore.reconstruction import Reconstruction
    from napari_mganprior.restore.replaying import Replay, replay
    from napari_mganprior.restore.result import Restoration, RestoreStep
    from napari_mganprior.restore.search import search_window
    from napari_mganprior.restore.series import Series
    from napari_mganprior.restore.strips import preview_row, preview_strip
    from napari_mganprior.restore.super_resolution import SuperResolution

__all__ = [
    "Colorization",
    "Denoising",
    "Editing",
    "Editor",
    "Inpainting",
    "NoiseConfig",
    "Reconstruction",
    "Replay",
    "Restoration",
    "RestoreStep",
    "Series",
    "SuperResolution",
    "colorize",
    "deep_distance",
    "denoise",
    "edit",
    "find_bad_pixels",
    "inpaint",
    "interpolate",
    "invert",
    "learn_from_images",
    "load_codes",
    "open_run",
    "preview_row",
    "preview_strip",
    "replay",
    "restored",
    "save_codes",
    "search_window",
    "super_resolve",
    "way_between",
]

_WHERE = {
    "Colorization": "colorization",
    "Denoising": "denoising",
    "Editing": "editing",
    "Editor": "editor",
    "NoiseConfig": "noise",
    "colorize": "function",
    "deep_distance": "comparing",
    "denoise": "function",
    "edit": "editing_function",
    "interpolate": "editing_function",
    "learn_from_images": "editing_function",
    "preview_row": "strips",
    "preview_strip": "strips",
    "find_bad_pixels": "noise",
    "Inpainting": "inpainting",
    "Reconstruction": "reconstruction",
    "Replay": "replaying",
    "Restoration": "result",
    "RestoreStep": "result",
    "Series": "series",
    "SuperResolution": "super_resolution",
    "inpaint": "function",
    "invert": "function",
    "load_codes": "codes_file",
    "open_run": "opening",
    "replay": "replaying",
    "restored": "opening",
    "save_codes": "codes_file",
    "search_window": "search",
    "super_resolve": "function",
    "way_between": "interpolation",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
