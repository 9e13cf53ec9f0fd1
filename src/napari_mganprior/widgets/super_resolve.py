"""The dock widget "Super-resolve": choose a factor, press Run, get a layer of more pixels."""

from napari_mganprior.errors import PriorError, SettingsError
from napari_mganprior.priors import find_prior
from napari_mganprior.priors.header import read_header
from napari_mganprior.restore.growth import check_factor, check_size, memory_needed
from napari_mganprior.runs.memory import size_in_words
from napari_mganprior.widgets.form import TaskForm
from napari_mganprior.widgets.inputs import Choice
from napari_mganprior.widgets.planes import cut_layer

__all__ = ["SuperResolveWidget"]


class SuperResolveWidget(TaskForm):
    """Draw an image layer of more pixels whose reduction is the one that was measured."""

    task = "super_resolve"
    help_topic = "super-resolve"

    def _find_own_fault(self, choice: Choice) -> str:
        factor = self.spec.growth(choice.options)
        kernel, sigma = choice.options.get("kernel"), choice.options.get("sigma", 1.0)
        if kernel == "gaussian" and not sigma > 0:
            return f"Got a blur of {sigma} px; wanted more than 0. Choose 1, or camera pixels."
        try:
            check_size(self._shape(choice), factor)
            prior = self.fields.prior.value
            check_factor(factor, read_header(find_prior(prior)).resolution, prior)
        except SettingsError as error:
            return str(error)
        except PriorError:  # a damaged file is named when the run opens it
            return ""
        return ""

    def _describe(self, choice: Choice) -> str:
        shape, factor = self._shape(choice), self.spec.growth(choice.options)
        size = " x ".join(str(side * factor) for side in shape[:2])
        memory = size_in_words(memory_needed(shape, factor))
        told = f"The result will have {size} pixels and take about {memory} of memory."
        return f"{super()._describe(choice)} {told}".strip()

    def _shape(self, choice: Choice) -> tuple[int, ...]:
        """Return height, width and colours of a plane."""
        assert choice.image is not None
        cut = cut_layer(choice.image, self._viewer.dims, choice.scope)
        return (*cut.size, 3) if choice.image.rgb and cut.colours == 1 else cut.size
