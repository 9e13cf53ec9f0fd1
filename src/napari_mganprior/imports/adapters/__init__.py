"""Published layouts, in the order in which they are tried."""

from napari_mganprior.imports.adapters.stylegan import StyleGANAdapter
from napari_mganprior.imports.adapters.stylegan2 import (
    StyleGAN2Adapter,
    StyleGAN2NvidiaAdapter,
    StyleGAN2RosinalityAdapter,
)
from napari_mganprior.imports.base import Adapter

ADAPTERS: tuple[Adapter, ...] = (
    # one line an adapter
    StyleGANAdapter(),
    StyleGAN2Adapter(),
    StyleGAN2RosinalityAdapter(),
    StyleGAN2NvidiaAdapter(),
)

__all__ = ["ADAPTERS"]
