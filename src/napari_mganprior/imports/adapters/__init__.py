"""Published layouts, in the order in which they are tried."""

from napari_mganprior.imports.adapters.dcgan import DCGANAdapter
from napari_mganprior.imports.adapters.described import DescribedAdapter
from napari_mganprior.imports.base import Adapter

ADAPTERS: tuple[Adapter, ...] = (
    # one line an adapter
    DCGANAdapter(),
    DescribedAdapter(),
)

__all__ = ["ADAPTERS"]
