"""Other people's generators: read safely, recognised, checked, turned into priors of ours."""

from napari_mganprior.imports.descriptions import read_description
from napari_mganprior.imports.importing import (
    ImportStep,
    adapter_names,
    import_prior,
    import_steps,
)

__all__ = ["ImportStep", "adapter_names", "import_prior", "import_steps", "read_description"]
