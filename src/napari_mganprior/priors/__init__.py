"""The catalogue of priors: those that come with the package, and the user's own."""

from napari_mganprior.priors.catalogue import (
    PriorEntry,
    check_prior_name,
    find_prior,
    list_priors,
    prior_names,
    prior_source,
    read_entry,
    remove_prior,
    user_folder,
)

__all__ = [
    "PriorEntry",
    "check_prior_name",
    "find_prior",
    "list_priors",
    "prior_names",
    "prior_source",
    "read_entry",
    "remove_prior",
    "user_folder",
]
