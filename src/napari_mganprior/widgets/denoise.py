"""The dock widget "Denoise": say what the noise is like, or have it measured, and press Run."""

from napari_mganprior.errors import SettingsError
from napari_mganprior.restore.noise import NoiseConfig
from napari_mganprior.widgets.form import TaskForm
from napari_mganprior.widgets.inputs import Choice

__all__ = ["DenoiseWidget"]


class DenoiseWidget(TaskForm):
    """Draw a noisy image layer anew from what a prior knows."""

    task = "denoise"
    help_topic = "denoise"

    def _find_own_fault(self, choice: Choice) -> str:
        told = {key: value for key, value in choice.options.items() if key != "find_bad"}
        try:
            NoiseConfig(model=told.pop("noise", "gaussian"), **told)
        except SettingsError as error:
            return str(error)
        return ""

    def _describe(self, choice: Choice) -> str:
        said = super()._describe(choice)
        gaussian = choice.options.get("noise") == "gaussian"
        numbers = ("level",) if gaussian else ("gain", "offset", "read_noise")
        missing = [name.replace("_", " ") for name in numbers if name not in choice.options]
        if not missing:
            return said
        return f"{said} The noise's {', '.join(missing)} will be measured in the image.".strip()
