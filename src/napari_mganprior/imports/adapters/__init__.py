"""Published layouts, in the order in which they are tried."""

from napari_mganprior.imports.base import Adapter

ADAPTERS: tuple[Adapter, ...] = (
    # one line an adapter
)

__all__ = ["ADAPTERS"]
