"""The catalogue of priors: those that come with the package, and the user's own."""

from napari_mganprior.priors.catalogue import (
    PriorEntry,
    find_prior,
    list_priors,
    prior_names,
    read_entry,
    user_folder,
)

__all__ = ["PriorEntry", "find_prior", "list_priors", "prior_names", "read_entry", "user_folder"]
