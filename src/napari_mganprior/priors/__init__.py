"""The catalogue of priors: those that come with the package, and the user's own."""

from napari_mganprior.priors.catalogue import (
    PriorEntry,
    check_free_name,
    check_prior_name,
    copy_prior,
    find_prior,
    list_priors,
    prior_names,
    prior_source,
    read_entry,
    remove_prior,
    user_folder,
)
from napari_mganprior.priors.installing import (
    InstallStep,
    install,
    install_prior,
    install_steps,
)
from napari_mganprior.priors.weights import WEIGHTS, fetch_steps, fetch_weights, find_weights

__all__ = [
    "WEIGHTS",
    "InstallStep",
    "PriorEntry",
    "check_free_name",
    "check_prior_name",
    "copy_prior",
    "fetch_steps",
    "fetch_weights",
    "find_prior",
    "find_weights",
    "install",
    "install_prior",
    "install_steps",
    "list_priors",
    "prior_names",
    "prior_source",
    "read_entry",
    "remove_prior",
    "user_folder",
]
