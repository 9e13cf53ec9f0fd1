"""Restore images with a generative prior, in napari and from scripts.

The public names are loaded when first used, so that importing the package imports neither
torch nor napari.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("napari-mganprior")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

# Threads that wait for one another by spinning make a search ten times slower as soon as anything
# else, napari's own window for one, needs a core. It is read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_WHERE = {
    "CodeRoles": "napari_mganprior.analysis",
    "Colorization": "napari_mganprior.restore",
    "DamageConfig": "napari_mganprior.damage",
    "Denoising": "napari_mganprior.restore",
    "Direction": "napari_mganprior.editing",
    "Editing": "napari_mganprior.restore",
    "Editor": "napari_mganprior.restore",
    "Inpainting": "napari_mganprior.restore",
    "LayerStudy": "napari_mganprior.analysis",
    "NoiseConfig": "napari_mganprior.restore",
    "Reconstruction": "napari_mganprior.restore",
    "Restoration": "napari_mganprior.restore",
    "StudyConfig": "napari_mganprior.analysis",
    "SuperResolution": "napari_mganprior.restore",
    "code_roles": "napari_mganprior.analysis",
    "colorize": "napari_mganprior.restore",
    "deep_distance": "napari_mganprior.restore",
    "denoise": "napari_mganprior.restore",
    "edit": "napari_mganprior.restore",
    "fetch_weights": "napari_mganprior.priors",
    "find_bad_pixels": "napari_mganprior.restore",
    "find_directions": "napari_mganprior.editing",
    "inpaint": "napari_mganprior.restore",
    "install_prior": "napari_mganprior.priors",
    "interpolate": "napari_mganprior.restore",
    "invert": "napari_mganprior.restore",
    "layer_study": "napari_mganprior.analysis",
    "learn_from_images": "napari_mganprior.restore",
    "list_priors": "napari_mganprior.priors",
    "load_codes": "napari_mganprior.restore",
    "load_prior": "napari_mganprior.generators.checkpoint",
    "read_boundary": "napari_mganprior.editing",
    "register_generator": "napari_mganprior.generators.registry",
    "replay": "napari_mganprior.restore",
    "save_boundary": "napari_mganprior.editing",
    "save_codes": "napari_mganprior.restore",
    "split_module": "napari_mganprior.generators.chain",
    "super_resolve": "napari_mganprior.restore",
}

__all__ = [
    "CodeRoles",
    "Colorization",
    "DamageConfig",
    "Denoising",
    "Direction",
    "Editing",
    "Editor",
    "Inpainting",
    "LayerStudy",
    "NoiseConfig",
    "Reconstruction",
    "Restoration",
    "StudyConfig",
    "SuperResolution",
    "__version__",
    "code_roles",
    "colorize",
    "deep_distance",
    "denoise",
    "edit",
    "fetch_weights",
    "find_bad_pixels",
    "find_directions",
    "inpaint",
    "install_prior",
    "interpolate",
    "invert",
    "layer_study",
    "learn_from_images",
    "list_priors",
    "load_codes",
    "load_prior",
    "read_boundary",
    "register_generator",
    "replay",
    "save_boundary",
    "save_codes",
    "split_module",
    "super_resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
