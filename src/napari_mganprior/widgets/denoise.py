"""The dock widget "Denoise": say what the noise is like, or have it measured, and press Run."""

import numpy as np

from napari_mganprior.errors import MGANPriorError, SettingsError
from napari_mganprior.restore.noise import NoiseConfig
from napari_mganprior.widgets.form import TaskForm
from napari_mganprior.widgets.inputs import Choice
from napari_mganprior.widgets.planes import cut_layer, full_resolution

__all__ = ["DenoiseWidget"]

_LARGEST_LIVE_ESTIMATE = 1 << 18
"""Pixels of a slice whose noise is measured while the form changes; some 20 ms."""


class DenoiseWidget(TaskForm):
    """Draw a noisy image layer anew from what a prior knows."""

    task = "denoise"
    help_topic = "denoise"

    def _find_own_fault(self, choice: Choice) -> str:
        try:
            _noise(choice)
        except SettingsError as error:
            return str(error)
        return ""

    def _describe(self, choice: Choice) -> str:
        said = super()._describe(choice)
        gaussian = choice.options.get("noise") == "gaussian"
        numbers = ("level",) if gaussian else ("gain", "offset", "read_noise")
        missing = [name for name in numbers if name not in choice.options]
        if not missing:
            return said
        found = self._estimate(choice)
        told = [
            name.replace("_", " ") + (f" (about {getattr(found, name):.3g})" if found else "")
            for name in missing
        ]
        return f"{said} The noise's {', '.join(told)} will be measured in the image.".strip()

    def _estimate(self, choice: Choice) -> NoiseConfig | None:
        """Measure the noise of the slice on screen, where that takes no more than a moment."""
        image = choice.image
        if image is None or choice.scope != "slice":
            return None
        cut, data = cut_layer(image, self._viewer.dims), full_resolution(image)
        if not isinstance(data, np.ndarray) or cut.size[0] * cut.size[1] > _LARGEST_LIVE_ESTIMATE:
            return None
        pixels = cut.take(data)
        pixels = pixels[..., :3] if image.rgb else pixels
        try:
            return _noise(choice).measured(pixels, np.zeros(cut.size, bool))
        except MGANPriorError:  # the run says why
            return None


def _noise(choice: Choice) -> NoiseConfig:
    others = ("find_bad", "drawing_only")
    told = {key: value for key, value in choice.options.items() if key not in others}
    return NoiseConfig(model=told.pop("noise", "gaussian"), **told)
