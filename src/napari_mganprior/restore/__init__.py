"""An image restored: one plane, a series of planes, or a recipe once more.

The names are loaded when first used: what a run returns can be read without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_mganprior.restore.result import Restoration, RestoreStep

if TYPE_CHECKING:
    from napari_mganprior.restore.codes_file import load_codes, save_codes
    from napari_mganprior.restore.colorization import Colorization
    from napari_mganprior.restore.denoising import Denoising
    from napari_mganprior.restore.editing import Editing
    from napari_mganprior.restore.editing_function import edit, interpolate, learn_from_images
    from napari_mganprior.restore.editor import Editor
    from napari_mganprior.restore.function import colorize, denoise, inpaint, invert, super_resolve
    from napari_mganprior.restore.inpainting import Inpainting
    from napari_mganprior.restore.noise import NoiseConfig, find_bad_pixels
    from napari_mganprior.restore.reconstruction import Reconstruction
    from napari_mganprior.restore.replaying import Replay, replay
    from napari_mganprior.restore.search import search_window
    from napari_mganprior.restore.series import SeriesInpainting
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
    "SeriesInpainting",
    "SuperResolution",
    "colorize",
    "denoise",
    "edit",
    "find_bad_pixels",
    "inpaint",
    "interpolate",
    "invert",
    "learn_from_images",
    "load_codes",
    "preview_row",
    "preview_strip",
    "replay",
    "save_codes",
    "search_window",
    "super_resolve",
]

_WHERE = {
    "Colorization": "colorization",
    "Denoising": "denoising",
    "Editing": "editing",
    "Editor": "editor",
    "NoiseConfig": "noise",
    "colorize": "function",
    "denoise": "function",
    "edit": "editing_function",
    "interpolate": "editing_function",
    "learn_from_images": "editing_function",
    "find_bad_pixels": "noise",
    "Inpainting": "inpainting",
    "Reconstruction": "reconstruction",
    "Replay": "replaying",
    "SeriesInpainting": "series",
    "SuperResolution": "super_resolution",
    "inpaint": "function",
    "invert": "function",
    "load_codes": "codes_file",
    "preview_row": "strips",
    "preview_strip": "strips",
    "replay": "replaying",
    "save_codes": "codes_file",
    "search_window": "search",
    "super_resolve": "function",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
